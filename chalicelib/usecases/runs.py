"""Runs of workflows: started, shown, decided, cancelled, driven again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from chalicelib.core.errors import Conflict, Forbidden, InvalidField, RedriveConflict
from chalicelib.core.executions.execution import parse_id
from chalicelib.core.schedules.schedule import Key
from chalicelib.core.security.authorize import Resource, authorize, missing, only_owner
from chalicelib.core.security.caller import Caller
from chalicelib.core.security.permissions import Permission
from chalicelib.core.ulid import is_ulid
from chalicelib.core.workflows import input_schema, output_ref, redrive
from chalicelib.core.workflows.definition import WorkflowDefinition
from chalicelib.core.workflows.happenings import Cancels, Decides, Ends, Redrives
from chalicelib.core.workflows.limits import INLINE_LIMIT_BYTES, OUTPUT_INLINE_MAX_BYTES
from chalicelib.core.workflows.redrive import RedrivePlan
from chalicelib.core.workflows.run_state import NodeState, RunEvent
from chalicelib.engine.workflows import outputs, slots, starting
from chalicelib.engine.workflows.run_access import LoadedRun, advance, check_version, load, workflow
from chalicelib.engine.workflows.starting import RunStart
from chalicelib.engine.workflows.versions import LIVE, hash_of
from chalicelib.ports.services import Services
from chalicelib.ports.stores.runs import RunSummary
from chalicelib.ports.workflow_steps import StepFailed
from chalicelib.usecases import workflows
from chalicelib.usecases.policy_gate import check_workflow

_ROLE: Final = "role:"


class ShownRun(NamedTuple):
    """A run with what its nodes came to, where the caller sees that inline."""

    run: LoadedRun
    input: Any
    output: Any
    outputs: Mapping[str, Any]
    may_decide: frozenset[str]  # gates that the caller may decide


def start(
    s: Services,
    caller: Caller,
    name: str,
    given: Any,
    version: str | None = None,
    run_id: str | None = None,
    versions: Sequence[str] | None = None,
) -> str:
    """Begin a run; with the id of one that exists nothing begins. Returns the id. ``versions``: those that the workflow
    may have (None: any), as it is read here. Raises NotFound, InvalidField, PreconditionFailed."""
    head = s.stores.workflows.load(caller.tenant, name)
    if head is None:
        authorize(caller, "workflows:start")
        raise missing(f"workflow {name}")
    authorize(caller, "workflows:start", Resource(head.tenant, head.owner, f"workflow {name}"))
    workflows.check_version(head, versions)
    if run_id is not None:
        _check_id(s, caller, run_id)
    chosen = hash_of(head, version or LIVE)
    made = workflow(s, caller.tenant, name, chosen)
    seen = workflows.seen_by_policies(made.definition)
    check_workflow(s, caller, "workflows:start", name, owner=head.owner, **seen)
    try:
        slots.key_of(s, made.definition, given)  # a caller hears at once of an input that has none
    except StepFailed as wrong:
        raise InvalidField.of("input", wrong.error, code=wrong.error_type) from None
    found = run_id or s.ids.ulid(s.clock.now_ms())
    return starting.start(s, head, RunStart(found, given, caller.subject, chosen, caller.depth, caller.traceparent))


def _check_id(s: Services, caller: Caller, run_id: str) -> None:
    """Refuse the ids that runs of another's firings will have: who took one would keep that run from beginning."""
    execution = parse_id(caller.tenant, run_id)
    if execution is None or not is_ulid(execution.schedule_id):
        return
    key = Key(caller.tenant, execution.schedule_id)
    found = s.stores.schedules.definitions([key]).get(key)
    if found is None or not workflows.reaches(caller, found.owner, "schedules:trigger"):
        raise InvalidField.of("run_id", f"is the id of an execution, and there is no schedule {key.id}")


