"""Firings to SQS: SendMessageBatch."""

from __future__ import annotations

from collections.abc import Sequence

from chalicelib.adapters.targets.aws_sender import AwsSender, field_of, ordering, outcomes_of_batch
from chalicelib.adapters.targets.target_parts import TargetParts
from chalicelib.core.targets.kinds.sqs import KIND
from chalicelib.ports.target import Delivery, Outcome


class SqsSender(AwsSender):
    """Sends firings to queues: the CloudEvents object is the message's body."""

    max_batch = KIND.max_batch

    def _group(self, delivery: Delivery) -> str:
        return str(delivery.target.get("queue_url"))

    def _send(self, batch: Sequence[Delivery]) -> list[Outcome]:
        queue_url = field_of(batch[0], "queue_url")
        entries = [
            {"Id": str(place), "MessageBody": delivery.event.decode(), **ordering(queue_url, delivery)}
            for place, delivery in enumerate(batch)
        ]
        return outcomes_of_batch(self._client().send_message_batch(QueueUrl=queue_url, Entries=entries), len(batch))


def make(parts: TargetParts) -> SqsSender:
    """The sender of a process."""
    return SqsSender(parts.client("sqs"))
