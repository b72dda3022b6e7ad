"""``max_runs`` is never exceeded by the instants that a schedule owed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from chalicelib.core.executions.execution import CANCELLED, SKIPPED, Execution, ExecutionKey
from tests.simulation.checkers import delays, history
from tests.simulation.world import StateWrite


def check(play: Any) -> Iterable[str]:
    """Records of owed instants, against the bound of schedules whose bound never changed."""
    record = play.world.record
    for key, writes in record.schedules.items():
        bounds = {w.definition.max_runs for w in writes if w.definition is not None}
        most = bounds.pop() if len(bounds) == 1 else None
        if most is None or play.faults.wrong_most_ms:
            continue
        spans = history.spans(writes)
        ran = [
            k
            for k, stored in record.executions.items()
            if k.schedule_id == key.id
            and not k.manual
            and not stored[0].record.requested
            and not any(_is_over_unsent(step.record) for step in stored)
            and _is_owed(spans, k.firing_ms)
        ]
        if len(ran) > most:
            ran = [k for k in ran if not _was_replaced(record, writes, spans, k)]
        if len(ran) > most:
            yield f"{key.id} may run {most} times and ran {len(ran)}: {sorted(k.firing_ms for k in ran)}"


def _is_over_unsent(record: Execution) -> bool:
    """Skipped, or cancelled by a caller before anything was sent, perhaps after an edit had taken its instant back: the
    schedule may owe another in its place. A retry of it later is a run that a caller asked for."""
    return record.state == SKIPPED or (record.state == CANCELLED and not record.attempts)


def _was_replaced(record: Any, writes: Sequence[StateWrite], spans: list[history.Span], key: ExecutionKey) -> bool:
    """A run of a DELAY schedule that a change took out in the moment of its dispatch: another is owed in its place."""
    span = history.in_force(spans, key.firing_ms)
    first = next((d for d in record.dispatches if d.key == key), None)
    if first is None or span is None or span.definition is None or span.definition.type != "DELAY":
        return False
    return delays.was_taken_out(writes, record.executions[key], first)


def _is_owed(spans: list[history.Span], at_ms: int) -> bool:
    """By the final history: instants that fired under a version already being replaced are not counted by it."""
    span = history.in_force(spans, at_ms)
    if span is None or not span.active or span.definition is None:
        return False
    return span.definition.type == "DELAY" or bool(list(history.instants(span.definition, at_ms, at_ms + 1)))
