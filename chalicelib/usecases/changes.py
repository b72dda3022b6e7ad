"""The change feed as a caller reads it: a page after a position, of what the caller may see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from chalicelib.core.changes import change_log
from chalicelib.core.changes.change_log import CHANGE_TYPES, Change, ChangeType, Segment
from chalicelib.core.changes.limits import PAGE_QUERIES, PAGE_SEGMENTS
from chalicelib.core.errors import Gone, InvalidField
from chalicelib.core.security.authorize import authorize, only_owner
from chalicelib.core.security.caller import Caller
from chalicelib.core.security.permissions import Permission
from chalicelib.ports.services import Services

_READ: Final[dict[ChangeType, Permission]] = {
    "execution": "executions:read",
    "schedule": "schedules:read",
    "lease": "leases:read",
    "workflow_run": "workflows:read",
}
SNAPSHOT: Final = (
    "ask /api/v1/changes without after for a new cursor, list what you need (/api/v1/schedules, /api/v1/executions, "
    "/api/v1/leases), then go on from that cursor"
)


class Placed(NamedTuple):
    """A change and its position in the log of its tenant."""

    position: int
    change: Change


class ChangePage(NamedTuple):
    """Changes in their order, and the position to go on after."""

    changes: list[Placed]
    next_after: int


class View(NamedTuple):
    """What a caller sees of a tenant's log: for each type the one owner whose things it sees, None: every owner's."""

    tenant: str
    owners: dict[ChangeType, str | None]

    def shows(self, change: Change) -> bool:
        """Whether the caller may see a change, and asked for its type."""
        if change.type not in self.owners:
            return False
        return change.owner is None or self.owners[change.type] in (None, change.owner)


def view(caller: Caller, types: Sequence[ChangeType] | None) -> View:
    """What a caller sees of these types; None: of all that it may read. Raises Forbidden."""
    if types is None:
        types = [t for t in CHANGE_TYPES if _READ[t] in caller.permissions]
        if not types:
            authorize(caller, _READ["execution"])
    for type_ in types:
        authorize(caller, _READ[type_])
    return View(caller.tenant, {t: only_owner(caller, _READ[t]) for t in types})


def types_of(text: str) -> list[ChangeType]:
    """The types that a comma-separated list names. Raises InvalidField."""
    found: list[ChangeType] = []
    for name in (part.strip() for part in text.split(",")):
        if not change_log.is_change_type(name):
            raise InvalidField.of("types", f"must list some of {', '.join(CHANGE_TYPES)}, not {name[:40]!r}")
        found.append(name)
    return found


def position_of(text: str, field: str = "after") -> int:
    """The position that a caller says. Raises InvalidField."""
    position = change_log.read_position(text)
    if position is None:
        raise InvalidField.of(field, "must be the position of a change, or next_after of an earlier answer")
    return position


def page(s: Services, caller: Caller, after: int | None, limit: int, types: Sequence[ChangeType] | None) -> ChangePage:
    """At most ``limit`` changes after a position; without one none, and where the log ends now.

    The work is bounded: where few match, a page may be short or empty and still go on. Raises Forbidden, and Gone
    (``cursor_expired``) for a position that the log no longer goes on from.
    """
    seen = view(caller, types)
    if after is None:
        return ChangePage([], s.stores.changes.head(caller.tenant).last)
    found: list[Placed] = []
    for _ in range(PAGE_QUERIES):
        segments = read(s, caller.tenant, after, PAGE_SEGMENTS)
        for place, change in _placed(segments, after):
            if seen.shows(change):
                found.append(Placed(place, change))
            after = place
            if len(found) == limit:
                return ChangePage(found, after)
        if len(segments) < PAGE_SEGMENTS:
            break
    return ChangePage(found, after)


def _placed(segments: Sequence[Segment], after: int) -> Iterator[Placed]:
    for segment in segments:
        for place, change in enumerate(segment.changes, segment.first):
            if place > after:
                yield Placed(place, change)


def read(s: Services, tenant: str, after: int, limit: int) -> Sequence[Segment]:
    """At most ``limit`` segments that go on from a position without a hole; none at the end. Raises Gone."""
    segments = s.stores.changes.segments(tenant, after, limit)
    if not segments:
        if after != s.stores.changes.head(tenant).last and not s.stores.changes.segments(tenant, after, 1):
            raise expired()
        return segments
    if segments[0].first > after + 1 or change_log.is_expired(
        segments[0], s.clock.now_ms(), s.config.changes_retention_ms
    ):
        raise expired()
    return segments


def expired() -> Gone:
    """That a cursor is too old, and what to do."""
    return Gone(f"this cursor is older than the change feed reaches: {SNAPSHOT}", code="cursor_expired")
