"""Firings to SNS: PublishBatch."""

from __future__ import annotations

from collections.abc import Sequence

from chalicelib.adapters.targets.aws_sender import AwsSender, field_of, ordering, outcomes_of_batch
from chalicelib.adapters.targets.target_parts import TargetParts
from chalicelib.core.targets.kinds.sns import KIND
from chalicelib.ports.target import Delivery, Outcome


class SnsSender(AwsSender):
    """Publishes firings to topics: the CloudEvents object is the message."""

    max_batch = KIND.max_batch

    def _group(self, delivery: Delivery) -> str:
        return str(delivery.target.get("topic_arn"))

    def _send(self, batch: Sequence[Delivery]) -> list[Outcome]:
        topic_arn = field_of(batch[0], "topic_arn")
        entries = [
            {"Id": str(place), "Message": delivery.event.decode(), **ordering(topic_arn, delivery)}
            for place, delivery in enumerate(batch)
        ]
        answer = self._client().publish_batch(TopicArn=topic_arn, PublishBatchRequestEntries=entries)
        return outcomes_of_batch(answer, len(batch))


def make(parts: TargetParts) -> SnsSender:
    """The sender of a process."""
    return SnsSender(parts.client("sns"))
