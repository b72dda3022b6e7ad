"""Bounds of the way of a firing, of its record and its log.

Names have their units last; the relations between bounds are asserted beside them.
"""

from __future__ import annotations

from chalicelib.core.limits import QUEUE_DELAY_MAX_S, SWEEP_PERIOD_MS

HORIZON_MS = 120_000  # how far ahead of their instants firings are put on the queue
MESSAGE_SPAN_MS = 10_000  # the instants of one message lie within this span
LOST_AFTER_MS = 300_000  # an owed instant without a record this long past it is called lost
UNKNOWN_VERSION_GRACE_MS = 60_000  # a message of an unknown version is kept this long past its instant
ATTEMPT_LEASE_MS = 2_500  # how long past its instant a claim protects an attempt that is not marked as running
RECHECK_AHEAD_MAX_MS = 20  # how long before its instant a claimed firing is rechecked, at most
CLAIM_SHOWN_MS = 86_400_000  # how long callers are shown a claim without a record: its message goes on for days
RUNNING_MARK_MS = 100  # a delivery still running after this is written down as in_progress
RECHECK_KEPT_MS = RECHECK_AHEAD_MAX_MS + RUNNING_MARK_MS  # what was rechecked longer ago is rechecked once more
WATCH_STEPS_MS = (500, 1_000, 2_000, 5_000)  # after which times a running delivery is checked for a cancel
PREPARE_MAX_MS = 500  # of preparing one owner's firings of a batch; slow names must not make others late
ERROR_MAX_CHARS = 500
ANSWERS_KEPT_MAX = 3  # of an execution: what its target answered to the last attempts that failed
LOG_LINES_MAX = 1_000  # of one execution
LOG_MESSAGE_MAX_CHARS = 4_096
HISTORY_RETENTION_S = 30 * 86_400
IDEMPOTENCY_RETENTION_S = 86_400
IDEMPOTENCY_KEY_MAX_BYTES = 255
IDEMPOTENCY_RUNNING_MAX_MS = 60_000  # a first call older than this has died: no process may work on a call for longer

assert HORIZON_MS >= 2 * SWEEP_PERIOD_MS, "a sweep that comes a minute late must still be early enough"
assert HORIZON_MS <= QUEUE_DELAY_MAX_S * 1000, "the queue must be able to hold a firing back for the whole horizon"
assert RECHECK_AHEAD_MAX_MS < RUNNING_MARK_MS
