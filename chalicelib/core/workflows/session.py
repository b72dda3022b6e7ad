"""Time travel: a place in the log of a run, and where going on from it stops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from msgspec import Struct

from chalicelib.core.content_version import content_version
from chalicelib.core.workflows.graph import Graph
from chalicelib.core.workflows.run_state import RunEvent, RunState, fold

BREAKPOINTS_MAX_COUNT = 50
_BAD_ENDS = frozenset({"node_failed", "node_timeout", "compensation_failed"})


class Breakpoint(Struct, frozen=True):
    """Where to stop: before a node begins (``step``), before one of a type does (``type``), once an expression holds
    (``condition``), at a failure (``error``)."""

    kind: Literal["step", "type", "condition", "error"]
    value: str = ""


class TravelSession(Struct, frozen=True):
    """``position`` is the number of the last event applied. An imported session holds its log and its definition."""

    id: str
    tenant: str
    owner: str
    run_id: str
    position: int
    breakpoints: tuple[Breakpoint, ...] = ()
    events: tuple[RunEvent, ...] = ()
    document: str = ""
    is_live: bool = False  # its breakpoints stop the run itself

    @property
    def version(self) -> str:
        """What distinguishes two readings of one session: where it is, and where it stops."""
        return content_version(self.position, self.breakpoints)


def as_of(events: Sequence[RunEvent], position: int) -> RunState:
    """The run as it was once so many events had happened."""
    return fold(RunState(), events[:position])


def go_on(
    graph: Graph,
    events: Sequence[RunEvent],
    position: int,
    breakpoints: Sequence[Breakpoint],
    holds: Callable[[RunState, str], bool],
) -> tuple[int, Breakpoint | None]:
    """The position at which going on stops, and the breakpoint that stopped it (None: the log has no more)."""
    state = as_of(events, position)
    true_before = {b for b in breakpoints if b.kind == "condition" and holds(state, b.value)}
    for event in events[position:]:
        if event.number > position + 1:  # what stopped the last time does not stop again at once
            for stop in breakpoints:
                if event.type == "node_started" and _is_before(graph, stop, event.node):
                    return event.number - 1, stop
        state = fold(state, (event,))
        for stop in breakpoints:
            if stop.kind == "error" and event.type in _BAD_ENDS:
                return event.number, stop
            if stop.kind == "condition":
                is_true = holds(state, stop.value)
                if is_true and stop not in true_before:
                    return event.number, stop
                true_before = true_before | {stop} if is_true else true_before - {stop}
    return len(events), None


def _is_before(graph: Graph, stop: Breakpoint, name: str) -> bool:
    node = graph.nodes.get(name)
    return (stop.kind == "step" and stop.value == name) or (
        stop.kind == "type" and node is not None and stop.value == node.type
    )
