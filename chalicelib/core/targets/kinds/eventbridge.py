"""The kind ``eventbridge``."""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from chalicelib.core.targets.target_description import (
    FieldRule,
    Permission,
    TargetDescription,
    TargetFields,
    TargetName,
    named_by,
)


class EventBridgeTarget(TargetFields, tag="eventbridge", kw_only=True):
    """An event bus; without `bus` the deployment's own."""

    bus: TargetName | UnsetType = UNSET


KIND = TargetDescription(
    fields=EventBridgeTarget,
    rules={"bus": FieldRule("the name or ARN of an event bus", r"[A-Za-z0-9._/:-]+")},
    secret_fields=(),
    destination=named_by("eventbridge", "bus"),
    max_batch=10,
    permissions=(Permission(("events:PutEvents",)),),
    sent_as="PutEvents; `Source: chronowatch`, `DetailType: chronowatch.firings.v1`, `Detail` the object",
    completed_means="the bus took it",
    messaging="aws.eventbridge",
)
