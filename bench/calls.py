"""``calls``: how many AWS calls and DynamoDB units does a firing take, and where do they come from?

The real use cases, workers and adapters run in this process against the emulator, in virtual time. So an hourly
schedule's day takes seconds. A proxy counts what passes. Lambda makes receives and deletes on a function's behalf.
The bench enters them as Lambda makes them: one of each for at most ten messages.

Each kind of schedule is alone in its deployment: the worst case, since a fleet shares calls (batches of writes, of
events, of messages). One-shots are measured as a herd too, of one instant. What a deployment does each minute, with
or without schedules, is measured apart.
"""

from __future__ import annotations

import math
from argparse import Namespace
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.arrivals import Receiver
from bench.billing import billed, sqs_requests
from bench.counting_proxy import Ledger
from bench.report import Report, Target, table
from bench.virtual import MINUTE_MS, World, deployment, next_minute
from chalicelib.core.instants import to_rfc3339
from chalicelib.core.security.caller import ANONYMOUS_ADMIN

HOUR_MS = 3_600_000
IDLE_RECEIVES_PER_MINUTE = 15  # Lambda polls an idle queue with five long polls of 20 s
WARM_MINUTES = 3
STEADY_MINUTES = 10
COUNTED_MINUTES = 10  # around each full hour
HERD, HERD_SIZE, HERD_MINUTES = "at once", 60, 3  # one-shots of one instant, which share calls
SHARED_BY = 1000  # firings a minute over which "amortised" spreads what the deployment does each minute

Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Measured:
    """One kind of schedule: what its firings caused, over ``minutes`` of virtual time in which the rules ran."""

    kind: str
    firings: int
    minutes: int
    spent: Ledger
    creating: Ledger
    created: int
    stored: Counter[str] = field(
        default_factory=Counter
    )  # bytes: of schedules by its creation, of executions by firing


def run(options: Namespace) -> Report:
    """All kinds, each alone."""
    minutes = max(2, min(STEADY_MINUTES, options.count or STEADY_MINUTES))
    report = Report("calls", {"steady_minutes": minutes, "shared_by_firings_per_minute": SHARED_BY})
    with Receiver() as receiver, deployment() as world:
        world.run_until(next_minute(world.clock.now_ms()) + 2 * MINUTE_MS)  # every cursor exists, every client is made
        before = world.proxy.ledger.copy()
        world.run_until(world.clock.now_ms() + minutes * MINUTE_MS)
        idle = world.proxy.ledger.since(before)
        webhook = {"type": "webhook", "url": receiver.url, "method": "POST", "timeout_ms": 30_000}
        rate = {"type": "RATE", "expr": "rate:1s"}
        found = [
            _steady(world, "rate:1s → eventbridge", rate, minutes),
            _steady(world, "rate:1s → webhook", {**rate, "target": webhook}, minutes),
            _hourly(world, "hourly cron → eventbridge", {}),
            _hourly(world, "hourly cron → webhook", {"target": webhook}),
            _once(world, "AT → eventbridge", 1, minutes),
            _once(world, f"AT → eventbridge, {HERD_SIZE} {HERD}", HERD_SIZE, HERD_MINUTES),
            _steady(world, "DELAY of 5 s → eventbridge", {"type": "DELAY", "expr": "delay:5s"}, minutes),
        ]
    _fill(report, idle, minutes, found)
    return report


def _steady(world: World, kind: str, fields: Mapping[str, Any], minutes: int) -> Measured:
    """A frequent schedule, after the first minutes, which live on what its creation queued."""
    before, held = world.proxy.ledger.copy(), world.proxy.stored_bytes()
    schedule_id = world.create(fields)
    creating, stored = world.proxy.ledger.since(before), world.proxy.stored_bytes() - held
    world.run_until(next_minute(world.clock.now_ms()) + WARM_MINUTES * MINUTE_MS)
    begun_ms, before, held = world.clock.now_ms(), world.proxy.ledger.copy(), world.proxy.stored_bytes()
    world.run_until(begun_ms + minutes * MINUTE_MS)
    spent, ended_ms = world.proxy.ledger.since(before), world.clock.now_ms()
    stored["executions"] = world.proxy.stored_bytes()["executions"] - held["executions"]
    firings = _completed(world, schedule_id, begun_ms, ended_ms - 1)
    _put_away(world, schedule_id)
    return Measured(kind, firings, minutes, spent, creating, 1, stored)


