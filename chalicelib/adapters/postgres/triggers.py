"""``TriggerStore`` in PostgreSQL: documents, and watches in a table of their own. Events are sealed as payloads are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.postgres.database import PostgresDatabase
from chalicelib.adapters.postgres.document_rows import LAST, DocumentRows
from chalicelib.core.decoders import decoder_of
from chalicelib.core.executions.limits import HISTORY_RETENTION_S
from chalicelib.core.secrets import envelope
from chalicelib.core.triggers import sources
from chalicelib.core.triggers.limits import KEY_RETENTION_S
from chalicelib.core.triggers.listening import LISTENING_RETENTION_S, Listening
from chalicelib.core.triggers.throttle import ThrottleState
from chalicelib.core.triggers.trigger import Trigger
from chalicelib.core.triggers.watch import IDLE, Arrival, Watch, WatchKind
from chalicelib.ports.stores.triggers import DueWatch, ListenedTrigger

_KEYS: Final = "trigger key"
_INSTANT_CHARS: Final = 16  # an instant and the sign behind it
# The rev of a key is until when it is held: what has ended is taken over at once.
CLAIM_KEY: Final = """
INSERT INTO documents AS d (kind, tenant, name, rev, doc, expires_s) VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (kind, tenant, name) DO UPDATE
SET rev = excluded.rev, doc = excluded.doc, expires_s = excluded.expires_s WHERE d.rev <= %s RETURNING 1"""
WATCH: Final = "SELECT doc FROM watches WHERE tenant = %s AND trigger_id = %s AND kind = %s AND key = %s"
INSERT_WATCH: Final = """
INSERT INTO watches (tenant, trigger_id, kind, key, rev, due_ms, doc) VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING RETURNING 1"""
REPLACE_WATCH: Final = """
UPDATE watches SET rev = %s, due_ms = %s, doc = %s
WHERE tenant = %s AND trigger_id = %s AND kind = %s AND key = %s AND rev = %s RETURNING 1"""
DUE_WATCHES: Final = """
SELECT tenant, trigger_id, kind, key, due_ms FROM watches WHERE due_ms <= %s
ORDER BY due_ms, tenant, trigger_id, kind, key LIMIT %s"""
LISTENED: Final = """
SELECT tenant, name, rev FROM documents
WHERE kind = 'trigger' AND doc::json #>> '{rules,source,type}' = ANY(%s) ORDER BY tenant, name"""
LISTENINGS: Final = """
SELECT name, doc FROM documents WHERE kind = 'trigger listening' AND tenant = %s AND name = ANY(%s)"""
_listening: Final = decoder_of(Listening).decode
_trigger: Final = decoder_of(Trigger).decode
_throttle: Final = decoder_of(ThrottleState).decode
_arrival: Final = decoder_of(Arrival).decode
_watch: Final = decoder_of(Watch).decode


