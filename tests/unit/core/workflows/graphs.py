"""Every graph of so many nodes, one of each shape, and every way in which a run of it can go."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from chalicelib.core.workflows.definition import WorkflowEdge, WorkflowNode
from chalicelib.core.workflows.graph import Graph, build

# What an edge may say, and what a node with several parents may be.
EDGE_KINDS = ("success", "failure", "always", "skipped")
MODES = (("step", 0, ""), ("all", 0, ""), ("any", 0, "cancel"), ("any", 0, "let_run"), ("n_of", 2, "cancel"),
         ("n_of", 2, "let_run"), ("all_settled", 0, ""))  # fmt: skip

Shape = tuple[tuple[tuple[int, int, str], ...], tuple[tuple[str, int, str], ...]]


def shapes(count: int, kinds: tuple[str, ...] = EDGE_KINDS) -> Iterator[Shape]:
    """Edges and modes of every graph of ``count`` nodes, the trigger among them, each once but for its nodes' names."""
    pairs = list(itertools.combinations(range(count), 2))
    orders = [(0, *rest) for rest in itertools.permutations(range(1, count))]
    for chosen in itertools.product(("", *kinds), repeat=len(pairs)):
        edges = tuple((a, b, on) for (a, b), on in zip(pairs, chosen, strict=True) if on)
        parents = [sum(1 for e in edges if e[1] == node) for node in range(count)]
        if not all(parents[1:]) or any(a == 0 and on != "success" for a, _, on in edges):
            continue  # a trigger has only ever completed
        choices = [MODES[:1] if parents[node] < 2 else MODES for node in range(count)]
        renamings = [order for order in orders if all(order[a] < order[b] for a, b, _ in edges)]
        for modes in itertools.product(*choices):
            if any(_renamed(edges, modes, order) < (edges, modes) for order in renamings):
                continue
            yield edges, modes


def _renamed(edges, modes, order):  # type: ignore[no-untyped-def]
    moved = [("step", 0, "")] * len(modes)
    for node, mode in enumerate(modes):
        moved[order[node]] = mode
    return tuple(sorted((order[a], order[b], on) for a, b, on in edges)), tuple(moved)


def graph_of(shape: Shape) -> Graph:
    """The shape as the engine takes it."""
    edges, modes = shape
    nodes = [WorkflowNode("n0", "trigger")]
    for number, (mode, n, others) in list(enumerate(modes))[1:]:
        if mode == "step":
            nodes.append(WorkflowNode(f"n{number}", "http"))
        else:
            fields = {"mode": mode, "others": others or "let_run", **({"n": n} if n else {})}
            nodes.append(WorkflowNode(f"n{number}", "join", fields=fields))
    made = [WorkflowEdge(f"n{a}", f"n{b}", on) for a, b, on in edges]  # type: ignore[arg-type]
    return build(nodes, made, "n0")
