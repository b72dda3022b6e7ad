"""What a deployment may hold: how many schedules count, and how much they weigh.

Every schedule that is not deleted and not completed counts; its state says so. The store keeps the sum and judges the
limits in the write that makes a schedule count or grow. So they hold among many callers.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.schedules.schedule import NOWHERE, UNCOUNTED, Definition, State

BASE_WEIGHT_BYTES = 1024  # what any schedule takes up besides its texts


class Used(Struct, frozen=True):
    """What all schedules that count make up together."""

    jobs: int
    weight_bytes: int


class Limits(Struct, frozen=True):
    """What a deployment may hold; None = without limit."""

    jobs: int | None
    weight_bytes: int | None

    def allow(self, used: Used, jobs: int, weight_bytes: int) -> bool:
        """Whether there is room for so much more. What does not grow is not judged."""
        many = self.jobs is not None and jobs > 0 and used.jobs + jobs > self.jobs
        heavy = (
            self.weight_bytes is not None and weight_bytes > 0 and used.weight_bytes + weight_bytes > self.weight_bytes
        )
        return not (many or heavy)


def weight_bytes(definition: Definition) -> int:
    """About how many bytes a schedule takes up: its texts, and the same again for every schedule."""
    texts = (definition.payload, definition.expr, definition.name or "", str(dict(definition.target)))
    excluded = sum(len(e) if isinstance(e, str) else 32 for e in definition.exclude)
    return BASE_WEIGHT_BYTES + sum(len(text.encode()) for text in texts) + excluded


def counts_under_limits_alone(definition: Definition) -> bool:
    """Whether a schedule is a plain one-shot. Where no limit is set it is not counted: that would cost as much as its
    firing."""
    return definition.type == "AT" and definition.name is None and definition.monitor is None


def counts(definition: Definition, state: State) -> bool:
    """Whether a schedule in this state counts: it may still have something to do."""
    if state.status == "deleted" or is_cancelled(definition, state):
        return False
    exhausted = definition.active and state.next_run_ms is None and state.queued_ms is None
    return not exhausted


def is_cancelled(definition: Definition, state: State) -> bool:
    """Whether the schedule was cancelled as a job, and not resumed since."""
    return state.outcome == "cancelled" and not definition.active


def unlimited(state: State) -> State:
    """``state`` as one that counts for nothing, since no limit is set."""
    return replace(state, counted=NOWHERE, weight_bytes=0)


def uncounted(state: State) -> State:
    """``state`` as one that does not count."""
    return replace(state, counted=UNCOUNTED, weight_bytes=0)
