"""Firings to Lambda functions: Invoke."""

from __future__ import annotations

from collections.abc import Sequence

from chalicelib.adapters.targets.aws_sender import AwsSender, field_of
from chalicelib.adapters.targets.target_parts import TargetParts
from chalicelib.core.targets.kinds.aws_lambda import KIND
from chalicelib.ports.target import COMPLETED, Delivery, Outcome


class LambdaSender(AwsSender):
    """Invokes functions asynchronously; Lambda's 202 means that it took the event."""

    max_batch = KIND.max_batch

    def _send(self, batch: Sequence[Delivery]) -> list[Outcome]:
        delivery = batch[0]
        function = field_of(delivery, "function")
        answer = self._client().invoke(FunctionName=function, InvocationType="Event", Payload=delivery.event)
        return [Outcome(COMPLETED, int(answer["StatusCode"]))]


def make(parts: TargetParts) -> LambdaSender:
    """The sender of a process."""
    return LambdaSender(parts.client("lambda"))
