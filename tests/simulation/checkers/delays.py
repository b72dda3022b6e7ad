"""DELAY schedules: the next run is the end of the last plus the delay; chains never stall and never run two at once."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from chalicelib.core.schedules.schedule import Definition, Key
from tests.simulation.checkers import history
from tests.simulation.world import Dispatch, ExecutionWrite, StateWrite


def check(play: Any) -> Iterable[str]:
    """Every run of every DELAY schedule has a cause, and no two overlap. (Stalls are seen by ``play``.)"""
    record = play.world.record
    for key, writes in record.schedules.items():
        definitions = [w.definition for w in writes if w.definition is not None]
        if not all(d.type == "DELAY" for d in definitions):
            continue
        stored = {
            k.firing_ms: w
            for k, w in record.executions.items()
            if k.schedule_id == key.id and not w[0].record.requested
        }
        yield from _caused(key, definitions, stored)
        yield from _alone(play, key, writes, stored)


def _caused(key: Key, definitions: Sequence[Definition], stored: dict[int, list[ExecutionWrite]]) -> Iterable[str]:
    """An instant is the start of a version or the end of its pause, or the end of another run, plus the delay (moved
    past exclusions)."""
    causes: set[int] = set()
    ends = {
        max(w.record.finished_ms, at_ms)  # an end before its own instant, by a clock that lags, counts as the instant
        for at_ms, writes in stored.items()
        for w in writes
        if w.record.finished_ms is not None
    }
    for definition in definitions:
        delay_ms = history.duration_ms(definition.expr)
        bases = {history.starts_ms(definition, definition.since_ms) + delay_ms, *(end + delay_ms for end in ends)}
        if definition.start_at_ms is not None:
            bases.add(definition.start_at_ms)
        causes |= bases | {_moved(definition, at_ms) for at_ms in bases}
    for at_ms in stored:
        if at_ms not in causes:
            yield f"{key.id}-{at_ms}: no end of a run and no version is the cause of this instant"


def _moved(definition: Definition, at_ms: int) -> int:
    for exclusion in definition.exclude:
        if not isinstance(exclusion, str) and exclusion[0] <= at_ms <= exclusion[1]:
            return exclusion[1] + 1
    return at_ms


def _alone(play: Any, key: Key, writes: Sequence[StateWrite], stored: dict[int, list[ExecutionWrite]]) -> Iterable[str]:
    """Two different instants must not be in work at once, unless a caller asked for a further attempt."""
    asked = {k for k, ws in stored.items() if any(s.reason == "retry requested" for s in ws[-1].record.history)}
    runs = []
    for at_ms, ws in stored.items():
        if at_ms in asked or ws[-1].record.finished_ms is None:
            continue
        ended = next(w.at_ms for w in ws if w.record.finished_ms == ws[-1].record.finished_ms)
        # What a stalled worker sends after that carries a token that fencing refuses.
        sent = [d for d in play.world.record.dispatches if d.key == ws[-1].record.key]
        if sent and sent[0].started_ms <= ended and not was_taken_out(writes, ws, sent[0]):
            runs.append((sent[0].started_ms, ended, at_ms))
    runs.sort()
    for before, after in itertools.pairwise(runs):
        if after[0] < before[1]:
            yield f"{key.id}: {after[2]} began at {after[0]} while {before[2]} ran until {before[1]}"


def was_taken_out(writes: Sequence[StateWrite], runs: Sequence[ExecutionWrite], first: Dispatch) -> bool:
    """Whether a change that takes this run out was made between its worker's look and the mark that it had begun:
    neither could see the other, and the schedule began anew."""
    marked_ms = next((w.at_ms for w in runs if w.record.attempts), first.started_ms)
    return any(
        w.kind == "change"
        and w.state.current.since_ms <= first.key.firing_ms
        and first.look_ms <= w.at_ms
        and (w.at_ms if w.op is None else w.op.started_ms) <= marked_ms
        for w in writes
    )
