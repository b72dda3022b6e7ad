"""What happens in a world, drawn from its seed: when it plays, which schedules, what clients do, what goes wrong.

Everything is drawn before the world begins and numbered, so that the shrinker can leave out any part of it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from chalicelib.core.instants import to_rfc3339
from chalicelib.core.policies.limits import CATCH_UP_PER_MINUTE
from chalicelib.core.schedules.schedule import Monitor, RetryPolicy
from chalicelib.process.admission import Caps
from chalicelib.process.limits import SHARED_INSTANTS
from tests.simulation import faults as faults_module
from tests.simulation.faults import Fault

SECOND = 1000
MINUTE = 60 * SECOND


@dataclass(frozen=True, slots=True)
class PlannedSchedule:
    """A schedule that a client creates at ``at_ms`` with these fields."""

    number: int
    at_ms: int
    id: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PlannedOp:
    """Something a client does; ``draw`` in [0, 1) decides what is only known then (which execution)."""

    number: int
    at_ms: int
    kind: str
    schedule: PlannedSchedule
    fields: Mapping[str, Any]
    draw: float

    def __str__(self) -> str:
        return f"op {self.number}: {self.kind} …{self.schedule.id[-4:]} {dict(self.fields) or ''}".rstrip()


@dataclass(frozen=True, slots=True)
class Scenario:
    """A seed's plan. ``calm``: nothing goes wrong but what targets do, so firings must be on time."""

    seed: int
    start_ms: int
    active_ms: int
    calm: bool
    theme: str | None
    shards: int
    horizon_ms: int
    max_drift_ms: int
    instances: int
    visibility_ms: int
    schedules: tuple[PlannedSchedule, ...]
    ops: tuple[PlannedOp, ...]
    faults: tuple[Fault, ...]
    caps: Caps
    catch_up_per_minute: int
    crowds: tuple[tuple[int, int], ...]

    @property
    def end_ms(self) -> int:
        return self.start_ms + self.active_ms


# Operations that go together: kinds, each soon after the one before, on one schedule. Their faults:
# ``faults.THEME_KINDS``.
THEMES: dict[str, tuple[tuple[str, ...], ...]] = {
    "stall": (("trigger", "cancel"), ("retry", "retry")),
    "race": (
        *(("recast", "recast"),) * 4,
        *(("edit", "pause"), ("resume", "edit"), ("pause", "delete"), ("edit", "trigger")),
    ),
    "flip": (
        *(("pause", "resume"), ("edit", "back"), ("edit", "back"), ("pause", "trigger", "resume")),
        *(("pause", "trigger", "burst"), ("pause", "trigger", "burst"), ("pause", "burst")),
    ),
    "double": (("cancel", "trigger"), ("cancel", "retry"), ("delete", "cancel"), ("retry", "cancel")),
    "again": (("cancel", "cancel"), ("cancel", "retry")),
    "brink": (("trigger",), ("edit",)),
    "regret": (("pause", "resume", "pause"), ("pause", "resume") * 3),
    "stale": (("touch", "touch"), ("touch", "touch", "touch")),
    "chain": (("recast",), ("recast", "recast"), ("touch",), ("cancel",)),
    "eve": (("pause", "resume"), ("pause", "resume"), ("touch",)),
}

PATIENT = ("regret", "stale", "chain", "eve")  # themes whose operations come seconds apart, and often

EVE_PERIOD_MS = 3 * SECOND
EVE_MS = 60  # so soon before an instant a schedule is changed: its firing is rechecked just then

DRIFTS = {"stall": (20, 3_000, 3_000, 3_000), "brink": (20,)}  # themes that need clocks far apart, or close together


def _at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


# Moments near which a world may begin, and the zone in which they matter.
MOMENTS = (
    (_at("2026-11-21T09:00:00"), "UTC", ""),
    (_at("2027-03-28T01:00:00"), "Europe/Berlin", "gap at 02:00"),
    (_at("2026-10-25T01:00:00"), "Europe/Berlin", "second 02:00"),
    (_at("2026-11-01T06:00:00"), "America/New_York", "second 01:00"),
    (_at("2027-03-14T07:00:00"), "America/New_York", "gap at 02:00"),
    (_at("2027-04-03T15:00:00"), "Australia/Lord_Howe", "half an hour back"),
    (_at("2038-01-19T03:14:07"), "UTC", "32 bits of seconds end"),
    (_at("2028-02-29T00:00:00"), "UTC", "leap day"),
    (_at("2027-01-01T00:00:00"), "Asia/Kolkata", "new year"),
)

