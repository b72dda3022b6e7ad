"""What happens in a world of ticks, drawn from its seed: which streams run, who switches them, what goes wrong."""

from __future__ import annotations

import random
from dataclasses import dataclass

from chalicelib.core.ticks.frequencies import FREQUENCIES, Frequency
from tests.simulation.faults import BATCHES, CALL_KINDS, UNANSWERED, Fault
from tests.simulation.faults import draw as draw_faults
from tests.simulation.scenario import MOMENTS

SECOND = 1000
MINUTE = 60 * SECOND

WORLD_KINDS = {
    "crash": 3,
    "outage": 2,
    "no_rule": 2,
    "storm": 2,
    "clock_forward": 2,
    "clock_backward": 3,
    "message_late": 2,
    "message_double": 2,
    "message_returns": 2,
    "bus_away": 2,  # nothing is taken for a while
    "bus_unsure": 2,  # some are taken, and the answer says that they were not
}
WEIGHTS = CALL_KINDS | WORLD_KINDS
KINDS = tuple(WEIGHTS)
METHODS = (None, "ticks_load", "ticks_save", "ticks_save", "ticks_save", "send", "send", "dispatch", "prepare")
WRITES = ("ticks_save", "send")
POINTS = (
    "tick: caught up",
    "tick: dead letter",
    "tick: dropped by a follower",
    "tick: gap",
    "tick: history",
    "tick: page",
    "tick: published twice",
    "tick: resumed",
    "tick: silent behind the cursor",
    "tick: taken back",
    "race: ticks_save lost",
)

STREAMS: tuple[tuple[Frequency, ...], ...] = (
    ("second",),
    ("second", "minute"),
    ("second", "minute"),
    ("minute", "hour", "day"),
    FREQUENCIES,
    (),
)


@dataclass(frozen=True, slots=True)
class TickOp:
    """An admin starts or stops a stream at ``at_ms``."""

    number: int
    at_ms: int
    frequency: Frequency
    enabled: bool

    def __str__(self) -> str:
        return f"op {self.number}: {'enable' if self.enabled else 'disable'} {self.frequency}"


@dataclass(frozen=True, slots=True)
class TickPlan:
    """A seed's plan. Moods: ``calm`` (nothing goes wrong), ``rough``, ``long`` (rough, and long enough that the past
    moves to pages). ``proven``: instances hear from others what time it is. ``stream``: the one that is read."""

    seed: int
    mood: str
    start_ms: int
    active_ms: int
    zone: str
    streams: tuple[Frequency, ...]
    stream: Frequency
    catch_up: int
    instances: int
    proven: bool
    slow_follower: bool
    visibility_ms: int
    ops: tuple[TickOp, ...]
    faults: tuple[Fault, ...]

    @property
    def end_ms(self) -> int:
        return self.start_ms + self.active_ms


def draw(seed: int) -> TickPlan:
    """The plan of a seed."""
    r = random.Random(f"ticks/{seed}")
    mood = r.choices(("calm", "rough", "long"), (2, 15, 2))[0]
    active_s = r.choice((840, 1_900)) if mood == "long" else r.choice((70, 130, 200, 330))
    moment, zone, _ = r.choice(MOMENTS)
    start_ms = moment - r.randrange(active_s * SECOND)
    end_ms = start_ms + active_s * SECOND
    streams = ("second",) if mood == "long" else r.choice(STREAMS)
    wanted = r.choice((0, 0, 0, 1, 2, 4)) if streams else 3
    ops = [_op(r, number, start_ms, end_ms, streams) for number in range(wanted)]
    ops += _switches(seed, len(ops), start_ms, end_ms, streams)
    return TickPlan(
        seed=seed,
        mood=mood,
        start_ms=start_ms,
        active_ms=active_s * SECOND,
        zone=zone,
        streams=streams,
        stream=r.choice(streams or ("second",)),
        catch_up=r.choice((0, 1, 5, 60, 60)),
        instances=r.choice((2, 3)),
        proven=r.random() < 0.2,
        slow_follower=r.random() < 0.3,
        visibility_ms=r.choice((40, 90, 180)) * SECOND,
        ops=tuple(ops),
        faults=()
        if mood == "calm"
        else draw_faults(r, WEIGHTS, (1, 2, 3, 5, 8), lambda *named: _fault(r, *named, start_ms, end_ms), 0.3),
    )


def _op(r: random.Random, number: int, start_ms: int, end_ms: int, streams: tuple[Frequency, ...]) -> TickOp:
    frequency = r.choice(streams or ("second", "second", "minute"))
    return TickOp(number, r.randrange(start_ms, end_ms), frequency, r.random() < (0.5 if streams else 0.8))


def _switches(seed: int, first: int, start_ms: int, end_ms: int, streams: tuple[Frequency, ...]) -> list[TickOp]:
    """In some worlds a stream is stopped and started again in one go, or nearly so."""
    r = random.Random(f"ticks/switches/{seed}")
    ops = list[TickOp]()
    for _ in range(r.choice((0, 0, 0, 1, 2, 4)) if streams else 0):
        frequency, at_ms = r.choice(streams), r.randrange(start_ms, end_ms)
        ops.append(TickOp(first + len(ops), at_ms, frequency, False))
        ops.append(TickOp(first + len(ops), at_ms + r.choice((1, 20, 400, 1_500, 5_000, 40_000)), frequency, True))
    return ops


def _fault(r: random.Random, number: int, kind: str, start_ms: int, end_ms: int) -> Fault:
    at_ms = r.randrange(start_ms, end_ms)
    method = r.choice(METHODS)
    if kind in ("partial", "crash_partial"):
        method = "send"
    elif kind in UNANSWERED:
        method = r.choice(WRITES)
    elif kind == "throttle" and method in ("dispatch", "prepare"):
        method = "ticks_load"
    skip = int(r.expovariate(0.5)) if kind in CALL_KINDS else 0
    return Fault(number, kind, at_ms, _amount_ms(r, kind), skip, method, r.randrange(8))


def _amount_ms(r: random.Random, kind: str) -> int:
    if kind.startswith("stall"):
        return r.choice((150, 900, 3_000, 11_000, 21_000, 50_000))
    if kind.startswith("clock"):
        return r.choice((500, 5_000, 30_000, 90_000, 90_000, 200_000, 400_000))
    if kind in ("outage", "no_rule"):
        return r.choice((20, 70, 130, 200, 320, 600)) * SECOND
    if kind == "bus_away":
        return r.choice((3, 20, 90, 700)) * SECOND
    return r.choice((1, 2, 5, 20, 60, 150)) * SECOND


assert set(BATCHES) >= {"send"}
