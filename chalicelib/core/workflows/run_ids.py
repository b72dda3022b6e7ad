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
