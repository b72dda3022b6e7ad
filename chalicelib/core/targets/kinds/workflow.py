"""The kind ``workflow``."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from chalicelib.core.targets.target_description import FieldRule, TargetDescription, TargetFields, named_by


class WorkflowTarget(TargetFields, tag="workflow", kw_only=True):
    """A workflow of this service."""

    workflow: Annotated[str, Meta(min_length=1, max_length=64)]
    version: Annotated[str, Meta(min_length=1, max_length=64)] | UnsetType = UNSET


KIND = TargetDescription(
    fields=WorkflowTarget,
    rules={
        "workflow": FieldRule("the name of a workflow", r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?"),
        "version": FieldRule("a version's hash or number, or live", r"[a-z0-9]{1,64}"),
    },
    secret_fields=(),
    destination=named_by("workflow", "workflow"),
    max_batch=1,
    permissions=(),  # the tables and the queue of the deployment itself
    sent_as="a run whose id is the execution's; the payload is its input",
    completed_means="the run has begun",
)
