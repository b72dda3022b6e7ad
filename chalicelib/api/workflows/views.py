"""Workflows and runs as they are shown."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from chalicelib.api.http.requests import Opt
from chalicelib.api.workflows.schemas import (
    ApprovalView,
    EventView,
    NodeStateWord,
    PublishedVersionView,
    RedriveView,
    RunNodeView,
    RunSummaryView,
    RunView,
    ValidatedView,
    WorkflowBody,
    WorkflowSummaryView,
    WorkflowView,
    WrongField,
)
from chalicelib.core.errors import FieldError
from chalicelib.core.workflows import graph, output_ref
from chalicelib.core.workflows.redrive import RedrivePlan
from chalicelib.core.workflows.run_state import NodeState, RunEvent, RunState, SeenRun
from chalicelib.ports.stores.runs import RunSummary
from chalicelib.ports.stores.workflows import WorkflowHead
from chalicelib.usecases.runs import ShownRun
from chalicelib.usecases.workflows import ShownWorkflow, notes


def document_of(body: WorkflowBody) -> dict[str, Any]:
    """The definition as it was sent."""
    return {name: value for name in body.__struct_fields__ if (value := getattr(body, name)) is not UNSET}


def workflow_view(shown: ShownWorkflow) -> WorkflowView:
    """A workflow as callers see it."""
    head, document = shown.head, {name: value for name, value in shown.document.items() if name != "name"}
    versions = [
        PublishedVersionView(
            number=v.number, version=v.version, created_at_unix_ms=v.created_ms, created_by=v.created_by
        )
        for v in head.versions
    ]
    return WorkflowView(
        name=head.name,
        version=shown.version.version,
        number=shown.version.number,
        live=head.live,
        versions=versions,
        owner=head.owner,
        created_at_unix_ms=head.created_ms,
        updated_at_unix_ms=head.updated_ms,
        notes=notes(document),
        **document,
    )


def summary_view(head: WorkflowHead) -> WorkflowSummaryView:
    """A workflow in a list."""
    number = next(v.number for v in head.versions if v.version == head.live)
    return WorkflowSummaryView(
        name=head.name,
        live=head.live,
        number=number,
        owner=head.owner,
        created_at_unix_ms=head.created_ms,
        updated_at_unix_ms=head.updated_ms,
    )


def validated_view(errors: tuple[FieldError, ...]) -> ValidatedView:
    """What validation found."""
    return ValidatedView(not errors, [WrongField(e.field, e.message) for e in errors])


def run_view(shown: ShownRun) -> RunView:
    """A run as the caller sees it."""
    state = shown.run.state
    nodes = {name: _node_view(shown, name, node) for name, node in state.nodes.items()}
    whole = shown.run.workflow.whole
    if not state.scope:
        for parallel, node in state.nodes.items():
            if whole.nodes[parallel].is_foreach:
                nodes |= {name: _body_view(node) for name in _body_of(shown, parallel) if name not in nodes}
    return _run_view(state, nodes, shown.input, shown.output)


def seen_run_view(seen: SeenRun) -> RunView:
    """A run as its subscribers see it: what its log holds of outputs, and where larger ones are."""
    state = seen.state
    nodes = {
        name: _node(state, node, frozenset(), output_ref.brief(node.output) if node.status == "completed" else None)
        for name, node in state.nodes.items()
    }
    return _run_view(state, nodes, output_ref.brief(state.input), output_ref.brief(seen.output))


def _run_view(state: RunState, nodes: dict[str, RunNodeView], given: Any, output: Any) -> RunView:
    return RunView(
        id=state.id,
        workflow=state.workflow,
        version=state.version,
        state=state.shown_status,  # type: ignore[arg-type]
        input=given,
        nodes=nodes,
        started_unix_ms=state.started_ms,
        events=state.events,
        owner=state.owner,
        started_by=state.started_by,
        output=output if state.status == "completed" else UNSET,
        error=state.error or UNSET,
        error_type=state.error_type or UNSET,
        reason=state.reason or UNSET,
        finished_unix_ms=UNSET if state.finished_ms is None else state.finished_ms,
        late=bool(state.late) or UNSET,
        parent_run_id=state.parent or UNSET,
    )


def run_summary_view(summary: RunSummary) -> RunSummaryView:
    """A run in a list."""
    return RunSummaryView(
        id=summary.id,
        workflow=summary.workflow,
        version=summary.version,
        state=summary.status,  # type: ignore[arg-type]
        owner=summary.owner,
        started_unix_ms=summary.started_ms,
        finished_unix_ms=UNSET if summary.finished_ms is None else summary.finished_ms,
    )


def event_view(event: RunEvent) -> EventView:
    """An entry of the log; a gate's nonce is for its approvers."""
    data = {name: value for name, value in event.data.items() if value is not None}
    if isinstance(data.get("gate"), dict):
        data["gate"] = {name: value for name, value in data["gate"].items() if name != "nonce"}
    return EventView(number=event.number, at_unix_ms=event.at_ms, type=event.type, node=event.node or UNSET, data=data)


def redrive_view(plan: RedrivePlan) -> RedriveView:
    """What a redrive does."""
    return RedriveView(list(plan.kept), list(plan.again), list(plan.conflicts))


def _node_view(shown: ShownRun, name: str, node: NodeState) -> RunNodeView:
    may_decide = shown.may_decide & {name}
    return _node(shown.run.state, node, may_decide, shown.outputs.get(name))


def _node(state: RunState, node: NodeState, may_decide: frozenset[str], output: Any) -> RunNodeView:
    gate, fan = node.gate, node.fan
    approval: Opt[ApprovalView] = UNSET
    if gate is not None:
        approval = ApprovalView(
            approvers=list(gate.approvers),
            quorum=gate.quorum,
            approved_by=list(gate.approved_by),
            expires_unix_ms=gate.expires_ms,
            nonce=gate.nonce if may_decide else UNSET,
        )
    in_line = node.status == "running" and state.slot == "wanted"
    why = node.reason or UNSET
    if in_line:
        why = "waits until fewer runs of the same key are under way"
    elif node.stop is not None:
        why = f"stands at the breakpoint {node.stop['kind']} {node.stop['value']}".rstrip()
    return RunNodeView(
        state="waiting" if in_line else node.status,
        attempts=node.attempt,
        started_unix_ms=UNSET if node.started_ms is None else node.started_ms,
        finished_unix_ms=UNSET if node.finished_ms is None else node.finished_ms,
        due_unix_ms=node.due_ms if node.status == "waiting" and node.due_ms is not None else UNSET,
        output=UNSET if output is None else output,
        case=node.case or UNSET,
        error=node.error or UNSET,
        error_type=node.error_type or UNSET,
        reason=why,
        child_run_id=node.child or UNSET,
        late=bool(node.late) or UNSET,
        items=UNSET
        if fan is None
        else {"count": fan.count, "begun": fan.next, "running": len(fan.live), "failed": fan.failed},
        approval=approval,
    )


def _body_of(shown: ShownRun, parallel: str) -> set[str]:
    return graph.body_of(shown.run.workflow.whole, parallel)[1]


def _body_view(parallel: NodeState) -> RunNodeView:
    """A node of a foreach's body: its runs are the items', so that here it is as far as they are."""
    states: dict[str, NodeStateWord] = {"waiting": "running", "timeout": "failed"}
    return RunNodeView(state=states.get(parallel.status, parallel.status), attempts=0, reason="runs once an item")
