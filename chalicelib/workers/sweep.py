"""Sweep: once a minute, put the firings of the coming horizon on the queue.

For each shard it holds the lease of, it reads the list of what is due and queues each schedule's owed instants. Only
then it advances the schedule with one conditional write (queue first, write second). A lost race writes nothing and
repeats messages, which is harmless. The lease only keeps two sweeps from doing the same work; nothing rests on it.

A schedule with one instant inside the horizon is not advanced here. Its claim writes the state anyway, and does it in
the same write (``claim``). Until then the sweep finds it again. If it still does when the instant has come, then no
claim was made in time. The sweep advances it after all.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from chalicelib.core.errors import ChronoError
from chalicelib.core.schedules import schedule
from chalicelib.core.schedules.limits import SETTLE_MAX_INSTANTS
from chalicelib.core.schedules.schedule import Key, Schedule, State, Window
from chalicelib.engine import claim_spans
from chalicelib.engine.definitions import load_definitions
from chalicelib.engine.handoff import Owed, hand_off, too_old
from chalicelib.engine.shards import SWEEP, HeldShard, each_shard, stamp_swept
from chalicelib.ports.services import Services
from chalicelib.ports.stores.schedules import Due, Versioned
from chalicelib.process.handed_memory import Handed
from chalicelib.usecases import ticks
from chalicelib.workers import replan
from chalicelib.workers.cluster import clock_watch

log = logging.getLogger(__name__)

Planned = tuple[Schedule, Window]

PAGE_SCHEDULES = 100
SHARD_BUDGET_MS = 20_000  # one shard's share of a sweep: what is left over is the next sweep's
NOTE_AFTER_MS = 5_000  # what was swept is noted at the end of the sweep, or after this long


def run(s: Services) -> None:
    """Sweep every shard whose lease is free. One shard's trouble does not stop the others."""
    prepare(s)
    _note(s, [held for held in each_shard(s, SWEEP) if _swept(s, held)])


def prepare(s: Services) -> None:
    """What comes before the shards: ticks first, which wait for nothing."""
    for name, work in (("ticks", ticks.produce), ("the clock watch", clock_watch.run), ("new zone data", replan.run)):
        try:
            work(s)
        except ChronoError as problem:
            log.warning("the next sweep tries again: %s: %s", name, problem)


def run_shards(s: Services, held: Iterable[HeldShard]) -> None:
    """Sweep shards that are held, as they are given, and note when. One note is enough for those of some seconds."""
    swept: list[HeldShard] = []
    began_ms = s.clock.now_ms()
    for each in held:
        if _swept(s, each):
            swept.append(each)
        if swept and s.clock.now_ms() - began_ms >= NOTE_AFTER_MS:
            _note(s, swept)
            swept, began_ms = [], s.clock.now_ms()
    if swept:
        _note(s, swept)


def _swept(s: Services, held: HeldShard) -> bool:
    try:
        sweep_shard(s, held.shard)
    except ChronoError as problem:
        log.warning("shard %d was not swept to its end: %s", held.shard, problem)
        return False
    return True


def _note(s: Services, swept: Sequence[HeldShard]) -> None:
    try:
        for held in stamp_swept(s, swept):
            log.warning("shard %d was swept under token %d, but another worker owns it now", *held)
    except ChronoError as problem:
        log.warning("it is not noted that %d shards were swept: %s", len(swept), problem)


def sweep_shard(s: Services, shard: int) -> None:
    """Queue the owed instants of a shard up to the horizon.

    Goes round until no schedule has more to hand off or the budget is spent. After a long outage every schedule
    advances by SETTLE_MAX_INSTANTS a round, so one that is far behind does not hold up the rest.
    """
    deadline_ms = s.clock.now_ms() + SHARD_BUDGET_MS
    while _sweep_round(s, shard) and s.clock.now_ms() < deadline_ms:
        pass


def _sweep_round(s: Services, shard: int) -> bool:
    """One pass over what is due; True when some schedule still has instants inside the horizon."""
    until_ms = s.clock.now_ms() + s.config.horizon_ms
    after: Due | None = None
    unfinished = False
    while True:
        page = s.stores.schedules.due(shard, until_ms, PAGE_SCHEDULES, after)
        keys = _not_handed(s, page, until_ms)
        if keys:
            unfinished |= _sweep_schedules(s, keys, until_ms)
        if len(page) < PAGE_SCHEDULES:
            return unfinished
        after = page[-1]


