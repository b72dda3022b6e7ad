"""The log of a tenant's changes: segments of numbered changes, and the head that says where the log ends.

The streams of the tables bring every change at least once, and each item's in order: a shard's in order, a parent's
before its children's. The head has a mark for each shard, the last sequence number that the log covers. A batch is
appended by one conditional write of head and segment together. So whatever is repeated finds its own mark, and a
process that dies has appended a batch or has not. Positions are contiguous, since the head that gives them is written
with what has them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple, TypeGuard, get_args

from msgspec import Struct, field
from msgspec.json import encode
from msgspec.structs import replace

from chalicelib.core.changes.limits import MARK_MAX_AGE_MS, POSITION_DIGITS, SEGMENT_MAX_CHANGES, SEGMENT_MAX_CHARS
from chalicelib.core.executions.execution import Execution
from chalicelib.core.leases.lease_item import LeaseItem
from chalicelib.core.schedules.schedule import Schedule
from chalicelib.core.workflows.run_state import SeenRun

ChangeType = Literal["execution", "schedule", "lease", "workflow_run"]
CHANGE_TYPES: Final[tuple[ChangeType, ...]] = get_args(ChangeType)
Changed = Execution | Schedule | LeaseItem | SeenRun


class Change(Struct, frozen=True):
    """One change of one thing. ``now`` is the thing after it, None when it was deleted; ``owner`` None: it has none."""

    type: ChangeType
    id: str
    at_ms: int
    owner: str | None
    now: Changed | None

    @property
    def chars(self) -> int:
        """About how much text of its owner's it carries."""
        if isinstance(self.now, Execution):
            return len(self.now.payload or "") + len(self.now.result or "") + len(self.now.error or "")
        if isinstance(self.now, SeenRun):
            return len(encode(self.now))
        return len(self.now.definition.payload) if isinstance(self.now, Schedule) else 0


class Arrived(NamedTuple):
    """A change as a shard of a stream brought it, under its sequence number there."""

    sequence: int
    tenant: str
    change: Change


class Mark(NamedTuple):
    """Up to which sequence number the log covers a shard, and since when."""

    sequence: int
    at_ms: int


class LogHead(Struct, frozen=True):
    """Where a tenant's log ends. ``last`` is the position of its newest change, 0 before the first."""

    tenant: str
    rev: int = 0
    last: int = 0
    marks: Mapping[str, Mark] = field(default_factory=dict)


class Segment(Struct, frozen=True):
    """Neighbours in the log; the first has the position ``first``."""

    tenant: str
    first: int
    written_ms: int
    changes: tuple[Change, ...]

    @property
    def last(self) -> int:
        return self.first + len(self.changes) - 1


class Appended(NamedTuple):
    """The head and the segment to write together."""

    head: LogHead
    segment: Segment


def pieces(arrived: Sequence[Arrived]) -> list[list[Arrived]]:
    """One tenant's part of a batch, cut so that each piece fits into a segment; in order."""
    cut: list[list[Arrived]] = []
    chars = 0
    for one in arrived:
        chars += one.change.chars
        if not cut or len(cut[-1]) >= SEGMENT_MAX_CHANGES or chars > SEGMENT_MAX_CHARS:
            cut.append([])
            chars = one.change.chars
        cut[-1].append(one)
    return cut


def decide_append(head: LogHead, shard: str, arrived: Sequence[Arrived], now_ms: int) -> Appended | None:
    """Append what a shard brought, in its order; None when the log has all of it already."""
    covered = head.marks[shard].sequence if shard in head.marks else -1
    fresh = [one for one in arrived if one.sequence > covered]
    if not fresh:
        return None
    marks = {name: mark for name, mark in head.marks.items() if now_ms - mark.at_ms <= MARK_MAX_AGE_MS}
    marks[shard] = Mark(fresh[-1].sequence, now_ms)
    segment = Segment(head.tenant, head.last + 1, now_ms, tuple(one.change for one in fresh))
    return Appended(replace(head, rev=head.rev + 1, last=segment.last, marks=marks), segment)


def is_expired(segment: Segment, now_ms: int, retention_ms: int) -> bool:
    """Whether a segment is older than what is promised. Its item may lie there for some days more."""
    return segment.written_ms + retention_ms <= now_ms


def position_text(position: int) -> str:
    """A position as callers see it: text that sorts as positions do."""
    return f"{position:0{POSITION_DIGITS}d}"


def read_position(text: str) -> int | None:
    """The position that a text is; None when it is none of ours."""
    return int(text) if len(text) == POSITION_DIGITS and text.isascii() and text.isdecimal() else None


def is_change_type(text: str) -> TypeGuard[ChangeType]:
    """Whether there is such a type."""
    return text in CHANGE_TYPES
