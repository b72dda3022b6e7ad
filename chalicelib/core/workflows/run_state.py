"""A run: what became of each node, as the fold of its log. The log is the truth; this is what it says.

Outputs are not in here: an event carries a small one or refers to it. So a state stays small however long the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

from msgspec import Struct, field
from msgspec.structs import replace

from chalicelib.core.decoders import converted

NodeStatus = Literal["pending", "running", "waiting", "completed", "failed", "timeout", "skipped", "cancelled"]
RunStatus = Literal[
    "running", "completed", "failed", "cancelling", "cancelled", "compensating", "compensation_failed"
]  # fmt: skip
Then = Literal["", "complete", "approve", "reject", "timeout", "retry"]
SlotPhase = Literal["", "wanted", "held"]
ENDED: Final[frozenset[str]] = frozenset({"completed", "failed", "timeout", "skipped", "cancelled"})
RUN_ENDED: Final[frozenset[str]] = frozenset({"completed", "failed", "cancelled", "compensation_failed"})


Lateness = Literal["", "untold", "told"]  # whether ``sla_ms`` was missed, and that announced


class RunEvent(Struct, frozen=True, omit_defaults=True):
    """One entry of a run's log."""

    number: int
    at_ms: int
    type: str
    node: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


class Gate(Struct, frozen=True, omit_defaults=True):
    """What an approval waits for: so many of ``approvers``. A nonce is of one entry of the gate."""

    nonce: str
    quorum: int = 1
    approvers: tuple[str, ...] = ()
    allow_self: bool = False
    expires_ms: int | None = None
    approved_by: tuple[str, ...] = ()


class Fan(Struct, frozen=True, omit_defaults=True):
    """How far a ``foreach`` is: items below ``next`` have begun, those in ``live`` have not ended."""

    count: int
    at_once: int
    tolerated: int = 0
    next: int = 0
    live: tuple[int, ...] = ()
    failed: int = 0


class NodeState(Struct, frozen=True, omit_defaults=True):
    """What became of a node. ``token`` grows with every claim, so that the answer of an earlier one changes nothing.
    ``due_ms`` and ``then``: what happens at which instant, if nothing else does before."""

    status: NodeStatus = "pending"
    attempt: int = 0
    generation: int = 1
    token: int = 0
    worker: str = ""  # who has claimed it
    lost: int = 0
    started_ms: int | None = None
    finished_ms: int | None = None
    due_ms: int | None = None
    then: Then = ""
    case: str = ""
    error_type: str = ""
    error: str = ""
    reason: str = ""
    output: Any = None  # a reference to it; see core.workflows.outputs
    gate: Gate | None = None
    fan: Fan | None = None
    ended_as: int = 0  # the number of the event that ended it
    child: str = ""  # the run that it waits for
    child_ended: bool = False  # said by that run after the node itself had ended
    stop: Mapping[str, str] | None = None  # the breakpoint that it stands at
    late_ms: int | None = None  # it misses its ``sla_ms`` then
    late: Lateness = ""


