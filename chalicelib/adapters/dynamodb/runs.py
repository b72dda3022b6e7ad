"""``RunStore`` in DynamoDB: one partition a run; see docs/storage.md.

The events of one decision are one item, whose key is the number of the first. So an append is one conditional put, and
no two decisions can both follow the same event.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from chalicelib.adapters.aws import clients
from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.dynamodb.database import BATCH_GET_MAX, Database, Item, key, number, text
from chalicelib.adapters.dynamodb.registry import ABSENT
from chalicelib.adapters.dynamodb.workflows import at_rev
from chalicelib.core.batches import chunks
from chalicelib.core.decoders import decoder_of
from chalicelib.core.workflows.run_slots import SlotTable
from chalicelib.core.workflows.run_state import RunEvent, RunState
from chalicelib.ports.stores.runs import RunLogRead, RunSummary, WokenRun

WAKE_SHARDS: Final = 8
LIST_SCAN_MAX_ITEMS: Final = 1_000
PURGE_MAX_ITEMS: Final = 250
BATCH_WRITE_MAX: Final = 25
CHUNK_BYTES: Final = 90 * 1024  # of a payload in one item
_HEAD: Final = "head"
_SNAPSHOT: Final = "snapshot"
_summary: Final = decoder_of(RunSummary).decode
_events: Final = decoder_of(list[RunEvent]).decode
_slot_table: Final = decoder_of(SlotTable).decode
_state: Final = decoder_of(RunState).decode


class DynamoRunStore:
    """``RunStore``: a head, a snapshot, batches of events, and payloads in chunks."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._table = database.names.workflows

    def enter(self, summary: RunSummary) -> bool:
        """Write the summary of a run that has none."""
        return self._db.write("put_item", TableName=self._table, Item=head_item(summary), ConditionExpression=ABSENT)

    def append(self, tenant: str, run_id: str, events: Sequence[RunEvent]) -> bool:
        """Add events, which are numbered in a row. False when the first one's number is taken."""
        item = {
            **key(_run(tenant, run_id), _event(events[0].number)),
            "doc": text(msgspec.json.encode(list(events)).decode()),
        }
        return self._db.write("put_item", TableName=self._table, Item=item, ConditionExpression=ABSENT)

    def read(self, tenant: str, run_id: str) -> RunLogRead:
        """The newest snapshot and the events after it: two calls."""
        item = self._get(tenant, run_id, _SNAPSHOT)
        state = None if item is None else _state(zlib.decompress(bytes(item["packed"]["B"])))
        after = 0 if state is None else state.events
        return RunLogRead(state, self._after(tenant, run_id, _event(after + 1), None))

    def events(self, tenant: str, run_id: str, after: int, limit: int) -> list[RunEvent]:
        """Events after a number, in order."""
        found = self._query(
            "pk = :p AND sk BETWEEN :a AND :b",
            {":p": text(_run(tenant, run_id)), ":a": text(_event(0)), ":b": text(_event(after + 1))},
            ScanIndexForward=False,
            Limit=1,
        )["Items"]
        start = found[0]["sk"]["S"] if found else _event(after + 1)
        return [event for event in self._after(tenant, run_id, start, limit + 1) if event.number > after]

    def snapshot(self, state: RunState) -> None:
        """Keep the state as of its last event, unless a newer one is kept."""
        item = {
            **key(_run(state.tenant, state.id), _SNAPSHOT),
            "packed": {"B": zlib.compress(msgspec.json.encode(state))},
            "rev": number(state.events),
        }
        self._db.write(
            "put_item",
            TableName=self._table,
            Item=item,
            ConditionExpression=f"{ABSENT} OR rev < :r",
            ExpressionAttributeValues={":r": number(state.events)},
        )

    def summarize(self, summary: RunSummary, expected_rev: int) -> bool:
        """Replace a run's summary if its stored rev still is ``expected_rev``."""
        return self._db.write("put_item", TableName=self._table, Item=head_item(summary), **at_rev(expected_rev))

    def wake_by(self, tenant: str, run_id: str, wake_ms: int, kept_from_ms: int) -> None:
        """Have a run checked by then."""
        self._db.write(
            "update_item",
            TableName=self._table,
            Key=key(_run(tenant, run_id), _HEAD),
            UpdateExpression="SET wake_ms = :w, wake_in = :s ADD rev :one",
            ConditionExpression="attribute_exists(pk) AND "
            "(attribute_not_exists(wake_ms) OR NOT wake_ms BETWEEN :k AND :w)",
            ExpressionAttributeValues={
                ":w": number(wake_ms),
                ":k": number(kept_from_ms),
                ":s": text(_shard(run_id)),
                ":one": number(1),
            },
        )

    def woken(self, until_ms: int, limit: int) -> list[WokenRun]:
        """Runs to check by an instant, of all tenants, the earliest first. May lag."""
        found: list[WokenRun] = []
        for shard in range(WAKE_SHARDS):
            answer = self._db.read(
                "query",
                TableName=self._table,
                IndexName="wake",
                KeyConditionExpression="wake_in = :s AND wake_ms <= :u",
                ExpressionAttributeValues={":s": text(f"wake#{shard}"), ":u": number(until_ms)},
                Limit=limit,
            )
            for item in answer["Items"]:
                tenant, _, run_id = item["pk"]["S"].partition("#run#")
                found.append(WokenRun(documents.unescaped(tenant), run_id, int(item["wake_ms"]["N"])))
        return sorted(found, key=lambda w: (w.wake_ms, w.tenant, w.id))[:limit]

    def load(self, tenant: str, run_id: str) -> RunSummary | None:
        """A run's summary."""
        item = self._get(tenant, run_id, _HEAD)
        return None if item is None else _read_head(item)

    def page(
        self, tenant: str, workflow: str | None, status: str | None, limit: int, after: str | None
    ) -> tuple[list[RunSummary], str | None]:
        """A tenant's runs, newest first, and where to go on (None: the end). A page may be short. May lag."""
        found: list[RunSummary] = []
        scanned = 0
        while len(found) < limit and scanned < LIST_SCAN_MAX_ITEMS:
            condition, values = "list_pk = :p", {":p": text(_list(tenant))}
            if after is not None:
                condition, values = condition + " AND list_sk < :a", values | {":a": text(after)}
            answer = self._query(condition, values, IndexName="runs", ScanIndexForward=False, Limit=limit - len(found))
            for item in answer["Items"]:
                summary = _summary(item["doc"]["S"])
                if workflow in (None, summary.workflow) and status in (None, summary.status):
                    found.append(summary)
                after = item["list_sk"]["S"]
            scanned += limit
            if "LastEvaluatedKey" not in answer:
                return found, None
        return found, after

    def slots(self, tenant: str, name: str) -> SlotTable | None:
        """Who has the slots of one key."""
        found = key(_slots(tenant), name)
        item = self._db.read("get_item", TableName=self._table, Key=found, ConsistentRead=True).get("Item")
        return None if item is None else _slot_table(zlib.decompress(bytes(item["packed"]["B"])))

    def save_slots(self, table: SlotTable, expected_rev: str) -> bool:
        """Write a table if its stored rev still is ``expected_rev``; an empty one is deleted."""
        where = key(_slots(table.tenant), table.name)
        how: dict[str, Any] = {"ConditionExpression": ABSENT}
        if expected_rev:
            values = {":r": text(expected_rev)}
            how = {"ConditionExpression": "slot_rev = :r", "ExpressionAttributeValues": values}
        if not table.held and not table.waiting:
            return self._db.write("delete_item", TableName=self._table, Key=where, **how)
        item = {**where, "packed": {"B": zlib.compress(msgspec.json.encode(table))}, "slot_rev": text(table.rev)}
        return self._db.write("put_item", TableName=self._table, Item=item, **how)

    def purge(self, tenant: str, run_id: str) -> bool:
        """Delete a part of all that is kept of a run, its head last."""
        pk = _run(tenant, run_id)
        answer = self._query(
            "pk = :p", {":p": text(pk)}, ProjectionExpression="pk, sk", Limit=PURGE_MAX_ITEMS + 1, ConsistentRead=True
        )
        keys = [item for item in answer["Items"] if item["sk"]["S"] != _HEAD]
        if not keys:
            self._db.write("delete_item", TableName=self._table, Key=key(pk, _HEAD))
            return True
        for some in chunks(keys, BATCH_WRITE_MAX):
            left: Any = [{"DeleteRequest": {"Key": one}} for one in some]
            clients.write(partial(self._db.client().batch_write_item, RequestItems={self._table: left}))
        return False  # what the table throttled is found by the next call

    def put_payload(self, tenant: str, run_id: str, name: str, content: bytes, expires_s: int | None = None) -> None:
        """Keep bytes under a name: the chunk that says how many there are comes last."""
        parts = list(chunks(content, CHUNK_BYTES)) or [b""]
        for place in range(len(parts) - 1, -1, -1):
            item = {
                **key(_run(tenant, run_id), _payload(name, place)),
                "packed": {"B": bytes(parts[place])},
                "rev": number(len(parts)),
                **({} if expires_s is None else {"ttl": number(expires_s)}),
            }
            self._db.write("put_item", TableName=self._table, Item=item)

    def payloads(self, tenant: str, run_id: str, names: Sequence[str]) -> dict[str, bytes]:
        """Bytes that were kept, by name; what is not there is left out."""
        pk = _run(tenant, run_id)
        first = self._chunks(pk, [(name, 0) for name in dict.fromkeys(names)])
        more = [(name, place) for (name, _), item in first.items() for place in range(1, int(item["rev"]["N"]))]
        parts = first | self._chunks(pk, more)
        return {
            name: b"".join(bytes(parts[name, place]["packed"]["B"]) for place in range(int(item["rev"]["N"])))
            for (name, _), item in first.items()
        }

    def _chunks(self, pk: str, wanted: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Item]:
        places = {_payload(name, place): (name, place) for name, place in wanted}
        found: dict[tuple[str, int], Item] = {}
        for some in chunks(list(places), BATCH_GET_MAX):
            for item in self._db.get_many(self._table, [key(pk, sk) for sk in some]):
                found[places[item["sk"]["S"]]] = item
        return found

    def _after(self, tenant: str, run_id: str, start: str, limit: int | None) -> list[RunEvent]:
        values = {":p": text(_run(tenant, run_id)), ":a": text(start), ":b": text("e#~")}
        found: list[RunEvent] = []
        how: dict[str, Any] = {} if limit is None else {"Limit": limit}
        while True:
            answer = self._query("pk = :p AND sk BETWEEN :a AND :b", values, **how)
            found += [event for item in answer["Items"] for event in _events(item["doc"]["S"])]
            if "LastEvaluatedKey" not in answer or (limit is not None and len(found) >= limit):
                return found
            how["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _get(self, tenant: str, run_id: str, sk: str) -> Item | None:
        found = key(_run(tenant, run_id), sk)
        item: Item | None = self._db.read("get_item", TableName=self._table, Key=found, ConsistentRead=True).get("Item")
        return item

    def _query(self, condition: str, values: dict[str, Any], **how: Any) -> dict[str, Any]:
        consistent = {} if "IndexName" in how or "ConsistentRead" in how else {"ConsistentRead": True}
        return self._db.read(
            "query",
            TableName=self._table,
            KeyConditionExpression=condition,
            ExpressionAttributeValues=values,
            **consistent,
            **how,
        )


def head_item(summary: RunSummary) -> dict[str, Any]:
    """The item of a summary, as it is written."""
    item: dict[str, Any] = {
        **key(_run(summary.tenant, summary.id), _HEAD),
        "doc": text(msgspec.json.encode(replace(summary, change=None)).decode()),
        "rev": number(summary.rev),
    }
    if summary.change is not None:
        item["packed"] = {"B": zlib.compress(msgspec.json.encode(summary.change))}
    if summary.listed:
        item |= {"list_pk": text(_list(summary.tenant)), "list_sk": text(f"{summary.started_ms:015d}#{summary.id}")}
    if summary.wake_ms is not None:
        item |= {"wake_in": text(_shard(summary.id)), "wake_ms": number(summary.wake_ms)}
    return item


def _read_head(item: Item) -> RunSummary:
    """The document, with what ``wake_by`` may have changed beside it."""
    wake = item.get("wake_ms")
    rev, wake_ms = int(item["rev"]["N"]), None if wake is None else int(wake["N"])
    return replace(_summary(item["doc"]["S"]), rev=rev, wake_ms=wake_ms)


def _run(tenant: str, run_id: str) -> str:
    return f"{documents.escaped(tenant)}#run#{run_id}"


def _event(number_: int) -> str:
    return f"e#{number_:06d}"


def _payload(name: str, place: int) -> str:
    return f"p#{name}#{place:03d}"


def _list(tenant: str) -> str:
    return f"{documents.escaped(tenant)}#runs"


def _slots(tenant: str) -> str:
    return f"{documents.escaped(tenant)}#slots"


def _shard(run_id: str) -> str:
    return f"wake#{zlib.crc32(run_id.encode()) % WAKE_SHARDS}"