def _not_handed(s: Services, page: Sequence[Due], until_ms: int) -> list[Key]:
    """Without those whose only instant this process has queued and left to its claim, and which is still ahead.

    A change meanwhile needs no sweep: it queues what it makes due inside the horizon itself. What the state
    says of its claim is asked for once the instant has passed.
    """
    now_ms = s.clock.now_ms()
    handed = s.process.handed
    return [e.key for e in page if e.next_run_ms <= now_ms or not handed.is_all(e.key, e.next_run_ms, until_ms)]


def _sweep_schedules(s: Services, keys: Sequence[Key], until_ms: int) -> bool:
    due = _load(s, keys, until_ms)
    now_ms = s.clock.now_ms()
    plans = [(f, window) for f in due if (window := _plan(f, until_ms)) is not None]
    left = [(f, handed) for f, w in plans if (handed := _left_to_claim(f, w, now_ms, until_ms)) is not None]
    at_once = {f.state.key for f, _ in left}
    planned = _reached(s, [(f, w) for f, w in plans if f.state.key not in at_once], now_ms)
    fresh = [(f, handed) for f, handed in left if not s.process.handed.has(f.state.key, handed)]
    owed = [Owed(f.definition, f.state, (handed.at_ms,)) for f, handed in fresh]
    hand_off(s, [*owed, *(Owed(f.definition, f.state, w.instants) for f, w in planned)], now_ms)
    for found, handed in fresh:
        s.process.handed.keep(found.state.key, handed)
    writes = [(f.state.advanced(w), f.state.rev) for f, w in planned]
    s.stores.schedules.write_states(writes)  # False: an edit or another sweep was faster
    return any(w.next_run_ms is not None and w.next_run_ms <= until_ms for _, w in planned)


def _left_to_claim(found: Schedule, window: Window, now_ms: int, until_ms: int) -> Handed | None:
    """The instant whose claim moves its schedule on; None where the sweep does. It must still be ahead, and the only
    one."""
    more = window.next_run_ms is not None and window.next_run_ms <= until_ms
    if len(window.instants) != 1 or more or found.definition.overlap != "allow":
        return None
    (at_ms,) = window.instants
    is_next = at_ms == found.state.next_run_ms
    return Handed(found.definition.version, at_ms, window.next_run_ms) if is_next and at_ms > now_ms else None


def _reached(s: Services, planned: Sequence[Planned], now_ms: int) -> list[Planned]:
    """Those of which no other writer was faster, after their states have reached what is to be recorded as missed."""
    missed = {f.state.key: old for f, w in planned if (old := too_old(f.definition, w.instants, now_ms))}
    if not missed:
        return list(planned)
    there = claim_spans.reach(s, [(f.state, max(missed[key])) for f, _ in planned if (key := f.state.key) in missed])
    return [
        (Schedule(f.definition, there.get(f.state.key, f.state)), w)
        for f, w in planned
        if f.state.key in there or f.state.key not in missed
    ]


def _load(s: Services, keys: Sequence[Key], until_ms: int) -> list[Schedule]:
    states = s.stores.schedules.states(keys)
    wanted = {Versioned(key, state.current.id) for key, state in states.items() if _is_due(state, until_ms)}
    definitions = load_definitions(s, wanted)
    return [Schedule(d, states[v.key]) for v, d in definitions.items()]


def _is_due(state: State, until_ms: int) -> bool:
    """The list may lag, and what has ended stays on it for a while: only the state itself decides."""
    return state.status == "active" and state.next_run_ms is not None and state.next_run_ms <= until_ms


def _plan(found: Schedule, until_ms: int) -> Window | None:
    """The instants owed now; None when the definition cannot be planned, which must not stop the others."""
    definition, state = found.definition, found.state
    assert state.next_run_ms is not None
    try:
        return schedule.window(definition, state.next_run_ms, until_ms, state.run_count, SETTLE_MAX_INSTANTS)
    except Exception:
        log.exception("a schedule cannot be planned", extra={"schedule_id": definition.id})
        return None
