"""What a redrive keeps, runs again, and cannot do: pure, so that a caller can ask before it is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from chalicelib.core.workflows import joins
from chalicelib.core.workflows.graph import Graph
from chalicelib.core.workflows.run_state import NodeState, RunState


class RedrivePlan(Struct, frozen=True):
    """``again`` has the generation of each node: a higher one for those that had completed and run a second time."""

    kept: tuple[str, ...]
    again: Mapping[str, int]
    conflicts: tuple[str, ...]


def plan(old: Graph, new: Graph, state: RunState, start: str | None) -> RedrivePlan:
    """What a redrive under ``new`` would do. ``start``: run again from this node on, whatever became of it.

    Kept is what completed, or failed and was handled. The rest runs again, and so does what was compensated: its effect
    is undone.
    """
    nodes = state.nodes
    chosen = set(state.undone)
    if start is not None:
        chosen |= {start}
    for name in list(chosen):
        chosen |= new.descendants(name) if name in new.nodes else set()
    again = chosen & set(new.nodes)
    again |= {name for name in new.nodes if not _stays(old, nodes, name)}
    for name in new.order:  # what comes after something that runs again is judged again, unless it completed
        known = nodes.get(name)
        is_open = known is not None and known.status in ("skipped", "failed", "timeout")
        if is_open and any(edge.source in again for edge in new.incoming[name]):
            again.add(name)
    again |= new.compensations
    kept = [name for name in new.order if name not in again]
    conflicts = [problem for name in kept if (problem := _conflict(old, new, nodes, name))]
    gone = [n for n, node in nodes.items() if n not in new.nodes and node.status == "completed" and n not in chosen]
    conflicts += [f"{name}: it completed, and the definition has it no more" for name in gone]
    return RedrivePlan(
        tuple(kept), {n: _generation(nodes, n, again) for n in new.order if n in again}, tuple(conflicts)
    )


def _stays(graph: Graph, nodes: Mapping[str, NodeState], name: str) -> bool:
    node = nodes.get(name)
    if node is None or name not in graph.nodes:
        return False
    if node.status in ("failed", "timeout"):
        return joins.is_handled(graph, nodes, name)
    return node.status in ("completed", "skipped")


def _generation(nodes: Mapping[str, NodeState], name: str, again: set[str]) -> int:
    node = nodes.get(name)
    if node is None:
        return 1
    return node.generation + (node.status == "completed" and name in again)


def _conflict(old: Graph, new: Graph, nodes: Mapping[str, NodeState], name: str) -> str:
    if nodes[name].status != "completed":
        return ""
    if old.nodes[name].type != new.nodes[name].type:
        return f"{name}: it completed as {old.nodes[name].type}, and is {new.nodes[name].type} now"
    before = {_edge(e) for e in old.incoming[name] if joins.edge_end(old, nodes, e) == "live"}
    after = {_edge(e) for e in new.incoming[name]}
    if lost := sorted(map(str, before - after)):
        return f"{name}: it completed, and edges that led to it are gone: {', '.join(lost)}"
    return ""


def _edge(edge: Any) -> tuple[str, str, str]:
    return (edge.source, edge.on, edge.case)
