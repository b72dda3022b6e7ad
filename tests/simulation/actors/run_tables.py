"""The stores of workflows and runs behind the gate, and the record of what they confirmed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from chalicelib.core.workflows import compiled
from chalicelib.core.workflows.run_state import NodeState, RunEvent, RunState, apply
from chalicelib.ports.stores.runs import RunLogRead, RunSummary, WokenRun
from tests.simulation.actors.tables import Gate, past
from tests.simulation.world import Job, World


class Appended(NamedTuple):
    """Events as they were stored together: when, by whose clock when, and by whom."""

    at_ms: int
    clock_ms: int
    wrong_ms: int  # how far that clock was off
    instance: Any
    events: tuple[RunEvent, ...]


class TakenClaim(NamedTuple):
    """A step as the worker holds it that claimed it, and what its key has to be."""

    run_id: str
    node: str
    token: int
    generation: int
    at_ms: int
    key: str
    attempt: int


@dataclass(slots=True)
class Effect:
    """What a step did outside, as the outside saw it."""

    key: str
    node: str
    attempt: int
    at_ms: int
    instance: Any
    claim: TakenClaim | None
    ended_ms: int | None = None
    said: str = ""


@dataclass(slots=True)
class RunRecord:
    """All logs as they grew, and all effects."""

    logs: dict[str, list[Appended]] = field(default_factory=dict)
    states: dict[str, RunState] = field(default_factory=dict)
    effects: list[Effect] = field(default_factory=list)
    claims: dict[Job, TakenClaim] = field(default_factory=dict)
    summaries: dict[str, list[tuple[int, RunSummary]]] = field(default_factory=dict)
    documents: dict[tuple[str, str], str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def workflow(self, state: RunState) -> compiled.CompiledWorkflow:
        """The version that the run is of."""
        return compiled.of_text(self.documents[state.workflow, state.version])

    def graph(self, state: RunState) -> Any:
        """What the run walks."""
        return self.workflow(state).graph(state.scope)


def key_of(state: RunState, name: str) -> str:
    """The identity of a step: written from docs/workflows.md, and not from the engine."""
    undone = state.undoing if state.status == "compensating" else ""
    where = "".join(f"/{index}" for index in state.indices)
    generations = [int(part.partition("#")[2] or 1) for part in state.id.split("~")[1::2]] if state.indices else []
    generations.append(state.nodes[undone or name].generation)
    told = max((place for place, number in enumerate(generations, 1) if number > 1), default=0)
    again = "#" + ".".join(map(str, generations[:told])) if told else ""
    return f"{state.root or state.id}/{undone or name}{where}{again}{'/comp' if undone else ''}"


class WatchedRuns:
    """``ports.stores.RunStore``."""

    def __init__(self, gate: Gate, inner: Any, record: RunRecord) -> None:
        self._gate = gate
        self._inner = inner
        self._record = record
        self._world = gate.world

    def enter(self, summary: RunSummary) -> bool:
        fault = self._gate.enter("run_enter")
        won: bool = self._inner.enter(summary)
        self._noted(summary.id)
        self._gate.leave(fault)
        return won

    def append(self, tenant: str, run_id: str, events: Sequence[RunEvent]) -> bool:
        fault = self._gate.enter("run_append")
        won: bool = self._inner.append(tenant, run_id, events)
        if won:
            self._saw(run_id, tuple(events))
        else:
            self._world.hit("race: run_append lost")
        self._gate.leave(fault)
        return won

    def read(self, tenant: str, run_id: str) -> RunLogRead:
        fault = self._gate.enter("run_read")
        found: RunLogRead = self._inner.read(tenant, run_id)
        found = RunLogRead(found.state, list(found.events))
        self._gate.leave(fault)
        return found

    def events(self, tenant: str, run_id: str, after: int, limit: int) -> list[RunEvent]:
        fault = self._gate.enter("run_read")
        found = list(self._inner.events(tenant, run_id, after, limit))
        self._gate.leave(fault)
        return found

    def snapshot(self, state: RunState) -> None:
        fault = self._gate.enter("run_snapshot")
        self._inner.snapshot(state)
        self._gate.leave(fault)

    def summarize(self, summary: RunSummary, expected_rev: int) -> bool:
        fault = self._gate.enter("run_summarize")
        won: bool = self._inner.summarize(summary, expected_rev)
        self._noted(summary.id)
        if not won:
            self._world.hit("race: run_summarize lost")
        self._gate.leave(fault)
        return won

    def wake_by(self, tenant: str, run_id: str, wake_ms: int, kept_from_ms: int) -> None:
        fault = self._gate.enter("run_wake")
        self._inner.wake_by(tenant, run_id, wake_ms, kept_from_ms)
        self._noted(run_id)
        self._gate.leave(fault)

    def woken(self, until_ms: int, limit: int) -> list[WokenRun]:
        fault = self._gate.enter("run_woken")
        found = self._woken(until_ms, limit)
        self._gate.leave(fault)
        return found

    def _woken(self, until_ms: int, limit: int) -> list[WokenRun]:
        seen_ms = past(self._world)
        if seen_ms is None:
            return list(self._inner.woken(until_ms, limit))
        found = []
        for run_id, writes in self._record.summaries.items():
            known = next((s for at_ms, s in reversed(writes) if at_ms <= seen_ms), None)
            if known is not None and known.wake_ms is not None and known.wake_ms <= until_ms:
                found.append(WokenRun(known.tenant, run_id, known.wake_ms))
        return sorted(found, key=lambda w: (w.wake_ms, w.tenant, w.id))[:limit]

    def load(self, tenant: str, run_id: str) -> RunSummary | None:
        fault = self._gate.enter("run_load")
        found: RunSummary | None = self._inner.load(tenant, run_id)
        self._gate.leave(fault)
        return found

    def put_payload(self, tenant: str, run_id: str, name: str, content: bytes) -> None:
        fault = self._gate.enter("run_put")
        self._inner.put_payload(tenant, run_id, name, content)
        self._gate.leave(fault)

    def payloads(self, tenant: str, run_id: str, names: Sequence[str]) -> dict[str, bytes]:
        fault = self._gate.enter("run_payloads")
        found: dict[str, bytes] = self._inner.payloads(tenant, run_id, names)
        self._gate.leave(fault)
        return found

    # -- the record

    def _noted(self, run_id: str) -> None:
        summary = self._inner.load("default", run_id)
        if summary is not None:
            self._record.summaries.setdefault(run_id, []).append((self._world.now, summary))

    def _saw(self, run_id: str, events: tuple[RunEvent, ...]) -> None:
        world, record = self._world, self._record
        job = world.current
        known = record.states.get(run_id)
        if events[0].number != 1 + (0 if known is None else known.events):
            record.problems.append(f"{run_id}: event {events[0].number} was stored after {known and known.events}")
            return
        clock = job.instance.clock
        stored = Appended(world.now, clock.now_ms(), abs(clock.wrong_ms), job.instance, events)
        record.logs.setdefault(run_id, []).append(stored)
        state = record.states.setdefault(run_id, RunState())
        for event in events:
            before = state.nodes.get(event.node, NodeState())
            apply(state, event)
            claim = record.claims.get(job)
            answers = claim is not None and event.type in _ANSWERS and before.status == "running"
            if answers and claim[:2] == (run_id, event.node) and claim.token != before.token:
                said = f"{event.node} by token {claim.token}; the step is held under {before.token}"
                record.problems.append(f"{run_id}: {event.type} of {said}")
            _hit(world, event, before)
            if event.type == "node_claimed":
                node = state.nodes[event.node]
                name, key = event.node, key_of(state, event.node)
                record.claims[job] = TakenClaim(
                    run_id, name, node.token, node.generation, world.now, key, node.attempt
                )  # fmt: skip
        if world.told is not None:
            for event in events:
                told = {k: v for k, v in event.data.items() if k not in ("run", "nodes", "output", "child_versions")}
                world.tell(job.instance.name, f"{run_id} {event.number} {event.type} {event.node} {told}")


_ANSWERS = frozenset(
    {"node_completed", "node_failed", "node_timeout", "node_retrying", "node_waiting", "items_resolved"}
)
_HITS = {
    "run_cancelled": "run: cancelled",
    "run_compensation_failed": "run: compensation_failed",
    "run_completed": "run: completed",
    "run_failed": "run: failed",
    "run_redriven": "run: redriven",
    "node_lost": "node: lost",
    "node_skipped": "node: skipped",
    "node_timeout": "node: out of time",
    "node_retrying": "node: tried again",
    "compensation_completed": "node: undone",
    "approval_rejected": "gate: rejected",
}


def _hit(world: World, event: RunEvent, before: NodeState) -> None:
    if event.type in _HITS:
        world.hit(_HITS[event.type])
    data = event.data
    if event.type == "run_cancelling" and data.get("error_type") == "timeout":
        world.hit("run: too late")
    if event.type == "run_started" and "~on_failure~" in data["run"]["id"]:
        world.hit("run: handler began")
    if event.type == "run_redriven" and "parent_redrives" in data:
        world.hit("child: began again")
    if event.type == "run_redriven" and data.get("version"):
        world.hit("run: under another version")
    if event.type == "node_failed" and data["error_type"] == "unreachable_quorum":
        world.hit("join: unreachable")
    if event.type == "node_failed" and data["error_type"] == "too_many_failures":
        world.hit("items: cut short")
    if event.type == "node_cancelled" and "needed no more" in data.get("reason", ""):
        world.hit("join: cancelled others")
    if event.type == "node_completed" and before.fan is not None and before.fan.count:
        world.hit("items: all")
    if before.gate is not None and event.type == "node_completed":
        expired = (data.get("output") or {}).get("value", {}).get("comment") == "expired"
        world.hit("gate: expired" if expired else "gate: approved")
    if before.gate is not None and event.type == "node_failed" and data.get("error") == "it was not decided in time":
        world.hit("gate: expired")


class WatchedWorkflows:
    """``ports.stores.WorkflowStore``."""

    def __init__(self, gate: Gate, inner: Any, record: RunRecord) -> None:
        self._gate = gate
        self._inner = inner
        self._record = record

    def load(self, tenant: str, name: str) -> Any:
        fault = self._gate.enter("workflow_load")
        found = self._inner.load(tenant, name)
        self._gate.leave(fault)
        return found

    def save(self, head: Any, expected_rev: int) -> bool:
        fault = self._gate.enter("workflow_save")
        won: bool = self._inner.save(head, expected_rev)
        self._gate.leave(fault)
        return won

    def save_version(self, tenant: str, name: str, version: str, document: str) -> None:
        fault = self._gate.enter("workflow_version")
        self._inner.save_version(tenant, name, version, document)
        self._record.documents[name, version] = document
        self._gate.leave(fault)

    def load_version(self, tenant: str, name: str, version: str) -> str | None:
        fault = self._gate.enter("workflow_read")
        found: str | None = self._inner.load_version(tenant, name, version)
        self._gate.leave(fault)
        return found
