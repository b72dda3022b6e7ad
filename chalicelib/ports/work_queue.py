"""The delay queue between sweep and deliver, and the place for what could not be delivered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from chalicelib.core.limits import QUEUE_HIDES_S
from chalicelib.core.queue_messages import Message


class Outgoing(Struct, frozen=True):
    """A message and how many whole seconds (0..QUEUE_DELAY_MAX_S) the queue holds it back."""

    message: Message
    delay_s: int


class Incoming(Struct, frozen=True):
    """A message as delivered: ``receipt`` names it in the answer, ``receives`` counts its deliveries from 1. ``handle``
    names this delivery of it to ``hide``, and ``hidden_s`` is how long it stays hidden otherwise."""

    receipt: str
    body: str
    receives: int
    handle: str = ""
    hidden_s: int = QUEUE_HIDES_S


class WorkQueue(Protocol):
    """At least once, in any order, any time after the delay. It takes any number of messages, and each delay up to
    QUEUE_DELAY_MAX_S: an adapter whose queue holds less back queues again by itself."""

    def send(self, messages: Sequence[Outgoing]) -> None:
        """Queue messages. Returns only when all are durable.

        Raises Unavailable when none, OutcomeUnknown when any number of them may have been queued.
        """
        ...

    def hide(self, handles: Sequence[str], for_s: int) -> None:
        """Hide received messages for so many whole seconds from now, shorter or longer than they would be (0: they come
        again at once). Those that were deleted, or delivered again since, stay as they are. Raises Unavailable."""
        ...

    def send_dead(self, execution_id: str, event: str, reason: str) -> None:
        """Put the CloudEvent of an execution that is out of attempts on the dead-letter queue."""
        ...
