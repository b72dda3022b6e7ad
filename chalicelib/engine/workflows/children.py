"""Runs that belong to others: the items of a foreach, and subworkflows."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from msgspec.structs import replace

from chalicelib.core.decoders import converted
from chalicelib.core.errors import NotFound
from chalicelib.core.workflows import redrive
from chalicelib.core.workflows.happenings import Begins, Cancels, ChildEnds, Decision, ItemEnds, Order, Redrives
from chalicelib.core.workflows.node_rules import reference_of
from chalicelib.core.workflows.output_ref import EncodedOutput
from chalicelib.core.workflows.run_ids import child_id, item_id
from chalicelib.core.workflows.run_state import NodeState, RunState, SeenRun
from chalicelib.core.workflows.waiting import is_child_to_end, is_child_waited_for
from chalicelib.engine.workflows import outputs
from chalicelib.engine.workflows.run_access import (
    LOOK_EVERY_MS,
    LoadedRun,
    advance,
    follow,
    load,
    promise,
    rest,
    send,
    settle_summary,
    summary_of,
    tell,
    workflow,
)
from chalicelib.engine.workflows.scope import StepScope
from chalicelib.ports.services import Services
from chalicelib.ports.stores.runs import RunSummary
from chalicelib.ports.workflow_steps import StepFailed


class Begun(NamedTuple):
    """A run that has begun just now (None: it had before), and the steps that are its caller's to take or to send."""

    run: LoadedRun | None
    decision: Decision | None = None


def begin(s: Services, fields: dict[str, Any], given: EncodedOutput | None = None) -> bool:
    """Begin a run, and queue its steps; False when it had begun before. ``given`` is the input that ``fields`` refers
    to."""
    begun, decision = begin_quietly(s, fields, given)
    if begun is None or decision is None:
        return False
    send(s, begun.state, decision.orders, decision.next_due_ms)
    if begun.state.shown_status != "running":
        settle_summary(s, begun)
    return True


def begin_quietly(
    s: Services,
    fields: dict[str, Any],
    given: EncodedOutput | None = None,
    is_cancelled: bool = False,
    worker: str = "",
) -> Begun:
    """Begin a run. The summary comes first: a crash after it leaves a run that ``reconcile`` finds, and a large input
    that is deleted with it. ``worker`` may claim a step as in ``tell``."""
    tenant, run_id = fields["tenant"], fields["id"]
    now_ms = s.clock.now_ms()
    made = workflow(s, tenant, fields["workflow"], fields["version"])
    limit = made.definition.concurrency
    if limit is not None and not fields.get("scope"):
        fields = fields | {"limited": True, "slot_kept": limit.hold_while_waiting}
    if made.definition.sla_ms is not None and not fields.get("scope"):
        fields = fields | {"sla_ms": made.definition.sla_ms}
    if made.definition.timeout_ms is not None and not fields.get("scope"):
        fields = fields | {"deadline_ms": now_ms + made.definition.timeout_ms}
    state = converted(fields, RunState)
    state.started_ms = now_ms
    empty = LoadedRun(RunState(scope=state.scope), made)
    state.nodes = {name: NodeState() for name in empty.graph.nodes}
    entry = summary_of(state, 1, now_ms + LOOK_EVERY_MS)
    if not _enter(s, replace(entry, change=SeenRun(state) if entry.listed else None), now_ms):
        return Begun(None)
    if given is not None:
        outputs.store(s, tenant, run_id, given)
    after, decision = tell(s, tenant, run_id, Begins(fields, is_cancelled), empty, worker)
    return Begun(after, decision) if decision.events else Begun(None)


def _enter(s: Services, entry: RunSummary, now_ms: int) -> bool:
    """Whether a run is there that has not begun."""
    if s.stores.runs.enter(entry):
        return True
    if s.stores.runs.read(entry.tenant, entry.id).events:
        return False
    # It was entered by a worker that died, and reconcile may have given it up since.
    promise(s, entry.tenant, entry.id, now_ms + LOOK_EVERY_MS)
    return True


