"""``TriggerStore`` in DynamoDB; see docs/storage.md. Events are sealed as payloads are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.dynamodb.database import Database, Item, key, number, text
from chalicelib.adapters.dynamodb.workflows import at_rev
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

WATCH_SHARDS: Final = 2
_THROTTLE: Final = "throttle"
_LISTENED: Final = "listened"
_TRIGGERS: Final = "#triggers"
_INSTANT_CHARS: Final = 16  # an instant and the sign behind it
_listening: Final = decoder_of(Listening).decode
_trigger: Final = decoder_of(Trigger).decode
_throttle: Final = decoder_of(ThrottleState).decode
_arrival: Final = decoder_of(Arrival).decode
_watch: Final = decoder_of(Watch).decode


class DynamoTriggerStore:
    """``TriggerStore``: triggers in one partition a tenant, what one remembers in a partition of its own."""

    def __init__(self, database: Database, retention_s: int = HISTORY_RETENTION_S) -> None:
        """``retention_s``: how long is known which events fired."""
        self._db = database
        self._table = database.names.workflows
        self._retention_s = retention_s

    def load(self, tenant: str, trigger_id: str) -> Trigger | None:
        """A trigger."""
        item = self._get(_triggers(tenant), trigger_id)
        return None if item is None else _trigger(item["doc"]["S"])

    def page(self, tenant: str, limit: int, after: str | None) -> tuple[list[Trigger], str | None]:
        """A tenant's triggers, newest first, after an id, and the id to go on after (None: the end)."""
        items, more = self._newest(_triggers(tenant), "", after or "~", limit)
        found = [_trigger(item["doc"]["S"]) for item in items]
        return found, found[-1].id if more and found else None

    def save(self, trigger: Trigger, expected_rev: int) -> bool:
        """Write a trigger if its stored rev still is ``expected_rev`` (0: if there is none)."""
        more: Item = {}
        if sources.is_listened(trigger.rules.source):  # the index says what to listen to, and what has changed
            more = {"wake_in": text(_LISTENED), "wake_ms": number(trigger.rev)}
        return self._put(key(_triggers(trigger.tenant), trigger.id), trigger, trigger.rev, expected_rev, more)

    def delete(self, tenant: str, trigger_id: str, expected_rev: int) -> bool:
        """Delete a trigger if its stored rev still is ``expected_rev``."""
        if not expected_rev:
            return False
        gone = key(_triggers(tenant), trigger_id)
        return self._db.write("delete_item", TableName=self._table, Key=gone, **at_rev(expected_rev))

    def listened(self) -> list[ListenedTrigger]:
        """The triggers whose events a worker has to get, of all tenants. May lag."""
        found: list[ListenedTrigger] = []
        position: Item = {}
        while True:
            answer = self._db.read(
                "query",
                TableName=self._table,
                IndexName="wake",
                KeyConditionExpression="wake_in = :s",
                ExpressionAttributeValues={":s": text(_LISTENED)},
                **position,
            )
            for item in answer["Items"]:
                tenant = documents.unescaped(item["pk"]["S"].removesuffix(_TRIGGERS))
                found.append(ListenedTrigger(tenant, item["sk"]["S"], int(item["wake_ms"]["N"])))
            if "LastEvaluatedKey" not in answer:
                return sorted(found)
            position = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def listenings(self, tenant: str, trigger_ids: Sequence[str]) -> dict[str, Listening]:
        """What workers said last of the sources of triggers, in one query of the span that their ids make."""
        found: dict[str, Listening] = {}
        position: Item = {}
        while trigger_ids:
            answer = self._db.read(
                "query",
                TableName=self._table,
                KeyConditionExpression="pk = :p AND sk BETWEEN :a AND :z",
                ExpressionAttributeValues={
                    ":p": text(_listenings(tenant)),
                    ":a": text(min(trigger_ids)),
                    ":z": text(max(trigger_ids)),
                },
                **position,
            )
            found |= {item["sk"]["S"]: _listening(item["doc"]["S"]) for item in answer["Items"]}
            if "LastEvaluatedKey" not in answer:
                break
            position = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
        return {one: found[one] for one in trigger_ids if one in found}

    def save_listening(self, listening: Listening, expected_rev: int) -> bool:
        """Write what a worker says if its stored rev still is ``expected_rev`` (0: if there is none)."""
        at = key(_listenings(listening.tenant), listening.trigger_id)
        more = {"ttl": number(listening.seen_ms // 1000 + LISTENING_RETENTION_S)}
        return self._put(at, listening, listening.rev, expected_rev, more)

    def claim_key(self, tenant: str, trigger_id: str, key_: str, event: Arrival, now_ms: int, until_ms: int) -> Arrival:
        """The event that holds a key. Its ``rev`` is until when: what has ended is taken over at once, however long
        DynamoDB takes to delete it."""
        at = key(_memory(tenant, trigger_id), f"k#{key_}")
        place = envelope.schedule_place(trigger_id)
        kept = replace(event, event=self._db.sealing.seal(tenant, place, event.event))
        doc = text(msgspec.json.encode(kept).decode())
        item = {**at, "doc": doc, "rev": number(until_ms), "ttl": number(until_ms // 1000 + KEY_RETENTION_S)}
        won = self._db.write(
            "put_item",
            TableName=self._table,
            Item=item,
            ConditionExpression="attribute_not_exists(pk) OR rev <= :now",
            ExpressionAttributeValues={":now": number(now_ms)},
        )
        holder = None if won else self._get(at["pk"]["S"], at["sk"]["S"])
        if holder is None:
            return event
        found = _arrival(holder["doc"]["S"])
        return replace(found, event=self._db.sealing.unseal(tenant, place, found.event))

    def note(self, tenant: str, trigger_id: str, at_ms: int, event: str) -> None:
        """List that an event fires at an instant."""
        at = key(_memory(tenant, trigger_id), f"l#{documents.instant_text(at_ms)}#{event}")
        item = {**at, "ttl": number(at_ms // 1000 + self._retention_s)}
        self._db.write("put_item", TableName=self._table, Item=item)

    def noted(self, tenant: str, trigger_id: str, limit: int, after: str | None) -> tuple[list[str], str | None]:
        """The events that fired, newest first, after a position, and the position to go on from (None: the end)."""
        items, more = self._newest(_memory(tenant, trigger_id), "l#", "l#" + (after or "~"), limit)
        entries = [item["sk"]["S"].removeprefix("l#") for item in items]
        return [entry[_INSTANT_CHARS:] for entry in entries], entries[-1] if more and entries else None

    def throttle(self, tenant: str, trigger_id: str) -> ThrottleState:
        """The last firings of a trigger."""
        item = self._get(_memory(tenant, trigger_id), _THROTTLE)
        return ThrottleState(tenant, trigger_id) if item is None else _throttle(item["doc"]["S"])

    def save_throttle(self, state: ThrottleState, expected_rev: int) -> bool:
        """Write the last firings if their stored rev still is ``expected_rev`` (0: if there are none)."""
        return self._put(key(_memory(state.tenant, state.trigger_id), _THROTTLE), state, state.rev, expected_rev)

    def watch(self, tenant: str, trigger_id: str, kind: WatchKind, key_: str) -> Watch:
        """A watch."""
        item = self._get(_memory(tenant, trigger_id), _watch_sk(kind, key_))
        if item is None:
            return Watch(tenant, trigger_id, kind, key_)
        found = _watch(item["doc"]["S"])
        return replace(found, event=self._db.sealing.unseal(tenant, envelope.schedule_place(trigger_id), found.event))

    def save_watch(self, watch: Watch, expected_rev: int) -> bool:
        """Write a watch if its stored rev still is ``expected_rev`` (0: if there is none)."""
        sealed = watch.event
        if sealed:
            sealed = self._db.sealing.seal(watch.tenant, envelope.schedule_place(watch.trigger_id), watch.event)
        at = key(_memory(watch.tenant, watch.trigger_id), _watch_sk(watch.kind, watch.key))
        more: Item = {}
        if watch.state != IDLE:
            more = {"wake_in": text(_shard(watch.trigger_id)), "wake_ms": number(watch.due_ms)}
        return self._put(at, replace(watch, event=sealed), watch.rev, expected_rev, more)

    def due_watches(self, until_ms: int, limit: int) -> list[DueWatch]:
        """Watches that are not idle with ``due_ms <= until_ms``, of all tenants, the earliest first. May lag."""
        found: list[DueWatch] = []
        for shard in range(WATCH_SHARDS):
            answer = self._db.read(
                "query",
                TableName=self._table,
                IndexName="wake",
                KeyConditionExpression="wake_in = :s AND wake_ms <= :u",
                ExpressionAttributeValues={":s": text(f"watch#{shard}"), ":u": number(until_ms)},
                Limit=limit,
            )
            found += [_due(item) for item in answer["Items"]]
        return sorted(found, key=lambda due: (due.due_ms, due.tenant, due.trigger_id, due.kind, due.key))[:limit]

    def _get(self, pk: str, sk: str) -> Item | None:
        answer = self._db.read("get_item", TableName=self._table, Key=key(pk, sk), ConsistentRead=True)
        item: Item | None = answer.get("Item")
        return item

    def _put(self, at: Item, document: object, rev: int, expected_rev: int, more: Item | None = None) -> bool:
        doc = text(msgspec.json.encode(document).decode())
        item = {**at, "doc": doc, "rev": number(rev), **(more or {})}
        return self._db.write("put_item", TableName=self._table, Item=item, **at_rev(expected_rev))

    def _newest(self, pk: str, lowest: str, before: str, limit: int) -> tuple[list[Item], bool]:
        answer = self._db.read(
            "query",
            TableName=self._table,
            KeyConditionExpression="pk = :p AND sk BETWEEN :a AND :z",
            ExpressionAttributeValues={":p": text(pk), ":a": text(lowest or " "), ":z": text(before)},
            ConsistentRead=True,
            ScanIndexForward=False,
            Limit=limit + 2,  # one more shows whether the list goes on; BETWEEN includes ``before`` itself
        )
        items = [item for item in answer["Items"] if item["sk"]["S"] != before]
        return items[:limit], len(items) > limit or "LastEvaluatedKey" in answer


def _triggers(tenant: str) -> str:
    return documents.escaped(tenant) + _TRIGGERS


def _listenings(tenant: str) -> str:
    return documents.escaped(tenant) + "#listening"


def _memory(tenant: str, trigger_id: str) -> str:
    return f"{documents.escaped(tenant)}#trigger#{trigger_id}"


def _watch_sk(kind: str, key_: str) -> str:
    return f"w#{kind}#{key_}"


def _shard(trigger_id: str) -> str:
    return f"watch#{sum(trigger_id.encode()) % WATCH_SHARDS}"


def _due(item: Item) -> DueWatch:
    tenant, _, trigger_id = item["pk"]["S"].rpartition("#trigger#")
    _, kind, key_ = item["sk"]["S"].split("#", 2)
    return DueWatch(documents.unescaped(tenant), trigger_id, kind, key_, int(item["wake_ms"]["N"]))
