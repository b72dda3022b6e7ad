"""``monitor``: each silence that lasts is told, once written down; none is told falsely; and its end is told too.

Judged by the definitions and records that were stored, and by when the writer of a silence had read them: so a wrong
clock or a lagging feed excuses nothing but what it could not know. That a silence is found in time is judged in calm
worlds; that one which was written down is told, whoever dies, in all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from chalicelib.core.executions.execution import COMPLETED
from chalicelib.core.schedules import schedule as schedules
from chalicelib.core.schedules.schedule import Definition, Key, Schedule
from tests.simulation.checkers import history
from tests.simulation.world import StateWrite, WatchWrite

ALERT = "chronowatch.alert.v1"
FOUND_WITHIN_MS = 75_000  # a look a minute, and the clocks' drift
FED_WITHIN_MS = 20_000


class Success(NamedTuple):
    """An execution that was stored as completed at ``at_ms``; ``noted``: under a version with a monitor."""

    at_ms: int
    finished_ms: int
    noted: bool


def check(play: Any) -> Iterable[str]:
    """Every silence that was written down, every event, and in calm worlds every stretch without a success."""
    record = play.world.record
    told = {t.id: t.at_ms for t in record.told if t.type == ALERT}
    known = set()
    for key, states in record.schedules.items():
        successes = _successes(record, key, states)
        fell = [w for w in record.watches.get(key, ()) if w.watch.silent_ms and not (w.before and w.before.silent_ms)]
        for write in fell:
            known |= {_id(write, "silent"), _id(write, "recovered")}
            yield from _is_right(write, states, successes)
            yield from _is_told(play, write, states, told)
            yield from _end_is_told(play, write, states, successes, told)
        if play.scenario.calm:
            yield from _all_found(play, states, successes, {w.watch.silent_ms - w.watch.window_ms for w in fell})
    for event_id in told:
        if event_id.endswith(("-silent", "-recovered")) and event_id not in known:
            yield f"{event_id} was told, and no such silence was written down"


def _id(write: WatchWrite, kind: str) -> str:
    return f"{write.watch.id}-{write.watch.silent_ms}-{kind}"


def _successes(record: Any, key: Key, states: Sequence[StateWrite]) -> list[Success]:
    monitored = {w.definition.version for w in states if w.definition is not None and w.definition.monitor is not None}
    found = []
    for at, writes in record.executions.items():
        done = next((w for w in writes if w.record.state == COMPLETED), None)
        if at.schedule_id == key.id and done is not None:
            found.append(Success(done.at_ms, done.record.finished_ms, done.record.version in monitored))
    return sorted(found)


def _versions(states: Sequence[StateWrite]) -> list[StateWrite]:
    return [w for w in states if w.kind != "state"]


def _in_force(states: Sequence[StateWrite], from_ms: int, to_ms: int) -> list[Definition]:
    """The definitions as stored at any time in the span."""
    versions = _versions(states)
    ends = [w.at_ms for w in versions[1:]] + [to_ms + 1]
    held = [(w, end) for w, end in zip(versions, ends, strict=True) if w.at_ms <= to_ms and end >= from_ms]
    return [w.definition for w, _ in held if w.definition is not None]


def _is_right(write: WatchWrite, states: Sequence[StateWrite], successes: Sequence[Success]) -> Iterable[str]:
    """It was silent, by all that could be read, and watched."""
    watch, base_ms = write.watch, write.watch.silent_ms - write.watch.window_ms
    meant = [d for d in _in_force(states, write.look_ms, write.at_ms) if d.active and d.monitor is not None]
    if not any(d.monitor is not None and d.monitor.window_ms == watch.window_ms for d in meant):
        yield f"{watch.id} fell silent at {write.at_ms}, and was not watched so"
    begun_ms = _begun_ms(states, write.look_ms)
    last_ms = max([begun_ms, *(s.finished_ms for s in successes if s.at_ms < write.journal_ms)])
    if base_ms < last_ms:
        yield f"{watch.id} is called silent from {base_ms} on, and was heard of at {last_ms}"
    began = {history.starts_ms(d, d.since_ms) for w in states if (d := w.definition) is not None}
    if base_ms not in began | {s.finished_ms for s in successes}:
        yield f"{watch.id} is called silent from {base_ms} on, when nothing was"
    if write.clock_ms < base_ms + watch.window_ms:
        yield f"{watch.id} is called silent at {write.clock_ms}, before {watch.window_ms} ms had passed from {base_ms}"


def _begun_ms(states: Sequence[StateWrite], at_ms: int) -> int:
    """Since when it was watched at a moment: from when it was active with this monitor, without a break."""
    begun_ms, before = 0, None
    for write in _versions(states):
        d = write.definition
        if write.at_ms >= at_ms:
            break
        anew = d is not None and (history.rests(d, d.since_ms) or (before and history.rests(before, d.since_ms)))
        changed = before is None or not before.active or (d is not None and before.monitor != d.monitor)
        if d is not None and d.active and (anew or changed):
            begun_ms = history.starts_ms(d, d.since_ms)
        before = d
    return begun_ms


def _ended_ms(states: Sequence[StateWrite], write: WatchWrite, now_ms: int) -> int:
    """When it was no longer watched as it was then (0: it has completed); after ``now_ms`` when it still is."""
    versions = _versions(states)
    for later in versions:
        d = later.definition
        changed = d is None or not d.active or d.monitor is None or d.monitor.window_ms != write.watch.window_ms
        if later.at_ms >= write.look_ms and (changed or (d is not None and d.since_ms > write.watch.since_ms)):
            return later.at_ms
    last = versions[-1].definition
    return 0 if last is not None and _is_completed(last, states, now_ms) else now_ms + 2 * FED_WITHIN_MS


def _is_completed(d: Definition, states: Sequence[StateWrite], at_ms: int) -> bool:
    stored = [w.state for w in states if w.at_ms <= at_ms and w.state.current.id == d.version]
    return bool(stored) and schedules.progress(Schedule(d, stored[-1]), at_ms).state == "completed"


def _is_told(play: Any, write: WatchWrite, states: Sequence[StateWrite], told: dict[str, int]) -> Iterable[str]:
    """Told, unless it was paused, changed or completed before that; at rest nothing is paused before it is told."""
    rest_ms = play.resting_since_ms or play.world.now
    if _id(write, "silent") not in told and _ended_ms(states, write, play.world.now) > rest_ms + FED_WITHIN_MS:
        yield f"{write.watch.id} fell silent at {write.watch.silent_ms}, and nobody was told"


def _end_is_told(
    play: Any,
    write: WatchWrite,
    states: Sequence[StateWrite],
    successes: Sequence[Success],
    told: dict[str, int],
) -> Iterable[str]:
    base_ms = write.watch.silent_ms - write.watch.window_ms
    over = [s.at_ms for s in successes if s.noted and s.at_ms > write.at_ms and s.finished_ms > base_ms]
    heard = [s.at_ms for s in successes if s.finished_ms > base_ms]
    told_ms = told.get(_id(write, "recovered"))
    if told_ms is not None and (not heard or told_ms < min(heard)):
        yield f"{write.watch.id} is said to have recovered at {told_ms}, and had not"
    if play.faults.wrong_most_ms > write.watch.window_ms:
        return  # an edit by such a clock lies before the silence, and begins the watch anew
    rest_ms = play.resting_since_ms or play.world.now
    watched_until_ms = _ended_ms(states, write, play.world.now)
    if told_ms is None and over and watched_until_ms > max(over[0], rest_ms) + FED_WITHIN_MS:
        yield f"{write.watch.id} had been silent from {base_ms} to {over[0]}, and nobody was told of the end"


def _all_found(play: Any, states: Sequence[StateWrite], successes: Sequence[Success], found: set[int]) -> Iterable[str]:
    """In a calm world: no silence that lasted until the next look but one was overlooked."""
    versions = _versions(states)
    ends = [w.at_ms for w in versions[1:]] + [play.world.now]
    for write, end_ms in zip(versions, ends, strict=True):
        d = write.definition
        if d is None or not d.active or d.monitor is None:
            continue
        since_ms = history.starts_ms(d, d.since_ms)
        spoke = [s.finished_ms for s in successes if since_ms < s.finished_ms < end_ms]
        starts = [since_ms, *spoke] if _begun_ms(states, write.at_ms + 1) == since_ms else spoke
        for base_ms, next_ms in pairwise([*starts, end_ms]):
            latest_ms = base_ms + d.monitor.window_ms * 101 // 100 + FOUND_WITHIN_MS
            if base_ms not in found and latest_ms < next_ms and not _is_completed(d, states, latest_ms):
                yield f"{d.id} was silent from {base_ms} to {next_ms}, and nobody saw it"
