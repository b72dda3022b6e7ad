"""``overlap``: a schedule that forbids, replaces or queues has one execution at work at a time.

The slot belongs to an execution while its record is open, its retries included. Records tell, not targets: what was
replaced may still be at its target when its successor begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from chalicelib.core.executions.execution import RETRY_REQUESTED, SKIPPED, ExecutionKey
from chalicelib.core.policies import overlap
from chalicelib.core.schedules.schedule import Key
from tests.simulation.actors.tables import as_of_execution
from tests.simulation.world import Dispatch, ExecutionWrite, StateWrite

BY_OVERLAP = ("was still running", "replaced by")


def check(play: Any) -> Iterable[str]:
    """Schedules whose policy never changed."""
    record = play.world.record
    for key, writes in record.schedules.items():
        policies = {w.definition.overlap for w in writes if w.definition is not None}
        if len(policies) != 1 or "allow" in policies:
            continue
        runs = {k: w for k, w in record.executions.items() if k.schedule_id == key.id}
        sent = [d for d in record.dispatches if d.key.schedule_id == key.id]
        yield from _one_at_work(key, sent, runs)
        yield from _rightly_skipped(runs)
        if policies == {"queue"}:
            yield from _first_come(sent, runs, writes)
        if policies == {"replace"}:
            yield from _later_wins(runs)


def _one_at_work(key: Key, sent: Sequence[Dispatch], runs: dict[ExecutionKey, list[ExecutionWrite]]) -> Iterable[str]:
    for number, d in enumerate(sent):
        if _is_stale(d, runs[d.key]):
            continue
        for before in sent[:number]:
            others = runs[before.key]
            if before.key != d.key and _at_work(before, others, d.look_ms) and _at_work(before, others, d.started_ms):
                yield f"{key.id}: {d.key.id} was sent at {d.started_ms} while {before.key.id} was at work"
                break


def _at_work(d: Dispatch, writes: Sequence[ExecutionWrite], at_ms: int) -> bool:
    """Whether a dispatched attempt is under way by its record."""
    now = as_of_execution(writes, at_ms)
    if now is None or not now.is_open or d.started_ms > at_ms:
        return False
    return now.attempt == d.attempt and now.lease_until_ms is not None


def _is_stale(d: Dispatch, writes: Sequence[ExecutionWrite]) -> bool:
    """Sent by a worker that had lost its claim meanwhile: receivers know it by its token."""
    now = as_of_execution(writes, d.started_ms)
    return now is None or now.attempt != d.attempt or not now.is_open


def _first_come(
    sent: Sequence[Dispatch], runs: dict[ExecutionKey, list[ExecutionWrite]], states: Sequence[StateWrite]
) -> Iterable[str]:
    """``queue``: what was claimed when another waited already is not sent before that one. What ended meanwhile and
    began again, as after a pause that was taken back, comes anew."""
    began: dict[ExecutionKey, int] = {}
    for d in sent:
        began.setdefault(d.key, d.started_ms)
    for d in sent:
        if began[d.key] != d.started_ms or _is_stale(d, runs[d.key]) or _is_asked_for(runs[d.key]):
            continue
        own = _of_this_time(runs[d.key], d.started_ms)
        claimed_ms = next((w.at_ms for w in own if w.record.attempt), d.started_ms)
        for other, writes in runs.items():
            since_ms = _in_line_ms(other, _of_this_time(writes, d.started_ms), states)
            if other == d.key or since_ms is None or since_ms >= claimed_ms:
                continue
            if began.get(other, d.started_ms + 1) <= d.started_ms or _is_asked_for(writes):
                continue
            seen = (as_of_execution(writes, at_ms) for at_ms in (d.look_ms, d.started_ms))
            if all(record is not None and record.is_open for record in seen):
                yield f"{d.key.id} came at {claimed_ms} and was sent before {other.id}, which waited since {since_ms}"


def _of_this_time(writes: Sequence[ExecutionWrite], at_ms: int) -> Sequence[ExecutionWrite]:
    """The writes of an execution until ``at_ms``, since it was last at an end."""
    until = [w for w in writes if w.at_ms <= at_ms]
    ended = [number for number, w in enumerate(until) if not w.record.is_open]
    return until[ended[-1] + 1 :] if ended else until


def _in_line_ms(key: ExecutionKey, writes: Sequence[ExecutionWrite], states: Sequence[StateWrite]) -> int | None:
    """Since when an execution waits for the slot: its schedule names it, and its own record says so."""
    waits = next((w.at_ms for w in writes if w.record.waits), None)
    if waits is None:
        return None
    named = next((w.at_ms for w in states if w.state.waiting == overlap.ref_of(key)), None)
    return None if named is None else max(named, waits)


def _is_asked_for(writes: Sequence[ExecutionWrite]) -> bool:
    return any(step.reason == RETRY_REQUESTED for step in writes[-1].record.history)


def _later_wins(runs: dict[ExecutionKey, list[ExecutionWrite]]) -> Iterable[str]:
    """``replace``: no grid instant gives way to an earlier one, whichever a worker took first."""
    by_id = {key.id: key for key in runs}
    for key, writes in runs.items():
        for w in writes:
            reason = (w.record.history[-1].reason if w.record.history else None) or ""
            other = by_id.get(reason.partition(",")[0].removeprefix(f"{BY_OVERLAP[1]} "))
            if w.record.is_open or other is None:
                continue
            came = as_of_execution(runs[other], w.at_ms)
            if came is None or key.manual or other.manual or came.history or came.requested or w.record.requested:
                continue  # what a caller asked for comes as of now
            if other.firing_ms < key.firing_ms:
                yield f"{key.id} {w.record.state} at {w.at_ms}, {reason}, which is the earlier one"


def _rightly_skipped(runs: dict[ExecutionKey, list[ExecutionWrite]]) -> Iterable[str]:
    """What was skipped for another's sake was skipped while that other was open."""
    for key, writes in runs.items():
        for w in writes:
            reason = w.record.history[-1].reason if w.record.history else None
            if w.record.state != SKIPPED or reason is None or BY_OVERLAP[0] not in reason:
                continue
            name = reason.split(" ")[0]
            other = next((ws for k, ws in runs.items() if k.id == name), None)
            if other is None or not any(x.record.is_open and x.at_ms <= w.at_ms for x in other):
                yield f"{key.id} was skipped because {reason}, which is not so"