def begin_item(s: Services, run: LoadedRun, node: str, index: int, worker: str = "") -> Begun:
    """Begin the run of one item, once. One that ended before says so again, or goes on in a redrive. ``worker`` may
    claim a step of it."""
    state = run.state
    here = state.nodes[node]
    if here.status != "waiting" or here.fan is None or index not in here.fan.live:
        return Begun(None)
    child = item_id(state.id, node, here.generation, index)
    try:
        items = outputs.read(s, state.tenant, state.id, here.output)
        given = outputs.encoded({"item": items[index]}, "the item")
    except StepFailed as wrong:  # nothing else could ever begin it
        said = f"{wrong.error_type}: {wrong.error}"
        return Begun(*tell(s, state.tenant, state.id, ItemEnds(node, index, "failed", state.redrives, said)))
    begun = begin_quietly(s, _item_fields(state, node, index, given.ref), given, worker=worker)
    if begun.run is None:
        return recall(s, state.tenant, child, worker)
    return begun


def _item_fields(state: RunState, node: str, index: int, given: Any) -> dict[str, Any]:
    return {
        "tenant": state.tenant,
        "id": item_id(state.id, node, state.nodes[node].generation, index),
        "workflow": state.workflow,
        "version": state.version,
        "owner": state.owner,
        "started_by": state.started_by,
        "input": given,
        "parent": state.id,
        "parent_node": node,
        "parent_redrives": state.redrives,
        "scope": [*state.scope, node],
        "indices": [*state.indices, index],
        "root": state.root or state.id,
        "depth": state.depth,
        "child_versions": dict(state.child_versions),
    }


def child_fields(run: LoadedRun, node: str, given: Any) -> dict[str, Any]:
    """The run that a ``subworkflow`` begins."""
    state, fields = run.state, run.graph.nodes[node].fields
    waits = {"parent": state.id, "parent_node": node, "parent_redrives": state.redrives}
    return {
        "tenant": state.tenant,
        "id": child_id(state, node),
        "workflow": str(fields["workflow"]).partition("@")[0],
        "version": state.child_versions[reference_of(fields)],
        "owner": state.owner,
        "started_by": state.started_by,
        "input": given,
        "depth": state.depth + 1,
        "child_versions": dict(state.child_versions),
        "traceparent": state.traceparent,
        **(waits if fields.get("wait", True) else {}),
    }


def recall(s: Services, tenant: str, child: str, worker: str = "") -> Begun:
    """A child that had begun before may have ended before: let it say so again, or go on in a redrive."""
    found = load(s, tenant, child)
    if not found.state.is_ended:
        return Begun(None)
    told = tell_parent(s, found, worker)
    return Begun(None) if told is None else Begun(*told)


def send_recall(s: Services, tenant: str, child: str) -> None:
    """Let another worker recall it: its parent's has other things to do."""
    found = load(s, tenant, child)
    if found.state.is_ended:
        send(s, found.state, [Order("tell_parent")], None)


def cancel_child(s: Services, run: LoadedRun, node: str, index: int | None) -> None:
    """Let a child end that is not waited for any more. One that has yet to begin never does: its log says so, whichever
    of the two comes first."""
    state, here = run.state, run.state.nodes[node]
    if index is None:
        if not is_child_to_end(here):
            return
        fields = {**child_fields(run, node, None), "id": here.child}
    else:
        if here.fan is None or index not in here.fan.live:
            return
        fields = _item_fields(state, node, index, None)
    begun = begin_quietly(s, fields, is_cancelled=True)
    if begun.run is not None and begun.decision is not None:
        follow(s, begun.run, begun.decision)
        return
    found = load(s, state.tenant, fields["id"])
    if not found.state.is_ended:
        advance(s, state.tenant, found.state.id, Cancels(reason="its parent does not wait for it any more"), found)
    elif (told := tell_parent(s, found)) is not None:
        follow(s, *told)


