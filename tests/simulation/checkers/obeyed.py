"""Invariant 6 as targets see it: nothing is sent that the version in force at its instant does not owe.

A worker must obey what was stored when it last looked; between its look and the dispatch there is nothing to obey.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from chalicelib.core.executions.execution import Execution, ExecutionKey
from chalicelib.core.schedules.schedule import Key
from tests.simulation.checkers import history
from tests.simulation.world import Dispatch, StateWrite

LOOK_SLACK_MS = 1_000  # what the calls between the look and the dispatch may take


def check(play: Any) -> Iterable[str]:
    """Every dispatch against the versions that its worker could have seen."""
    record = play.world.record
    first: set[ExecutionKey] = set()
    for d in record.dispatches:
        if d.key.schedule_id.startswith("01POISON"):
            continue
        writes = record.schedules.get(Key(d.key.tenant, d.key.schedule_id))
        claim = _claim(record, d)
        if writes is None or claim is None:
            yield f"{d.key.id} was sent, of a schedule or record that nobody stored"
            continue
        # What was stored in the very millisecond of the look may or may not have been seen.
        looks_ms = d.looks_ms or (d.look_ms, d.look_ms + 1)
        yield from min((list(_allowed(d, claim, writes, seen)) for seen in looks_ms), key=len)
        if d.key not in first:
            first.add(d.key)
            yield from _timely(play, d, claim, writes)


def _claim(record: Any, d: Dispatch) -> Execution | None:
    for w in reversed(record.executions.get(d.key, ())):
        if w.at_ms <= d.started_ms and w.record.attempt == d.attempt:
            return w.record  # type: ignore[no-any-return]
    return None


def _allowed(d: Dispatch, claim: Execution, writes: Sequence[StateWrite], seen_ms: int) -> Iterable[str]:
    seen = history.spans(writes, seen_ms)
    if not seen or seen[-1].definition is None:
        yield f"{d.key.id} was sent at {d.started_ms}, of a schedule that {d.instance.name} saw deleted at {d.look_ms}"
        return
    if claim.requested or any(
        step.reason == "retry requested" or step.target == "in_progress" for step in claim.history
    ):
        return
    span = history.in_force(seen, d.key.firing_ms)
    if span is None or not span.active or span.definition is None:
        yield f"{d.key.id} was sent at {d.started_ms} although {span} was in force and stored by {d.look_ms}"
    elif claim.version != span.version:
        yield f"{d.key.id} was sent under {claim.version}, but {span.version} was in force and stored by {d.look_ms}"
    elif span.definition.type != "DELAY" and not list(
        history.instants(span.definition, d.key.firing_ms, d.key.firing_ms + 1)
    ):
        yield f"{d.key.id} was sent, but {span.definition.type} {span.definition.expr} does not contain it"


def _stalled(play: Any) -> bool:
    """Whether a process stood still somewhere: then the time of a claim does not tell when it was decided."""
    return any(point.startswith("fault:stall") for point in play.world.hits)


def _timely(play: Any, d: Dispatch, claim: Execution, writes: Sequence[StateWrite]) -> Iterable[str]:
    due_ms = d.key.firing_ms + claim.offset_ms
    stepped = play.faults.wrong_most_ms > 0  # a clock set back between the sleep and the dispatch
    if not claim.requested and d.clock_ms < due_ms and not stepped:
        yield f"{d.key.id} was sent {due_ms - d.clock_ms} ms early by the clock of {d.instance.name}"
    definition = next(
        (w.definition for w in writes if w.definition is not None and w.definition.version == claim.version), None
    )
    if definition is None or claim.requested or claim.history:  # what has begun is retried, however late
        return
    limit_ms = definition.late_limit_ms
    if definition.catch_up_window_ms == 0:
        late_ms = d.clock_ms - (d.started_ms - d.look_ms) - due_ms  # as it was when the worker looked
    else:
        late_ms = play.world.record.executions[d.key][0].clock_ms - due_ms  # the window is judged at the first claim
        if _stalled(play):
            return
    if limit_ms is not None and late_ms > limit_ms + LOOK_SLACK_MS and not stepped:
        yield f"{d.key.id} was sent {late_ms} ms late, of {limit_ms} allowed"