def _hourly(world: World, kind: str, fields: Mapping[str, Any]) -> Measured:
    """Three hours of an hourly schedule that has fired before: its first claim costs more, once. Only the minutes
    around each firing run, the rest is jumped over."""
    world.clock.sleep_until(world.clock.now_ms() // HOUR_MS * HOUR_MS + HOUR_MS + 10 * MINUTE_MS)
    before, held = world.proxy.ledger.copy(), world.proxy.stored_bytes()
    schedule_id = world.create({"type": "CRON", "expr": "0 * * * *", **fields})
    creating, stored = world.proxy.ledger.since(before), world.proxy.stored_bytes() - held
    _around_the_hour(world)
    held, begun_ms = world.proxy.stored_bytes(), world.clock.now_ms()
    spent, hours = Ledger(), 3
    for _ in range(hours):
        spent = spent.plus(_around_the_hour(world))
    minutes = hours * COUNTED_MINUTES
    stored["executions"] = world.proxy.stored_bytes()["executions"] - held["executions"]
    firings = _completed(world, schedule_id, begun_ms, world.clock.now_ms())
    _put_away(world, schedule_id)
    return Measured(kind, firings, minutes, spent, creating, 1, stored)


def _around_the_hour(world: World) -> Ledger:
    """Run the minutes before and after the next full hour, and some before these: what comes after a jump in time, and
    what comes every five minutes, is then no more than in any ten minutes at rest."""
    hour_ms = world.clock.now_ms() // HOUR_MS * HOUR_MS + HOUR_MS
    world.clock.sleep_until(hour_ms - 2 * COUNTED_MINUTES * MINUTE_MS + 1)
    world.run_until(hour_ms - COUNTED_MINUTES // 2 * MINUTE_MS)
    before = world.proxy.ledger.copy()
    world.run_until(hour_ms + COUNTED_MINUTES // 2 * MINUTE_MS)
    return world.proxy.ledger.since(before)


def _once(world: World, kind: str, each_minute: int, minutes: int) -> Measured:
    """So many AT at one instant of each minute, each beyond the horizon when it is made, and made by a call of its
    own."""
    before, held = world.proxy.ledger.copy(), world.proxy.stored_bytes()
    first_ms = next_minute(world.clock.now_ms()) + WARM_MINUTES * MINUTE_MS + 12_345
    instants = [first_ms + n * MINUTE_MS for n in range(minutes) for _ in range(each_minute)]
    ids = [world.create({"type": "AT", "expr": f"at:{to_rfc3339(at_ms)}"}) for at_ms in instants]
    creating, stored = world.proxy.ledger.since(before), world.proxy.stored_bytes() - held
    before, begun_ms = world.proxy.ledger.copy(), next_minute(world.clock.now_ms())
    world.clock.sleep_until(begun_ms)
    ran = minutes + 2 * WARM_MINUTES
    world.run_until(begun_ms + ran * MINUTE_MS)
    spent = world.proxy.ledger.since(before)
    stored["executions"] = world.proxy.stored_bytes()["executions"] - held["executions"]
    firings = sum(_completed(world, i, begun_ms, world.clock.now_ms()) for i in ids)
    for schedule_id in ids:
        world.delete(schedule_id)
    world.forget()
    return Measured(kind, firings, ran, spent, creating, len(ids), stored)


def _put_away(world: World, schedule_id: str) -> None:
    """Delete it, and let pass what it left on the queue and what reconcile still looks at."""
    world.delete(schedule_id)
    world.run_until(next_minute(world.clock.now_ms()) + WARM_MINUTES * MINUTE_MS)
    world.forget()


def _completed(world: World, schedule_id: str, from_ms: int, to_ms: int) -> int:
    """Firings in the range that were completed at the first attempt; anything else would not be what was counted."""
    world.proxy.phase = "judge"
    found, after = [], None
    while True:
        page, after = world.services.stores.executions.of_schedule(
            _key(schedule_id), from_ms, to_ms, 100, after, newest_first=False
        )
        found += page
        if after is None:
            break
    wrong = [e for e in found if e.state != "completed" or e.attempt != 1]
    if wrong:
        raise RuntimeError(f"{len(wrong)} of {len(found)} firings were not delivered at once: {wrong[0].state}")
    return len(found)


def _key(schedule_id: str) -> Any:
    from chalicelib.core.schedules.schedule import Key as ScheduleKey

    return ScheduleKey(ANONYMOUS_ADMIN.tenant, schedule_id)


def _fill(report: Report, idle: Ledger, minutes: int, found: list[Measured]) -> None:
    fixed = {
        "calls": idle.calls.total() / minutes + IDLE_RECEIVES_PER_MINUTE,
        "write_units": idle.writes.total() / minutes,
        "read_units": idle.read_halves.total() / 2 / minutes,
    }
    report.results["each_minute_without_schedules"] = {
        **{name: round(value, 2) for name, value in fixed.items()},
        "billed": billed(idle, minutes) | {"sqs_requests": IDLE_RECEIVES_PER_MINUTE + sqs_requests(idle) / minutes},
    }
    rows: list[list[object]] = []
    for m in found:
        own = _own(m, idle, minutes)
        each = {
            "calls": own.calls.total() / m.firings,
            "write_units": own.writes.total() / m.firings,
            "read_units": own.read_halves.total() / 2 / m.firings,
        }
        amortised = {name: each[name] + fixed[name] / SHARED_BY for name in each}
        alone = {name: each[name] + fixed[name] * m.minutes / m.firings for name in each}
        report.results[m.kind] = {
            "firings": m.firings,
            "each": _rounded(each),
            "amortised": _rounded(amortised),
            "alone_in_its_deployment": None if m.kind.startswith("hourly") else _rounded(alone),
            "creating_calls": round(m.creating.calls.total() / m.created, 2),
            "creating_write_units": round(m.creating.writes.total() / m.created, 2),
            "billed": billed(own, m.firings),
            "billed_creating": billed(m.creating, m.created),
            "stored_bytes": {
                "schedule": round(sum(n for where, n in m.stored.items() if where != "executions") / m.created),
                "execution": round(m.stored["executions"] / m.firings),
            },
            "from": _origins(own, m.firings),
        }
        rows.append(
            [m.kind, m.firings, *(round(amortised[n], 2) for n in amortised), m.creating.writes.total() / m.created]
        )
        report.tables.append(_origin_table(m.kind, own, m.firings))
        _promise(report, m, amortised)
    columns = ["a firing, amortised", "firings", "AWS calls", "write units", "read units", "write units to create"]
    report.tables.insert(0, table(columns, rows))
    report.notes += [
        f"each minute, with or without schedules: {fixed['calls']:.0f} calls, {fixed['write_units']:.0f} write units, "
        f"{fixed['read_units']:.0f} read units; amortised spreads them over {SHARED_BY} firings a minute",
        "units are computed from item sizes and index rules: the emulator does not itemise indexes",
    ]


def _promise(report: Report, m: Measured, amortised: Mapping[str, float]) -> None:
    """What a kind of schedule is to cost at most. One that fires once is charged for its creation too."""
    kind, units, calls = m.kind, round(amortised["write_units"], 2), round(amortised["calls"], 2)
    creating = m.creating.writes.total() / m.created, m.creating.calls.total() / m.created
    report.targets.append(Target(f"{kind}: write units to create", 6.0, creating[0]))
    if kind.startswith("AT"):
        report.targets.append(Target(f"{kind}: write units, created and fired", 10.0, round(units + creating[0], 2)))
        report.targets.append(Target(f"{kind}: AWS calls, created and fired", 8.0, round(calls + creating[1], 2)))
        return
    most = {"rate:1s": 2.2, "hourly cron": 5.0, "DELAY of 5 s": 4.0}
    report.targets.append(Target(f"{kind}: write units a firing", most[kind.split(" →")[0]], units))
    if kind.startswith("rate:1s"):
        report.targets.append(Target(f"{kind}: AWS calls a firing", 2.5, calls))


def _rounded(numbers: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in numbers.items()}


def _own(m: Measured, idle: Ledger, minutes: int) -> Ledger:
    """What ``m`` spent beyond what an idle deployment spends in as many minutes, place by place."""

    def beyond(spent: Counter[Key], fixed: Counter[Key]) -> Counter[Key]:
        rest = {key: spent[key] - fixed[key] * m.minutes / minutes for key in spent.keys() | fixed.keys()}
        return Counter({key: value for key, value in rest.items() if not math.isclose(value, 0, abs_tol=1e-9)})

    pairs = zip(m.spent.counters(), idle.counters(), strict=True)
    return Ledger(*(beyond(spent, fixed) for spent, fixed in pairs))


def _origins(own: Ledger, firings: int) -> dict[str, dict[str, float]]:
    """Per firing, by phase, operation and place."""
    found: dict[str, dict[str, float]] = {}
    for name, counter, scale in (
        ("calls", own.calls, 1),
        ("write_units", own.writes, 1),
        ("read_units", own.read_halves, 2),
    ):
        for key, value in sorted(counter.items()):
            found.setdefault(" ".join(key), {})[name] = round(value / scale / firings, 3)
    return found


def _origin_table(kind: str, own: Ledger, firings: int) -> str:
    rows: list[list[object]] = [
        [where, numbers.get("calls"), numbers.get("write_units"), numbers.get("read_units")]
        for where, numbers in sorted(_origins(own, firings).items())
    ]
    return table([f"{kind}: where from, a firing", "calls", "write units", "read units"], rows)
