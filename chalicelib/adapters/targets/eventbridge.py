"""Firings to EventBridge: PutEvents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chalicelib.adapters.aws import failures
from chalicelib.adapters.aws.clients import ClientFactory
from chalicelib.adapters.targets.aws_sender import DONE, SOURCE, AwsSender
from chalicelib.adapters.targets.target_parts import TargetParts
from chalicelib.core.targets.kinds.eventbridge import KIND
from chalicelib.ports.target import Delivery, Outcome


class EventBridgeSender(AwsSender):
    """Puts firings onto buses."""

    max_batch = KIND.max_batch

    def __init__(self, client: ClientFactory, *, default_bus: str) -> None:
        """``default_bus`` is CHRONO_EVENT_BUS; a target's ``"default"`` names the account's own."""
        super().__init__(client)
        self._default_bus = default_bus

    def _group(self, delivery: Delivery) -> str:
        return str(delivery.target.get("bus") or self._default_bus)

    def _send(self, batch: Sequence[Delivery]) -> list[Outcome]:
        bus = self._group(batch[0])
        entries = [
            {
                "EventBusName": bus,
                "Source": SOURCE,
                "DetailType": delivery.event_type,
                "Detail": delivery.event.decode(),
            }
            for delivery in batch
        ]
        answers = self._client().put_events(Entries=entries)["Entries"]
        return [_of_entry(answer) for answer in answers]


def make(parts: TargetParts) -> EventBridgeSender:
    """The sender of a process."""
    return EventBridgeSender(parts.client("events"), default_bus=parts.event_bus)


def _of_entry(answer: Mapping[str, Any]) -> Outcome:
    code = answer.get("ErrorCode")
    return failures.of_code(str(code), str(answer.get("ErrorMessage", ""))) if code else DONE
