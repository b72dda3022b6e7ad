"""Bounds of schedules, and of calls that change many.

Names have their units last; the relations between bounds are asserted beside them.
"""

from __future__ import annotations

from chalicelib.core.limits import BODY_MAX_BYTES

PAYLOAD_MAX_BYTES = 64 * 1024
NAME_MAX_CHARS = 128
TAGS_MAX_COUNT = 20
TAG_MAX_CHARS = 64
SHARD_KEY_MAX_CHARS = 128
NOTE_MAX_CHARS = 512
JITTER_MAX_MS = 86_400_000
BACKFILL_MAX_INSTANTS = 1_000
LEDGER_MAX_ITEMS = 1_000
SLA_DEFAULT_MS = 1000
CATCH_UP_DEFAULT_MS = 60_000
TIMEOUT_DEFAULT_MS = 300_000
RUNS_MAX = 1_000_000_000  # max_runs
RETRY_MAX_ATTEMPTS = 100
VERSIONS_INLINE_MAX = 7  # versions named in the state item; older ones are found by their snapshot
CLAIMED_AHEAD_MAX_MS = (
    30_000  # workers claim an instant less than this ahead of it: the lead, a message's span and spare
)
SPANS_MAX = 2  # claims without records that a state names; a further one is recorded at once
BATCH_MAX_OPERATIONS = 100
TAG_CHANGE_MAX_SCHEDULES = 1_000  # schedules that one call by tag changes, or shows
TAG_CHANGE_BUDGET_MS = 20_000  # gateways give up after half a minute
TAG_PREVIEW_RUNS = 3
EXPORT_MAX_SCHEDULES = 1_000
EXPORT_MAX_BYTES = 4 * 1024 * 1024  # hosts of functions answer with 6 MB at most
IMPORT_MAX_SCHEDULES = 500
REPLAN_PAGE_SCHEDULES = 100  # planned anew in one step
RELEASE_PAGE_SCHEDULES = 25  # that no longer count are taken off what counts in one step
LIST_SCAN_MAX_ITEMS = 1_000  # schedules that one filtered list call checks
SETTLE_MAX_INSTANTS = 1_000  # overdue instants handled in one step of a sweep or an edit
FAILURES_IN_ROW_MAX = 1_000  # pause_after_failures
MONITOR_WINDOW_MIN_MS = 60_000  # silences are checked for once a minute

assert PAYLOAD_MAX_BYTES < BODY_MAX_BYTES
