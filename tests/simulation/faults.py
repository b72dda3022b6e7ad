"""What goes wrong, planned from the seed before the world begins.

A plan is a list, so that the shrinker can leave faults out one by one and everything else stays the same. Two kinds:
faults of a call strike the n-th matching port call after their time; faults of the world happen at theirs.
To add one: name it in CALL_KINDS or WORLD_KINDS, say in ``strike`` or ``play`` what it does, and hit it there.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chalicelib.core.errors import OutcomeUnknown, Unavailable

SECOND = 1000

# Faults of a call, and how often each is planned in comparison.
CALL_KINDS = {
    "throttle": 3,  # refused: nothing happened
    "unknown_lost": 2,  # no answer: nothing happened
    "unknown_done": 3,  # no answer: it happened
    "partial": 2,  # a batch stops in its middle, without an answer
    "crash_before": 3,
    "crash_after": 4,
    "crash_partial": 2,  # the process dies in the middle of a batch
    "stall_before": 3,  # the process stops for a while (a pause of the sandbox) before the call takes effect
    "stall_after": 3,
}
# Of worlds whose calls carry one item each.
SINGLE_CALL_KINDS = {kind: often for kind, often in CALL_KINDS.items() if kind not in ("partial", "crash_partial")}
WORLD_KINDS = {
    "crash": 3,
    "outage": 2,  # every process dies, and none starts for a while
    "no_rule": 2,  # the minute rule stays silent
    "storm": 2,  # many calls are throttled for a while
    "clock_forward": 2,
    "clock_backward": 2,
    "index_lag": 2,  # index reads see the past
    "message_late": 2,
    "message_edge": 1,  # a message arrives just when the catch-up window of its last instant ends
    "message_double": 2,
    "message_returns": 2,  # a message in work becomes visible again
    "poison_message": 1,
    "poison_schedule": 1,  # a stored definition that nothing can read
}
# Faults that only worlds made for a situation meet.
RARE_KINDS = {
    "clean_stop": 1,  # a process is told to stop: it takes no more, and ends some seconds later
    "lease_edge": 1,  # a message in work comes again just when the lease of its claim ends, by some clocks
    "message_lost": 1,  # who has claimed a firing dies, and the queue does not bring its message again
}
DRAWN_KINDS = (*CALL_KINDS, *WORLD_KINDS)
KINDS = (*DRAWN_KINDS, *RARE_KINDS)

# Methods that a fault of a call may wait for; None takes the next call of any kind.
METHODS = (
    None, None, None,
    "write_states", "write_states", "insert", "insert", "update", "update", "send", "send",
    "create", "change", "change", "states", "epochs", "get_executions", "get_schedules", "due", "open_until",
    "recent", "cursor_save", "lease_save", "lease_list", "dispatch", "dispatch", "send_dead", "snapshots",
    "definitions", "prepare",
)  # fmt: skip
BATCHES = ("write_states", "insert", "update", "send")
WRITES = frozenset(
    {
        "write_states",
        "insert",
        "update",
        "send",
        "create",
        "change",
        "cursor_save",
        "send_dead",
        "lease_save",
        "release",
    }
)
CHANGES = WRITES | {
    "ticks_save",
    "change_append",
    "save_watch",
    "save_throttle",
    "claim_key",
    "note",
    "hint",
    "settle",
    "save_listening",
    "save_policy",
    "delete_policy",
    "run_append",
    "run_enter",
    "run_summarize",
    "run_wake",
    "run_put",
    "run_snapshot",
    "save_book",
    "save_monitor",
    "save_sent",
}  # with those that worlds of firings never make
UNANSWERED = frozenset({"unknown_lost", "unknown_done", "partial"})


@dataclass(frozen=True, slots=True)
class Fault:
    """One planned fault. ``number`` is its name for the shrinker, ``amount_ms`` how long or far, if that matters."""

    number: int
    kind: str
    at_ms: int
    amount_ms: int
    skip: int = 0
    method: str | None = None
    slot: int = 0

    def __str__(self) -> str:
        where = f" at {self.method or 'any call'}, the {self.skip + 1}. one" if self.kind in CALL_KINDS else ""
        return f"fault {self.number}: {self.kind}{where}, {self.amount_ms} ms"


# Faults that go together, with the operations of ``scenario.THEMES``: what rarely meets by chance.
THEME_KINDS = {
    "stall": ("stall_before", *("stall_after",) * 3, "message_returns"),
    "race": ("unknown_lost", "crash_before", "stall_before", "throttle"),
    "flip": ("clock_backward", "stall_before", "crash_after", "message_late"),
    "double": ("message_double", "message_returns", "crash_after", "unknown_done", "message_edge"),
    "again": ("message_double",),
    "brink": (*("message_edge",) * 12, "stall_before", "stall_after"),
    "regret": ("clock_backward",),
    "stale": ("stall_after",),
    "chain": ("crash_after", "stall_after"),
    "eve": ("stall_before", "stall_after"),
}
# Calls at which the faults of a theme strike, where any will not do.
THEME_METHODS = {
    "stall": (*("insert",) * 5, "prepare", "update", "write_states", "dispatch"),
    "race": ("change", "change", "write_states", "send", None),
    "stale": ("write_states",),
    "chain": ("update", "update", "write_states", "insert", "send"),
    "eve": ("epochs", "change"),
}


def draw(
    r: random.Random,
    kinds: Mapping[str, int],
    counts: Sequence[int],
    one: Callable[[int, str], Fault],
    share: float = 0.4,
    fallback: tuple[str, ...] = ("crash_after",),
) -> tuple[Fault, ...]:
    """Faults of a world of few kinds, each of which a seed uses with the chance ``share``. ``kinds`` say how often each
    is planned in comparison; ``one`` draws the rest of a fault."""
    used = [kind for kind in kinds if r.random() < share] or list(fallback)
    weights = [kinds[kind] for kind in used]
    count = r.choice(counts)
    return tuple(one(number, r.choices(used, weights)[0]) for number in range(count))


def plan(r: random.Random, start_ms: int, end_ms: int, theme: str | None) -> list[Fault]:
    """Faults of one world between two instants. A seed uses a few kinds (swarm testing, Groce et al., ISSTA 2012)."""
    kinds = list(THEME_KINDS[theme]) if theme else [k for k in DRAWN_KINDS if r.random() < 0.35]
    weights = [CALL_KINDS.get(k) or WORLD_KINDS[k] for k in kinds]
    count = r.choice((3, 4, 6)) if theme else r.choice((1, 1, 2, 3, 4, 6, 9))
    drawn = range(count if kinds else 0)
    return [_draw(r, number, r.choices(kinds, weights)[0], theme, start_ms, end_ms) for number in drawn]


def _draw(r: random.Random, number: int, kind: str, theme: str | None, start_ms: int, end_ms: int) -> Fault:
    at_ms = r.randrange(start_ms, end_ms)
    methods = THEME_METHODS.get(theme or "", ())
    skip = int(r.expovariate(1 if methods else 0.25)) if kind in CALL_KINDS else 0
    method = r.choice(methods or METHODS)
    if kind in ("partial", "crash_partial"):
        method = r.choice(BATCHES)
    elif kind in UNANSWERED and method not in WRITES:
        method = r.choice(sorted(WRITES))
    elif kind == "throttle" and method in ("dispatch", "prepare"):
        method = None
    return Fault(number, kind, at_ms, _amount(r, kind, theme), skip, method, r.randrange(8))


def _amount(r: random.Random, kind: str, theme: str | None) -> int:
    if kind.startswith("stall"):
        if theme == "stall":
            return r.choice((3_000, 25_000, 25_000, 45_000))
        return r.choice((150, 900, 3_000, 8_000, 21_000, 45_000, 90_000))
    if kind.startswith("clock"):
        return r.choice((60, 500, 5_000, 30_000, 90_000, 200_000))
    if kind in ("outage", "no_rule"):
        return r.choice((20, 70, 130, 200, 320)) * SECOND
    if kind == "index_lag":
        return r.choice((1, 5, 30, 80)) * SECOND
    return r.choice((1, 2, 5, 20, 60, 150)) * SECOND


class Faults:
    """The faults of a world under way. ``alert_ms`` is when the next call must ask ``strike``."""

    def __init__(self, world: Any, planned: list[Fault], act: dict[str, Callable[[Fault], None]]) -> None:
        self._world = world
        self._waiting = sorted((f for f in planned if f.kind in CALL_KINDS), key=lambda f: -f.at_ms)
        self._armed: list[list[Any]] = []
        self.storm_until_ms = 0
        self.lag_until_ms = 0
        self.lag_ms = 0
        self.silent_until_ms = 0
        self.wrong_most_ms = 0
        self.late: list[Fault] = []
        self.double: list[Fault] = []
        self.happened: list[tuple[int, Fault]] = []
        self.over = False
        self.alert_ms = self._waiting[-1].at_ms if self._waiting else 1 << 60
        for fault in planned:
            if fault.kind not in CALL_KINDS:
                world.call_at(fault.at_ms, self._happening(fault, act[fault.kind]))

    def _happening(self, fault: Fault, act: Callable[[Fault], None]) -> Callable[[], None]:
        def happen() -> None:
            if not self.over:
                self._world.tell("world", str(fault))
                self.happened.append((self._world.now, fault))
                act(fault)

        return happen

    def storm(self, fault: Fault) -> None:
        """Throttle a third of all calls for a while."""
        self.storm_until_ms = self._world.now + fault.amount_ms
        self.alert_ms = 0

    def end(self) -> None:
        """From now on all goes well."""
        self.over = True
        self._waiting.clear()
        self._armed.clear()
        self.storm_until_ms = self.lag_until_ms = self.silent_until_ms = 0
        self.late.clear()
        self.double.clear()
        self.alert_ms = 1 << 60

    def strike(self, name: str, size: int) -> Fault | None:
        """Whether this call meets a fault. What strikes before the call happens here; the rest is returned."""
        world = self._world
        while self._waiting and self._waiting[-1].at_ms <= world.now:
            fault = self._waiting.pop()
            self._armed.append([fault.skip, fault])
        stormy = world.now < self.storm_until_ms
        if stormy and name not in ("dispatch", "prepare") and world.random.random() < 0.3:
            world.hit("fault:storm")
            raise Unavailable("throttled")
        struck = self._due(name, size)
        if not (self._armed or stormy):
            self.alert_ms = self._waiting[-1].at_ms if self._waiting else 1 << 60
        return self._before(struck) if struck is not None else None

    def _due(self, name: str, size: int) -> Fault | None:
        for entry in self._armed:
            fault = entry[1]
            if fault.method is not None and fault.method != name:
                continue
            if not _fits(fault.kind, name, size):
                continue
            if entry[0] > 0:
                entry[0] -= 1
                continue
            self._armed.remove(entry)
            world = self._world
            world.tell(world.current.instance.name, f"{fault} (at {name})")
            self.happened.append((world.now, fault))
            return fault  # type: ignore[no-any-return]
        return None

    def _before(self, fault: Fault) -> Fault | None:
        world = self._world
        kind = fault.kind
        if kind not in ("partial", "crash_partial"):
            world.hit(f"fault:{kind}")
        if kind == "throttle":
            raise Unavailable("throttled")
        if kind == "unknown_lost":
            raise OutcomeUnknown("no answer")
        if kind == "crash_before":
            world.crash(world.current.instance)
            world.die()
        if kind == "stall_before":
            world.pause(fault.amount_ms)
            return None
        return fault

    def between(self, fault: Fault) -> None:
        """A batch stops here."""
        world = self._world
        world.hit(f"fault:{fault.kind}")
        if fault.kind == "partial":
            raise OutcomeUnknown("no answer")
        world.crash(world.current.instance)
        world.die()

    def after(self, fault: Fault) -> None:
        """The call has had its effect."""
        world = self._world
        if fault.kind == "unknown_done":
            raise OutcomeUnknown("no answer")
        if fault.kind == "crash_after":
            world.crash(world.current.instance)
            world.die()
        if fault.kind == "stall_after":
            world.pause(fault.amount_ms)


def _fits(kind: str, name: str, size: int) -> bool:
    if kind in UNANSWERED and name not in CHANGES:
        return False
    if kind in ("partial", "crash_partial"):
        return name in BATCHES and size > 1
    return not (kind == "throttle" and name in ("dispatch", "prepare"))
