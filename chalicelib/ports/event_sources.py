"""Where the events of triggers come from, when they do not come to the service by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from chalicelib.core.triggers.messages import EventMessage
    from chalicelib.core.triggers.trigger import Trigger


class SourceProblem(Exception):
    """Raised when a source cannot be read: it is away, refuses the credentials, or has no such place. All but a change
    of the trigger is tried again, since a queue may be made and a right be given at any time."""


class EventConsumer(Protocol):
    """One reader of one source. Several of a trigger, in any processes, share its messages. One thread uses it."""

    def receive(self, timeout_s: float) -> Sequence[EventMessage]:
        """Some messages, as soon as there is one; none after the time. Raises SourceProblem."""
        ...

    def settle(self, messages: Sequence[EventMessage], done: Sequence[bool]) -> None:
        """What was received: acknowledged where it is done; else it comes again. Raises SourceProblem: then any of
        them may come again."""
        ...

    def close(self) -> None:
        """What was not settled comes again. Never raises."""
        ...


class EventSources(Protocol):
    """Makes consumers, and routes what a bus brings by itself."""

    def open(self, trigger: Trigger) -> EventConsumer:
        """A consumer of a trigger whose source is listened to. Raises SourceProblem."""
        ...

    def forget(self, trigger: Trigger) -> None:
        """Take away what consumers left at their source, once the trigger is gone. Never raises."""
        ...

    def route(self, trigger: Trigger, active: bool) -> None:
        """Let a bus bring the events of a trigger, or stop it. Doing it again changes nothing. Raises InvalidField for
        a bus that is not there, Unavailable."""
        ...

    def unroute(self, trigger: Trigger) -> None:
        """Take the route of a trigger away, where there is one. Raises Unavailable."""
        ...


class NoEventSources:
    """No source but those that bring their events."""

    def open(self, trigger: Trigger) -> EventConsumer:
        """Raises SourceProblem."""
        raise SourceProblem(f"this process reads no source of type {trigger.rules.source['type']}")

    def forget(self, trigger: Trigger) -> None:
        """Nothing."""

    def route(self, trigger: Trigger, active: bool) -> None:
        """Nothing."""

    def unroute(self, trigger: Trigger) -> None:
        """Nothing."""
