"""How rows of ``executions`` are keyed: one that an event set off has the event in its schedule_id, and instant 0."""

from __future__ import annotations

from typing import Final

from chalicelib.core.executions.execution import ExecutionKey

_BEFORE_EVENT: Final = "-"  # in no schedule's id


def place(at: ExecutionKey) -> tuple[str, str, int, bool]:
    """Its row: tenant, schedule_id, firing_ms and manual."""
    row_id = f"{at.schedule_id}{_BEFORE_EVENT}{at.event}" if at.event else at.schedule_id
    return at.tenant, row_id, at.firing_ms, at.manual


def key_of(tenant: str, row_id: str, firing_ms: int, manual: bool) -> ExecutionKey:
    """The execution of a row."""
    schedule_id, _, event = row_id.partition(_BEFORE_EVENT)
    return ExecutionKey(tenant, schedule_id, firing_ms, manual, event)
