"""What the stream of executions has for notification rules: failures, lateness, and successes which end them."""

from __future__ import annotations

from collections.abc import Sequence

from chalicelib.core.executions.execution import COMPLETED, Execution
from chalicelib.core.notices.rule import NoticeCause, Signal
from chalicelib.core.policies import sla
from chalicelib.core.policies.failures import FAILURES
from chalicelib.core.schedules.schedule import Definition
from chalicelib.engine import notices
from chalicelib.engine.definitions import load_definitions
from chalicelib.ports.services import Services
from chalicelib.ports.stores.schedules import Versioned


def note(s: Services, tenant: str, ended: Sequence[Execution]) -> None:
    """Note how executions of a tenant ended. Noting them again changes nothing. Raises Unavailable."""
    definitions = load_definitions(s, {Versioned(e.key_of_schedule, e.version) for e in ended})
    signals = [_signal(e, definitions.get(Versioned(e.key_of_schedule, e.version))) for e in ended]
    notices.signal(s, tenant, signals)


def _signal(execution: Execution, definition: Definition | None) -> Signal:
    late = sla.is_missed(execution)
    causes: list[NoticeCause] = ["late"] if late else []
    if execution.state in FAILURES:
        causes = ["failed", "dead_letter", *causes]
    return Signal(
        subject=f"schedule/{execution.schedule_id}",
        name=execution.schedule_id if definition is None or definition.name is None else definition.name,
        owner=execution.owner,
        tags=() if definition is None else definition.tags,
        causes=tuple(causes),
        success=execution.state == COMPLETED,
        at_ms=execution.finished_ms or execution.firing_ms,
        # An execution may end more than once, after a retry, and be late before it ends.
        source=f"{execution.id}/{execution.state}/{execution.attempt}",
        detail=execution.error or "",
    )
