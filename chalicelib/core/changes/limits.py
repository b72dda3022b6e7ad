"""Bounds of the change feed. Names have their units last; the relations between bounds are asserted beside them."""

from __future__ import annotations

from typing import Final

CHANGES_RETENTION_S: Final = 7 * 86_400
SEGMENT_MAX_CHANGES: Final = 100
SEGMENT_MAX_CHARS: Final = 200_000  # of texts that owners give; one change may have more, and has a segment to itself
STREAM_RETENTION_MS: Final = 24 * 3_600_000  # how long a table's stream keeps what was written
MARK_MAX_AGE_MS: Final = 48 * 3_600_000  # a mark that moved no more for so long belongs to a shard that has ended
POSITION_DIGITS: Final = 16
PAGE_SEGMENTS: Final = 10  # segments that one query reads
PAGE_QUERIES: Final = 10  # queries for one page of changes at most: a rare type gives short pages, not long calls
CHANGES_TAIL_POLL_MS: Final = 50  # how often a process with subscribers looks for what is new
TAIL_CHANGES: Final = 4_096  # that a process keeps for its subscribers; one that is further behind was too slow
FEED_HEARTBEAT_MS: Final = 10_000  # of silence, after which a subscriber hears that its connection stands
HOLD_POLL_MS: Final = 500  # how often a call looks that is held where answers must be whole
WHOLE_ANSWER_CHANGES: Final = 1_000  # after so many a whole answer ends: some servers take 6 MB at most

assert MARK_MAX_AGE_MS > STREAM_RETENTION_MS, "what a mark covers cannot come again once the mark is forgotten"
assert SEGMENT_MAX_CHANGES < TAIL_CHANGES
assert FEED_HEARTBEAT_MS <= 15_000, "proxies close what is silent for longer"
