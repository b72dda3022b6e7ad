"""Bounds of workflows and their runs."""

from __future__ import annotations

from typing import Final

NODES_MAX_COUNT: Final = 500
EDGES_MAX_COUNT: Final = 5000
CASES_MAX_COUNT: Final = 100
RUN_MAX_EVENTS: Final = 25_000
ITEMS_MAX_COUNT: Final = 10_000
CONCURRENCY_MAX_COUNT: Final = 1_000
NESTING_MAX_DEPTH: Final = 10
NAME_MAX_CHARS: Final = 64
RUN_ID_MAX_CHARS: Final = 64
OUTPUT_INLINE_MAX_BYTES: Final = 64 * 1024
OUTPUT_MAX_BYTES: Final = 16 * 1024 * 1024
INLINE_LIMIT_BYTES: Final = (
    2 * 1024 * 1024
)  # of values above OUTPUT_INLINE_MAX_BYTES in an answer, which a function bounds
EXPRESSION_MAX_CHARS: Final = 4096
CODE_MAX_CHARS: Final = 64 * 1024
ERROR_MAX_CHARS: Final = 1024
CANCEL_GRACE_MS: Final = 4000  # what is under way may still end; with a second for the wake, five in all
LOST_MAX_COUNT: Final = 5  # claims of one attempt whose worker died
STEP_TIMEOUT_DEFAULT_MS: Final = 30_000
STEP_LEASE_SPARE_MS: Final = 15_000  # an attempt may be believed lost so long after its own timeout
SNAPSHOT_EVERY_EVENTS: Final = 50

assert ITEMS_MAX_COUNT * 2 < RUN_MAX_EVENTS, "every item of a foreach may begin and end"
assert OUTPUT_INLINE_MAX_BYTES < OUTPUT_MAX_BYTES
