"""What a step waits for, as the log says it."""

from __future__ import annotations

from chalicelib.core.workflows.happenings import Waits
from chalicelib.core.workflows.run_log import RunLog


def wait(log: RunLog, waits: Waits) -> None:
    """Write what the step waits for; after a cancel it waits for nothing."""
    if log.state.status == "cancelling":
        log.end_by_cancel(waits.node, "cancelled")
        return
    data: dict[str, object] = {"due_ms": waits.due_ms, "then": waits.then}
    if waits.gate is not None:
        gate = waits.gate
        data["gate"] = {name: getattr(gate, name) for name in gate.__struct_fields__}
        data["gate"]["approvers"] = list(gate.approvers)  # type: ignore[index]
        data["gate"]["approved_by"] = list(gate.approved_by)  # type: ignore[index]
    if waits.child:
        data["child"] = waits.child
    if waits.output is not None:
        data["output"] = waits.output
    log.write("node_waiting", waits.node, **data)
