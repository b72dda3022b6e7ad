"""What happens in a world of alerts, drawn from its seed: monitors and rules, what is pinged, and what goes wrong."""

from __future__ import annotations

import random
from dataclasses import dataclass

from chalicelib.core.notices.limits import SEND_LEASE_MS
from tests.simulation.faults import CALL_KINDS, SINGLE_CALL_KINDS, UNANSWERED, Fault
from tests.simulation.faults import draw as draw_faults

START_MS = 1_795_252_800_000
SECOND = 1000

WORLD_KINDS = {
    "crash": 4, "outage": 1, "storm": 2, "no_rule": 1, "message_late": 2, "message_double": 2, "message_returns": 2,
}  # fmt: skip
WEIGHTS = SINGLE_CALL_KINDS | WORLD_KINDS
KINDS = tuple(WEIGHTS)
METHODS = (
    None, "save_book", "save_book", "save_book", "save_monitor", "save_monitor", "save_sent", "dispatch", "dispatch",
    "send", "load_book", "load_monitor", "load_rule", "load_sent",
)  # fmt: skip
WRITES = ("save_book", "save_monitor", "save_sent", "send")
QUIETS = (None, None, ("* * * * *", 25 * SECOND), ("*/2 * * * *", 50 * SECOND))
FIRST_OVERTAKEN = 100  # number of a fault, above those that are drawn with the others
TEMPERS = ("ok", "ok", "slow", "hang", "flaky", "refuse", "down")
POINTS = (
    *(f"ping: {kind}" for kind in ("success", "start", "fail", "log", "again", "late", "flapping")),
    *(f"monitor: {reason}" for reason in ("missed", "not_ended", "failed", "pinged")),
    *(f"message: {kind}" for kind in ("alert", "recovery", "digest", "test")),
    *(f"channel: {temper}" for temper in sorted(set(TEMPERS))),
    *(f"call: {kind}" for kind in ("pause", "resume", "test", "delete", "calm")),
    "race: save_book lost",
    "race: save_monitor lost",
    "message: sent again",
    "message: put off",
    "signal: again",
    "restored",
)


@dataclass(frozen=True, slots=True)
class PlannedMonitor:
    """A monitor, and how its job pings: ``manner`` is steady, gaps or flapping."""

    period_ms: int
    grace_ms: int
    manner: str
    tagged: bool


@dataclass(frozen=True, slots=True)
class PlannedRule:
    """A notification rule. ``tempers`` are those of its channels."""

    when: tuple[str, ...]
    tagged: bool
    group_ms: int
    quiet: tuple[str, int] | None
    tempers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlannedAct:
    """A call of the API about a monitor or a rule."""

    number: int
    kind: str
    at_ms: int
    place: int

    def __str__(self) -> str:
        return f"call {self.number}: {self.kind} {self.place}"


@dataclass(frozen=True, slots=True)
class AlertPlan:
    """A seed's plan. ``things`` are schedules whose ends are signalled; ``backup_ms`` is when a backup is made."""

    seed: int
    mood: str
    monitors: tuple[PlannedMonitor, ...]
    rules: tuple[PlannedRule, ...]
    things: int
    active_ms: int
    instances: int
    acts: tuple[PlannedAct, ...]
    faults: tuple[Fault, ...]
    backup_ms: int | None
    restore_ms: int | None

    @property
    def end_ms(self) -> int:
        return START_MS + self.active_ms


def draw(seed: int) -> AlertPlan:
    """The plan of a seed."""
    r = random.Random(f"alerts/{seed}")
    mood = r.choices(("calm", "rough"), (1, 4))[0]
    active_ms = r.choice((90, 150, 240)) * SECOND
    monitors = tuple(_monitor(r) for _ in range(r.choice((1, 1, 2, 3))))
    rules = tuple(_rule(r, mood) for _ in range(r.choice((1, 1, 2))))
    restored = mood == "rough" and r.random() < 0.2
    backup_ms = START_MS + r.randrange(active_ms // 2) if restored else None
    return AlertPlan(
        seed=seed,
        mood=mood,
        monitors=monitors,
        rules=rules,
        things=r.choice((0, 1, 2)),
        active_ms=active_ms,
        instances=r.choice((1, 2, 3)),
        acts=_acts(r, active_ms),
        faults=()
        if mood == "calm"
        else (
            *draw_faults(r, WEIGHTS, (2, 5, 10, 16), lambda *named: _fault(r, *named, active_ms)),
            *_overtaken(seed, active_ms),
        ),
        backup_ms=backup_ms,
        restore_ms=None if backup_ms is None else backup_ms + r.choice((5, 30, 60)) * SECOND,
    )


def _monitor(r: random.Random) -> PlannedMonitor:
    period_ms, grace_ms = r.choice((5, 10, 20)) * SECOND, r.choice((1, 3, 8)) * SECOND
    return PlannedMonitor(period_ms, grace_ms, r.choice(("steady", "gaps", "gaps", "flapping")), r.random() < 0.5)


def _rule(r: random.Random, mood: str) -> PlannedRule:
    when = ("failed", "recovered") if r.random() < 0.7 else ("failed",)
    tempers = tuple("ok" if mood == "calm" else r.choice(TEMPERS) for _ in range(r.choice((1, 2))))
    return PlannedRule(when, r.random() < 0.3, r.choice((0, 0, 2, 15)) * SECOND, r.choice(QUIETS), tempers)


def _acts(r: random.Random, active_ms: int) -> tuple[PlannedAct, ...]:
    acts: list[PlannedAct] = []
    for _ in range(r.choice((0, 1, 2, 4, 6))):
        kind = r.choice((*("pause",) * 5, "resume", "test", "test", "delete", "calm"))
        at_ms, place = START_MS + r.randrange(2_000, active_ms), r.randrange(6)
        acts.append(PlannedAct(len(acts), kind, at_ms, place))
        if kind == "pause" and r.random() < 0.9:
            acts.append(PlannedAct(len(acts), "resume", at_ms + r.randrange(1_000, 25_000), place))
    return tuple(acts)


def _overtaken(seed: int, active_ms: int) -> tuple[Fault, ...]:
    """In one seed of six, a sender that stalls for longer than its claim lasts, and so does the one after it. It is
    drawn apart, so that the other seeds keep their plans."""
    r = random.Random(f"alerts overtaken/{seed}")
    if r.randrange(6):
        return ()
    at_ms = START_MS + r.randrange(active_ms)
    apart_ms = (0, SEND_LEASE_MS + r.choice((1, 2_000)))
    return tuple(
        Fault(FIRST_OVERTAKEN + number, "stall_after", at_ms + later_ms, SEND_LEASE_MS + 10 * SECOND, 0, "dispatch")
        for number, later_ms in enumerate(apart_ms)
    )


def _fault(r: random.Random, number: int, kind: str, active_ms: int) -> Fault:
    amount_ms = r.choice((150, 3_000, 25_000, 70_000)) if kind.startswith("stall") else r.choice((2, 8, 40)) * SECOND
    skip = int(r.expovariate(0.5)) if kind in CALL_KINDS else 0
    method = r.choice(WRITES if kind in UNANSWERED else METHODS)
    if kind == "throttle" and method == "dispatch":
        method = None
    return Fault(number, kind, START_MS + r.randrange(active_ms), amount_ms, skip, method, r.randrange(8))
