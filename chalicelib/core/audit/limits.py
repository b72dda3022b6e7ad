"""Bounds of the audit."""

from __future__ import annotations

from typing import Final

SEGMENT_MAX_ENTRIES: Final = 100  # in one item, whose bound is 400 KB
ENTRY_MAX_BYTES: Final = 3_000
SEGMENT_MAX_BYTES: Final = 400_000
DETAIL_MAX_CHARS: Final = 256
RESOURCE_MAX_CHARS: Final = 384
SUBJECT_MAX_CHARS: Final = RESOURCE_MAX_CHARS
APPEND_ATTEMPTS: Final = 256  # races that one append may lose
TAIL_MEMORY_MS: Final = 60_000  # how long a process may go by the end of a chain that it knows
SUBJECT_MEMORY_MS: Final = 60_000
RECOVER_AFTER_MS: Final = 300_000  # no call to the API runs for as long
RECOVER_MARGIN_MS: Final = 600_000  # how much older than an intent an entry of its time may seem
MARK_MEMORY_MS: Final = 300_000
MARK_STAYS_MS: Final = 900_000
CHECKPOINT_ENTRIES: Final = 1_000
CHECKPOINT_AFTER_MS: Final = 300_000
CHECKPOINTS_COMPARED_MAX: Final = 200
SIGNED_SEGMENTS: Final = 1_000  # in one checkpoint: what a process holds while it signs
READ_SEGMENTS: Final = 50
FILTER_MAX_SEGMENTS: Final = 500  # read for one page
TRIM_MAX_SEGMENTS: Final = 200  # deleted in one minute
RETENTION_MIN_MS: Final = 86_400_000

assert SEGMENT_MAX_ENTRIES * ENTRY_MAX_BYTES < SEGMENT_MAX_BYTES
assert MARK_STAYS_MS > 2 * MARK_MEMORY_MS, "a mark outlives every process's belief in it"
assert RECOVER_AFTER_MS > TAIL_MEMORY_MS
assert RETENTION_MIN_MS > TAIL_MEMORY_MS, "nothing is deleted that a process may still append after"