TYPES = ("RATE", "RATE", "RATE", "RATE", "CRON", "CRON", "ISO8601", "ISO8601", "AT", "DELAY", "DELAY", "DELAY", "RRULE")
TEMPERS = ("good", "good", "good", "good", "slow", "flaky", "broken", "mute", "async", "gone", "mixed", "mixed")
BUS_TEMPERS = ("good", "good", "good", "flaky", "broken")
OPS = {
    "edit": 6,
    "pause": 3,
    "resume": 4,
    "delete": 1,
    "trigger": 3,
    "retry": 3,
    "cancel": 3,
    "backfill": 1,
    "burst": 1,  # more edits than the state keeps versions of
    "report": 1,  # completes or fails an execution that nobody accepted
}


CROWDS = (*[SHARED_INSTANTS] * 6, ((2, 20),), ((1, 20),))  # worlds are small: two in a second are many
CATCH_UP_PACES = (CATCH_UP_PER_MINUTE, 10)  # with the slow one, slots lie beyond windows of seconds


def draw(seed: int) -> Scenario:
    """The scenario of a seed."""
    r = random.Random(f"plan/{seed}")
    moment, zone, _ = r.choice(MOMENTS) if r.random() < 0.6 else MOMENTS[0]
    active_ms = r.choice((150, 200, 300, 420)) * SECOND
    start_ms = moment - r.randrange(active_ms) + r.randrange(SECOND)
    calm = r.random() < 0.15
    count = r.choice((1, 1, 1, 2, 2, 3))
    schedules = tuple(_schedule(r, seed, n, start_ms, active_ms, moment, zone) for n in range(count))
    theme = r.choices((None, *THEMES), (7, 3, 2, 1, 1, 1, 2, 3, 1, 2, 2))[0]
    schedules = tuple(_suited(r, theme, s) for s in schedules)
    planned_faults = [] if calm else faults_module.plan(r, start_ms + 2 * SECOND, start_ms + active_ms, theme)
    ops_count = r.choice((0, 1, 2, 3, 4, 6, 8))
    ops = [_op(r, n, schedules, start_ms, active_ms, moment, zone) for n in range(ops_count)]
    if theme is not None:
        ops += _theme_ops(r, len(ops), theme, schedules, start_ms, active_ms, moment, zone)
    return Scenario(
        seed=seed,
        start_ms=start_ms,
        active_ms=active_ms,
        calm=calm,
        theme=theme,
        shards=r.choice((1, 1, 2, 3)),
        horizon_ms=r.choice((120, 120, 120, 180)) * SECOND,
        max_drift_ms=r.choice(DRIFTS.get(theme or "", (20, 20, 20, 400, 3_000))),
        instances=r.choice((2, 2, 3)),
        visibility_ms=180 * SECOND if calm else _visibility_ms(r, theme),
        schedules=schedules,
        ops=(*ops, *_queue_ops(seed, len(ops), schedules, start_ms, active_ms)),
        faults=tuple(planned_faults),
        caps=_caps(seed),
        catch_up_per_minute=random.Random(f"pace/{seed}").choice(CATCH_UP_PACES),
        crowds=random.Random(f"crowd/{seed}").choice(CROWDS),
    )


