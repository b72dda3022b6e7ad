"""Invariant 1: no instant that a schedule owed is lost; each ends as an execution, or as what its reason says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from chalicelib.core.executions.execution import CANCELLED, MISSED, SKIPPED, Execution, ExecutionKey
from chalicelib.core.schedules.schedule import Key
from tests.simulation.checkers import history, turns
from tests.simulation.world import ExecutionWrite


def check(play: Any) -> Iterable[str]:
    """Every instant that the stored versions owed has a record, and a record that ended rightly."""
    world = play.world
    cancelled = {op.execution for op in world.record.operations if op.kind == "cancel" and op.outcome != "refused"}
    for key, writes in world.record.schedules.items():
        if key.id.startswith("01POISON"):
            continue
        for at_ms, span in history.owed(history.spans(writes), world.now - 2_000):
            name = ExecutionKey(key.tenant, key.id, at_ms)
            yield from _ended(world, name, span, cancelled)


def _ended(world: Any, name: ExecutionKey, span: history.Span, cancelled: set[Any]) -> Iterable[str]:
    stored = world.record.executions.get(name)
    if stored is None:
        yield f"{name.id} was owed under {span.version} (since {span.since_ms}) and has no record"
        return
    record = stored[-1].record
    if record.is_open:
        yield f"{name.id} is still {record.state} in the end: {record}"
    elif record.state in (SKIPPED, CANCELLED) and _yielded(record, span):
        return
    elif record.state == SKIPPED:
        yield f"{name.id} was skipped ({record.history[-1].reason}) although {span.version} owes it"
    elif record.state == CANCELLED:
        deleted = world.record.schedules[Key(name.tenant, name.schedule_id)][-1].state.status == "deleted"
        if not deleted and name not in cancelled:
            yield f"{name.id} was cancelled and nobody had asked for it: {record.history}"
    elif record.state == MISSED:
        yield from _rightly_missed(world, stored, record)


def _yielded(record: Execution, span: history.Span) -> bool:
    """Whether it made way for another of its schedule, as ``overlap`` wants (``turns`` judges whether rightly)."""
    reason = record.history[-1].reason or ""
    policy = span.definition.overlap if span.definition is not None else "allow"
    return policy != "allow" and any(text in reason for text in turns.BY_OVERLAP)


def _rightly_missed(world: Any, stored: list[ExecutionWrite], record: Execution) -> Iterable[str]:
    """Only what is older than its catch-up window may be given up, by the clock of who gave it up."""
    write = next(w for w in stored if w.record.state == MISSED)
    definition = history.definition_of(world.record.schedules[record.key_of_schedule], record.version)
    limit_ms = definition.late_limit_ms
    late_ms = write.clock_ms - record.firing_ms - record.offset_ms
    if limit_ms is None:
        yield f"{record.id} was given up, but {definition.type} has no limit of lateness"
    elif late_ms < limit_ms and not _stepped(world):
        yield f"{record.id} was given up when it was {late_ms} ms late, of {limit_ms} allowed"
    elif definition.catch_up_window_ms > 0 and _was_told_to_wait(stored, record, limit_ms) and not _stepped(world):
        yield f"{record.id} was given up although it was told within its window to wait"


def _was_told_to_wait(stored: list[ExecutionWrite], record: Execution, limit_ms: int) -> bool:
    """Whether it was given a time of its own within its window, for a catch-up slot or behind others, and went its way
    without being put back. What a pause of the queue holds keeps its window."""
    if record.requested or len(record.history) > 1:
        return False
    due_ms = record.firing_ms + record.offset_ms
    waits = [w for w in stored if w.record.retry_at_ms is not None and not w.record.is_held]
    return any(w.clock_ms - due_ms <= limit_ms for w in waits if (w.record.retry_at_ms or 0) > due_ms)


def _stepped(world: Any) -> bool:
    return bool(world.faults.wrong_most_ms)
