"""No acknowledged change is overtaken: what a pause, an edit or a delete takes back is not sent once it is answered.

Rechecks are made before the instant. So a change is written while workers hold rechecks that have not seen it, and has
to be acknowledged only when all of those have begun.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from chalicelib.core.executions.execution import Execution
from chalicelib.core.schedules.schedule import Key
from tests.simulation.actors.clients import ACKNOWLEDGED, Operation
from tests.simulation.checkers import history
from tests.simulation.world import Dispatch, ExecutionWrite

CHANGES = frozenset({"edit", "pause", "resume", "delete"})
NEAR_MS = 100  # of an instant that lies so soon after an answer the recheck may have been made before the change


def check(play: Any) -> Iterable[str]:
    """Every dispatch that began after the answer to a change, of an instant after that answer."""
    record = play.world.record
    if play.faults.wrong_most_ms > 0:
        return  # a change waits for what is near its instant by a clock within the margin
    answered: dict[Key, list[Operation]] = defaultdict(list)
    for op in record.operations:
        if op.kind in CHANGES and op.outcome == ACKNOWLEDGED:
            answered[op.schedule].append(op)
    for d in record.dispatches:
        claim = record_as_sent(record.executions.get(d.key, ()), d)
        if claim is None or claim.requested or claim.history:
            continue
        due_ms = due_by_world_ms(d, claim)
        before = [op for op in answered[claim.key_of_schedule] if _ended_ms(op) < min(due_ms, d.started_ms)]
        if not before:
            continue
        last = max(before, key=_ended_ms)
        if due_ms - _ended_ms(last) <= NEAR_MS:
            play.world.hit("change:right before an instant")
        writes = record.schedules[claim.key_of_schedule]
        span = history.in_force(history.spans(writes, _ended_ms(last) + 1), d.key.firing_ms)
        order = [each.version for each in history.spans(writes)]
        if span is None or claim.version not in order or order.index(claim.version) > order.index(span.version):
            continue  # of a later change, which need not have been answered
        if _is_still_asked_for(record.operations, claim.key_of_schedule, span, last):
            continue  # of two changes at once: this one may be that which is not answered yet
        paused = not span.active or (span.definition is not None and history.rests(span.definition, d.key.firing_ms))
        if span.definition is None or paused or span.version != claim.version:
            yield (
                f"{d.key.id} was sent at {d.started_ms} under {claim.version}, although {last.kind} was answered at "
                f"{last.ended_ms} and {span} was in force"
            )


def _is_still_asked_for(ops: Sequence[Operation], key: Key, span: Any, last: Operation) -> bool:
    """Whether another change than the one that was answered last may have written ``span``, and has no answer yet."""
    changes = [op for op in ops if op.schedule == key and op.kind in CHANGES and op is not last]
    return any(
        op.started_ms <= span.committed_ms and (op.ended_ms is None or op.ended_ms > _ended_ms(last)) for op in changes
    )


def record_as_sent(writes: Sequence[ExecutionWrite], d: Dispatch) -> Execution | None:
    """The record as it was when the attempt was sent."""
    mine = [w for w in writes if (w.record.attempt, w.record.fencing_token) == (d.attempt, d.token)]
    return next((w.record for w in reversed(mine) if w.at_ms <= d.started_ms), None)


def due_by_world_ms(d: Dispatch, claim: Execution) -> int:
    """When it was due, by the clock of the world: its worker goes by its own."""
    return d.key.firing_ms + claim.offset_ms - (d.clock_ms - d.started_ms)


def _ended_ms(op: Operation) -> int:
    assert op.ended_ms is not None
    return op.ended_ms