def _queue_ops(
    seed: int, number: int, schedules: tuple[PlannedSchedule, ...], start_ms: int, active_ms: int
) -> Sequence[PlannedOp]:
    """The queue is paused and resumed, in one world of eight; drawn apart, so that nothing else of a plan changes."""
    r = random.Random(f"queue/{seed}")
    eve = schedules[0].fields.get("expr") == f"rate:{EVE_PERIOD_MS // SECOND}s"
    if r.random() < (0.5 if eve else 0.875):
        return ()
    ops: list[PlannedOp] = []
    for _ in range(r.choice((4, 6, 8) if eve else (1, 1, 2, 3))):
        at_ms = r.randrange(start_ms + 5 * SECOND, start_ms + active_ms)
        if eve:  # right before an instant: its recheck may have been made before the pause
            at_ms += -(at_ms - schedules[0].at_ms) % EVE_PERIOD_MS - r.randrange(EVE_MS)
        for kind in ("queue_pause", "queue_resume"):
            ops.append(PlannedOp(number + len(ops), at_ms, kind, schedules[0], {}, r.random()))
            at_ms += r.choice((100, 2_000, 8_000, 30_000, 70_000))
    return ops


def _caps(seed: int) -> Caps:
    """Limits of each instance, in one world of four; drawn apart, so that they change nothing else of a plan."""
    r = random.Random(f"caps/{seed}")
    if r.random() < 0.75:
        return Caps()
    return Caps(
        owner_in_flight=r.choice((None, None, 1, 2, 3)),
        target_in_flight=r.choice((None, 1, 1, 2)),
        owner_rate=r.choice((None, None, 1, 5)),
        target_rate=r.choice((None, None, 1, 3)),
        sending=r.choice((1, 3)),
    )


def _schedule(
    r: random.Random, seed: int, number: int, start_ms: int, active_ms: int, moment: int, zone: str
) -> PlannedSchedule:
    at_ms = start_ms + r.randrange(500, 60 * SECOND)
    kind = r.choice(TYPES)
    fields: dict[str, Any] = {
        "type": kind,
        "timezone": zone,
        **_when(r, kind, at_ms, start_ms + active_ms, moment, zone),
    }
    fields["target"] = _target(r)
    fields["timeout_ms"] = r.choice((3, 5, 12, 30)) * SECOND
    fields["retry_policy"] = RetryPolicy(
        max_attempts=r.choice((1, 2, 3)),
        backoff=r.choice(("exponential", "fixed")),
        base_ms=r.choice((200, 1000, 6000)),
    )
    if r.random() < 0.5:
        fields["catch_up_window_ms"] = r.choice((0, 0, 5_000, 20_000, 600_000))
    if r.random() < 0.15:
        fields["jitter_ms"] = r.choice((500, 4_000, 15_000))
    if r.random() < 0.2:
        fields["overlap"] = r.choice(("forbid", "replace", "queue", "queue"))
    if r.random() < 0.3:
        fields["pause_after_failures"] = r.choice((1, 2, 2, 3))
    if r.random() < 0.25:
        fields["monitor"] = Monitor(r.choice((60, 60, 75, 120)) * SECOND)
    if r.random() < 0.05:
        fields["enabled"] = False
    if r.random() < 0.3:
        fields["name"] = r.choice(("a", "b"))
    fields["owner"] = random.Random(f"owner/{seed}/{number}").choice(("ann", "bee"))
    return PlannedSchedule(number, at_ms, f"01SIM{seed:013d}{number:08d}", fields)


def _suited(r: random.Random, theme: str | None, schedule: PlannedSchedule) -> PlannedSchedule:
    """A schedule in which what a theme is about has time to happen."""
    suited: dict[str, Any]
    if theme == "again":  # a run is only open between its claim and its instant: cancelled then, claimed again then
        suited = {"expr": "rate:5s", "max_runs": 24, "target": {"type": "eventbridge", "bus": "good"}}
    elif theme == "brink":  # several instants to a message, some beyond their window and the last one just within
        suited = {"expr": "rate:3s", "max_runs": 16, "catch_up_window_ms": r.choice((3_000, 8_000, 20_000))}
    elif theme == "regret":  # claimed, taken out and put back, before the instant or long after it
        suited = {"expr": "rate:3s", "max_runs": 48, "catch_up_window_ms": r.choice((0, 20_000, 600_000))}
    elif theme == "stale":  # claimed under one version, and taken out under the next while its worker stands still
        suited = {"expr": "rate:3s", "max_runs": 24, "overlap": "forbid", "target": _webhook("slow")}
    elif theme == "stall":  # claimed, and its worker stands still until its lease ends
        suited = {"expr": "rate:7s", "max_runs": 24, "catch_up_window_ms": r.choice((0, 5_000, 600_000))}
    elif theme == "chain":  # a run is replaced while it is claimed or in progress, or its worker dies before the next
        suited = {"type": "DELAY", "expr": "delay:3s", "max_runs": 48, "timeout_ms": 12 * SECOND}
        suited["target"] = _webhook(r.choice(("good", "slow", "mute")))
    elif theme == "eve":  # changed right before its instants, which are known by its start
        suited = {"expr": f"rate:{EVE_PERIOD_MS // SECOND}s", "start_at_ms": schedule.at_ms, "max_runs": 200}
    else:
        return schedule
    return replace(schedule, fields={**schedule.fields, "type": "RATE", **suited})


