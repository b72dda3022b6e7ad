"""Gates: a person approves or rejects, so many approvals let the run go on. The first decision wins."""

from __future__ import annotations

from chalicelib.core.errors import Conflict
from chalicelib.core.workflows import joins
from chalicelib.core.workflows.happenings import Decides
from chalicelib.core.workflows.run_log import RunLog


def approve(log: RunLog, decides: Decides) -> None:
    """A person decides. Raises Conflict where the gate is decided, or is another one."""
    name, node = decides.node, log.nodes[decides.node]
    gate = node.gate
    if gate is None or node.status != "waiting":
        raise Conflict(f"node {name} does not wait for a decision: it is {node.status}", code="already_decided")
    if gate.nonce != decides.nonce:
        raise Conflict("the nonce is of another gate, or of an earlier entry of this one", code="wrong_nonce")
    if decides.by in gate.approved_by:
        raise Conflict(f"{decides.by} has approved already", code="already_decided")
    said = {"by": decides.by, "comment": decides.comment}
    if not decides.approve:
        log.write("approval_rejected", name, **said)
        reject(log, name, f"rejected by {decides.by}")
        return
    log.write("approval_given", name, **said)
    by = (*gate.approved_by, decides.by)
    if len(by) >= gate.quorum:
        log.write(
            "node_completed", name, output={"value": {"approved": True, "by": list(by), "comment": decides.comment}}
        )


def reject(log: RunLog, name: str, error: str) -> None:
    """The gate is not to be passed."""
    log.write("node_failed", name, error_type="rejected", error=error, reason=joins.REJECTED)
