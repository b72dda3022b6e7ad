"""Changes of schedules as the engine writes them."""

from __future__ import annotations

from msgspec.structs import replace

from chalicelib.core.schedules.schedule import Definition, Schedule, VersionRef
from chalicelib.ports.stores.schedules import ScheduleChange


def change_of(before: Schedule, after: Schedule, snapshot: Definition | None = None) -> ScheduleChange:
    """An edit as the use case writes it."""

    def name(s: Schedule) -> tuple[str, str] | None:
        return None if s.definition.name is None else (s.definition.owner, s.definition.name)

    return ScheduleChange(after.state, before.state, after.definition, snapshot, name(before), name(after))


def deletion_of(before: Schedule, at_ms: int) -> ScheduleChange:
    """A delete as the use case writes it."""
    tombstone = before.state.with_version(VersionRef("deleted", at_ms, False), status="deleted", next_run_ms=None)
    name = before.definition.name
    return ScheduleChange(
        tombstone,
        before.state,
        None,
        replace(before.definition, until_ms=at_ms),
        None if name is None else (before.definition.owner, name),
        None,
    )
