"""What is on its way to a target: deliveries with their phases, and the calls that carry them."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from chalicelib.core.executions import delivery_phase
from chalicelib.core.executions.delivery_phase import DeliveryPhase
from chalicelib.core.executions.execution import Execution
from chalicelib.core.executions.limits import RUNNING_MARK_MS
from chalicelib.engine.prepare import Ready
from chalicelib.ports.target import Outcome, Target
from chalicelib.ports.tasks import Held
from chalicelib.process.admission import Ticket
from chalicelib.process.limits import HOLD_RECHECK_MS


class InFlight(Struct, eq=False):
    """One delivery in this worker's hands. ``execution`` is its record as this worker knows it. ``outcome`` and
    ``ended_ms`` are there once its call is over, ``checks`` counts the checks of a running one."""

    ready: Ready
    execution: Execution
    phase: DeliveryPhase = DeliveryPhase.WAITING
    started_ms: int = 0
    ended_ms: int = 0
    outcome: Outcome | None = None
    checks: int = 0

    def move(self, to: DeliveryPhase) -> None:
        """Go on to a phase. Raises IllegalMove when the table knows no such move."""
        self.phase = delivery_phase.moved(self.phase, to)


class TargetCall(Struct, eq=False):
    """One call to a target: the deliveries it carries, its place in line, and the job that makes it.

    ``until_ms`` is how long it may wait, by the clock that never steps. ``comes_in_ms`` is set when it does not wait
    any more, because its turn is so far away. ``is_renewed``: its claims were renewed while it waited.
    """

    target: Target
    deliveries: list[InFlight]
    ticket: Ticket
    job: Held
    until_ms: float
    comes_in_ms: int | None = None
    is_renewed: bool = False

    @property
    def waits(self) -> bool:
        """Whether its turn has yet to come."""
        return self.ticket.started_ms is None

    @property
    def waited_long(self) -> bool:
        """Whether what was known of it when it came to the line may be old."""
        return waited_long(self.deliveries, self.ticket)


def waited_long(deliveries: Sequence[InFlight], ticket: Ticket) -> bool:
    """Whether a call waited so long for its turn that it is rechecked. What must not overlap may be replaced at any
    time."""
    may_overlap = all(d.ready.claimed.may_overlap for d in deliveries)
    return ticket.waited_ms >= (HOLD_RECHECK_MS if may_overlap else RUNNING_MARK_MS)