def tell_parent(s: Services, run: LoadedRun, worker: str = "") -> tuple[LoadedRun, Decision] | None:
    """Let the run that waits for this one know how it ended; that run after it, and the orders that follow. Where that
    run went on since in a redrive, this one goes on as well, and is what is returned. ``worker`` may claim a step of
    either, which is then the caller's to take."""
    state = run.state
    if not state.is_ended:  # a message of its earlier end, which comes after a redrive
        return None
    try:
        parent = load(s, state.tenant, state.parent)
    except NotFound:
        return None
    if _goes_on_in_a_redrive(parent, state) or _is_of_another_item(s, parent, state):
        return _drive_again(s, parent, run, worker)
    happening: ItemEnds | ChildEnds
    if state.scope:
        index, wrong = state.indices[-1], None
        if state.status == "completed":
            node = parent.state.nodes[state.parent_node]
            name = outputs.item_name(state.parent_node, node.generation, index)
            wrong = _failure(lambda: outputs.keep_item(s, state.tenant, state.parent, name, outputs.of_run(s, run)))
        happening = ItemEnds(state.parent_node, index, state.status, state.parent_redrives)
        if wrong is not None:
            said = f"{wrong.error_type}: {wrong.error}"
            happening = ItemEnds(state.parent_node, index, "failed", state.parent_redrives, said)
    else:
        happening = _child_ends(s, run)
    told = tell(s, state.tenant, state.parent, happening, worker=worker)
    if _goes_on_in_a_redrive(told[0], state):  # which came between the two readings
        return _drive_again(s, told[0], run, worker)
    rest(s, run)
    return told


def _child_ends(s: Services, run: LoadedRun) -> ChildEnds:
    """How a subworkflow ended, as its parent hears it. What came to more than is kept of one value is a failure there:
    the child itself has it in parts."""
    state = run.state
    try:
        output = outputs.keep(s, state.tenant, state.parent, outputs.of_run(s, run))
    except StepFailed as wrong:
        said = f"run {state.id}: {wrong.error}"
        return ChildEnds(state.parent_node, state.id, "failed", None, said, state.parent_redrives, wrong.error_type)
    return ChildEnds(state.parent_node, state.id, state.status, output, state.error, state.parent_redrives)


def _failure(act: Callable[[], None]) -> StepFailed | None:
    try:
        act()
    except StepFailed as wrong:
        return wrong
    return None


def _goes_on_in_a_redrive(parent: LoadedRun, child: RunState) -> bool:
    is_behind = child.status != "completed" and child.parent_redrives < parent.state.redrives
    return is_behind and _is_waited_for(parent, child)


def _is_of_another_item(s: Services, parent: LoadedRun, child: RunState) -> bool:
    """Whether the value at its place of the list is another one in a redrive of its parent than the child ran with."""
    if not child.scope or child.parent_redrives >= parent.state.redrives or not _is_waited_for(parent, child):
        return False
    try:
        return not _is_same(outputs.encoded(_item_of(s, parent, child)).ref, child.input)
    except StepFailed:
        return False  # what it came to is kept


def _item_of(s: Services, parent: LoadedRun, child: RunState) -> dict[str, Any]:
    """What an item's run is given. Raises StepFailed."""
    items = outputs.read(s, child.tenant, parent.state.id, parent.state.nodes[child.parent_node].output)
    return {"item": items[child.indices[-1]]}


def _is_same(one: Any, other: Any) -> bool:
    """Whether two references are of one value: in Python 1 would be true."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _is_waited_for(parent: LoadedRun, child: RunState) -> bool:
    node = parent.state.nodes.get(child.parent_node)
    if node is None:
        return False
    if child.scope:
        return node.status == "waiting" and node.fan is not None and child.indices[-1] in node.fan.live
    return is_child_waited_for(parent.graph, parent.state, child.parent_node, child.id)


def _drive_again(s: Services, parent: LoadedRun, run: LoadedRun, worker: str) -> tuple[LoadedRun, Decision]:
    """What a redrive of the parent means for a run that it waits for. What completed is kept. The rest runs again under
    the same keys, with the input as it is now. Of an item whose value is another one nothing is kept."""
    state, name = run.state, run.state.parent_node
    try:
        value = _item_of(s, parent, state) if state.scope else StepScope(s, parent, name).input()
        given = outputs.keep(s, state.tenant, state.id, value)
    except StepFailed:
        given = state.input  # what it cannot be given anew it has from before
    start = None
    if state.scope and not _is_same(given, state.input):
        start = run.graph.entry
        place = outputs.item_name(name, parent.state.nodes[name].generation, state.indices[-1])
        outputs.keep_item(s, state.tenant, parent.state.id, place, None)
    again = redrive.plan(run.graph, run.graph, state, start).again
    timeout_ms = None if state.scope else run.workflow.definition.timeout_ms
    deadline_ms = None if timeout_ms is None else s.clock.now_ms() + timeout_ms
    happening = Redrives(again, state.started_by, "", given, deadline_ms, parent.state.redrives)
    return tell(s, state.tenant, state.id, happening, run, worker)
