"""The delay queue between sweep and deliver, and the place for what could not be delivered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from chalicelib.core.queue_messages import Message


class Outgoing(NamedTuple):
    """A message and how many whole seconds (0..QUEUE_DELAY_MAX_S) the queue holds it back."""

    message: Message
    delay_s: int


class Incoming(NamedTuple):
    """A message as delivered: ``receipt`` names it in the answer, ``receives`` counts its deliveries from 1."""

    receipt: str
    body: str
    receives: int


class WorkQueue(Protocol):
    """At least once, in any order, any time after the delay. It takes any number of messages, and each delay up to
    QUEUE_DELAY_MAX_S: an adapter whose queue holds less back queues again by itself."""

    def send(self, messages: Sequence[Outgoing]) -> None:
        """Queue messages. Returns only when all are durable.

        Raises Unavailable when none, OutcomeUnknown when any number of them may have been queued.
        """
        ...

    def send_dead(self, execution_id: str, event: str, reason: str) -> None:
        """Put the CloudEvent of an execution that is out of attempts on the dead-letter queue."""
        ...
