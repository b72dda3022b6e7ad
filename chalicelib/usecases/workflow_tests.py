"""Definitions tried before they are published: one node with sample input, or a whole run in virtual time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from chalicelib.core.errors import InvalidField
from chalicelib.core.security.authorize import authorize
from chalicelib.core.security.caller import Caller
from chalicelib.core.workflows import input_schema, mocks, session
from chalicelib.core.workflows.definition import WorkflowDefinition
from chalicelib.core.workflows.limits import RUN_MAX_EVENTS
from chalicelib.core.workflows.node_rules import reference_of
from chalicelib.core.workflows.tried import Rehearsed, TriedStep
from chalicelib.engine.workflows import forked, rehearsal, single_step
from chalicelib.engine.workflows.forked import ForkOrigin
from chalicelib.engine.workflows.run_access import parts_of, workflow
from chalicelib.engine.workflows.single_step import Samples
from chalicelib.engine.workflows.versions import hash_of
from chalicelib.ports.services import Services
from chalicelib.ports.workflow_steps import WorkflowParts
from chalicelib.usecases import runs, workflows

REAL_TIME_MAX_MS = 20_000
NAME = "test"


class TestRequest(Struct, frozen=True):
    """What is to be tried: a ``definition``, or a ``version`` of a published ``workflow``."""

    __test__ = False  # no class of tests

    definition: Mapping[str, Any] | None = None
    workflow: str | None = None
    version: str | None = None
    node: str | None = None
    input: Any = None
    outputs: Mapping[str, Any] = {}
    item: Any = None
    has_item: bool = False
    mocks: Mapping[str, Any] = {}
    fork_run_id: str | None = None
    fork_position: int | None = None


def try_out(s: Services, caller: Caller, request: TestRequest) -> TriedStep | Rehearsed:
    """Try it. Nothing is stored, and nothing outside is called. Raises InvalidField, NotFound."""
    authorize(caller, "workflows:write")
    origin = None if request.fork_run_id is None else _origin(s, caller, request)
    is_as_it_was = origin is not None and request.definition is None and request.workflow is None
    name = NAME if origin is None else origin.definition.name
    made = origin.definition if origin is not None and is_as_it_was else _definition(s, caller, request, name)
    if origin is not None and made.name != origin.definition.name:
        raise InvalidField.of("fork.run_id", f"is of workflow {origin.definition.name}, not of {made.name}")
    if request.node is not None:
        return one_node(parts_of(s), made, request, s.clock.now_ms())
    definitions = {made.name: made, **_begun(s, caller, made)}
    over_ms = s.clock.now_ms() + REAL_TIME_MAX_MS
    now_ms = s.clock.now_ms()
    return whole_run(
        parts_of(s),
        definitions,
        made.name,
        request.input,
        request.mocks,
        now_ms,
        lambda: s.clock.now_ms() > over_ms,
        origin,
    )


def _origin(s: Services, caller: Caller, request: TestRequest) -> ForkOrigin:
    if request.node is not None:
        raise InvalidField.of("node", "a fork is of a whole run")
    run = runs.get(s, caller, request.fork_run_id or "").run
    if run.state.scope:
        raise InvalidField.of("fork.run_id", "is of an item: fork the run that it is part of")
    events = s.stores.runs.events(caller.tenant, run.state.id, 0, RUN_MAX_EVENTS)
    position = len(events) if request.fork_position is None else request.fork_position
    if not 1 <= position <= len(events):
        raise InvalidField.of("fork.position", f"the log has the events 1 to {len(events)}")
    state = session.as_of(events, position)
    made = workflow(s, caller.tenant, state.workflow, state.version).definition
    return forked.origin(s, caller.tenant, run.state.id, tuple(events[:position]), made)


def one_node(parts: WorkflowParts, made: WorkflowDefinition, request: TestRequest, now_ms: int) -> TriedStep:
    """Take one step. Raises InvalidField."""
    assert parts.open_stage is not None, "this process has no stage"
    answers = mocks.check(request.mocks, {made.name: made}, made.name)
    cast = single_step.SingleStep(answers.of(made.name, request.node or ""))
    stage = parts.open_stage(cast, now_ms)
    samples = Samples(request.input, request.outputs, request.item, request.has_item)
    return single_step.take(stage, cast, made, request.node or "", samples)


def whole_run(
    parts: WorkflowParts,
    definitions: Mapping[str, WorkflowDefinition],
    main: str,
    given: Any,
    answers: Mapping[str, Any],
    now_ms: int,
    is_over: Any = lambda: False,
    forked_from: ForkOrigin | None = None,
) -> Rehearsed:
    """Rehearse a run. Raises InvalidField."""
    assert parts.open_stage is not None, "this process has no stage"
    schema = definitions[main].input_schema
    is_edited = forked_from is None or given is not None
    if schema is not None and is_edited and (errors := list(input_schema.problems(schema, given))):
        raise InvalidField(errors)
    checked = mocks.check(answers, definitions, main)
    return rehearsal.Play(definitions, main, checked, is_over, forked_from).run(parts.open_stage, given, now_ms)


def _definition(s: Services, caller: Caller, request: TestRequest, name: str) -> WorkflowDefinition:
    if (request.definition is None) == (request.workflow is None):
        raise InvalidField.of("definition", "give either a definition or the name of a workflow")
    if request.workflow is not None:
        shown = workflows.version(s, caller, request.workflow, request.version or "live")
        return workflow(s, caller.tenant, request.workflow, shown.version.version).definition
    if request.version is not None:
        raise InvalidField.of("version", "is of a published workflow: a definition has none")
    document = dict(request.definition or {})
    document.setdefault("name", name)
    try:
        return workflows.judged(s, caller, document)
    except InvalidField as wrong:
        raise InvalidField([type(e)(f"definition.{e.field}", e.message) for e in wrong.errors]) from None


def _begun(s: Services, caller: Caller, made: WorkflowDefinition) -> dict[str, WorkflowDefinition]:
    """The published workflows that a run of this one may begin, however deep. What is not there is a stub."""
    found: dict[str, WorkflowDefinition] = {}
    left = [made]
    while left:
        one = left.pop()
        wanted = [reference_of(node.fields) for node in one.nodes if node.type == "subworkflow"]
        for reference in [*wanted, one.on_failure]:
            name, _, version = reference.partition("@")
            head = s.stores.workflows.load(caller.tenant, name) if name else None
            if head is None or name in found or name == made.name:
                continue
            inner = workflow(s, caller.tenant, name, hash_of(head, version or "live")).definition
            found[name] = inner
            left.append(inner)
    return found