class RunState(Struct, omit_defaults=True):
    """A run as of its last event."""

    tenant: str = ""
    id: str = ""
    workflow: str = ""
    version: str = ""
    owner: str = ""
    started_by: str = ""
    status: RunStatus = "running"
    nodes: dict[str, NodeState] = field(default_factory=dict)
    events: int = 0
    input: Any = None
    started_ms: int = 0
    finished_ms: int | None = None
    deadline_ms: int | None = None
    cancel_by_ms: int | None = None  # what is under way then ends
    reason: str = ""
    error_type: str = ""
    error: str = ""
    stopped_by: str = ""  # the error type of what stopped it; empty: a caller did
    undone: tuple[str, ...] = ()  # nodes whose compensation ended well, last first
    undoing: str = ""  # the node that is being compensated
    parent: str = ""  # the run that waits for this one
    parent_node: str = ""
    scope: tuple[str, ...] = ()  # of an item: the foreach nodes around it, the outermost first
    indices: tuple[int, ...] = ()  # and which item of each
    root: str = ""  # the run whose definition an item is part of
    child_versions: dict[str, str] = field(default_factory=dict)  # of subworkflows, as of the start
    depth: int = 0
    traceparent: str = ""
    redrives: int = 0  # how often it went on after it had ended
    parent_redrives: int = 0  # how often its parent had, when it began or was driven again
    limited: bool = False  # it counts against its workflow's limit
    slot_key: str = ""  # the key that it counts under, once it has had a slot
    slot: SlotPhase = ""
    slot_turn: int = 0  # grows with each slot that it wants
    stops: dict[str, list[dict[str, str]]] = field(default_factory=dict)  # breakpoints, by the session that set them
    step_next: bool = False  # whatever would begin next stops
    released_at: int = 0  # the event that let it go on last
    fired: tuple[str, ...] = ()  # conditions that have stopped it
    sla_ms: int | None = None
    late_ms: int | None = None  # it misses its ``sla_ms`` then
    late: Lateness = ""
    slot_kept: bool = False  # it holds its slot while it waits at gates and delays, too

    @property
    def is_ended(self) -> bool:
        """Whether nothing of it lives."""
        return self.status in RUN_ENDED

    @property
    def shown_status(self) -> str:
        """Its state for callers: a run whose every live node waits, or which waits for a slot, is ``waiting``."""
        if self.status == "running" and self.slot == "wanted":
            return "waiting"
        live = {node.status for node in self.nodes.values() if node.status in ("running", "waiting")}
        return "waiting" if self.status == "running" and live == {"waiting"} else self.status


class SeenRun(Struct, frozen=True, omit_defaults=True):
    """A run as its subscribers hear of it. ``output`` is a reference, as events have it."""

    state: RunState
    output: Any = None


def fold(state: RunState, events: Iterable[RunEvent]) -> RunState:
    """The state after these events. The given one is left as it is."""
    state = replace(state, nodes=dict(state.nodes))
    for event in events:
        apply(state, event)
    return state


def apply(state: RunState, event: RunEvent) -> None:
    """Change ``state`` by its next event. What an event means stands here and nowhere else."""
    if event.number != state.events + 1:
        raise ValueError(f"event {event.number} does not follow event {state.events}")
    state.events = event.number
    if event.node:
        if event.type == "node_stopped":
            state.step_next = False
            if event.data["stop"]["kind"] == "condition":
                state.fired = (*state.fired, event.data["stop"]["value"])
        state.nodes[event.node] = _node_after(state.nodes[event.node], event)
        if event.type == "compensation_completed":
            state.undone, state.undoing = (state.undoing, *state.undone), ""
    else:
        _run_after(state, event)


def _run_after(state: RunState, event: RunEvent) -> None:
    data = event.data
    match event.type:
        case "run_started":
            for name, value in data["run"].items():
                setattr(state, name, tuple(value) if name in ("scope", "indices") else value)
            state.nodes = {name: NodeState() for name in data["nodes"]}
            state.started_ms = event.at_ms
            state.late_ms = None if state.sla_ms is None else event.at_ms + state.sla_ms
        case "run_cancelling":
            state.status, state.cancel_by_ms = "cancelling", data["by_ms"]
            state.reason, state.stopped_by = data.get("reason", ""), data.get("error_type", "")
        case "run_compensating":
            state.status, state.undoing, state.cancel_by_ms = "compensating", data["node"], None
            state.error_type, state.error = data["error_type"], data["error"]
        case "run_completed" | "run_failed" | "run_cancelled" | "run_compensation_failed":
            state.status = event.type.removeprefix("run_")  # type: ignore[assignment]
            state.finished_ms, state.cancel_by_ms, state.undoing = event.at_ms, None, ""
            state.slot = ""
            state.error_type = data.get("error_type", state.error_type)
            state.error = data.get("error", state.error)
        case "run_redriven":
            _redrive(state, event)
        case "breakpoints_set":
            state.stops = {**state.stops, data["session"]: data["stops"]}
            state.fired = ()
        case "run_released":
            state.step_next, state.released_at = data["step"], event.number
        case "sla_missed":
            state.late = "untold"
        case "sla_told":
            state.late = "told"
        case "slot_wanted":
            state.slot, state.slot_turn = "wanted", state.slot_turn + 1
        case "slot_taken":
            state.slot, state.slot_key = "held", data["key"]
        case "slot_released":
            state.slot = ""
        case _:
            raise ValueError(f"no event of a run is called {event.type}")


