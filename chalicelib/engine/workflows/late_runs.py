"""Announcing that a run, or a node of it, missed its ``sla_ms``: one event on the bus, at least once."""

from __future__ import annotations

from typing import Final

from chalicelib.core.policies.policy_events import PolicyEvent
from chalicelib.core.schedules.schedule import Key
from chalicelib.core.workflows import sla
from chalicelib.core.workflows.happenings import TellsLate
from chalicelib.engine.events import emit
from chalicelib.engine.workflows.run_access import LoadedRun, advance, settle_summary
from chalicelib.ports.services import Services

EVENT_TYPE: Final = "chronowatch.run_sla.v1"


def tell(s: Services, run: LoadedRun, node: str) -> None:
    """Announce a miss, and say so in the log. One that was announced already changes nothing. Raises Unavailable."""
    if node not in sla.untold(run.state):
        return
    emit(s, [_event(run, node)])
    state = run.state
    # The run may have ended: then nothing else lets its summary rest.
    settle_summary(s, advance(s, state.tenant, state.id, TellsLate(node), run))


def _event(run: LoadedRun, name: str) -> PolicyEvent:
    state, definition = run.state, run.workflow.definition
    node = run.graph.nodes[name] if name else None
    here = state.nodes[name] if name else state
    due_ms = here.late_ms or 0
    data: dict[str, object] = {
        "run_id": state.root or state.id,
        "workflow": state.workflow,
        "version": state.version,
        "owner": state.owner,
        "node": name or None,
        "item": list(state.indices) or None,
        "sla_ms": definition.sla_ms if node is None else node.sla_ms,
        "due_unix_ms": due_ms,
        "state": here.status,
    }
    # The same at each announcement; a redrive that is late again is another.
    event_id = f"{state.id}{f'/{name}' if name else ''}-{due_ms}-sla"
    source = f"/chronowatch/runs/{data['run_id']}"
    return PolicyEvent(EVENT_TYPE, event_id, Key(state.tenant, state.workflow), due_ms, data, source)