def to_steer(s: Services, caller: Caller, run_id: str) -> LoadedRun:
    """A run that the caller may steer: stop it, and let it go on. Raises NotFound, Forbidden."""
    return _run(s, caller, run_id, "workflows:start")


def to_read(s: Services, caller: Caller, run_id: str) -> LoadedRun:
    """A run that the caller may see. Raises NotFound, Forbidden."""
    return _run(s, caller, run_id, "workflows:read")


def page(
    s: Services, caller: Caller, name: str | None, status: str | None, limit: int, after: str | None
) -> tuple[list[RunSummary], str | None]:
    """The runs that the caller may see, newest first. A page may be short."""
    authorize(caller, "workflows:read")
    owner = only_owner(caller, "workflows:read")
    found, after = s.stores.runs.page(caller.tenant, name, status, limit, after)
    return [one for one in found if owner in (None, one.owner)], after


def get(s: Services, caller: Caller, run_id: str, inline_bytes: int = OUTPUT_INLINE_MAX_BYTES) -> ShownRun:
    """A run, with values of up to so many bytes. Raises NotFound."""
    return shown(s, caller, to_read(s, caller, run_id), inline_bytes)


def shown(s: Services, caller: Caller, run: LoadedRun, inline_bytes: int = OUTPUT_INLINE_MAX_BYTES) -> ShownRun:
    """A run as the caller sees it. What nothing follows has the first right to be shown whole."""
    state, room = run.state, _Room(inline_bytes)
    done = [name for name, node in state.nodes.items() if node.status == "completed"]
    found = {name: _inline(s, run, name, room) for name in sorted(done, key=lambda name: name not in run.graph.ends)}
    gates = frozenset(n for n, node in state.nodes.items() if node.gate is not None and _may_decide(caller, run, n))
    output = None
    if state.status == "completed":
        done = [name for name in run.graph.ends if state.nodes[name].status == "completed"]
        output = found.get(done[0]) if len(done) == 1 else {name: found.get(name) for name in done} or None
    given = None if state.input is None else _value(s, run, state.input, room)
    return ShownRun(run, given, output, found, gates)


def events(s: Services, caller: Caller, run_id: str, after: int, limit: int) -> list[RunEvent]:
    """The log after an event. Raises NotFound."""
    to_read(s, caller, run_id)
    return s.stores.runs.events(caller.tenant, run_id, after, limit)[:limit]


def cancel(s: Services, caller: Caller, run_id: str, reason: str, versions: Sequence[str] | None = None) -> ShownRun:
    """Let a run end. ``versions``, here and below: those that the run may have when it is written (None: any).

    Raises NotFound, Conflict, PreconditionFailed.
    """
    _run(s, caller, run_id, "workflows:start")
    happening = Cancels(caller.subject, reason)
    return shown(s, caller, advance(s, caller.tenant, run_id, happening, versions=versions))


def decide(
    s: Services,
    caller: Caller,
    run_id: str,
    node: str,
    nonce: str,
    approve: bool,
    comment: str,
    versions: Sequence[str] | None = None,
) -> ShownRun:
    """Approve or reject at a gate.

    Raises NotFound, Forbidden, Conflict (``already_decided``, ``wrong_nonce``), PreconditionFailed.
    """
    authorize(caller, "workflows:approve")
    run = load(s, caller.tenant, run_id)
    if not _is_asked(caller, run):
        authorize(caller, "workflows:approve", _resource(run))  # of others it must not even show that it is there
    here = _node(run, node)
    if here.gate is not None and not _may_decide(caller, run, node):
        gate = here.gate
        if _is_self(caller, run) and not gate.allow_self:
            raise Forbidden("who started the run may not decide at this gate", code="self_approval")
        raise Forbidden("the caller is not among the approvers of this gate")
    check_version(run.state, versions)
    if run.graph.nodes[node].type != "approval":
        raise Conflict(f"node {node} is no approval", code="not_an_approval")
    check_workflow(
        s, caller, "workflows:approve", run.state.workflow, owner=run.state.owner, version=run.state.version, node=node
    )
    happening = Decides(node, nonce, approve, caller.subject, comment)
    return shown(s, caller, advance(s, caller.tenant, run_id, happening, versions=versions))


