"""``TriggerStore`` in memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from chalicelib.core.triggers import sources
from chalicelib.core.triggers.listening import Listening
from chalicelib.core.triggers.throttle import ThrottleState
from chalicelib.core.triggers.trigger import Trigger
from chalicelib.core.triggers.watch import IDLE, Arrival, Watch, WatchKind
from chalicelib.ports.stores.triggers import DueWatch, ListenedTrigger


class MemoryTriggerStore:
    """``TriggerStore`` in memory: nothing expires."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._triggers: dict[tuple[str, str], Trigger] = {}
        self._listenings: dict[tuple[str, str], Listening] = {}
        self._keys: dict[tuple[str, str, str], tuple[Arrival, int]] = {}
        self._noted: dict[tuple[str, str], set[str]] = {}
        self._throttles: dict[tuple[str, str], ThrottleState] = {}
        self._watches: dict[tuple[str, str, str, str], Watch] = {}

    def load(self, tenant: str, trigger_id: str) -> Trigger | None:
        """A trigger."""
        with self._lock:
            return self._triggers.get((tenant, trigger_id))

    def page(self, tenant: str, limit: int, after: str | None) -> tuple[list[Trigger], str | None]:
        """A tenant's triggers, newest first, after an id, and the id to go on after (None: the end)."""
        with self._lock:
            ids = sorted((i for t, i in self._triggers if t == tenant and (after is None or i < after)), reverse=True)
            found = [self._triggers[tenant, i] for i in ids[:limit]]
        return found, ids[limit - 1] if len(ids) > limit else None

    def save(self, trigger: Trigger, expected_rev: int) -> bool:
        """Write a trigger if its stored rev still is ``expected_rev`` (0: if there is none)."""
        with self._lock:
            if not self._is_at(trigger.tenant, trigger.id, expected_rev):
                return False
            self._triggers[trigger.tenant, trigger.id] = trigger
            return True

    def delete(self, tenant: str, trigger_id: str, expected_rev: int) -> bool:
        """Delete a trigger if its stored rev still is ``expected_rev``."""
        with self._lock:
            if not expected_rev or not self._is_at(tenant, trigger_id, expected_rev):
                return False
            del self._triggers[tenant, trigger_id]
            return True

    def listened(self) -> list[ListenedTrigger]:
        """The triggers whose events a worker has to get."""
        with self._lock:
            found = [one for one in self._triggers.values() if sources.is_listened(one.rules.source)]
        return sorted(ListenedTrigger(one.tenant, one.id, one.rev) for one in found)

    def listenings(self, tenant: str, trigger_ids: Sequence[str]) -> dict[str, Listening]:
        """What workers said last of the sources of triggers."""
        with self._lock:
            return {one: found for one in trigger_ids if (found := self._listenings.get((tenant, one))) is not None}

    def save_listening(self, listening: Listening, expected_rev: int) -> bool:
        """Write what a worker says if its stored rev still is ``expected_rev`` (0: if there is none)."""
        at = (listening.tenant, listening.trigger_id)
        with self._lock:
            known = self._listenings.get(at)
            if (0 if known is None else known.rev) != expected_rev:
                return False
            self._listenings[at] = listening
            return True

    def claim_key(self, tenant: str, trigger_id: str, key: str, event: Arrival, now_ms: int, until_ms: int) -> Arrival:
        """The event that holds a key: this one, unless another holds it still."""
        with self._lock:
            holder, held_until_ms = self._keys.get((tenant, trigger_id, key), (event, 0))
            if held_until_ms > now_ms:
                return holder
            self._keys[tenant, trigger_id, key] = (event, until_ms)
            return event

    def note(self, tenant: str, trigger_id: str, at_ms: int, event: str) -> None:
        """List that an event fires at an instant."""
        with self._lock:
            self._noted.setdefault((tenant, trigger_id), set()).add(f"{at_ms:015d}#{event}")

    def noted(self, tenant: str, trigger_id: str, limit: int, after: str | None) -> tuple[list[str], str | None]:
        """The events that fired, newest first, after a position, and the position to go on from (None: the end)."""
        with self._lock:
            known = self._noted.get((tenant, trigger_id), set())
            found = sorted((entry for entry in known if after is None or entry < after), reverse=True)
        return [entry[16:] for entry in found[:limit]], found[limit - 1] if len(found) > limit else None

    def throttle(self, tenant: str, trigger_id: str) -> ThrottleState:
        """The last firings of a trigger."""
        with self._lock:
            return self._throttles.get((tenant, trigger_id), ThrottleState(tenant, trigger_id))

    def save_throttle(self, state: ThrottleState, expected_rev: int) -> bool:
        """Write the last firings if their stored rev still is ``expected_rev`` (0: if there are none)."""
        at = (state.tenant, state.trigger_id)
        with self._lock:
            stored = self._throttles.get(at)
            if (0 if stored is None else stored.rev) != expected_rev:
                return False
            self._throttles[at] = state
            return True

    def watch(self, tenant: str, trigger_id: str, kind: WatchKind, key: str) -> Watch:
        """A watch."""
        with self._lock:
            return self._watches.get((tenant, trigger_id, kind, key), Watch(tenant, trigger_id, kind, key))

    def save_watch(self, watch: Watch, expected_rev: int) -> bool:
        """Write a watch if its stored rev still is ``expected_rev`` (0: if there is none)."""
        at = (watch.tenant, watch.trigger_id, watch.kind, watch.key)
        with self._lock:
            stored = self._watches.get(at)
            if (0 if stored is None else stored.rev) != expected_rev:
                return False
            self._watches[at] = watch
            return True

    def due_watches(self, until_ms: int, limit: int) -> list[DueWatch]:
        """Watches that are not idle with ``due_ms <= until_ms``, of all tenants, the earliest first."""
        with self._lock:
            found = [
                DueWatch(w.tenant, w.trigger_id, w.kind, w.key, w.due_ms)
                for w in self._watches.values()
                if w.state != IDLE and w.due_ms <= until_ms
            ]
        return sorted(found, key=lambda due: (due.due_ms, due.tenant, due.trigger_id, due.kind, due.key))[:limit]

    def _is_at(self, tenant: str, trigger_id: str, rev: int) -> bool:
        known = self._triggers.get((tenant, trigger_id))
        return (0 if known is None else known.rev) == rev
