"""What happens in a world of leases, drawn from its seed: how many clients, and what goes wrong."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from chalicelib.core.cluster.limits import NODE_HEARTBEAT_MS, NODE_TTL_MS
from tests.simulation.faults import UNANSWERED, Fault

START_MS = 1_795_252_800_000
PLAY_MS = 40_000

CRASHES = ("crash", "crash", "crash_before", "crash_after")
STALLS = ("stall_before", "stall_after")
LAPSES_SHARE = 0.03
KINDS = (
    "throttle",
    "unknown_lost",
    "unknown_done",
    "crash_before",
    "crash_after",
    "stall_before",
    "stall_after",
    "crash",
    "storm",
    "clock_forward",
    "clock_backward",
)
POINTS = (
    "lease: broken",
    "lease: lost answer",
    "lease: lost ring",
    "lease: resource refused",
    "lease: stamp refused",
    "node: takeover judged",
    "node: fenced off",
)


@dataclass(frozen=True, slots=True)
class LeasePlan:
    """A seed's plan. Moods: ``quiet`` (nothing goes wrong: everybody is served, in order), ``deaths`` (processes die
    and nothing else goes wrong: shards change hands in time), ``stalls`` (processes stand still until others take them
    for dead, and go on), ``breaks`` (an admin breaks leases), ``rough``."""

    seed: int
    mood: str
    instances: int
    clients: int
    faults: tuple[Fault, ...]

    @property
    def quiet(self) -> bool:
        return self.mood == "quiet"


def draw(seed: int) -> LeasePlan:
    """The plan of a seed."""
    r = random.Random(f"leases/{seed}")
    mood = r.choice(("quiet", "deaths", "stalls", "breaks", "rough", "rough", "rough", "rough"))
    if mood == "quiet":
        kinds: list[str] = []
    elif mood == "deaths":
        kinds = list(CRASHES)
    elif mood == "stalls":
        kinds = list(STALLS)
    else:
        kinds = r.sample((*KINDS, "crash"), r.choice((1, 2, 3, 4)))
    count = r.choice((2, 5)) if mood == "deaths" else r.choice((2, 5, 10, 20))
    faults = tuple(_fault(r, number, r.choice(kinds)) for number in range(count if kinds else 0))
    plan = LeasePlan(seed, mood, r.choice((2, 3)), r.choice((3, 4, 6)), faults)
    apart = random.Random(f"lapses/{seed}")  # so that all other seeds stay as they were
    return _lapses(apart, plan) if apart.random() < LAPSES_SHARE else plan


def _lapses(r: random.Random, plan: LeasePlan) -> LeasePlan:
    """A node stands still within a beat for longer than others take it to be alive. When they have just seen that it
    is dead, one of these does, before it writes that a shard is its own."""
    faults: list[Fault] = []

    def stall(at_ms: int, amount_ms: int) -> None:
        faults.append(Fault(len(faults), "stall_before", START_MS + at_ms, amount_ms, 0, "lease_save", 0))

    for beat_ms in range(5_000, PLAY_MS, 7_000):  # every node beats at whole seconds
        dead_ms = beat_ms - NODE_HEARTBEAT_MS + NODE_TTL_MS
        stall(beat_ms - 500, dead_ms - beat_ms + r.randrange(300, 1_500))
        stall(dead_ms + r.randrange(10, 25), r.choice((900, 1_500)))
    return replace(plan, mood="stalls", clients=0, faults=tuple(faults))


def _fault(r: random.Random, number: int, kind: str) -> Fault:
    amount_ms = r.choice((30, 150, 900, 3_500, 8_000)) if kind != "storm" else r.choice((500, 3_000))
    if kind.startswith("clock"):
        amount_ms = r.choice((25, 200, 2_000, 30_000))
    method = "lease_save" if kind in UNANSWERED else r.choice((None, "lease_save", "lease_load", "lease_list"))
    skip = int(r.expovariate(0.1))
    return Fault(number, kind, START_MS + r.randrange(PLAY_MS), amount_ms, skip, method, r.randrange(8))
