"""What happens in a world of changes, drawn from its seed: streams and their shards, who reads, what goes wrong."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.simulation.faults import CALL_KINDS, SINGLE_CALL_KINDS, UNANSWERED, Fault
from tests.simulation.faults import draw as draw_faults

START_MS = 1_795_252_800_000
SECOND = 1000

WORLD_KINDS = {"crash": 4, "outage": 1, "storm": 2}
WEIGHTS = SINGLE_CALL_KINDS | WORLD_KINDS
KINDS = tuple(WEIGHTS)
METHODS = (None, "change_head", *("change_append",) * 5, "change_segments")
POINTS = (
    "change: batch again",
    "change: expired",
    "change: page cut",
    "change: read again from a checkpoint",
    "change: shard split",
    "change: two read one shard",
    "race: change_append lost",
)


@dataclass(frozen=True, slots=True)
class ChangePlan:
    """A seed's plan. ``rivals``: now and then another process reads a shard from its beginning. ``retention_ms``: how
    old a cursor may be."""

    seed: int
    mood: str
    active_ms: int
    instances: int
    tenants: int
    streams: int
    pace_ms: int
    split_every_ms: int
    rivals: bool
    retention_ms: int
    readers: int
    faults: tuple[Fault, ...]

    @property
    def end_ms(self) -> int:
        return START_MS + self.active_ms


def draw(seed: int) -> ChangePlan:
    """The plan of a seed."""
    r = random.Random(f"changes/{seed}")
    mood = r.choices(("calm", "rough"), (1, 7))[0]
    active_ms = r.choice((15, 30)) * SECOND
    return ChangePlan(
        seed=seed,
        mood=mood,
        active_ms=active_ms,
        instances=r.choice((1, 2, 3)),
        tenants=r.choice((1, 1, 2, 3)),
        streams=r.choice((1, 2, 3)),
        pace_ms=r.choice((60, 200, 600)),
        split_every_ms=r.choice((4, 9, 60)) * SECOND,
        rivals=r.random() < 0.4,
        retention_ms=r.choice((6, 600, 600)) * SECOND,
        readers=r.choice((1, 2, 3)),
        faults=()
        if mood == "calm"
        else draw_faults(r, WEIGHTS, (2, 4, 8, 12), lambda *named: _fault(r, *named, active_ms)),
    )


def _fault(r: random.Random, number: int, kind: str, active_ms: int) -> Fault:
    method = "change_append" if kind in UNANSWERED else r.choice(METHODS)
    amount_ms = r.choice((150, 900, 3_000, 11_000)) if kind.startswith("stall") else r.choice((1, 3, 8)) * SECOND
    skip = int(r.expovariate(0.5)) if kind in CALL_KINDS else 0
    return Fault(number, kind, START_MS + r.randrange(active_ms), amount_ms, skip, method, r.randrange(8))
