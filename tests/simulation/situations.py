"""Worlds made for one situation each: what chance brings together in one world of thousands, and a checker needs often.

Three seeds in ten are such a world. A situation is drawn apart from the plan that it replaces, so the other seeds keep
theirs. In a calm one nothing goes wrong but what targets do, so that everything that waits can be timed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chalicelib.core.executions.limits import HORIZON_MS
from chalicelib.core.policies.limits import CATCH_UP_PER_MINUTE
from chalicelib.core.schedules.schedule import RetryPolicy
from chalicelib.engine.scans import NOTED_EVERY_MS
from chalicelib.process.admission import Caps
from infra.state import VISIBILITY_S
from tests.simulation import scenario
from tests.simulation.actors import freezer
from tests.simulation.faults import Fault
from tests.simulation.scenario import PlannedOp, PlannedSchedule, Scenario

SECOND = 1000
SHARE = 0.3
FAILOVER, FAILOVER_SHARE = "failover", 0.07
RARE_SHARE = 0.04
LONE_SHARE = 0.08


@dataclass(frozen=True, slots=True)
class Situation:
    """What a world is for. ``fields`` of its schedules and ``amounts`` of its faults are drawn; ``ops`` are kinds of
    operations, those of a group at one moment; ``methods`` are the calls at which its faults strike."""

    fields: Callable[[random.Random], Mapping[str, Any]]
    ops: Sequence[tuple[str, ...]] = ()
    op_groups: Sequence[int] = (0,)
    gaps_ms: Sequence[int] = (0,)
    kinds: Sequence[str] = ()
    amounts_ms: Sequence[int] = (1_000,)
    methods: Sequence[str] = ()
    faults: Sequence[int] = (3, 4, 6)
    faults_ms: tuple[int, int] | None = None  # after the start, when they come; None: at any time
    caps: Caps | None = None  # None: no limits
    changes: Mapping[str, Any] | None = None  # of the scenario itself
    weight: int = 1
    eve_ms: int = 0  # operations come so soon before a whole second of the schedule, which begins at its creation

    @property
    def calm(self) -> bool:
        return not self.kinds


def _rate(interval_s: int, runs: int, temper: str, **fields: Any) -> Mapping[str, Any]:
    return {
        "type": "RATE",
        "expr": f"rate:{interval_s}s",
        "max_runs": runs,
        "target": {"type": "webhook", "url": f"https://example.com/{temper}"},
        **fields,
    }


def _line(r: random.Random) -> Mapping[str, Any]:
    return _rate(1, 60, r.choice(("steady", "steady", "slow")), overlap="queue", timeout_ms=5 * SECOND)


def _rivals(r: random.Random) -> Mapping[str, Any]:
    return _rate(2, 40, "slow", overlap="replace", catch_up_window_ms=600 * SECOND, timeout_ms=12 * SECOND)


def _flood(r: random.Random) -> Mapping[str, Any]:
    return _rate(r.choice((1, 2, 3)), 60, "good", catch_up_window_ms=600 * SECOND)


def _doubt(r: random.Random) -> Mapping[str, Any]:
    return _rate(2, 40, "sour", timeout_ms=12 * SECOND, retry_policy=RetryPolicy(max_attempts=r.choice((1, 1, 2))))


def _veil(r: random.Random) -> Mapping[str, Any]:
    return _rate(r.choice((2, 3)), 40, r.choice(("good", "flaky", "async")), timeout_ms=5 * SECOND)


def _duel(r: random.Random) -> Mapping[str, Any]:
    return _rate(r.choice((5, 7, 11)), 60, "good")


def _brim(r: random.Random) -> Mapping[str, Any]:
    return _rate(r.choice((3, 7)), 24, "good", catch_up_window_ms=600 * SECOND)


def _refused(r: random.Random) -> Mapping[str, Any]:
    return _rate(2, 30, "slow", catch_up_window_ms=600 * SECOND, timeout_ms=12 * SECOND)


def _accepted(r: random.Random) -> Mapping[str, Any]:
    return _rate(r.choice((3, 5)), 24, "async", timeout_ms=r.choice((3, 5, 12)) * SECOND)


def _narrow(r: random.Random) -> Mapping[str, Any]:
    return _rate(r.choice((2, 3)), 30, r.choice(("good", "slow")), timeout_ms=5 * SECOND)


def _chained(r: random.Random) -> Mapping[str, Any]:
    return {**_rate(1, 30, r.choice(("good", "flaky", "async"))), "type": "DELAY", "expr": f"delay:{r.choice((1, 3))}s"}


def _failing(r: random.Random) -> Mapping[str, Any]:
    policy = RetryPolicy(max_attempts=r.choice((1, 1, 2)), base_ms=200)
    return _rate(2, 60, r.choice(("broken", "sour")), pause_after_failures=r.choice((1, 2, 3)), retry_policy=policy)


def _held(r: random.Random) -> Mapping[str, Any]:
    return _rate(
        r.choice((1, 1, 2, 5)),
        90,
        r.choice(("good", "good", "steady")),
        catch_up_window_ms=r.choice((60, 600)) * SECOND,
    )


def _frozen(r: random.Random) -> Mapping[str, Any]:
    tags = r.choice(((freezer.TAG,), (freezer.TAG,), ("other",)))
    return _rate(r.choice((1, 2, 3)), 60, r.choice(("good", "good", "flaky", "slow")), tags=tags)


def _kept(r: random.Random) -> Mapping[str, Any]:
    return _rate(r.choice((1, 2)), 300, "good", catch_up_window_ms=600 * SECOND)


def _shroud(r: random.Random) -> Mapping[str, Any]:
    return _rate(r.choice((5, 7)), 90, "good", overlap=r.choice(("replace", "forbid")), timeout_ms=5 * SECOND)


def _brisk(r: random.Random) -> Mapping[str, Any]:
    return _rate(r.choice((1, 2)), 300, "good")


def _regretted(r: random.Random) -> Mapping[str, Any]:
    return _rate(
        r.choice((2, 3)), 90, r.choice(("good", "good", "mixed")), catch_up_window_ms=r.choice((0, 600 * SECOND))
    )


def _missed(r: random.Random) -> Mapping[str, Any]:
    return _rate(r.choice((3, 7)), 60, "good", catch_up_window_ms=r.choice((0, 3_000)))


def _overdue(r: random.Random) -> Mapping[str, Any]:
    return {**_chained(r), "catch_up_window_ms": r.choice((0, 3_000))}


SITUATIONS: Mapping[str, Situation] = {
    # The run in the slot ends about when the next instant comes, and one waits already.
    "line": Situation(_line, ops=(("trigger",), ("cancel",)), op_groups=(0, 2, 6), weight=2),
    # An instant is taken by a worker when a later one of its schedule runs already.
    "rivals": Situation(
        _rivals,
        kinds=("message_late", "message_late", "stall_after"),
        amounts_ms=(3_000, 8_000, 20_000),
        methods=("insert",),
    ),
    # Much is late at once, and two workers take it up.
    "flood": Situation(_flood, kinds=("outage", "no_rule", "message_late"), amounts_ms=(20_000, 45_000, 90_000)),
    # A call fails after its execution was cancelled.
    "doubt": Situation(_doubt, ops=(("cancel",), ("cancel",), ("retry",)), op_groups=(9, 16, 24)),
    # Index reads show the past while workers die.
    "veil": Situation(
        _veil,
        kinds=("index_lag", "index_lag", "crash_before", "crash_after", "crash"),
        amounts_ms=(5_000, 30_000, 80_000),
        methods=("dispatch", "insert", "update"),
        changes={"visibility_ms": 900 * SECOND},  # a queue hides for as long as its function may run
        weight=2,
    ),
    # Index reads show the past while schedules are changed, and nothing else goes wrong.
    "fog": Situation(
        _duel,
        ops=(("recast",),),
        op_groups=(2, 4),
        kinds=("index_lag",),
        amounts_ms=(30_000, 80_000),
    ),
    # Two clients change the expression at one moment, or one right after another that died before it was written.
    "duel": Situation(
        _duel,
        ops=(("recast", "recast"), ("recast", "recast", "recast")),
        op_groups=(6, 9),
        gaps_ms=(0, 1, 8, 2_000),
        kinds=("crash_before", "crash_before", "unknown_lost"),
        methods=("change",),
        faults=(4, 6, 9),
    ),
    # A message comes again in the last moments of a lease, by another clock.
    "brim": Situation(
        _brim,
        kinds=("lease_edge", "stall_after"),
        amounts_ms=(25_000, 45_000),
        methods=("insert", "write_states", "write_states"),  # a claim is mostly a span of the state
        faults=(6, 9),
        changes={"max_drift_ms": 3_000},
    ),
    # What waited for its turn cannot be handed back: nobody has it in his care but by its record.
    "refused": Situation(
        _refused, kinds=("throttle",), methods=("send",), faults=(9, 16), caps=Caps(target_in_flight=1)
    ),
    # Targets accept, and complete, fail or forget; callers cancel meanwhile.
    "accepted": Situation(_accepted, ops=(("cancel",), ("trigger",)), op_groups=(4, 9)),
    # One place to a destination, and several that want it.
    "narrow": Situation(_narrow, caps=Caps(target_in_flight=1)),
    # It fails until it is paused, and is resumed.
    "failing": Situation(_failing, ops=(("resume",),), op_groups=(4, 9)),
    # A policy that denies firings is made and deleted while they go on.
    "frozen": Situation(
        _frozen,
        ops=((freezer.FREEZE,), (freezer.FREEZE, freezer.THAW), (freezer.FREEZE, freezer.THAW), ("trigger", "retry")),
        op_groups=(9, 16),
        gaps_ms=(0, 3, 400, 3_000, 20_000),
        kinds=("stall_after", "stall_before", "crash_after", "unknown_done", "throttle", "message_double"),
        amounts_ms=(900, 8_000, 25_000),
        methods=("save_policy", "delete_policy", "page_policies", "epochs", "update"),
        weight=2,
        eve_ms=60,
    ),
    # Each run follows the end of the one before.
    "chained": Situation(_chained, ops=(("cancel",), ("recast",)), op_groups=(0, 2)),
}


# Drawn apart from those above, so that seeds that knew only them keep their plans.
RARE: Mapping[str, Situation] = {
    # A worker stands still between its recheck and the instant, and the queue is paused meanwhile.
    "kept": Situation(
        _kept,
        ops=(("queue_pause", "queue_resume"),),
        op_groups=(9, 16),
        gaps_ms=(3_000, 8_000),
        kinds=("stall_after",),
        amounts_ms=(1_500, 1_900, 2_300),
        methods=("epochs",),
        faults=(9, 16, 24),
    ),
    # A worker dies whose message comes no more, so that the minute's look is all there is. Its index shows the past
    # just when it notes how far it has come.
    "shroud": Situation(
        _shroud,
        kinds=("index_lag", "message_lost"),
        amounts_ms=(30_000, 80_000),
        faults=(4, 6, 9),
        faults_ms=(NOTED_EVERY_MS - 90 * SECOND, NOTED_EVERY_MS - 5 * SECOND),
        changes={"active_ms": NOTED_EVERY_MS + 120 * SECOND},
    ),
}


# Each for what one planted bug breaks and few other worlds meet. Drawn apart once more, for the same reason.
LONE: Mapping[str, Situation] = {
    # A change is written a little before an instant, after the instant's recheck.
    "hasty": Situation(
        _brisk,
        ops=(("pause", "resume"),),
        op_groups=(24, 40),
        gaps_ms=(400, 1_500),
        kinds=("stall_before",),
        amounts_ms=(6, 10, 12),
        methods=("change",),
        faults=(40,),
        changes={"max_drift_ms": 2},  # the moment is one of milliseconds
        eve_ms=36,
    ),
    # A schedule is paused and resumed again and again before an instant, and clocks are set back meanwhile.
    "regretted": Situation(
        _regretted,
        ops=(("pause", "resume"), ("pause", "resume", "pause"), ("pause", "resume", "pause", "resume")),
        op_groups=(40,),
        gaps_ms=(400, 1_500),
        kinds=("clock_backward",),
        amounts_ms=(2_000,),
        faults=(9,),
    ),
    # What comes late, by a clock set back, belongs to a pause that lies more versions back than the state names.
    "bygone": Situation(
        _regretted,
        ops=(("pause", "burst"), ("pause", "resume", "burst"), ("pause", "burst", "resume")),
        op_groups=(9, 16),
        gaps_ms=(1_500, 4_000),
        kinds=("clock_backward",),
        amounts_ms=(30_000, 90_000),
        faults=(16, 24),
    ),
    # A worker whose clock is ahead writes off what others have still to claim.
    "written off": Situation(
        _missed,
        kinds=("clock_forward", "clock_forward", "message_double"),
        amounts_ms=(5_000, 30_000, 90_000),
        faults=(24,),
    ),
    # Runs of a DELAY schedule come later than any catch-up window.
    "overdue": Situation(
        _overdue,
        kinds=("outage", "no_rule", "message_late"),
        amounts_ms=(20_000, 45_000),
        faults=(16, 24),
    ),
}


# Workers die and nothing else goes wrong, with the settings of the packaged stage. Drawn apart from the others.
DEATHS = Situation(
    _held,
    kinds=("crash", "crash", "crash_before", "crash_after", "clean_stop", "clean_stop"),
    methods=("dispatch", "write_states", "epochs", "states", "update"),
    faults=(1, 2, 3),
    changes={
        "visibility_ms": VISIBILITY_S * SECOND,
        "horizon_ms": HORIZON_MS,
        "max_drift_ms": 20,
        "catch_up_per_minute": CATCH_UP_PER_MINUTE,
    },
)


def draw(seed: int) -> Scenario:
    """The plan of a seed: one made for a situation, or one in which anything may meet."""
    plan = scenario.draw(seed)
    failover = random.Random(f"failover/{seed}")
    if failover.random() < FAILOVER_SHARE:
        return _with_heirs(random.Random(f"heirs/{seed}"), _made(failover, plan, FAILOVER, DEATHS))
    for group, share, known in (("rare", RARE_SHARE, RARE), ("lone", LONE_SHARE, LONE)):
        apart = random.Random(f"{group}/{seed}")
        if apart.random() < share:
            name = apart.choice(tuple(known))
            return _made(apart, plan, name, known[name])
    r = random.Random(f"situation/{seed}")
    if r.random() >= SHARE:
        return plan
    (name,) = r.choices(tuple(SITUATIONS), [meant.weight for meant in SITUATIONS.values()])
    return _made(r, plan, name, SITUATIONS[name])


def _with_heirs(r: random.Random, plan: Scenario) -> Scenario:
    """In half of the worlds who takes over what a dead worker held dies as well, before it is sent."""
    deaths = [fault for fault in plan.faults if fault.kind.startswith("crash")]
    if not deaths or r.random() < 0.5:
        return plan
    first = r.choice(deaths)
    heirs = [
        Fault(len(plan.faults) + n, "crash_after", first.at_ms + at_ms, SECOND, r.randrange(3), "update", None)
        for n, at_ms in enumerate(r.sample(range(1_500, 12_000), r.choice((1, 1, 2))))
    ]
    return replace(plan, faults=(*plan.faults, *heirs))


def _made(r: random.Random, plan: Scenario, name: str, meant: Situation) -> Scenario:
    schedules = tuple(_schedule(r, meant, s) for s in plan.schedules[: r.choice((1, 1, 2))])
    changed = replace(
        plan,
        theme=name,
        calm=meant.calm,
        schedules=schedules,
        ops=tuple(_ops(r, meant, plan, schedules)),
        faults=tuple(_faults(r, meant, plan)),
        caps=meant.caps or Caps(),
        visibility_ms=180 * SECOND,
    )
    return replace(changed, **meant.changes) if meant.changes else changed


def _schedule(r: random.Random, meant: Situation, planned: PlannedSchedule) -> PlannedSchedule:
    kept = {name: planned.fields[name] for name in ("owner", "timezone")}
    policy = RetryPolicy(max_attempts=r.choice((1, 2, 3)), backoff="fixed", base_ms=r.choice((200, 1000, 6000)))
    begun = {"start_at_ms": planned.at_ms} if meant.eve_ms else {}
    return replace(planned, fields={**kept, "retry_policy": policy, **begun, **meant.fields(r)})


def _ops(r: random.Random, meant: Situation, plan: Scenario, schedules: Sequence[PlannedSchedule]) -> list[PlannedOp]:
    ops: list[PlannedOp] = []
    for _ in range(r.choice(meant.op_groups)):
        schedule = r.choice(schedules)
        at_ms, gap_ms = r.randrange(schedule.at_ms, plan.end_ms), r.choice(meant.gaps_ms)
        if meant.eve_ms:
            at_ms += -(at_ms - schedule.at_ms) % SECOND - r.randrange(meant.eve_ms)
        for place, kind in enumerate(r.choice(meant.ops)):
            does, fields = ("edit", _recast(r, schedule)) if kind == "recast" else (kind, {})
            ops.append(PlannedOp(len(ops), at_ms + place * gap_ms, does, schedule, fields, r.random()))
    return ops


def _recast(r: random.Random, schedule: PlannedSchedule) -> Mapping[str, Any]:
    """Another expression of the same type, with few instants in common."""
    kind = schedule.fields["type"]
    return {"type": kind, "expr": f"{kind.lower()}:{r.choice((2, 3, 5, 7, 11))}s"}


def _faults(r: random.Random, meant: Situation, plan: Scenario) -> list[Fault]:
    if not meant.kinds:
        return []
    from_ms, to_ms = meant.faults_ms or (2 * SECOND, plan.active_ms)
    return [
        Fault(
            number,
            r.choice(meant.kinds),
            r.randrange(plan.start_ms + from_ms, plan.start_ms + to_ms),
            r.choice(meant.amounts_ms),
            int(r.expovariate(1)),
            r.choice(meant.methods) if meant.methods else None,
            r.randrange(8),
        )
        for number in range(r.choice(meant.faults))
    ]