class PostgresTriggerStore:
    """``TriggerStore``: a document a trigger, a throttle, a key that was seen, and an event that fired."""

    def __init__(self, database: PostgresDatabase, retention_s: int = HISTORY_RETENTION_S) -> None:
        """``retention_s``: how long is known which events fired."""
        self._db = database
        self._retention_s = retention_s
        self._rows = DocumentRows(database, "trigger")
        self._listenings = DocumentRows(database, "trigger listening")
        self._throttles = DocumentRows(database, "trigger throttle")
        self._fired = DocumentRows(database, "trigger event")
        self._keys = DocumentRows(database, _KEYS)

    def load(self, tenant: str, trigger_id: str) -> Trigger | None:
        """A trigger."""
        found = self._rows.load(tenant, trigger_id)
        return None if found is None else _trigger(found[0])

    def page(self, tenant: str, limit: int, after: str | None) -> tuple[list[Trigger], str | None]:
        """A tenant's triggers, newest first, after an id, and the id to go on after (None: the end)."""
        rows = self._rows.between(tenant, "", after or LAST, limit + 1, newest_first=True)
        found = [_trigger(kept.doc) for kept in rows[:limit]]
        return found, found[-1].id if len(rows) > limit and found else None

    def save(self, trigger: Trigger, expected_rev: int) -> bool:
        """Write a trigger if its stored rev still is ``expected_rev`` (0: if there is none)."""
        return self._rows.save(trigger.tenant, trigger.id, _text(trigger), trigger.rev, expected_rev)

    def delete(self, tenant: str, trigger_id: str, expected_rev: int) -> bool:
        """Delete a trigger if its stored rev still is ``expected_rev``."""
        return self._rows.delete(tenant, trigger_id, expected_rev)

    def listened(self) -> list[ListenedTrigger]:
        """The triggers whose events a worker has to get, of all tenants."""
        return [ListenedTrigger(*row) for row in self._db.read(LISTENED, (list(sources.LISTENED),))]

    def listenings(self, tenant: str, trigger_ids: Sequence[str]) -> dict[str, Listening]:
        """What workers said last of the sources of triggers."""
        if not trigger_ids:
            return {}
        return {name: _listening(doc) for name, doc in self._db.read(LISTENINGS, (tenant, list(trigger_ids)))}

    def save_listening(self, listening: Listening, expected_rev: int) -> bool:
        """Write what a worker says if its stored rev still is ``expected_rev`` (0: if there is none)."""
        expires_s = listening.seen_ms // 1000 + LISTENING_RETENTION_S
        at = (listening.tenant, listening.trigger_id)
        return self._listenings.save(*at, _text(listening), listening.rev, expected_rev, expires_s)

    def claim_key(self, tenant: str, trigger_id: str, key: str, event: Arrival, now_ms: int, until_ms: int) -> Arrival:
        """The event that holds a key: this one, unless another holds it still."""
        name, sealed_at = f"{trigger_id}\n{key}", envelope.schedule_place(trigger_id)
        doc = _text(replace(event, event=self._db.sealing.seal(tenant, sealed_at, event.event)))
        expires_s = until_ms // 1000 + KEY_RETENTION_S
        won = self._db.write(CLAIM_KEY, (_KEYS, tenant, name, until_ms, doc, expires_s, now_ms))
        holder = None if won else self._keys.load(tenant, name)
        if holder is None:  # won, or what held it has just been deleted
            return event
        found = _arrival(holder[0])
        return replace(found, event=self._db.sealing.unseal(tenant, sealed_at, found.event))

    def note(self, tenant: str, trigger_id: str, at_ms: int, event: str) -> None:
        """List that an event fires at an instant."""
        name = f"{trigger_id}\n{documents.instant_text(at_ms)}#{event}"
        self._fired.put(tenant, name, "", expires_s=at_ms // 1000 + self._retention_s)

    def noted(self, tenant: str, trigger_id: str, limit: int, after: str | None) -> tuple[list[str], str | None]:
        """The events that fired, newest first, after a position, and the position to go on from (None: the end)."""
        first = f"{trigger_id}\n"
        rows = self._fired.between(tenant, first, first + (after or LAST), limit + 1, newest_first=True)
        entries = [kept.name.removeprefix(first) for kept in rows[:limit]]
        more = len(rows) > limit and entries
        return [entry[_INSTANT_CHARS:] for entry in entries], entries[-1] if more else None

    def throttle(self, tenant: str, trigger_id: str) -> ThrottleState:
        """The last firings of a trigger."""
        found = self._throttles.load(tenant, trigger_id)
        return ThrottleState(tenant, trigger_id) if found is None else _throttle(found[0])

    def save_throttle(self, state: ThrottleState, expected_rev: int) -> bool:
        """Write the last firings if their stored rev still is ``expected_rev`` (0: if there are none)."""
        return self._throttles.save(state.tenant, state.trigger_id, _text(state), state.rev, expected_rev)

    def watch(self, tenant: str, trigger_id: str, kind: WatchKind, key: str) -> Watch:
        """A watch."""
        rows = self._db.read(WATCH, (tenant, trigger_id, kind, key))
        if not rows:
            return Watch(tenant, trigger_id, kind, key)
        found = _watch(rows[0][0])
        return replace(found, event=self._db.sealing.unseal(tenant, envelope.schedule_place(trigger_id), found.event))

    def save_watch(self, watch: Watch, expected_rev: int) -> bool:
        """Write a watch if its stored rev still is ``expected_rev`` (0: if there is none)."""
        at = (watch.tenant, watch.trigger_id, watch.kind, watch.key)
        due_ms = None if watch.state == IDLE else watch.due_ms
        sealed = watch.event
        if sealed:
            sealed = self._db.sealing.seal(watch.tenant, envelope.schedule_place(watch.trigger_id), watch.event)
        doc = _text(replace(watch, event=sealed))
        if expected_rev:
            return bool(self._db.write(REPLACE_WATCH, (watch.rev, due_ms, doc, *at, expected_rev)))
        return bool(self._db.write(INSERT_WATCH, (*at, watch.rev, due_ms, doc)))

    def due_watches(self, until_ms: int, limit: int) -> list[DueWatch]:
        """Watches that are not idle with ``due_ms <= until_ms``, of all tenants, the earliest first."""
        return [DueWatch(*row) for row in self._db.read(DUE_WATCHES, (until_ms, limit))]


def _text(document: object) -> str:
    return msgspec.json.encode(document).decode()
