"""``max_runs`` is never exceeded by the instants that a schedule owed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from chalicelib.core.execution import CANCELLED, SKIPPED, Execution
from tests.simulation.checkers import history


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
            k.firing_ms
            for k, stored in record.executions.items()
            if k.schedule_id == key.id
            and not k.manual
            and not stored[0].record.requested
            and not any(_is_over_unsent(step.record) for step in stored)
            and _is_owed(spans, k.firing_ms)
        ]
        if len(ran) > most:
            yield f"{key.id} may run {most} times and ran {len(ran)}: {sorted(ran)}"


def _is_over_unsent(record: Execution) -> bool:
    """Skipped, or cancelled by a caller before anything was sent, perhaps after an edit had taken its instant back: the
    schedule may owe another in its place. A retry of it later is a run that a caller asked for."""
    return record.state == SKIPPED or (record.state == CANCELLED and not record.attempts)


def _is_owed(spans: list[history.Span], at_ms: int) -> bool:
    """By the final history: instants that fired under a version already being replaced are not counted by it."""
    span = history.in_force(spans, at_ms)
    if span is None or not span.active or span.definition is None:
        return False
    return span.definition.type == "DELAY" or bool(list(history.instants(span.definition, at_ms, at_ms + 1)))
