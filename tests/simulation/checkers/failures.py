"""``pause_after_failures``: a schedule whose executions fail so often in a row is paused, no other is, and it is told.

Judged by counting the stored records anew, at the times at which they were stored. A worker ends an execution and may
die before it can pause; so what must be paused is judged when the feed has dealt with the failure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from chalicelib.core.executions.execution import COMPLETED, FAILED, TIMEOUT, ExecutionKey
from chalicelib.core.policies.limits import FEED_LAG_MAX_MS
from chalicelib.core.schedules import schedule as schedules
from chalicelib.core.schedules.schedule import Definition, Key, Schedule
from tests.simulation.actors.tables import as_of_execution
from tests.simulation.checkers import history
from tests.simulation.world import ExecutionWrite, StateWrite

ALERT = "chronowatch.alert.v1"
BAD = (FAILED, TIMEOUT)


def check(play: Any) -> Iterable[str]:
    """Every pause by the service, and every failure that the feed has dealt with."""
    record = play.world.record
    told = {t.id for t in record.told if t.type == ALERT}
    # A feed whose clock is that far off takes a schedule for completed, or for not begun, and leaves it to the worker.
    is_for_the_feed = play.faults.wrong_most_ms <= FEED_LAG_MAX_MS
    for key, writes in record.schedules.items():
        if key.id.startswith("01POISON"):
            continue
        runs = {k: w for k, w in record.executions.items() if k.schedule_id == key.id}
        yield from _rightly_paused(key, writes, runs, told if is_for_the_feed else None)
    for batch in play.stream.done if is_for_the_feed else ():
        failed = {w.after.key_of_schedule for w in batch.written if w.became(BAD)}
        for key in sorted(failed):
            runs = {k: w for k, w in record.executions.items() if k.schedule_id == key.id}
            yield from _not_left_running(key, record.schedules[key], runs, batch.began_ms, batch.ended_ms)


def in_a_row(runs: dict[ExecutionKey, list[ExecutionWrite]], from_ms: int, at_ms: int) -> int:
    """How many executions had failed in a row at a moment, of instants from ``from_ms`` on."""
    number = 0
    for key in sorted(runs, key=lambda k: (k.firing_ms, k.manual), reverse=True):
        record = as_of_execution(runs[key], at_ms) if key.firing_ms >= from_ms else None
        if record is not None and record.state == COMPLETED:
            break
        number += record is not None and record.state in BAD
    return number


def counts_from(writes: Sequence[StateWrite], until: int) -> int:
    """Since when failures count for the ``until``-th write: when the schedule was resumed last."""
    since_ms, active, until_ms = 0, True, 0
    for write in writes[: until + 1]:
        ref, d = write.state.current, write.definition
        if d is None:
            continue
        rests = history.rests(d, ref.since_ms)
        if write.kind != "create" and ref.active and (not active or ref.since_ms < until_ms or rests):
            since_ms = history.starts_ms(d, ref.since_ms)
        active, until_ms = ref.active, d.paused_until_ms or 0
    return since_ms


def _rightly_paused(
    key: Key, writes: Sequence[StateWrite], runs: dict[ExecutionKey, list[ExecutionWrite]], told: set[str] | None
) -> Iterable[str]:
    before: Definition | None = None
    for number, write in enumerate(writes):
        d = write.definition
        if d is None:
            continue
        pause = d.failure_pauses[-1] if d.failure_pauses else None
        if before is not None and pause is not None and pause not in before.failure_pauses:
            most = before.pause_after_failures
            moments = [w.at_ms for stored in runs.values() for w in stored if w.at_ms <= write.at_ms]
            from_ms = counts_from(writes, number)
            if most is None or d.active or not any(in_a_row(runs, from_ms, at_ms) >= most for at_ms in moments):
                yield f"{key.id} was paused at {write.at_ms} for {pause}, which is not so ({most} allowed)"
            is_untold = told is not None and f"{pause.execution_id}-paused" not in told
            if is_untold and writes[-1].state.status != "deleted":
                yield f"{key.id} was paused at {write.at_ms} for failures, and nobody was told"
        before = d


def _not_left_running(
    key: Key,
    writes: Sequence[StateWrite],
    runs: dict[ExecutionKey, list[ExecutionWrite]],
    began_ms: int,
    ended_ms: int,
) -> Iterable[str]:
    """While a batch with a failure was dealt with, the schedule was the same, had failed too often, and stayed so."""
    numbers = [n for n, w in enumerate(writes) if w.at_ms < began_ms]
    changed = [w for w in writes if began_ms <= w.at_ms <= ended_ms and w.kind != "state"]
    if not numbers or changed:
        return
    definition = next((w.definition for w in reversed(writes[: numbers[-1] + 1]) if w.kind != "state"), None)
    if definition is None or not definition.active or definition.pause_after_failures is None:
        return
    latest = [w.state for w in writes if w.at_ms <= ended_ms][-1]  # its last run may have ended meanwhile
    if schedules.progress(Schedule(definition, latest), ended_ms + 60_000).state == "completed":
        return
    from_ms = counts_from(writes, numbers[-1])
    moments = [began_ms - 1, *(w.at_ms for s in runs.values() for w in s if began_ms <= w.at_ms <= ended_ms), ended_ms]
    number = min(in_a_row(runs, from_ms, at_ms) for at_ms in moments)
    if number >= definition.pause_after_failures:
        yield f"{key.id} had failed {number} times in a row by {began_ms} and goes on at {ended_ms}"
