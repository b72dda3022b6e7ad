"""Which version of a workflow a reference means, and those of all workflows that one begins."""

from __future__ import annotations

from collections.abc import Collection

from chalicelib.core.errors import InvalidField, NotFound
from chalicelib.core.workflows.limits import NESTING_MAX_DEPTH
from chalicelib.core.workflows.node_rules import reference_of
from chalicelib.engine.workflows.run_access import workflow
from chalicelib.ports.services import Services
from chalicelib.ports.stores.workflows import WorkflowHead

LIVE = "live"


def hash_of(head: WorkflowHead, wanted: str) -> str:
    """The version that a hash, a number or ``live`` names. Raises NotFound."""
    if wanted == LIVE:
        return head.live
    for one in head.versions:
        if wanted in (one.version, str(one.number)):
            return one.version
    raise NotFound(f"workflow {head.name} has no version {wanted}")


def is_meant(s: Services, named: WorkflowHead, owners: Collection[str], judged_ms: int) -> bool:
    """Whether a workflow is the one that was judged when it was named: one of these owners', or older. Another owner
    may have made it under a name that was free again."""
    return named.owner in owners or named.created_ms - s.config.max_drift_ms <= judged_ms


def may_begin(s: Services, by: WorkflowHead | None, version: str, owner: str, named: WorkflowHead) -> bool:
    """Whether a version of a workflow may begin another. ``owner``: of its run. ``by`` None: it is deleted by now."""
    published = None if by is None else next((one for one in by.versions if one.version == version), None)
    if published is None:
        return named.owner == owner
    return is_meant(s, named, (owner, published.created_by), published.created_ms)


def resolved_children(s: Services, head: WorkflowHead, version: str) -> dict[str, str]:
    """The version of every subworkflow, however deep: it stays while the run lasts. Raises InvalidField."""
    resolved: dict[str, str] = {}
    tenant, left = head.tenant, [(head, version, 0)]
    while left:
        by, chosen, depth = left.pop()
        inner = workflow(s, tenant, by.name, chosen)
        for node in inner.definition.nodes:
            if node.type != "subworkflow":
                continue
            reference = reference_of(node.fields)
            if reference in resolved or depth >= NESTING_MAX_DEPTH:
                continue
            name, _, wanted = reference.partition("@")
            found = s.stores.workflows.load(tenant, name)
            if found is None or not may_begin(s, by, chosen, by.owner, found):
                raise InvalidField.of(f"nodes.{node.id}.workflow", f"there is no workflow {name}")
            resolved[reference] = hash_of(found, wanted)
            left.append((found, resolved[reference], depth + 1))
    return resolved
