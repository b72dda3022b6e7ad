"""What happens in a world of triggers, drawn from its seed: the rule, the events and their senders, what goes wrong."""

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
RULES = ("plain", "dedupe", "throttle", "debounce", "absence")
METHODS = (None, "save_watch", "save_watch", "insert", "note", "hint", "claim_key", "save_throttle")
POINTS = (
    "trigger: event again",
    "trigger: event comes twice",
    "trigger: hint lost",
    "trigger: hint again",
    "race: save_watch lost",
    "race: save_throttle lost",
    *(f"trigger: {outcome}" for outcome in ("fired", "repeated", "deduplicated", "throttled", "waiting", "ended")),
)


@dataclass(frozen=True, slots=True)
class TriggerPlan:
    """A seed's plan. ``wait_ms`` is the rule's own span; ``keys`` how many keys events have."""

    seed: int
    mood: str
    rule: str
    wait_ms: int
    limit: int
    keys: int
    active_ms: int
    instances: int
    pace_ms: int
    faults: tuple[Fault, ...]

    @property
    def end_ms(self) -> int:
        return START_MS + self.active_ms


def draw(seed: int) -> TriggerPlan:
    """The plan of a seed."""
    r = random.Random(f"triggers/{seed}")
    mood = r.choices(("calm", "rough"), (1, 5))[0]
    active_ms = r.choice((20, 60)) * SECOND
    return TriggerPlan(
        seed=seed,
        mood=mood,
        rule=RULES[seed // 4 % len(RULES)] if seed % 4 == 0 else r.choice(RULES),
        wait_ms=r.choice((500, 2_000, 8_000)),
        limit=r.choice((1, 2, 5)),
        keys=r.choice((1, 2, 4)),
        active_ms=active_ms,
        instances=r.choice((1, 2, 3)),
        pace_ms=r.choice((100, 700, 3_000)),
        faults=()
        if mood == "calm"
        else draw_faults(r, WEIGHTS, (2, 5, 10, 16), lambda *named: _fault(r, *named, active_ms)),
    )


def _fault(r: random.Random, number: int, kind: str, active_ms: int) -> Fault:
    amount_ms = r.choice((150, 900, 3_000)) if kind.startswith("stall") else r.choice((1, 3, 8)) * SECOND
    skip = int(r.expovariate(0.5)) if kind in CALL_KINDS else 0
    method = r.choice(METHODS[1:] if kind in UNANSWERED else METHODS)
    return Fault(number, kind, START_MS + r.randrange(active_ms), amount_ms, skip, method, r.randrange(8))
