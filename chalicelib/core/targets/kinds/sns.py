"""The kind ``sns``."""

from __future__ import annotations

from chalicelib.core.targets.target_description import (
    FieldRule,
    Permission,
    TargetDescription,
    TargetFields,
    TargetName,
    arn,
    named_by,
)


class SnsTarget(TargetFields, tag="sns", kw_only=True):
    """An SNS topic."""

    topic_arn: TargetName


KIND = TargetDescription(
    fields=SnsTarget,
    rules={"topic_arn": FieldRule("the ARN of a topic", arn("sns", r"[A-Za-z0-9_.-]+"))},
    secret_fields=(),
    destination=named_by("sns", "topic_arn"),
    max_batch=10,
    permissions=(Permission(("sns:Publish",)),),
    sent_as="PublishBatch; the object is the message",
    completed_means="the topic took it",
    messaging="aws.sns",
)
