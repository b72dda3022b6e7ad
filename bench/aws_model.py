"""A fluid model of AWS's limits at full scale, second by second: which limit binds first, and how late firings become.

Firings flow through stages, each with a capacity a second that may grow with time. What exceeds it waits before the
stage. A firing's lateness is what it waited beyond the time that the product keeps in hand. Nothing of the product runs
here: what a firing needs comes from a slice that was played, and from counted units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from bench.load_slice import Slice
from chalicelib.core.cluster.limits import SHARDS_DEFAULT, SHARDS_MAX
from chalicelib.core.executions.limits import HORIZON_MS
from chalicelib.core.limits import SWEEP_PERIOD_MS

SWEEP_RUN_S = 55  # the timeout of the function
LEAD_MS = 1000  # CHRONO_DELIVER_LEAD_MS
RECENT_UNITS = 1  # docs/storage.md: the index entry of a new record
RECORD_UNITS = 2  # insert it, finish it
DUE_UNITS = 2  # an index entry whose sort key moves
ADVANCE_UNITS = 1

Limits = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Deployment:
    """What an operator chooses. ``sweepers`` are sweeps that run side by side each minute."""

    shards: int = SHARDS_DEFAULT
    sweepers: int = 1
    provisioned_pollers: int = 0
    account_concurrency: int = 0  # 0: the default quota
    warm_write_units: int = 0  # 0: a new table's
    quota_write_units: int = 0
    put_events: int = 0
    rule_invocations: int = 0


class Stage(NamedTuple):
    """A limit: its name, and how many firings a second it lets through in second ``t`` of the load."""

    name: str
    capacity: Callable[[int], float]


@dataclass(frozen=True, slots=True)
class Outcome:
    """``binding`` is the first limit that made firings late, None when none did; ``since_s`` when it began to."""

    binding: str | None
    since_s: int
    p50_ms: float
    p99_ms: float
    worst_ms: float
    waiting: int  # when the load ended
    drained_s: int  # after that


class Need(NamedTuple):
    """What one firing needs."""

    deliver_s: float
    messages: float
    advances: float
    sweep_ms: float
    claim_units: float


def need_of(played: Slice, cpu_ms: Mapping[str, float], batch: float, period_s: int) -> Need:
    """From a slice, which takes no processor time; ``cpu_ms`` of a firing and of a sweep's instant is added.

    A state takes a token for the firings of one message: a tenth of a write a firing, or one when it fires alone.
    """
    return Need(
        deliver_s=(played.deliver_ms + batch * played.firings_a_message * cpu_ms["firing"]) / 1000,
        messages=1 / played.firings_a_message,
        advances=1 / played.firings_an_advance,
        sweep_ms=played.sweep_ms_an_advance / played.firings_an_advance + cpu_ms["instant"],
        claim_units=0.1 if period_s == 1 else 1.0,
    )


def stages(need: Need, at: Deployment, limits: Limits) -> list[Stage]:
    """In the order of a firing's way."""
    batch = limits["sqs_batch"]
    warm = at.warm_write_units or limits["table_new_write_units"]
    quota = at.quota_write_units or limits["table_quota_write_units"]
    units = min(warm, quota)
    table = "quota of a table's write units" if warm > quota else "warm write units of a table"
    keys = at.shards * limits["key_write_units"]
    swept = at.sweepers * SWEEP_RUN_S / (SWEEP_PERIOD_MS / 1000) * 1000 / need.sweep_ms

    def invoked(t: int) -> float:
        return concurrency(t, at, limits)[0] / need.deliver_s * batch / need.messages

    scheduled = need.claim_units + need.advances * ADVANCE_UNITS
    return [
        Stage("time of a sweep", lambda _: swept),
        Stage("key of schedules/due", lambda _: keys / (DUE_UNITS * need.advances)),
        Stage("concurrency of deliver", invoked),
        Stage(f"{table} (schedules)", lambda _: units / scheduled),
        Stage(f"{table} (executions)", lambda _: units / RECORD_UNITS),
        Stage("key of executions/recent", lambda _: keys / RECENT_UNITS),
        Stage("PutEvents", lambda _: at.put_events or limits["put_events"]),
        Stage("invocations of rules", lambda _: at.rule_invocations or limits["rule_invocations"]),
    ]


