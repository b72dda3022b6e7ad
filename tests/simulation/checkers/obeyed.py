"""Invariant 6 as targets see it: nothing is sent that the version in force at its instant does not owe.

A worker must obey what was stored when it last looked; between its look and the dispatch there is nothing to obey.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from chalicelib.core.executions.execution import Execution, ExecutionKey
from chalicelib.core.schedules.schedule import Key
from tests.simulation import claims
from tests.simulation.checkers import history
from tests.simulation.world import Dispatch, ExecutionWrite, StateWrite

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
    yield from _taken_over(play)


def _claim(record: Any, d: Dispatch) -> Execution | None:
    for w in reversed(record.executions.get(d.key, ())):
        if w.at_ms <= d.started_ms and w.record.attempt == d.attempt:
            return w.record  # type: ignore[no-any-return]
    return claims.as_record(record, d.key) if d.attempt == 1 else None


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
    elif history.rests(span.definition, d.key.firing_ms):
        yield f"{d.key.id} was sent, and its schedule was paused until {span.definition.paused_until_ms}"
    elif span.definition.type != "DELAY" and not list(
        history.instants(span.definition, d.key.firing_ms, d.key.firing_ms + 1)
    ):
        yield f"{d.key.id} was sent, but {span.definition.type} {span.definition.expr} does not contain it"


def _stalled(play: Any) -> bool:
    """Whether a process stood still somewhere: then the time of a claim does not tell when it was decided."""
    return any(point.startswith("fault:stall") for point in play.world.hits)


def _told_to_wait(writes: Sequence[ExecutionWrite]) -> ExecutionWrite | None:
    """The write that first gave a firing a time of its own: a catch-up slot, or a place behind others."""
    return next((w for w in writes if w.record.retry_at_ms is not None and not w.record.attempts), None)


def _taken_over(play: Any) -> Iterable[str]:
    """What only was claimed when its worker died is begun anew within its window, or ends as missed."""
    record = play.world.record
    if _stalled(play) or play.faults.wrong_most_ms > 0:
        return
    for key, writes in record.executions.items():
        claim = claims.as_record(record, key)
        known = [*([] if claim is None else [claim]), *(w.record for w in writes)]
        first = len(writes) - len(known) + 1
        for number, found in enumerate(known[:-1], first):
            after = writes[number]
            if found.history or found.requested or [a.outcome for a in after.record.attempts] != ["lost"]:
                continue
            definition = history.definition_of(record.schedules[found.key_of_schedule], found.version)
            if definition.catch_up_window_ms > 0 and _told_to_wait(writes[:number]) is not None:
                continue
            late_ms = after.clock_ms - key.firing_ms - found.offset_ms
            if definition.late_limit_ms is not None and late_ms > definition.late_limit_ms + LOOK_SLACK_MS:
                yield f"{key.id} was begun anew {late_ms} ms late, of {definition.late_limit_ms} allowed"


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
    stored = [w for w in play.world.record.executions[d.key] if w.at_ms <= d.started_ms]
    told_to_wait = None if definition.catch_up_window_ms == 0 else _told_to_wait(stored)
    if told_to_wait is None:
        late_ms = d.clock_ms - (d.started_ms - d.look_ms) - due_ms  # as it was when the worker looked
    else:
        late_ms = told_to_wait.clock_ms - due_ms  # what is told to wait within its window keeps its time
        if _stalled(play):
            return
    if limit_ms is not None and late_ms > limit_ms + LOOK_SLACK_MS and not stepped:
        yield f"{d.key.id} was sent {late_ms} ms late, of {limit_ms} allowed"
