"""Approvals that wait, for the notification rules: an incident from when a gate is entered until it is decided."""

from __future__ import annotations

import logging

from chalicelib.core.errors import ChronoError
from chalicelib.core.notices.rule import Signal
from chalicelib.core.workflows.graph import Graph
from chalicelib.core.workflows.happenings import Decision
from chalicelib.core.workflows.run_state import NodeState, RunState
from chalicelib.engine.rule_presence import has_rules
from chalicelib.ports.services import Services

log = logging.getLogger(__name__)


def concern(graph: Graph, decision: Decision) -> bool:
    """Whether a decision says something of a gate."""
    return any(event.node in graph.nodes and graph.nodes[event.node].type == "approval" for event in decision.events)


def tell(s: Services, graph: Graph, run: RunState) -> bool:
    """Note how the gates of a run stand. Noting it again changes nothing. False: it has to be done again."""
    gates = [name for name, node in graph.nodes.items() if node.type == "approval" and name in run.nodes]
    begun = [(name, run.nodes[name]) for name in gates if run.nodes[name].token]
    if not begun:
        return True
    try:
        if has_rules(s, run.tenant):
            from chalicelib.engine import notices  # not before: rule_presence

            now_ms = s.clock.now_ms()
            notices.signal(s, run.tenant, [_signal(run, name, node, now_ms) for name, node in begun])
    except ChronoError as problem:
        log.warning("the gates of run %s were not noted: %s", run.id, problem.detail)
        return False
    return True


def _signal(run: RunState, name: str, node: NodeState, now_ms: int) -> Signal:
    waits = node.status == "waiting" and node.gate is not None
    place = f"{run.id}/{name}"
    who = "" if node.gate is None else ", ".join(node.gate.approvers)
    return Signal(
        subject=f"gate/{place}",
        name=f"{run.workflow}: {name}",
        owner=run.owner,
        causes=("approval",) if waits else (),
        success=not waits,
        at_ms=now_ms,
        source=f"{place}/{node.generation}.{node.token}/{'waits' if waits else 'over'}",
        detail=f"waits for {who}" if waits else "",
    )
