"""How a run begins, whatever wants it: a caller, a firing, an event. Who may is judged before."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from chalicelib.core.errors import Conflict, InvalidField
from chalicelib.core.workflows import input_schema
from chalicelib.core.workflows.compiled import CompiledWorkflow
from chalicelib.core.workflows.limits import NESTING_MAX_DEPTH
from chalicelib.core.workflows.output_ref import EncodedOutput
from chalicelib.engine.workflows import children, outputs
from chalicelib.engine.workflows.run_access import workflow
from chalicelib.engine.workflows.versions import LIVE, hash_of, resolved_children
from chalicelib.ports.services import Services
from chalicelib.ports.stores.workflows import WorkflowHead
from chalicelib.ports.workflow_steps import StepFailed


class RunStart(Struct, frozen=True):
    """A run that is wanted. ``run_id`` makes it one run however often it is asked for. ``by`` is who wants it, and may
    not decide at its gates."""

    run_id: str
    given: Any
    by: str
    version: str = ""
    depth: int = 0
    traceparent: str = ""


def start(s: Services, head: WorkflowHead, wanted: RunStart) -> str:
    """Begin a run; with the id of one that exists nothing begins. Returns the id.

    Raises NotFound for a version that is not there, InvalidField for an input that does not fit, and Conflict
    (``too_deep``, ``run_id_taken``).
    """
    tenant, found = head.tenant, wanted.run_id
    chosen = hash_of(head, wanted.version or LIVE)
    if wanted.depth >= NESTING_MAX_DEPTH:
        raise Conflict(f"a chain of triggers ends at depth {NESTING_MAX_DEPTH}", code="too_deep")
    if is_begun(s, head, found):
        return found
    made = workflow(s, tenant, head.name, chosen)
    _check_input(made, wanted)
    given = _encoded(wanted)
    fields = {
        "tenant": tenant,
        "id": found,
        "workflow": head.name,
        "version": chosen,
        "owner": head.owner,
        "started_by": wanted.by,
        "input": given.ref,
        "child_versions": resolved_children(s, head, chosen),
        "depth": wanted.depth,
        "traceparent": wanted.traceparent,
    }
    children.begin(s, fields, given)
    return found


def is_begun(s: Services, head: WorkflowHead, run_id: str) -> bool:
    """Whether there is such a run of this workflow. Raises Conflict where it is of another."""
    known = s.stores.runs.load(head.tenant, run_id)
    if known is None:
        return False
    if known.workflow != head.name:
        raise Conflict(f"run {run_id} is of another workflow", code="run_id_taken")  # whose may be another owner's
    return bool(s.stores.runs.read(head.tenant, run_id).events)


def _check_input(made: CompiledWorkflow, wanted: RunStart) -> None:
    schema = made.definition.input_schema
    if schema is not None and (errors := list(input_schema.problems(schema, wanted.given))):
        raise InvalidField(errors)


def _encoded(wanted: RunStart) -> EncodedOutput:
    try:
        return outputs.encoded(wanted.given, "the input")
    except StepFailed as wrong:
        raise InvalidField.of("input", wrong.error, code=wrong.error_type) from None