def concurrency(t: int, at: Deployment, limits: Limits) -> tuple[float, str]:
    """Invocations of deliver at once in second ``t`` of a load that begins suddenly, and which limit says so."""
    if at.provisioned_pollers:
        begun = at.provisioned_pollers * limits["provisioned_per_poller"]
        polled = min(limits["provisioned_max"], begun + limits["provisioned_per_minute"] * t / 60)
    else:
        polled = min(limits["poller_max"], limits["poller_start"] + limits["poller_per_minute"] * t / 60)
    pollers = "pollers in provisioned mode" if at.provisioned_pollers else "pollers in standard mode"
    bounds = {
        pollers: polled,
        "concurrency of the account": at.account_concurrency or limits["account_concurrency"],
        "concurrency a function gains": limits["function_ramp_per_10_s"] * (t // 10 + 1),
        "messages in flight": limits["sqs_in_flight"] / limits["sqs_batch"],
    }
    name = min(bounds, key=lambda each: bounds[each])
    return bounds[name], name


def play(need: Need, at: Deployment, limits: Limits, per_s: int, seconds: int) -> Outcome:
    """Let ``per_s`` firings a second come for so long, and what waits then drain."""
    way = stages(need, at, limits)
    waiting = [0.0] * len(way)
    lates: list[tuple[float, float]] = []  # milliseconds late, firings
    binding, since_s, left, t = None, 0, 0, 0
    while t < seconds or (sum(waiting) >= 1 and t < 20 * seconds):
        coming = float(per_s) if t < seconds else 0.0
        spare_ms = {0: float(HORIZON_MS - SWEEP_PERIOD_MS), 2: float(LEAD_MS)}
        late_ms = 0.0
        for number, stage in enumerate(way):
            capacity = stage.capacity(t)
            waiting[number] += coming
            coming = min(waiting[number], capacity)
            waiting[number] -= coming
            waited_ms = waiting[number] / capacity * 1000 - spare_ms.get(number, 0.0)
            if waited_ms > 0:
                late_ms += waited_ms
                if binding is None:
                    binding, since_s = stage.name, t
                    if number == 2:
                        binding = concurrency(t, at, limits)[1]
        lates.append((late_ms, coming))
        t += 1
        if t == seconds:
            left = round(sum(waiting))
    return Outcome(
        binding,
        since_s,
        _weighted(lates, 0.5),
        _weighted(lates, 0.99),
        max(late for late, _ in lates),
        left,
        t - seconds,
    )


def _weighted(lates: Sequence[tuple[float, float]], share: float) -> float:
    """The lateness that this share of the firings did not exceed."""
    left = sum(count for _, count in lates) * share
    for late, count in sorted(lates):
        left -= count
        if left <= 1e-9:
            return late
    return lates[-1][0] if lates else 0.0


class Remedy(NamedTuple):
    """What moves a limit, in words, and the deployment with it."""

    text: str
    changed: Deployment


def remedy(limit: str, at: Deployment, limits: Limits) -> Remedy | None:
    """What an operator changes when this limit binds; None when there is nothing to change."""
    found: dict[str, Remedy] = {
        "time of a sweep": Remedy(
            f"{2 * at.sweepers} sweeps a minute: further rules that call `sweep`", replace(at, sweepers=2 * at.sweepers)
        ),
        "key of schedules/due": Remedy(
            f"`CHRONO_SHARDS={min(SHARDS_MAX, 2 * at.shards)}`, before the first schedule",
            replace(at, shards=min(SHARDS_MAX, 2 * at.shards)),
        ),
        "key of executions/recent": Remedy(
            f"`CHRONO_SHARDS={min(SHARDS_MAX, 2 * at.shards)}`, before the first schedule",
            replace(at, shards=min(SHARDS_MAX, 2 * at.shards)),
        ),
        "pollers in standard mode": Remedy(
            "provisioned mode of deliver's event source, `MinimumPollers` 100", replace(at, provisioned_pollers=100)
        ),
        "pollers in provisioned mode": Remedy(
            f"`MinimumPollers` {int(limits['provisioned_min_pollers_max'])}",
            replace(at, provisioned_pollers=int(limits["provisioned_min_pollers_max"])),
        ),
        "concurrency of the account": Remedy(
            "the quota of concurrent executions raised to 10,000", replace(at, account_concurrency=10_000)
        ),
        "PutEvents": Remedy("the quota of PutEvents raised to 20,000 a second", replace(at, put_events=20_000)),
        "invocations of rules": Remedy(
            "the quota of invocations raised to 40,000 a second", replace(at, rule_invocations=40_000)
        ),
    }
    if limit.startswith("warm write units"):
        quota = int(at.quota_write_units or limits["table_quota_write_units"])
        return Remedy(f"`WarmThroughput` of the tables: {quota:,} write units", replace(at, warm_write_units=quota))
    if limit.startswith("quota of a table"):
        return Remedy(
            "the quota of a table raised to 100,000 write units",
            replace(at, quota_write_units=100_000, warm_write_units=100_000),
        )
    change = found.get(limit)
    return None if change is None or change.changed == at else change


class Rung(NamedTuple):
    """One step of the ladder: what was changed before it, and what then happened."""

    change: str
    outcome: Outcome


def ladder(need: Need, limits: Limits, per_s: int, seconds: int) -> list[Rung]:
    """From the packaged deployment on, each step moves the limit that bound first, until none binds."""
    at, change, rungs = Deployment(), "as packaged", list[Rung]()
    while True:
        rungs.append(Rung(change, play(need, at, limits, per_s, seconds)))
        binding = rungs[-1].outcome.binding
        step = None if binding is None else remedy(binding, at, limits)
        if step is None:
            return rungs
        change, at = step


def values(listed: Mapping[str, Any]) -> Limits:
    """The numbers of a file of limits."""
    return {name: float(entry["value"]) for name, entry in listed["limits"].items()}
