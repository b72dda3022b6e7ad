"""Edges that end live or dead, and what a node makes of those that lead into it.

Nothing is counted as it arrives: an edge's end follows from how its source ended, and a node's verdict from the ends of
its edges. So two orders of the same ends, and a completion that comes twice, give the same verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from chalicelib.core.workflows.definition import WorkflowEdge
from chalicelib.core.workflows.graph import Graph
from chalicelib.core.workflows.run_state import ENDED, NodeState

EdgeEnd = Literal["live", "dead", "open"]
Verdict = Literal["wait", "run", "skip", "unreachable"]
REJECTED = "rejected"


def edge_end(graph: Graph, nodes: Mapping[str, NodeState], edge: WorkflowEdge) -> EdgeEnd:
    """Whether the edge is live, dead, or still open because its source has not ended."""
    source = nodes[edge.source]
    if source.status not in ENDED:
        return "open"
    target = graph.nodes[edge.target]
    if target.mode == "all_settled":
        return "dead" if source.status == "skipped" else "live"
    return "live" if _matches(graph, source, edge) else "dead"


def verdict(graph: Graph, nodes: Mapping[str, NodeState], name: str) -> Verdict:
    """Whether a node that has not begun may run, must be skipped, or waits for more."""
    into = graph.incoming[name]
    ends = [edge_end(graph, nodes, edge) for edge in into]
    live, still = ends.count("live"), ends.count("open")
    node = graph.nodes[name]
    if node.mode in ("all", "all_settled"):
        if still:
            return "wait"
        return "run" if live else "skip"
    if live >= node.needed:
        return "run"
    if not still and not live:
        return "skip"
    return "unreachable" if live and live + still < node.needed else "wait"


def is_handled(graph: Graph, nodes: Mapping[str, NodeState], name: str) -> bool:
    """Whether an edge takes the failure of a node."""
    return any(edge_end(graph, nodes, edge) == "live" for edge in graph.outgoing[name])


def live_parents(graph: Graph, nodes: Mapping[str, NodeState], name: str) -> list[str]:
    """The sources of the live edges into a node, each once."""
    live = [e.source for e in graph.incoming[name] if edge_end(graph, nodes, e) == "live"]
    return list(dict.fromkeys(live))


def why_skipped(graph: Graph, nodes: Mapping[str, NodeState], name: str) -> str:
    """Why no edge into a node is live, edge by edge."""
    said = [f"{edge}: {edge.source} {_ended(nodes[edge.source])}" for edge in graph.incoming[name]]
    return "; ".join(said[:5]) + ("; …" if len(said) > 5 else "")


def _ended(node: NodeState) -> str:
    if node.reason == REJECTED:
        return REJECTED
    return f"chose {node.case or 'no case'}" if node.status == "completed" and node.case else node.status


def _matches(graph: Graph, source: NodeState, edge: WorkflowEdge) -> bool:
    if source.status == "cancelled":
        return False
    if edge.case:
        return source.status == "completed" and source.case == edge.case
    match edge.on:
        case "always":
            return True
        case "success":
            return source.status == "completed"
        case "skipped":
            return source.status == "skipped"
        case "timeout":
            return source.status == "timeout"
        case "rejected":
            return source.status == "failed" and source.reason == REJECTED
        case "failure":
            return _is_failure(graph, source, edge.source)


def _is_failure(graph: Graph, source: NodeState, name: str) -> bool:
    """A timeout and a rejection have edges of their own; where a node has none, its failure edge takes them."""
    own = {edge.on for edge in graph.outgoing[name] if not edge.case}
    if source.status == "timeout":
        return "timeout" not in own
    if source.status == "failed":
        return source.reason != REJECTED or "rejected" not in own
    return False
