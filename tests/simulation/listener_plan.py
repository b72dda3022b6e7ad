"""What happens in a world of listeners, drawn from its seed: the sources, their messages, what goes wrong."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.simulation.faults import CALL_KINDS, SINGLE_CALL_KINDS, UNANSWERED, Fault
from tests.simulation.faults import draw as draw_faults

START_MS = 1_795_252_800_000
SECOND = 1000

WORLD_KINDS = {"crash": 5, "outage": 1, "storm": 2, "source_away": 3, "pause": 2, "stop": 2}
WEIGHTS = SINGLE_CALL_KINDS | WORLD_KINDS
KINDS = tuple(WEIGHTS)
# What a message is, and how often. Each but the last two are decided at once.
SORTS = {"event": 12, "filtered": 4, "plain": 4, "again": 3, "poison": 2, "unjudged": 1, "faulty": 1}
# Those between an execution and its acknowledgement strike most.
METHODS = (None, "settle", "settle", "insert", "insert", "send", "note", "send_dead", "receive", "save_listening")
POINTS = (
    *(f"listen: settled {sort}" for sort in SORTS if sort != "again"),
    "listen: event sent again",
    "listen: message comes again",
    "listen: message comes twice",
    "listen: out of order",
    "listen: reader taken over",
    "listen: reader pushed out",
    "listen: settled and not answered",
    "listen: paused",
)


@dataclass(frozen=True, slots=True)
class ListenerPlan:
    """A seed's plan. ``shows_at_once``: a queue shows what a dead reader had in hand at once, and not after a while."""

    seed: int
    mood: str
    active_ms: int
    instances: int
    pace_ms: int
    shows_at_once: bool
    faults: tuple[Fault, ...]

    @property
    def end_ms(self) -> int:
        return START_MS + self.active_ms


def draw(seed: int) -> ListenerPlan:
    """The plan of a seed."""
    r = random.Random(f"listeners/{seed}")
    mood = r.choices(("calm", "rough"), (1, 6))[0]
    active_ms = r.choice((8, 16)) * SECOND
    return ListenerPlan(
        seed=seed,
        mood=mood,
        active_ms=active_ms,
        instances=r.choice((1, 2, 3)),
        pace_ms=r.choice((600, 1_500, 3_000)),
        shows_at_once=r.random() < 0.4,
        faults=()
        if mood == "calm"
        else draw_faults(r, WEIGHTS, (2, 5, 10, 16), lambda *named: _fault(r, *named, active_ms)),
    )


def _fault(r: random.Random, number: int, kind: str, active_ms: int) -> Fault:
    amount_ms = r.choice((150, 900, 3_000)) if kind.startswith("stall") else r.choice((1, 3, 8)) * SECOND
    skip = int(r.expovariate(0.5)) if kind in CALL_KINDS else 0
    method = r.choice(METHODS[1:] if kind in UNANSWERED else METHODS)
    if kind in UNANSWERED and method == "receive":
        method = "settle"
    return Fault(number, kind, START_MS + r.randrange(active_ms), amount_ms, skip, method, r.randrange(8))