def end_node(
    s: Services,
    caller: Caller,
    run_id: str,
    node: str,
    output: Any,
    failed: tuple[str, str] | None,
    versions: Sequence[str] | None = None,
) -> ShownRun:
    """Say how a job ended that its target accepted.

    Raises NotFound, Conflict (``node_not_waiting``), PreconditionFailed.
    """
    run = _run(s, caller, run_id, "workflows:start")
    _node(run, node)
    check_version(run.state, versions)
    if run.graph.nodes[node].type != "job":
        raise Conflict(f"node {node} is no job", code="node_not_waiting")
    if failed is not None:
        why = Ends(node, None, "failed", error_type=failed[0], error=failed[1])
        return shown(s, caller, advance(s, caller.tenant, run_id, why, versions=versions))
    try:
        stored = outputs.keep(s, caller.tenant, run_id, output)
    except StepFailed as wrong:
        raise InvalidField.of("output", wrong.error, code=wrong.error_type) from None
    done = Ends(node, None, "completed", output=stored)
    return shown(s, caller, advance(s, caller.tenant, run_id, done, versions=versions))


def drive_again(
    s: Services,
    caller: Caller,
    run_id: str,
    start_at: str | None,
    version: str | None,
    patch: Any,
    dry_run: bool,
    versions: Sequence[str] | None = None,
) -> RedrivePlan:
    """Let a run that ended go on, also under another version. Raises Conflict where the plan has conflicts, and
    PreconditionFailed."""
    run = _run(s, caller, run_id, "workflows:start")
    check_version(run.state, versions)
    if not run.state.is_ended:
        raise Conflict(f"the run is {run.state.shown_status}: cancel it before", code="run_not_ended")
    graph, chosen, made = run.graph, "", run.workflow
    if version is not None:
        head = s.stores.workflows.load(caller.tenant, run.state.workflow)
        if head is None:
            raise missing(f"workflow {run.state.workflow}")
        # Another may have made it under a name that was free again.
        authorize(caller, "workflows:start", Resource(head.tenant, head.owner, f"workflow {run.state.workflow}"))
        chosen = hash_of(head, version)
        made = workflow(s, caller.tenant, run.state.workflow, chosen)
        graph = made.graph(run.state.scope)
    if start_at is not None and start_at not in graph.nodes:
        in_items = any(node.id == start_at for node in made.definition.nodes)
        said = f"{start_at} runs once an item: name its foreach" if in_items else f"there is no node {start_at}"
        raise InvalidField.of("from", said)
    if not dry_run:
        check_workflow(
            s, caller, "workflows:start", run.state.workflow, owner=run.state.owner, version=chosen or run.state.version
        )
    planned = redrive.plan(run.graph, graph, run.state, start_at)
    if planned.conflicts:
        raise RedriveConflict(planned.kept, list(planned.again), planned.conflicts)
    merged = None if patch is None else _patched(s, run, made.definition, patch)
    if dry_run:
        return planned
    try:
        patched = None if patch is None else outputs.keep(s, caller.tenant, run_id, merged)
    except StepFailed as wrong:
        raise InvalidField.of("patch_input", wrong.error, code=wrong.error_type) from None
    timeout_ms = None if run.state.scope else made.definition.timeout_ms
    deadline_ms = None if timeout_ms is None else s.clock.now_ms() + timeout_ms
    again = Redrives(planned.again, caller.subject, chosen, patched, deadline_ms)
    advance(s, caller.tenant, run_id, again, versions=versions)
    return planned


