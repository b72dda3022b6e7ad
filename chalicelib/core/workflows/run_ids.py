"""The ids of runs that others begin. They follow from who begins them, so that beginning twice begins once."""

from __future__ import annotations

from chalicelib.core.workflows.run_state import RunState


def item_id(parent: str, node: str, generation: int, index: int) -> str:
    """The id of an item's run."""
    again = f"#{generation}" if generation > 1 else ""
    return f"{parent}~{node}{again}~{index}"


def child_id(state: RunState, node: str) -> str:
    """The id of the run that a ``subworkflow`` begins."""
    generation = state.nodes[node].generation
    return f"{state.id}~{node}" + (f"#{generation}" if generation > 1 else "")


def generation_of(state: RunState, node: str) -> str:
    """The number of a chosen re-run of a node, as ``2`` for its second time; empty for the first.

    In an item the numbers of the foreach nodes around it stand before its own, the outermost first. What is 1 at the
    end is left out.
    """
    around = state.id.rsplit("~", 2 * len(state.indices))[1::2] if state.indices else []
    numbers = [*(name.partition("#")[2] or "1" for name in around), str(state.nodes[node].generation)]
    while numbers and numbers[-1] == "1":
        numbers.pop()
    return ".".join(numbers)
