"""The workflow that begins when a run has failed."""

from __future__ import annotations

from typing import Any, Final

from chalicelib.core.workflows import output_ref
from chalicelib.core.workflows.limits import NESTING_MAX_DEPTH, OUTPUT_MAX_BYTES
from chalicelib.core.workflows.run_state import RunState
from chalicelib.engine.workflows import children, outputs
from chalicelib.engine.workflows.run_access import LoadedRun
from chalicelib.engine.workflows.versions import LIVE, hash_of, may_begin, resolved_children
from chalicelib.ports.services import Services
from chalicelib.ports.workflow_steps import StepFailed

INPUT_MAX_BYTES: Final = OUTPUT_MAX_BYTES - 64 * 1024  # all else that a handler gets is less


def begin(s: Services, run: LoadedRun) -> None:
    """Begin it once for each failure. A redrive that fails again is another failure."""
    state = run.state
    name, _, wanted = run.workflow.definition.on_failure.partition("@")
    head = s.stores.workflows.load(state.tenant, name)
    if state.status != "failed" or head is None or state.depth + 1 >= NESTING_MAX_DEPTH:
        return
    by = s.stores.workflows.load(state.tenant, state.workflow)
    if not may_begin(s, by, state.version, state.owner, head):
        return
    version = hash_of(head, wanted or LIVE)
    handler = f"{state.id}~on_failure~{state.redrives}"  # events may follow a failure
    said = outputs.encoded(_said(s, state), "the input of the handler")
    fields = {
        "tenant": state.tenant,
        "id": handler,
        "workflow": name,
        "version": version,
        "owner": head.owner,
        "started_by": state.started_by,
        "input": said.ref,
        "depth": state.depth + 1,
        "child_versions": resolved_children(s, head, version),
        "traceparent": state.traceparent,
    }
    children.begin(s, fields, said)


def _said(s: Services, state: RunState) -> dict[str, Any]:
    return {
        "run_id": state.id,
        "workflow": state.workflow,
        "version": state.version,
        "error": state.error,
        "error_type": state.error_type,
        "input": _input(s, state),
    }


def _input(s: Services, state: RunState) -> Any:
    """The input of the run that failed. One that with all else would be too large, or is gone, is named."""
    if state.input is not None and state.input.get("size", 0) > INPUT_MAX_BYTES:
        return output_ref.pointer(state.input)
    try:
        return outputs.read(s, state.tenant, state.id, state.input)
    except StepFailed:
        return output_ref.pointer(state.input)