def _target(r: random.Random) -> dict[str, object]:
    if r.random() < 0.3:
        return {"type": "eventbridge", "bus": r.choice(BUS_TEMPERS)}
    return _webhook(r.choice(TEMPERS))


def _webhook(temper: str) -> dict[str, object]:
    return {"type": "webhook", "url": f"https://example.com/{temper}"}


def _when(r: random.Random, kind: str, at_ms: int, end_ms: int, moment: int, zone: str) -> dict[str, Any]:
    """Expression and bounds, so that something fires within the world's few minutes."""
    fields: dict[str, Any] = {"expr": _expr(r, kind, at_ms, end_ms, moment, zone)}
    if kind == "AT":
        return fields
    if r.random() < 0.25 and not fields["expr"].startswith("R"):
        fields["start_at_ms"] = at_ms + r.randrange(-60, 150) * SECOND + r.randrange(SECOND)
    if r.random() < 0.3:
        fields["end_at_ms"] = max(fields.get("start_at_ms", 0), at_ms) + r.randrange(80, 400) * SECOND
    is_dense = fields["expr"] in ("rate:2s", "rate:3s", "delay:3s")
    if r.random() < 0.25 or is_dense:
        fields["max_runs"] = r.choice((8, 12, 16) if is_dense else (1, 2, 3, 5, 8))
    if r.random() < 0.15:
        first = at_ms + r.randrange(20, 150) * SECOND
        fields["exclude"] = ((first, first + r.randrange(5, 90) * SECOND),)
    return fields


