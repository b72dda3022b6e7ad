"""Runs that belong to others: the items of a foreach, and subworkflows."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from chalicelib.core.errors import NotFound
from chalicelib.core.workflows.happenings import Begins, Cancels, ChildEnds, Decision, ItemEnds, Order
from chalicelib.core.workflows.run_state import NodeState, RunState, SeenRun
from chalicelib.engine.workflows import outputs
from chalicelib.engine.workflows.run_access import (
    LOOK_EVERY_MS,
    LoadedRun,
    advance,
    follow,
    load,
    rest,
    send,
    settle_summary,
    summary_of,
    tell,
    workflow,
)
from chalicelib.ports.services import Services


class Begun(NamedTuple):
    """A run that has begun just now (None: it had before), and the steps that are its caller's to take or to send."""

    run: LoadedRun | None
    decision: Decision | None = None


def begin(s: Services, fields: dict[str, Any]) -> bool:
    """Begin a run, and queue its steps; False when it had begun before."""
    begun, decision = begin_quietly(s, fields)
    if begun is None or decision is None:
        return False
    send(s, begun.state, decision.orders, decision.next_due_ms)
    if begun.state.shown_status != "running":
        settle_summary(s, begun)
    return True


def begin_quietly(s: Services, fields: dict[str, Any]) -> Begun:
    """Begin a run. The summary comes first: a crash after it leaves a run that ``reconcile`` finds."""
    tenant, run_id = fields["tenant"], fields["id"]
    now_ms = s.clock.now_ms()
    made = workflow(s, tenant, fields["workflow"], fields["version"])
    limit = made.definition.concurrency
    if limit is not None and not fields.get("scope"):
        fields = fields | {"limited": True, "slot_kept": limit.hold_while_waiting}
    state = msgspec.convert(fields, RunState)
    state.started_ms = now_ms
    empty = LoadedRun(RunState(scope=state.scope), made)
    state.nodes = {name: NodeState() for name in empty.graph.nodes}
    entry = summary_of(state, 1, now_ms + LOOK_EVERY_MS)
    entered = s.stores.runs.enter(replace(entry, change=SeenRun(state) if entry.listed else None))
    if not entered:
        if s.stores.runs.read(tenant, run_id).events:
            return Begun(None)
        # It was entered by a worker that died, and reconcile may have given it up since.
        s.stores.runs.wake_by(tenant, run_id, now_ms + LOOK_EVERY_MS)
    after, decision = tell(s, tenant, run_id, Begins(fields), empty)
    return Begun(after, decision) if decision.events else Begun(None)


def item_id(parent: str, node: str, generation: int, index: int) -> str:
    """The id of an item's run."""
    again = f"#{generation}" if generation > 1 else ""
    return f"{parent}~{node}{again}~{index}"


def child_id(state: RunState, node: str) -> str:
    """The id of the run that a ``subworkflow`` begins."""
    generation = state.nodes[node].generation
    return f"{state.id}~{node}" + (f"#{generation}" if generation > 1 else "")


def recall(s: Services, tenant: str, child: str) -> None:
    """A child that had begun before may have ended before: let it say so again."""
    found = load(s, tenant, child)
    if found.state.is_ended:
        send(s, found.state, [Order("tell_parent")], None)


def begin_item(s: Services, run: LoadedRun, node: str, index: int) -> Begun:
    """Begin the run of one item, once."""
    state = run.state
    here = state.nodes[node]
    if here.status != "waiting" or here.fan is None or index not in here.fan.live:
        return Begun(None)
    child = item_id(state.id, node, here.generation, index)
    items = outputs.read(s, state.tenant, state.id, here.output)
    fields = {
        "tenant": state.tenant,
        "id": child,
        "workflow": state.workflow,
        "version": state.version,
        "owner": state.owner,
        "started_by": state.started_by,
        "input": outputs.keep(s, state.tenant, child, {"item": items[index]}),
        "parent": state.id,
        "parent_node": node,
        "scope": [*state.scope, node],
        "indices": [*state.indices, index],
        "root": state.root or state.id,
        "depth": state.depth,
        "child_versions": dict(state.child_versions),
    }
    begun = begin_quietly(s, fields)
    if begun.run is None:
        _tell_if_ended(s, state.tenant, child)
    return begun


def cancel_child(s: Services, run: LoadedRun, node: str, index: int | None) -> None:
    """Let a child end that is not waited for any more."""
    here = run.state.nodes[node]
    child = here.child if index is None else item_id(run.state.id, node, here.generation, index)
    tenant = run.state.tenant
    try:
        found = load(s, tenant, child)
    except NotFound:
        found = None  # it never began
    if found is None or found.state.is_ended:
        if index is not None:
            advance(s, tenant, run.state.id, ItemEnds(node, index, "cancelled"))
        return
    advance(s, tenant, child, Cancels(reason="its parent does not wait for it any more"))


def tell_parent(s: Services, run: LoadedRun) -> tuple[LoadedRun, Decision] | None:
    """Let the run that waits for this one know how it ended; that run after it, and the orders that follow."""
    state = run.state
    try:
        parent = load(s, state.tenant, state.parent)
    except NotFound:
        return None
    if state.scope:
        index = state.indices[-1]
        if state.status == "completed":
            node = parent.state.nodes[state.parent_node]
            name = outputs.item_name(state.parent_node, node.generation, index)
            content = outputs.item_content(outputs.of_run(s, run))
            s.stores.runs.put_payload(state.tenant, state.parent, name, content)
        happening: ItemEnds | ChildEnds = ItemEnds(state.parent_node, index, state.status)
    else:
        output = outputs.keep(s, state.tenant, state.parent, outputs.of_run(s, run))
        happening = ChildEnds(state.parent_node, state.id, state.status, output, state.error)
    told = tell(s, state.tenant, state.parent, happening)
    rest(s, state)
    return told


def _tell_if_ended(s: Services, tenant: str, child: str) -> None:
    found = load(s, tenant, child)
    if found.state.is_ended and (told := tell_parent(s, found)) is not None:
        follow(s, *told)
