"""Invariant 7: work is bounded; one poisoned schedule, one slow target cannot stop the others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from chalicelib.core.executions.execution import CANCELLED, FAILED, MISSED, SKIPPED, TIMEOUT, ExecutionKey
from tests.simulation.checkers import history
from tests.simulation.world import Dispatch

LATE_MOST_MS = 700  # what calls, the queue and a busy worker may take when nothing goes wrong


def check(play: Any) -> Iterable[str]:
    """The world came to rest, every schedule went on, dead letters are kept, and calm worlds are on time."""
    world = play.world
    yield from (f"a schedule stands still: {text}" for text in world.record.stalled)
    if not world.over:
        yield from _restless(play)
    for key, writes in world.record.executions.items():
        if any(w.record.state in (FAILED, TIMEOUT) for w in writes) and key.id not in world.record.dead:
            yield f"{key.id} is out of attempts and has no dead letter"
    if play.scenario.calm and not play.scenario.caps.limited:  # else it may have to wait for its turn
        yield from _punctual(play)


def _restless(play: Any) -> Iterable[str]:
    world = play.world
    still = [k.id for k, writes in world.record.executions.items() if writes[-1].record.is_open]
    letters = [x.body for x in play.mailroom.letters.values() if not x.deleted and not x.poisoned]
    active = [k.id for k, writes in world.record.schedules.items() if writes[-1].state.status == "active"]
    yield f"never came to rest: open {still[:3]}, in the queue {letters[:3]}, active {active[:3]}"


def _punctual(play: Any) -> Iterable[str]:
    world = play.world
    sent: dict[ExecutionKey, Dispatch] = {}
    for d in world.record.dispatches:
        sent.setdefault(d.key, d)
    for key, writes in world.record.schedules.items():
        for at_ms, span in history.owed(history.spans(writes), world.now - 2_000):
            yield from _on_time(play, sent, ExecutionKey(key.tenant, key.id, at_ms), span)


def _on_time(play: Any, sent: dict[ExecutionKey, Dispatch], name: ExecutionKey, span: history.Span) -> Iterable[str]:
    stored = play.world.record.executions.get(name)
    if stored is None or any(w.record.state in (CANCELLED, SKIPPED) or w.record.requested for w in stored):
        return
    if span.definition is not None and span.definition.overlap != "allow":
        return  # it may have to wait for its turn
    if any(w.record.held_ms is not None for w in stored):
        return  # the queue was paused (``queue_pauses`` judges)
    due_ms = name.firing_ms + stored[0].record.offset_ms
    if span.committed_ms > due_ms and any(w.record.state == MISSED for w in stored):  # a caller may retry it later
        return  # it was due, by a clock that lagged, before anybody could know of it (``lost`` judges by which clock)
    due_ms = max(due_ms, span.committed_ms)
    most_ms = LATE_MOST_MS + play.scenario.max_drift_ms
    d = sent.get(name)
    if d is None:
        yield f"{name.id} was not sent although nothing went wrong: {stored[-1].record.state}"
    elif d.started_ms - due_ms > most_ms:
        yield f"{name.id} was sent {d.started_ms - due_ms} ms late although nothing went wrong"
