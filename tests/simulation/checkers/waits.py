"""What waits goes on within milliseconds of what it waited for: judged in calm worlds, where nothing goes wrong.

Each wait has a net below it: the minute's look for what is open, the waiter's own look after 30 s, the feed. A wake-up
that is lost is caught by the net and seen by no other checker, since in the end everything has happened.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from chalicelib.core.executions.execution import CANCELLED, FAILED, TIMEOUT, Execution, ExecutionKey
from chalicelib.core.executions.limits import ATTEMPT_LEASE_MS, WATCH_STEPS_MS
from chalicelib.core.policies import overlap
from chalicelib.core.schedules import schedule as schedules
from chalicelib.core.schedules.schedule import Key, Schedule
from tests.simulation.actors.tables import as_of_state
from tests.simulation.checkers import failures, history
from tests.simulation.world import Dispatch, ExecutionWrite, StateWrite

SOON_MS = 700  # what calls, the queue and a busy worker may take
LEAD_MS = 1_000  # how long before its time a message comes
QUEUE_STEP_MS = 1_000  # the queue counts seconds
Runs = dict[ExecutionKey, list[ExecutionWrite]]


def check(play: Any) -> Iterable[str]:
    """Every wait of a calm world."""
    if not play.scenario.calm:
        return
    record, soon_ms = play.world.record, SOON_MS + play.scenario.max_drift_ms
    sent: dict[ExecutionKey, list[Dispatch]] = {}
    for d in record.dispatches:
        sent.setdefault(d.key, []).append(d)
    limited = play.scenario.caps.limited
    for key, stored in record.executions.items():
        states = record.schedules[stored[0].record.key_of_schedule]
        yield from _goes_on(play.world.now, stored, soon_ms)
        yield from _is_never_lost(stored)
        if not limited and _is_free(states):
            yield from _is_sent(play.world.now, stored, sent.get(key, ()), soon_ms)
        yield from _is_broken_off(stored, sent.get(key, ()), soon_ms)
    for name, states in record.schedules.items():
        runs = {k: w for k, w in record.executions.items() if k.schedule_id == name.id}
        policies = {w.definition.overlap for w in states if w.definition is not None}
        if policies == {"queue"} and not limited:
            yield from _slot_is_not_left_free(play.world.now, states, runs, sent, soon_ms)
        yield from _chain_goes_on(states, runs, soon_ms)
        yield from _is_paused(name, states, runs, soon_ms)
    if limited:
        yield from _place_is_passed_on(play, soon_ms)


def _is_free(states: Sequence[StateWrite]) -> bool:
    """Whether runs of a schedule never wait for each other."""
    return all(w.definition.overlap == "allow" for w in states if w.definition is not None)


# -- executions


def _goes_on(now_ms: int, stored: Sequence[ExecutionWrite], soon_ms: int) -> Iterable[str]:
    """What waits for its next attempt is claimed in time. What its target accepted and forgot ends in time."""
    ends = [*(w.at_ms for w in stored[1:]), now_ms]
    for write, next_ms in zip(stored, ends, strict=True):
        found = write.record
        if not found.is_open or found.waits:
            continue
        if found.retry_at_ms is not None:
            until_ms = max(found.due_ms, write.at_ms) + soon_ms
        elif found.asynchronous:
            assert found.lease_until_ms is not None
            until_ms = found.lease_until_ms + 2 * (soon_ms - SOON_MS) + LEAD_MS + 2 * QUEUE_STEP_MS + SOON_MS
        else:
            continue
        if next_ms > until_ms:
            what = "accepted" if found.asynchronous else "to be tried again"
            yield f"{found.id} was {what} at {write.at_ms}, and went on {next_ms - until_ms} ms too late"


def _is_never_lost(stored: Sequence[ExecutionWrite]) -> Iterable[str]:
    """No attempt ends without its worker where none dies: whoever waits keeps its claim."""
    for attempt in stored[-1].record.attempts:
        if attempt.outcome == "lost":
            yield f"{stored[-1].record.id} attempt {attempt.number} was lost, and its worker lives"


def _is_sent(now_ms: int, stored: Sequence[ExecutionWrite], sent: Sequence[Dispatch], soon_ms: int) -> Iterable[str]:
    """What is claimed is sent at its time: first attempts, further ones, runs of a chain, what a caller asked for."""
    for number, write in enumerate(stored):
        found = write.record
        after = stored[number + 1].record if number + 1 < len(stored) else None
        if any(w.record.is_held for w in stored[number + 1 :]):
            continue  # the queue was paused (``queue_pauses`` judges)
        ended_unsent = after is not None and not after.is_open and not _has_begun(after)
        due_ms = max(write.at_ms, _meant_ms(found))
        if found.lease_until_ms is None or _has_begun(found) or ended_unsent or now_ms < due_ms + soon_ms:
            continue
        began = [d.started_ms for d in sent if d.attempt == found.attempt]
        if not began or began[0] > due_ms + soon_ms:
            late = f"{began[0] - due_ms} ms late" if began else "never"
            yield f"{found.id} attempt {found.attempt} was claimed at {write.at_ms} and sent {late}"


def _meant_ms(claimed: Execution) -> int:
    """When a claimed attempt is to be sent: only its lease tells, when that is later than its instant."""
    return max(claimed.due_ms, (claimed.lease_until_ms or 0) - ATTEMPT_LEASE_MS)


def _has_begun(record: Execution) -> bool:
    return bool(record.attempts) and record.attempts[-1].number == record.attempt


def _is_broken_off(stored: Sequence[ExecutionWrite], sent: Sequence[Dispatch], soon_ms: int) -> Iterable[str]:
    """The connection of a cancelled delivery is closed within seconds."""
    cancelled_ms = next((w.at_ms for w in stored if w.record.state == CANCELLED), None)
    if cancelled_ms is None or stored[0].record.target_type != "webhook":  # others carry several in a call
        return
    most_ms = max(WATCH_STEPS_MS) + soon_ms
    for d in sent:
        if d.started_ms < cancelled_ms and (d.ended_ms or 0) > cancelled_ms + most_ms:
            yield f"{d.key.id} was cancelled at {cancelled_ms} and its call held until {d.ended_ms}"


# -- schedules


def _slot_is_not_left_free(
    now_ms: int,
    states: Sequence[StateWrite],
    runs: Runs,
    sent: dict[ExecutionKey, list[Dispatch]],
    soon_ms: int,
) -> Iterable[str]:
    """``queue``: while one waits, the slot is not free for longer than a wake-up takes."""
    held = sorted((began, ended) for key, writes in runs.items() for began, ended in _held(key, writes, sent, now_ms))
    for key, writes in runs.items():
        ends = [*(w.at_ms for w in writes[1:]), now_ms]
        for write, end_ms in zip(writes, ends, strict=True):
            if not (write.record.is_open and write.record.waits):
                continue
            for from_ms, to_ms in _gaps(held, write.at_ms, end_ms):
                if (state := as_of_state(states, from_ms)) is None or state.status == "deleted":
                    continue  # its schedule was deleted: the minute's look ends it
                if to_ms - max(from_ms, _put_off_ms(states, runs, from_ms, to_ms)) > soon_ms:
                    yield f"{key.id} waited from {write.at_ms}, and the slot was free from {from_ms} to {to_ms}"


def _put_off_ms(states: Sequence[StateWrite], runs: Runs, from_ms: int, to_ms: int) -> int:
    """Until when the run that has the slot is put off: one that is late keeps it while its turn comes, claimed or not.
    0: it is not. It may be put off more than once (``_goes_on`` judges each time)."""
    state = as_of_state(states, from_ms)
    if state is None or state.running is None:
        return 0
    writes = runs.get(overlap.key_of(state, state.running), ())
    before = [w for w in writes if w.at_ms <= from_ms][-1:]
    return max((_turn_ms(w.record) for w in [*before, *(w for w in writes if from_ms < w.at_ms <= to_ms)]), default=0)


def _turn_ms(record: Execution) -> int:
    if not record.is_open or record.waits:
        return 0
    if record.retry_at_ms is not None:
        return record.due_ms
    return 0 if record.lease_until_ms is None or _has_begun(record) else _meant_ms(record)


def _held(
    key: ExecutionKey, writes: Sequence[ExecutionWrite], sent: dict[ExecutionKey, list[Dispatch]], now_ms: int
) -> Iterator[tuple[int, int]]:
    """When an execution was at work: from its sending until its record is closed."""
    for d in sent.get(key, ()):
        ended = next((w.at_ms for w in writes if w.at_ms > d.started_ms and not w.record.is_open), now_ms)
        yield d.started_ms, ended


def _gaps(held: Sequence[tuple[int, int]], from_ms: int, to_ms: int) -> Iterator[tuple[int, int]]:
    for began, ended in held:
        if ended <= from_ms:
            continue
        if began >= to_ms:
            break
        if began > from_ms:
            yield from_ms, began
        from_ms = max(from_ms, ended)
    if from_ms < to_ms:
        yield from_ms, to_ms


def _chain_goes_on(states: Sequence[StateWrite], runs: Runs, soon_ms: int) -> Iterable[str]:
    """DELAY: the end of the run that a schedule waits for gives it its next."""
    if history.current_definition(states).type != "DELAY":
        return
    for key, writes in runs.items():
        ended = next((w for w in writes if w.record.finished_ms is not None), None)
        if ended is None or key.manual:
            continue
        state = as_of_state(states, ended.at_ms)
        if state is None or state.status != "active" or state.queued_ms != key.firing_ms or state.next_run_ms:
            continue
        moved = [
            w.at_ms
            for w in states
            if w.at_ms > ended.at_ms and (w.state.queued_ms != key.firing_ms or w.state.status != "active")
        ]
        if not moved or moved[0] > ended.at_ms + soon_ms:
            yield f"{key.id} ended at {ended.at_ms}, and its schedule went on at {moved[:1]}"


def _is_paused(name: Key, states: Sequence[StateWrite], runs: Runs, soon_ms: int) -> Iterable[str]:
    """``pause_after_failures``: the worker that records the last failure pauses the schedule."""
    for failed in (w for writes in runs.values() for w in writes if w.record.state in (FAILED, TIMEOUT)):
        until_ms = failed.at_ms + soon_ms
        number = max(n for n, w in enumerate(states) if w.at_ms <= failed.at_ms)
        definition = history.current_definition(states[: number + 1])
        latest = [w.state for w in states if w.at_ms <= until_ms][-1]
        most = definition.pause_after_failures
        if history.definition_of(states, failed.record.version).pause_after_failures is None:
            continue  # its worker knows the version that it claimed: the feed judges by a later one
        if most is None or not definition.active or latest.current.id != definition.version:
            continue  # or paused, or changed meanwhile
        if schedules.progress(Schedule(definition, latest), until_ms + 60_000).state == "completed":
            continue
        moments = [failed.at_ms, *(w.at_ms for ws in runs.values() for w in ws if failed.at_ms < w.at_ms <= until_ms)]
        from_ms = failures.counts_from(states, number)
        if min(failures.in_a_row(runs, from_ms, at_ms) for at_ms in moments) >= most:
            yield f"{name.id} had failed {most} times in a row at {failed.at_ms}, and was not paused by {until_ms}"


# -- backpressure


def _place_is_passed_on(play: Any, soon_ms: int) -> Iterable[str]:
    """Where only places are short: one that waits is sent when one before it has ended, unless it was handed back."""
    caps = play.scenario.caps
    if caps.owner_rate is not None or caps.target_rate is not None:
        return
    record = play.world.record
    owners = {name.id: history.current_definition(states).owner for name, states in record.schedules.items()}
    for d in record.dispatches:
        stored = record.executions[d.key]
        number = next((n for n, w in enumerate(stored) if w.record.fencing_token == d.token), None)
        if number is None or not _is_free(record.schedules[stored[0].record.key_of_schedule]):
            continue
        ready_ms = max(stored[number].at_ms, _meant_ms(stored[number].record))
        freed_ms = [
            o.ended_ms
            for o in record.dispatches
            if o.instance is d.instance
            and (o.target == d.target or owners[o.key.schedule_id] == owners[d.key.schedule_id])
        ]
        last_ms = max([ready_ms, *(at_ms for at_ms in freed_ms if at_ms is not None and at_ms <= d.started_ms)])
        if d.started_ms > last_ms + soon_ms:
            yield f"{d.key.id} was ready at {ready_ms} and had a place at {last_ms}, and was sent at {d.started_ms}"
