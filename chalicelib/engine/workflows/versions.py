"""Which version of a workflow a reference means, and those of all workflows that one begins."""

from __future__ import annotations

from chalicelib.core.errors import InvalidField, NotFound
from chalicelib.core.workflows.compiled import CompiledWorkflow
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


def resolved_children(s: Services, tenant: str, found: CompiledWorkflow) -> dict[str, str]:
    """The version of every subworkflow, however deep: it stays while the run lasts. Raises InvalidField."""
    resolved: dict[str, str] = {}
    left = [(found, 0)]
    while left:
        inner, depth = left.pop()
        for node in inner.definition.nodes:
            if node.type != "subworkflow":
                continue
            reference = reference_of(node.fields)
            if reference in resolved or depth >= NESTING_MAX_DEPTH:
                continue
            name, _, wanted = reference.partition("@")
            head = s.stores.workflows.load(tenant, name)
            if head is None:
                raise InvalidField.of(f"nodes.{node.id}.workflow", f"there is no workflow {name}")
            resolved[reference] = hash_of(head, wanted)
            left.append((workflow(s, tenant, name, resolved[reference]), depth + 1))
    return resolved