def _expr(r: random.Random, kind: str, at_ms: int, end_ms: int, moment: int, zone: str) -> str:
    if kind == "RATE":
        return f"rate:{r.choice((2, 3, 7, 15, 20, 25, 30, 30, 45, 60, 60, 90))}s"
    if kind == "DELAY":
        return f"delay:{r.choice((3, 5, 10, 20, 30, 60, 140))}s"
    if kind == "AT":
        return f"at:{to_rfc3339(r.randrange(at_ms + 5 * SECOND, end_ms + 90 * SECOND))}"
    if kind == "CRON":
        return _cron(r, moment, zone)
    if kind == "RRULE":
        return r.choice(("FREQ=SECONDLY;INTERVAL=20", "FREQ=MINUTELY", "FREQ=MINUTELY;BYSECOND=5,35;COUNT=6"))
    if r.random() < 0.3:
        anchor = to_rfc3339((at_ms + r.randrange(-30, 60) * SECOND) // SECOND * SECOND)
        return f"R{r.choice((2, 4, 7))}/{anchor}/PT{r.choice((20, 45))}S"
    return r.choice(("PT15S", "PT30S", "PT1M", "PT1M20S"))


def _cron(r: random.Random, moment: int, zone: str) -> str:
    draw_ = r.random()
    if draw_ < 0.35:
        return r.choice(("*/20 * * * * *", "10,40 * * * * *", "*/30 * * * * *"))
    if draw_ < 0.6:
        return r.choice(("* * * * *", "*/2 * * * *"))
    if draw_ < 0.8:
        return f"{r.choice((0, 1, 2))} * * * *"
    return f"{r.choice(('*', '*/15', '0', '0-3', '58,59,0,1,2'))} {r.choice(('1', '2', '0-3', '*', '0'))} * * *"


def _op(
    r: random.Random,
    number: int,
    schedules: tuple[PlannedSchedule, ...],
    start_ms: int,
    active_ms: int,
    moment: int,
    zone: str,
) -> PlannedOp:
    schedule = r.choice(schedules)
    at_ms = r.randrange(schedule.at_ms, start_ms + active_ms)
    kind = r.choices(list(OPS), list(OPS.values()))[0]
    fields: dict[str, Any] = {}
    if kind == "edit":
        fields = _edit(r, schedule, at_ms, start_ms + active_ms, moment, zone)
    elif kind == "backfill":
        fields = {"from_ms": at_ms - r.randrange(10, 100) * SECOND, "to_ms": at_ms + r.randrange(-5, 30) * SECOND}
    return PlannedOp(number, at_ms, kind, schedule, fields, r.random())


def _visibility_ms(r: random.Random, theme: str | None) -> int:
    if theme == "stall":
        return r.randrange(20_300, 22_000)  # a message comes again about when the lease of its claim ends
    if theme == "chain":
        return 10 * SECOND  # a message comes again, and is answered, before a run of a target that hangs is over
    return r.choice((20, 30, 60, 180)) * SECOND


def _theme_ops(
    r: random.Random,
    number: int,
    theme: str,
    schedules: tuple[PlannedSchedule, ...],
    start_ms: int,
    active_ms: int,
    moment: int,
    zone: str,
) -> list[PlannedOp]:
    ops: list[PlannedOp] = []
    for _ in range(r.choice((1, 2, 4) if theme not in PATIENT else (6, 9))):
        schedule = r.choice(schedules)
        at_ms = r.randrange(schedule.at_ms, start_ms + active_ms)
        if theme == "eve":
            at_ms += -(at_ms - schedule.at_ms) % EVE_PERIOD_MS - r.randrange(EVE_MS)
        gap_ms = r.choice((0, 3, 10, 400, 5_000, 30_000) if theme not in PATIENT else (400, 1_500, 2_500, 4_000))
        for place, kind in enumerate(r.choice(THEMES[theme])):
            when_ms = at_ms + place * gap_ms
            fields: dict[str, Any] = {}
            if kind == "edit":
                fields = _edit(r, schedule, when_ms, start_ms + active_ms, moment, zone)
            elif kind == "recast":
                fields = _recast(r, schedule, when_ms, start_ms + active_ms, moment, zone)
            elif kind == "back":
                fields = {name: schedule.fields[name] for name in ("type", "expr")}
            elif kind == "touch":
                fields = {"payload": f'"{r.randrange(1000)}"'}
            does = "edit" if kind in ("recast", "back", "touch") else kind
            ops.append(PlannedOp(number + len(ops), when_ms, does, schedule, fields, r.random()))
    return ops


def _recast(
    r: random.Random, schedule: PlannedSchedule, at_ms: int, end_ms: int, moment: int, zone: str
) -> dict[str, Any]:
    """An edit of when it fires."""
    kind = schedule.fields["type"]
    if kind not in ("AT", "DELAY") and r.random() < 0.3:
        kind = r.choice(("RATE", "CRON", "ISO8601"))
    return {"type": kind, "expr": _expr(r, kind, at_ms, end_ms, moment, zone)}


def _edit(
    r: random.Random, schedule: PlannedSchedule, at_ms: int, end_ms: int, moment: int, zone: str
) -> dict[str, Any]:
    kind = schedule.fields["type"]
    draw_ = r.random()
    if draw_ < 0.45:
        return _recast(r, schedule, at_ms, end_ms, moment, zone)
    if draw_ < 0.6:
        return {"payload": f'"{r.randrange(1000)}"'}
    if draw_ < 0.7:
        return {"target": _target(r)}
    if draw_ < 0.74:
        return {"pause_after_failures": r.choice((None, 1, 2, 3))}
    if draw_ < 0.77:
        return {"monitor": r.choice((None, Monitor(60 * SECOND), Monitor(90 * SECOND)))}
    if draw_ < 0.82 and kind != "AT":
        return {"max_runs": r.choice((None, 2, 4, 7))}
    if draw_ < 0.9 and kind != "AT":
        return {"end_at_ms": r.choice((None, end_ms + r.randrange(-60, 60) * SECOND))}
    return {"enabled": r.random() < 0.5}
