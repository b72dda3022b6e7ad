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
    """What tells a chosen re-run of a node from the first: ``2`` for the second; empty for the first. In an item it is
    the generations of the foreach nodes around it, the outermost first, and its own, up to the last that is not 1."""
    around = state.id.rsplit("~", 2 * len(state.indices))[1::2] if state.indices else []
    numbers = [*(name.partition("#")[2] or "1" for name in around), str(state.nodes[node].generation)]
    while numbers and numbers[-1] == "1":
        numbers.pop()
    return ".".join(numbers)
