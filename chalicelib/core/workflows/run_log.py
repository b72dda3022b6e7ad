"""The log of a run while a decision adds to it: each event is applied as it is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chalicelib.core.workflows.graph import Graph
from chalicelib.core.workflows.run_ids import child_id
from chalicelib.core.workflows.run_state import ENDED, NodeState, RunEvent, RunState, apply, fold


class RunLog:
    """What a decision has to say so far, and the state that it leads to."""

    def __init__(self, graph: Graph, state: RunState, now_ms: int) -> None:
        self.graph = graph
        self.state = fold(state, ())
        self.now_ms = now_ms
        self.events: list[RunEvent] = []
        self.changed: list[str] = []  # nodes that have ended, and whose children may now begin

    def write(self, kind: str, node: str = "", /, **data: Any) -> None:
        """Add an event."""
        event = RunEvent(self.state.events + 1, self.now_ms, kind, node, data)
        apply(self.state, event)
        self.events.append(event)
        if node and self.state.nodes[node].status in ENDED:
            self.changed.append(node)

    def start(self, name: str) -> None:
        """Let a node begin, or its next attempt. The first one says by when it is late."""
        sla_ms = self.graph.nodes[name].sla_ms
        is_first = self.state.nodes[name].started_ms is None
        self.write(
            "node_started", name, **({} if sla_ms is None or not is_first else {"late_ms": self.now_ms + sla_ms})
        )

    def end_by_cancel(self, name: str, reason: str, **data: Any) -> None:
        """End a node that is not wanted any more. A ``subworkflow`` may have begun its run and not have said so: that
        run is to end as well."""
        node, definition = self.state.nodes[name], self.graph.nodes[name]
        waits = definition.type == "subworkflow" and definition.fields.get("wait", True)
        if waits and node.token and not node.child:
            data["child"] = child_id(self.state, name)
        self.write("node_cancelled", name, reason=reason, **data)

    @property
    def nodes(self) -> Mapping[str, NodeState]:
        return self.state.nodes

    def active(self) -> list[str]:
        """The nodes that have begun and not ended."""
        return [name for name, node in self.nodes.items() if node.status in ("running", "waiting")]
