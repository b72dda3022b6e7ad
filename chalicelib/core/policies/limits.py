"""Bounds of the policies of a schedule.

Names have their units last; the relations between bounds are asserted beside them.
"""

from __future__ import annotations

from chalicelib.core.schedules.limits import FAILURES_IN_ROW_MAX

MONITOR_CHECK_RECORDS = (10, 90)  # the newest executions that a check reads, and then, before it calls them silent
MONITOR_COMPLETED_KEPT_MS = 86_400_000  # how long the state of a completed schedule's monitor is kept
FAILURE_PAUSES_KEPT = 3  # of a schedule, so that each emits its event though it was resumed at once
FAILURES_CHECK_MAX_RECORDS = 5_000  # how far back one check counts: skipped instants lie between the failures
CATCH_UP_LATE_MS = 2_000  # a firing later than this at its claim is caught up: it waits for a slot
CATCH_UP_PER_MINUTE = 60
CATCH_UP_PER_MINUTE_MAX = 60_000
FEED_LAG_MAX_MS = 10_000  # by how much two clocks may disagree about what came before a pause
WAITER_CHECK_MS = 30_000  # an execution that waits for its turn and was not woken is checked after this

assert FAILURES_CHECK_MAX_RECORDS > FAILURES_IN_ROW_MAX
