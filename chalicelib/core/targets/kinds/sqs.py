"""The kind ``sqs``."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from chalicelib.core.targets.target_description import FieldRule, Permission, TargetDescription, TargetFields, named_by


class SqsTarget(TargetFields, tag="sqs", kw_only=True):
    """An SQS queue."""

    queue_url: Annotated[str, Meta(min_length=1, max_length=1024)]
    message_group_id: Annotated[str, Meta(min_length=1, max_length=128)] | UnsetType = UNSET


KIND = TargetDescription(
    fields=SqsTarget,
    rules={
        "queue_url": FieldRule("the URL of a queue", r"https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9_.-]+)+"),
        "message_group_id": FieldRule("1 to 128 printable characters without blanks", r"[!-~]+"),
    },
    secret_fields=(),
    destination=named_by("sqs", "queue_url"),
    max_batch=10,
    permissions=(Permission(("sqs:SendMessage",)),),
    sent_as="SendMessageBatch; the object is the body",
    completed_means="the queue took it",
    messaging="aws_sqs",
)
