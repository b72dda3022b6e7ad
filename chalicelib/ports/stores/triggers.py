"""Triggers and what they remember of events. The contract that all stores share is in ``ports.services``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from chalicelib.core.triggers.listening import Listening
from chalicelib.core.triggers.throttle import ThrottleState
from chalicelib.core.triggers.trigger import Trigger
from chalicelib.core.triggers.watch import Arrival, Watch, WatchKind


class DueWatch(NamedTuple):
    """A watch that has something to do at an instant."""

    tenant: str
    trigger_id: str
    kind: WatchKind
    key: str
    due_ms: int


class ListenedTrigger(NamedTuple):
    """A trigger whose events a worker has to get, and its rev."""

    tenant: str
    id: str
    rev: int


class TriggerStore(Protocol):
    """One record a trigger; beside it watches, the throttle, keys that were seen, and the list of its events."""

    def load(self, tenant: str, trigger_id: str) -> Trigger | None:
        """A trigger."""
        ...

    def page(self, tenant: str, limit: int, after: str | None) -> tuple[list[Trigger], str | None]:
        """A tenant's triggers, newest first, after an id, and the id to go on after (None: the end)."""
        ...

    def save(self, trigger: Trigger, expected_rev: int) -> bool:
        """Write a trigger if its stored rev still is ``expected_rev`` (0: if there is none). Its own rev is higher."""
        ...

    def delete(self, tenant: str, trigger_id: str, expected_rev: int) -> bool:
        """Delete a trigger if its stored rev still is ``expected_rev``."""
        ...

    def listened(self) -> list[ListenedTrigger]:
        """The triggers whose events a worker has to get (``sources.is_listened``), of all tenants. May lag."""
        ...

    def listenings(self, tenant: str, trigger_ids: Sequence[str]) -> dict[str, Listening]:
        """What workers said last of the sources of triggers; none of those of which none said anything. May lag."""
        ...

    def save_listening(self, listening: Listening, expected_rev: int) -> bool:
        """Write what a worker says if its stored rev still is ``expected_rev`` (0: if there is none). It is forgotten
        some days later."""
        ...

    def claim_key(self, tenant: str, trigger_id: str, key: str, event: Arrival, now_ms: int, until_ms: int) -> Arrival:
        """The event that holds a key: this one from now until ``until_ms``, unless another holds it still. The whole
        event is kept, since who finds it may have to fire it."""
        ...

    def note(self, tenant: str, trigger_id: str, at_ms: int, event: str) -> None:
        """List that an event fires at an instant. Doing it again changes nothing."""
        ...

    def noted(self, tenant: str, trigger_id: str, limit: int, after: str | None) -> tuple[list[str], str | None]:
        """The events that fired, newest first, after a position, and the position to go on from (None: the end)."""
        ...

    def throttle(self, tenant: str, trigger_id: str) -> ThrottleState:
        """The last firings of a trigger; an empty state of rev 0 where there were none."""
        ...

    def save_throttle(self, state: ThrottleState, expected_rev: int) -> bool:
        """Write the last firings if their stored rev still is ``expected_rev`` (0: if there are none)."""
        ...

    def watch(self, tenant: str, trigger_id: str, kind: WatchKind, key: str) -> Watch:
        """A watch; an idle one of rev 0 where there is none."""
        ...

    def save_watch(self, watch: Watch, expected_rev: int) -> bool:
        """Write a watch if its stored rev still is ``expected_rev`` (0: if there is none)."""
        ...

    def due_watches(self, until_ms: int, limit: int) -> list[DueWatch]:
        """Watches that are not idle with ``due_ms <= until_ms``, of all tenants, the earliest first. May lag."""
        ...
