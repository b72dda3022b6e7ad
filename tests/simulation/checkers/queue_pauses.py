"""A paused queue: nothing begins between the answers to a pause and the resumption, and what it held is told after."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

from chalicelib.core.executions.execution import MISSED, ExecutionKey
from chalicelib.core.policies import catch_up
from tests.simulation.actors.clients import ACKNOWLEDGED, Operation
from tests.simulation.checkers import history
from tests.simulation.world import Dispatch

PAUSE, RESUME = "queue_pause", "queue_resume"
SOON_MS = 1_500  # what calls, the queue and a busy worker may take


class Pause(NamedTuple):
    """A time through which the queue was paused for certain."""

    from_ms: int
    to_ms: int


def check(play: Any) -> Iterable[str]:
    """Every dispatch against every pause, and every held record against what became of it."""
    record = play.world.record
    pauses = list(certain(record.operations, play.world.now))
    for pause in pauses:
        play.world.hit("queue:paused for certain")
        for d in record.dispatches:
            began_ms = d.look_ms if _stood_still(play, d) else d.started_ms
            # Who looked before the resumption may have heard of it since: its process may have made it.
            if pause.from_ms < began_ms and d.started_ms < pause.to_ms:
                yield f"{d.key.id} was sent at {d.started_ms}, and the queue was paused {pause}"
    for key, writes in record.executions.items():
        last = writes[-1].record
        if not any(w.record.is_held for w in writes):
            continue
        play.world.hit("queue:held")
        if last.is_held:
            yield f"{key.id} is held to the end: {last}"
        # By their place in the history, not by time: what was missed before it was held has another worker's clock.
        first = next(w.record for w in writes if w.record.is_held)
        since = [step for step in last.history if step not in first.history]
        missed = [step.reason or "" for step in since if step.target == MISSED]
        if missed:
            play.world.hit("queue:missed")
        if missed and "the queue was paused" not in missed[0]:
            yield f"{key.id} was held by a pause and missed, and its reason does not say so: {missed[0]}"
        if not play.faults.wrong_most_ms:
            yield from _keeps_its_window(key.id, writes, record.schedules[last.key_of_schedule])
        if play.scenario.calm:
            yield from _goes_on(key.id, writes, record.operations, _paced_ms(play, key))


def _keeps_its_window(name: str, writes: Any, states: Any) -> Iterable[str]:
    """What was held beyond its window is not let go on."""
    for before, after in pairwise(w.record for w in writes):
        freed_ms = after.held_until_ms
        if not before.is_held or freed_ms is None or before.is_bound or catch_up.keeps_its_time(before):
            continue
        limit_ms = history.definition_of(states, after.version).late_limit_ms
        late_ms = freed_ms - before.firing_ms - before.offset_ms
        if limit_ms is not None and late_ms > limit_ms:
            yield f"{name} was held until it was {late_ms} ms late, and went on, of {limit_ms} allowed"


def _stood_still(play: Any, d: Dispatch) -> bool:
    """Whether a worker may have stood still, or waited for a call, since it last asked how old its recheck is. Where
    that befalls rechecks alone, it is so if that was the second one: the first is made again when it is old."""
    struck = [fault for _, fault in play.faults.happened]
    if struck and all((fault.kind, fault.method) == ("stall_after", "epochs") for fault in struck):
        play.world.hit("queue:stood still after a recheck")
        return d.rechecks > 1
    return any(point.startswith("fault:") for point in play.world.hits)


def certain(operations: Iterable[Operation], now_ms: int) -> Iterator[Pause]:
    """From the answer to a pause until a resumption was asked for."""
    ops = list(operations)
    resumptions = [op for op in ops if op.kind == RESUME]
    for op in ops:
        if op.kind != PAUSE or op.outcome != ACKNOWLEDGED or op.ended_ms is None:
            continue
        beside = [r for r in resumptions if (r.ended_ms is None or r.ended_ms > op.started_ms)]
        to_ms = min([r.started_ms for r in beside], default=now_ms)
        if to_ms > op.ended_ms:
            yield Pause(op.ended_ms, to_ms)


def _paced_ms(play: Any, key: ExecutionKey) -> int:
    """How long what is late waits for those of its schedule that are late as well: they go one to a slot."""
    held = [
        k
        for k, writes in play.world.record.executions.items()
        if k.schedule_id == key.schedule_id and any(w.record.is_held for w in writes)
    ]
    return len(held) * -(-60_000 // play.scenario.catch_up_per_minute)


def _goes_on(name: str, writes: Any, operations: Iterable[Operation], paced_ms: int) -> Iterable[str]:
    """Nothing goes wrong: what was held goes on as soon as the resumption is answered, and its turn has come."""
    ops = list(operations)
    for op in ops:
        if op.kind != RESUME or op.outcome != ACKNOWLEDGED or op.ended_ms is None:
            continue
        soon_ms = op.ended_ms + SOON_MS + paced_ms
        if any(o.kind == PAUSE and op.started_ms <= o.started_ms <= soon_ms for o in ops):
            continue  # paused again before it could go on
        before = [w for w in writes if w.at_ms <= op.ended_ms]
        after = [w for w in writes if w.at_ms > op.ended_ms]
        if before and before[-1].record.is_held and (not after or after[0].at_ms > soon_ms):
            yield f"{name} was held when the queue was resumed at {op.ended_ms}, and went on at {after[:1]}"