def _patched(s: Services, run: LoadedRun, definition: WorkflowDefinition, patch: Any) -> Any:
    """The input with a patch. Raises InvalidField where it no longer fits the schema."""
    try:
        merged = _merged(outputs.read(s, run.state.tenant, run.state.id, run.state.input), patch)
    except StepFailed as wrong:
        raise InvalidField.of("patch_input", wrong.error, code=wrong.error_type) from None
    schema = None if run.state.scope else definition.input_schema
    if schema is not None and (errors := list(input_schema.problems(schema, merged, "patch_input"))):
        raise InvalidField(errors)
    return merged


def _merged(value: Any, patch: Any) -> Any:
    """RFC 7396: what is null goes, what is an object is merged, all else is replaced."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(value) if isinstance(value, Mapping) else {}
    for name, one in patch.items():
        if one is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), one)
    return merged


def _run(s: Services, caller: Caller, run_id: str, permission: Permission) -> LoadedRun:
    authorize(caller, permission)
    run = load(s, caller.tenant, run_id)
    if not (permission == "workflows:read" and _is_asked(caller, run)):
        authorize(caller, permission, _resource(run))
    return run


def _resource(run: LoadedRun) -> Resource:
    return Resource(run.state.tenant, run.state.owner, f"run {run.state.id}")


def _is_asked(caller: Caller, run: LoadedRun) -> bool:
    """Whether the caller is an approver at some gate of the run: then the run is shown."""
    gates = [node for node in run.graph.nodes.values() if node.type == "approval"]
    return any(_is_among(caller, node.fields["approvers"]) for node in gates)


def _is_among(caller: Caller, approvers: Sequence[str]) -> bool:
    named = caller.subject in approvers and not caller.subject.startswith(_ROLE)  # a subject can be called anything
    return named or any(f"{_ROLE}{role}" in approvers for role in caller.roles)


def _node(run: LoadedRun, name: str) -> NodeState:
    if name not in run.state.nodes:
        raise missing(f"node {name} in run {run.state.id}")
    return run.state.nodes[name]


def _may_decide(caller: Caller, run: LoadedRun, name: str) -> bool:
    gate = run.state.nodes[name].gate
    if gate is None or "workflows:approve" not in caller.permissions:
        return False
    if caller.credential == "off":  # all callers are the same person
        return True
    if _is_self(caller, run) and not gate.allow_self:
        return False
    return _is_among(caller, gate.approvers)


def _is_self(caller: Caller, run: LoadedRun) -> bool:
    return caller.credential != "off" and caller.subject == run.state.started_by


class _Room:
    """How much of what is large is shown: values of up to ``each`` bytes, as long as there is room."""

    def __init__(self, each: int) -> None:
        self._each = each
        self._left = INLINE_LIMIT_BYTES

    def takes(self, ref: Mapping[str, Any]) -> bool:
        """Whether a value is shown itself."""
        if not output_ref.is_large(ref):
            return True
        if ref["size"] > min(self._each, self._left):
            return False
        self._left -= ref["size"]
        return True


def _inline(s: Services, run: LoadedRun, name: str, room: _Room) -> Any:
    """What callers see of a node's output: the value, or where a large one is."""
    ref = run.state.nodes[name].output
    node = run.graph.nodes[name]
    if node.type in ("trigger", "join"):  # what others brought
        try:
            value = outputs.of_node(s, run, name)
        except StepFailed:
            return None  # as below
        encoded = output_ref.encode(value)
        return value if room.takes(encoded.ref) else output_ref.pointer(encoded.ref)
    if ref is None or node.is_foreach:
        return None  # its join has them
    return _value(s, run, ref, room)


def _value(s: Services, run: LoadedRun, ref: Any, room: _Room) -> Any:
    if not room.takes(ref):
        return output_ref.pointer(ref)
    try:
        return outputs.read(s, run.state.tenant, run.state.id, ref)
    except StepFailed:
        return output_ref.pointer(ref)  # of a run of another deployment, whose export left it out
