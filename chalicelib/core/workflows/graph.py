"""The shape of a workflow: who follows whom, what leads only to a join, and what runs once an item.

A graph is what a run walks. The body of a ``foreach`` is a graph of its own: each item is a run of it. In the graph
around it, the edge from the ``parallel`` goes straight to its join.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.errors import InvalidField
from chalicelib.core.workflows.definition import WorkflowDefinition, WorkflowEdge, WorkflowNode


class Graph(Struct, frozen=True):
    """Nodes in an order in which every parent comes before its children, and their edges."""

    nodes: Mapping[str, WorkflowNode]
    edges: tuple[WorkflowEdge, ...]
    incoming: Mapping[str, tuple[WorkflowEdge, ...]]
    outgoing: Mapping[str, tuple[WorkflowEdge, ...]]
    entry: str
    compensations: frozenset[str]  # nodes that run only to undo others
    order: tuple[str, ...]
    place: Mapping[str, int]  # of each node in the order

    def descendants(self, start: str) -> set[str]:
        """What can be reached from a node, without it."""
        return _reached(start, {name: [e.target for e in edges] for name, edges in self.outgoing.items()})

    def ancestors(self, start: str) -> set[str]:
        """What a node can be reached from, without it."""
        return _reached(start, {name: [e.source for e in edges] for name, edges in self.incoming.items()})

    def leads_only_to(self, join: str) -> set[str]:
        """The nodes whose every way ends in ``join``."""
        found: set[str] = set()
        for name in reversed(list(self.nodes)):
            targets = [edge.target for edge in self.outgoing[name]]
            if targets and all(target == join or target in found for target in targets):
                found.add(name)
        return found

    @property
    def ends(self) -> list[str]:
        """The nodes that nothing follows."""
        return [name for name in self.nodes if not self.outgoing[name] and name not in self.compensations]


def build(nodes: Sequence[WorkflowNode], edges: Sequence[WorkflowEdge], entry: str) -> Graph:
    """The graph of these nodes. Raises InvalidField for a cycle."""
    known = {node.id: node for node in nodes}
    incoming: dict[str, list[WorkflowEdge]] = {name: [] for name in known}
    outgoing: dict[str, list[WorkflowEdge]] = {name: [] for name in known}
    for edge in edges:
        incoming[edge.target].append(edge)
        outgoing[edge.source].append(edge)
    waits_for = {name: len(into) for name, into in incoming.items()}
    ready = [name for name in known if not waits_for[name]]
    order: list[str] = []
    while ready:
        name = ready.pop(0)
        order.append(name)
        for edge in outgoing[name]:
            waits_for[edge.target] -= 1
            if not waits_for[edge.target]:
                ready.append(edge.target)
    if len(order) < len(known):
        ring = ", ".join(name for name in known if name not in set(order))
        raise InvalidField.of("edges", f"there is a cycle among {ring}", code="cycle")
    return Graph(
        {name: known[name] for name in order},
        tuple(edges),
        {name: tuple(incoming[name]) for name in order},
        {name: tuple(outgoing[name]) for name in order},
        entry,
        frozenset(node.compensate for node in nodes if node.compensate),
        tuple(order),
        {name: place for place, name in enumerate(order)},
    )


def whole(definition: WorkflowDefinition) -> Graph:
    """The graph with the bodies of its ``foreach`` nodes in it."""
    entry = next(node.id for node in definition.nodes if node.type == "trigger")
    return build(definition.nodes, definition.edges, entry)


def without_bodies(graph: Graph) -> Graph:
    """The graph in which each outermost ``foreach`` goes straight to its join."""
    inside: set[str] = set()
    edges = list(graph.edges)
    for name, node in graph.nodes.items():
        if not node.is_foreach or name in inside:
            continue
        join, body = body_of(graph, name)
        inside |= body
        edges = [e for e in edges if e.source not in body and e.target not in body]
        if not any(e.source == name and e.target == join and e.on == "success" for e in edges):
            edges.append(WorkflowEdge(name, join))
    return build([node for name, node in graph.nodes.items() if name not in inside], edges, graph.entry)


def of_item(graph: Graph, parallel: str) -> Graph:
    """What an item of ``parallel`` goes through, inner bodies and all. It ends in the join, which waits for all."""
    join, body = body_of(graph, parallel)
    inside = body | {parallel, join}
    nodes = [node for name, node in graph.nodes.items() if name in inside]
    undo = {node.compensate for node in nodes if node.compensate and node.id in body}
    nodes += [graph.nodes[name] for name in undo if name not in inside]
    plain = {parallel: "trigger", join: "join"}
    made = [
        replace(node, type=plain[node.id], fields={}, input=None, compensate="") if node.id in plain else node
        for node in nodes
    ]
    edges = [e for e in graph.edges if e.source in body | {parallel} and e.target in body | {join}]
    return build(made, edges, parallel)


def body_of(graph: Graph, parallel: str) -> tuple[str, set[str]]:
    """The join of a ``foreach``, and what lies between. Raises InvalidField where there is no such join."""
    place = f"nodes.{parallel}.foreach"
    below = graph.descendants(parallel)
    handled = {e.target for e in graph.outgoing[parallel] if e.on in ("failure", "timeout")}
    starts = [e.target for e in graph.outgoing[parallel] if e.target not in handled]
    for join in (name for name in graph.nodes if name in below and graph.nodes[name].type == "join"):
        body = _until(graph, starts, join)
        ways_end = all(graph.outgoing[name] for name in body)
        closed = all(e.source in body or e.source == parallel for name in body for e in graph.incoming[name])
        alone = all(e.source in body or e.source == parallel for e in graph.incoming[join])
        if body and ways_end and closed and alone and not _is_of_inner(graph, join, body):
            return join, body
    raise InvalidField.of(place, "every way from it must lead to one join, and no way from outside into it")


def _is_of_inner(graph: Graph, join: str, body: set[str]) -> bool:
    """Whether a ``parallel`` inside the body ends in this join: each has a join of its own."""
    for name in body:
        if graph.nodes[name].type == "parallel":
            try:
                inner, _ = body_of(graph, name)
            except InvalidField:
                continue  # branches that nothing joins
            if inner == join:
                return True
    return False


def _until(graph: Graph, starts: Iterable[str], join: str) -> set[str]:
    found: set[str] = set()
    left = [name for name in starts if name != join]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += [edge.target for edge in graph.outgoing[name] if edge.target != join]
    return found


def _reached(start: str, follows: Mapping[str, Sequence[str]]) -> set[str]:
    found: set[str] = set()
    left = list(follows[start])
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += follows[name]
    return found
