"""What a trigger waits for: the end of a burst (debounce), or an event that does not come (absence). Pure decisions.

    idle ──event──> armed ──its instant──> firing ──written──> idle
                      └──the awaited event──> idle

Each step replaces the record under its rev, so of two that happen at once one is the first. ``firing`` is written
before the execution is. A worker that finds it so writes the execution, whose id follows from the event. So a worker
that dies in between loses nothing, and an event that comes meanwhile takes nothing back.

An event that arrives again changes nothing: a record remembers the last RECENT_KEPT of them.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.triggers.limits import RECENT_KEPT

WatchKind = Literal["debounce", "absence"]
WatchState = Literal["idle", "armed", "firing"]
IDLE: Final = "idle"
ARMED: Final = "armed"
FIRING: Final = "firing"


class Watch(Struct, frozen=True):
    """One wait. ``key`` is one of those of a trigger. ``event`` is the object that fires at ``due_ms``."""

    tenant: str
    trigger_id: str
    kind: WatchKind
    key: str = ""
    rev: int = 0
    state: WatchState = IDLE
    due_ms: int = 0
    digest: str = ""
    event: str = ""
    depth: int = 0
    recent: tuple[str, ...] = ()


class Arrival(Struct, frozen=True):
    """An event, and what it is to an absence: what is waited after, or what is waited for. It may be both."""

    digest: str
    event: str
    depth: int
    after: bool = False
    awaited: bool = False


def burst(watch: Watch, arrival: Arrival, debounce_ms: int, now_ms: int) -> Watch:
    """An event of a burst: it takes the place of the one before, and the wait begins anew."""
    assert watch.state != FIRING
    if arrival.digest in watch.recent:
        return watch
    return _armed(watch, arrival, now_ms + debounce_ms)


def absence(watch: Watch, arrival: Arrival, within_ms: int, now_ms: int) -> Watch:
    """An event that ends the wait, or begins one. A further one while a wait goes on does not prolong it. What ends a
    wait and begins one does both, in this order."""
    assert watch.state != FIRING
    if arrival.digest in watch.recent:
        return watch
    if arrival.awaited and watch.state == ARMED:
        watch = replace(watch, state=IDLE, due_ms=0, digest="", event="", depth=0)
        if not arrival.after:
            return _remembering(watch, arrival.digest)
    if arrival.after and watch.state == IDLE:
        return _armed(watch, arrival, now_ms + within_ms)
    return _remembering(watch, arrival.digest)


def due(watch: Watch, now_ms: int) -> Watch:
    """At an instant: what was waited for has come to its end, or nothing changes."""
    if watch.state != ARMED or watch.due_ms > now_ms:
        return watch
    return replace(watch, rev=watch.rev + 1, state=FIRING)


def settled(watch: Watch) -> Watch:
    """After its execution was written."""
    assert watch.state == FIRING
    return replace(watch, rev=watch.rev + 1, state=IDLE, due_ms=0, digest="", event="", depth=0)


def dropped(watch: Watch) -> Watch:
    """What waited waits no more, and never fires. Its events stay known, so that none begins a wait again."""
    if watch.state == IDLE:
        return watch
    return replace(watch, rev=watch.rev + 1, state=IDLE, due_ms=0, digest="", event="", depth=0)


def _armed(watch: Watch, arrival: Arrival, due_ms: int) -> Watch:
    armed = replace(watch, state=ARMED, due_ms=due_ms, digest=arrival.digest, event=arrival.event, depth=arrival.depth)
    return _remembering(armed, arrival.digest)


def _remembering(watch: Watch, digest: str) -> Watch:
    return replace(watch, rev=watch.rev + 1, recent=(*watch.recent, digest)[-RECENT_KEPT:])