def _redrive(state: RunState, event: RunEvent) -> None:
    data = event.data
    state.status, state.finished_ms, state.error, state.error_type = "running", None, "", ""
    state.reason, state.cancel_by_ms, state.stopped_by, state.undone = "", None, "", ()
    state.version = data.get("version", state.version)
    state.input = data.get("input", state.input)
    state.deadline_ms = data.get("deadline_ms")
    state.late_ms = None  # an SLA is of the first way to the end; a miss stays shown
    state.redrives += 1
    state.parent_redrives = data.get("parent_redrives", state.parent_redrives)
    before = state.nodes
    state.nodes = {name: before.get(name, NodeState()) for name in data["nodes"]}
    for name, generation in data["again"].items():
        state.nodes[name] = NodeState(generation=generation, token=state.nodes[name].token)


_ENDS: Final[Mapping[str, NodeStatus]] = {
    "node_completed": "completed", "node_failed": "failed", "node_timeout": "timeout", "node_skipped": "skipped",
    "node_cancelled": "cancelled", "compensation_completed": "completed", "compensation_failed": "failed",
}  # fmt: skip
_ENDED_FIELDS: Final = ("case", "error_type", "error", "reason", "output", "child")


def _node_after(node: NodeState, event: RunEvent) -> NodeState:
    data = event.data
    if event.type in _ENDS:
        return replace(
            node,
            status=_ENDS[event.type],
            finished_ms=event.at_ms,
            ended_as=event.number,
            worker="",
            due_ms=None,
            then="",
            gate=None,
            stop=None,
            **{name: data[name] for name in _ENDED_FIELDS if name in data},
        )
    match event.type:
        case "node_started":
            return replace(
                node,
                status="running",
                attempt=node.attempt + 1,
                lost=0,
                started_ms=event.at_ms if node.started_ms is None else node.started_ms,
                worker="",
                due_ms=None,
                then="",
                stop=None,
                late_ms=data.get("late_ms", node.late_ms),
            )
        case "sla_missed":
            return replace(node, late="untold")
        case "sla_told":
            return replace(node, late="told")
        case "node_stopped":
            attempt = node.attempt - (node.status == "running")  # it had not begun in truth
            return replace(node, status="waiting", attempt=attempt, due_ms=None, then="", stop=data["stop"])
        case "node_claimed":
            return replace(node, token=data["token"], worker=data["worker"], due_ms=data["lease_ms"])
        case "node_lost":
            return replace(node, worker="", due_ms=None, lost=node.lost + 1)
        case "node_retrying":
            return replace(
                node,
                status="waiting",
                worker="",
                due_ms=data["due_ms"],
                then="retry",
                error_type=data["error_type"],
                error=data["error"],
            )
        case "node_waiting":
            return replace(
                node,
                status="waiting",
                worker="",
                due_ms=data.get("due_ms"),
                then=data.get("then", ""),
                gate=None if "gate" not in data else _gate(data["gate"]),
                child=data.get("child", ""),
                output=data.get("output"),
            )
        case "approval_given":
            assert node.gate is not None
            return replace(node, gate=replace(node.gate, approved_by=(*node.gate.approved_by, data["by"])))
        case "approval_rejected":
            return node
        case "child_ended":
            return replace(node, child_ended=True)
        case "items_resolved":
            return replace(
                node,
                status="waiting",
                worker="",
                due_ms=None,
                output=data.get("output"),
                fan=Fan(data["count"], data["at_once"], data["tolerated"]),
            )
        case "items_started":
            assert node.fan is not None
            begun = range(node.fan.next, data["next"])
            return replace(node, fan=replace(node.fan, next=data["next"], live=(*node.fan.live, *begun)))
        case "item_ended":
            assert node.fan is not None
            live = tuple(index for index in node.fan.live if index != data["index"])
            failed = node.fan.failed + (data["status"] != "completed")
            return replace(node, fan=replace(node.fan, live=live, failed=failed))
        case _:
            raise ValueError(f"no event of a node is called {event.type}")


def version_of(run: RunState) -> str:
    """What distinguishes two readings of one run: how long its log is."""
    return str(run.events)


def _gate(data: Mapping[str, Any]) -> Gate:
    return converted(data, Gate)
