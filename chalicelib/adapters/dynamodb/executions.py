"""Executions in DynamoDB: one item each, under its schedule, in order of its instant; see docs/storage.md."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from operator import itemgetter
from typing import Final, TypeVar

from msgspec import Struct

from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.dynamodb.database import STATEMENTS_MAX, Database, Statement, Value, key, number, text
from chalicelib.adapters.dynamodb.execution_texts import with_texts
from chalicelib.adapters.machine.combining import Combiner
from chalicelib.core.executions.execution import Execution, ExecutionKey, has_ended_badly, is_listed_open
from chalicelib.core.executions.limits import HISTORY_RETENTION_S
from chalicelib.core.schedules.schedule import Key
from chalicelib.ports.stores.executions import ExecutionPage

T = TypeVar("T")

SHARD_READERS: Final = 8
SHARE_LEAST: Final = 4  # entries of a shard that are read beside twice its even share of a page
# Sorts after every suffix that an instant's text can have in a sort key.
_AFTER_ALL: Final = "~"


class _Shard(Struct, frozen=True):
    """One shard's share of a merged page: sort keys with their executions, newest first."""

    entries: list[tuple[str, ExecutionKey]]
    more: bool


class DynamoExecutionStore:
    """``ExecutionStore`` over the executions table."""

    def __init__(self, database: Database, retention_s: int = HISTORY_RETENTION_S) -> None:
        """``retention_s``: how long an execution is kept after its end."""
        self._db = database
        self._table = database.names.executions
        self._retention_s = retention_s
        self._lock = threading.Lock()
        self._readers: ThreadPoolExecutor | None = None
        # Outcomes of slow targets come one by one from many threads.
        self._updates: Combiner[Statement, bool] = Combiner(database.execute, STATEMENTS_MAX)

    def insert(self, executions: Sequence[Execution]) -> list[bool]:
        """Write new records; False for each whose key exists already."""
        return self._db.execute([self._insertion(execution) for execution in executions])

    def update(self, writes: Sequence[tuple[Execution, int]]) -> list[bool]:
        """Replace records, each if its stored ``rev`` still is the given one (0: if there is none)."""
        if not writes:
            return []
        return self._updates.call([self._replacement(e, rev) if rev else self._insertion(e) for e, rev in writes])

    def get(self, keys: Sequence[ExecutionKey]) -> dict[ExecutionKey, Execution]:
        """Records by key; missing ones are left out."""
        unique = dict.fromkeys(keys)
        items = self._db.get_many(self._table, [key(*_primary(k)) for k in unique], "pk,sk,doc")
        found = [(documents.execution_key(i["pk"]["S"], i["sk"]["S"]), i["doc"]["S"]) for i in items]
        return {at: self._opened(documents.decode_execution(at, doc)) for at, doc in found}

    def of_schedule(
        self, schedule: Key, from_ms: int, to_ms: int, limit: int, after: str | None, newest_first: bool = True
    ) -> tuple[list[Execution], str | None]:
        """Records of one schedule with ``from_ms <= firing_ms <= to_ms``, and the position to go on from."""
        if from_ms > to_ms:
            return [], None
        pk = documents.partition(*schedule)
        answer = self._db.read(
            "query",
            TableName=self._table,
            KeyConditionExpression="pk = :p AND sk BETWEEN :a AND :z",
            ExpressionAttributeValues={
                ":p": text(pk),
                ":a": text(documents.instant_text(from_ms)),
                ":z": text(documents.instant_text(to_ms) + _AFTER_ALL),
            },
            ConsistentRead=True,
            ScanIndexForward=not newest_first,
            Limit=limit + 1,
            **({} if after is None else {"ExclusiveStartKey": key(pk, after)}),
        )
        items = answer["Items"][:limit]
        more = len(answer["Items"]) > limit or "LastEvaluatedKey" in answer
        found = [(documents.execution_key(pk, i["sk"]["S"]), i["doc"]["S"]) for i in items]
        records = [self._opened(documents.decode_execution(at, doc)) for at, doc in found]
        return records, items[-1]["sk"]["S"] if more and items else None

    def recent(
        self, tenant: str, shards: Sequence[int], from_ms: int, to_ms: int, limit: int, after: str | None
    ) -> ExecutionPage:
        """Keys of a tenant's executions by firing instant, newest first, merged over the shards.

        One query a shard for somewhat more than its even share. A shard of which the page takes all that came is read
        once more, for a whole page.
        """
        lowest, highest = _bounds(from_ms, to_ms)
        if after is not None:
            highest = min(highest, after)
        if lowest > highest:
            return ExecutionPage([], None)

        def read(shard: int, most: int) -> _Shard:
            return self._recent_of(tenant, shard, lowest, highest, most, after)

        share = limit if len(shards) == 1 else min(limit, SHARE_LEAST + 2 * limit // len(shards))
        parts = self._of_each(partial(read, most=share), shards)
        short = _short(parts, limit) if share < limit else []
        again = self._of_each(partial(read, most=limit), [shards[place] for place in short])
        for place, part in zip(short, again, strict=True):
            parts[place] = part
        return _merged(parts, limit)

    def count_recent(self, tenant: str, from_ms: Mapping[int, int], to_ms: int, limit: int) -> int:
        """How many executions of a tenant have a firing instant in each shard's range, up to ``limit`` of a shard."""

        def count(shard: int) -> int:
            return self._count_recent_of(tenant, shard, from_ms[shard], to_ms, limit)

        return sum(self._of_each(count, list(from_ms)))

    def _count_recent_of(self, tenant: str, shard: int, from_ms: int, to_ms: int, limit: int) -> int:
        lowest, highest = _bounds(from_ms, to_ms)
        if lowest > highest:
            return 0
        answer = self._db.read(
            "query",
            TableName=self._table,
            IndexName="recent",
            KeyConditionExpression="recent_pk = :p AND recent_sk BETWEEN :a AND :z",
            ExpressionAttributeValues={
                ":p": text(_recent_pk(tenant, shard)),
                ":a": text(lowest),
                ":z": text(highest),
            },
            Select="COUNT",
            Limit=limit,
        )
        return int(answer["Count"])

    def open_until(self, shard: int, until_ms: int, limit: int, after: str | None = None) -> ExecutionPage:
        """Open records in the index with ``open_until_ms <= until_ms``, earliest first."""
        answer = self._db.read(
            "query",
            TableName=self._table,
            IndexName="open",
            KeyConditionExpression="open_shard = :s AND open_until <= :u",
            ExpressionAttributeValues={":s": text(str(shard)), ":u": number(until_ms)},
            Limit=limit,
            **({} if after is None else {"ExclusiveStartKey": _open_place(shard, after)}),
        )
        items = answer["Items"]
        keys = [documents.execution_key(i["pk"]["S"], i["sk"]["S"]) for i in items]
        last = f"{items[-1]['open_until']['N']} {items[-1]['sk']['S']} {items[-1]['pk']['S']}" if items else None
        return ExecutionPage(keys, last if "LastEvaluatedKey" in answer else None)

    def ended_badly(self, shards: Sequence[int], from_ms: int, limit: int) -> int:
        """How many records ended as failed or timeout at or after ``from_ms``, up to ``limit`` of a shard."""
        return sum(self._of_each(partial(self._ended_badly_of, from_ms=from_ms, limit=limit), shards))

    def _ended_badly_of(self, shard: int, from_ms: int, limit: int) -> int:
        answer = self._db.read(
            "query",
            TableName=self._table,
            IndexName="open",
            KeyConditionExpression="open_shard = :s AND open_until >= :f",
            ExpressionAttributeValues={":s": text(_failed_shard(shard)), ":f": number(from_ms)},
            Select="COUNT",
            Limit=limit,
        )
        return int(answer["Count"])

    def oldest_bad_ms(self, shard: int, from_ms: int) -> int | None:
        """When the first record of a shard ended badly at or after ``from_ms``; None when none did."""
        answer = self._db.read(
            "query",
            TableName=self._table,
            IndexName="open",
            KeyConditionExpression="open_shard = :s AND open_until >= :f",
            ExpressionAttributeValues={":s": text(_failed_shard(shard)), ":f": number(from_ms)},
            Limit=1,
        )
        return next((int(item["open_until"]["N"]) for item in answer["Items"]), None)

    def _recent_of(self, tenant: str, shard: int, lowest: str, highest: str, limit: int, after: str | None) -> _Shard:
        answer = self._db.read(
            "query",
            TableName=self._table,
            IndexName="recent",
            KeyConditionExpression="recent_pk = :p AND recent_sk BETWEEN :a AND :z",
            ExpressionAttributeValues={
                ":p": text(_recent_pk(tenant, shard)),
                ":a": text(lowest),
                ":z": text(highest),
            },
            ScanIndexForward=False,
            Limit=limit + 2,  # one more shows whether the list goes on; BETWEEN includes ``after`` itself
        )
        found = [(i["recent_sk"]["S"], documents.execution_key(i["pk"]["S"], i["sk"]["S"])) for i in answer["Items"]]
        return _Shard([entry for entry in found if entry[0] != after], "LastEvaluatedKey" in answer)

    def _of_each(self, read: Callable[[int], T], shards: Sequence[int]) -> list[T]:
        """What ``read`` finds in each shard, in their order; several are read at once."""
        return [read(shard) for shard in shards] if len(shards) < 2 else list(self._pool().map(read, shards))

    def _pool(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._readers is None:
                self._readers = ThreadPoolExecutor(SHARD_READERS, thread_name_prefix="chronowatch-read")
            return self._readers

    def _insertion(self, execution: Execution) -> Statement:
        pk, sk = _primary(execution.key)
        attributes: list[tuple[str, Value]] = [
            ("pk", text(pk)),
            ("sk", text(sk)),
            ("doc", text(self._doc(execution))),
            ("rev", number(execution.rev)),
            ("recent_pk", text(_recent_pk(execution.tenant, execution.shard))),
            ("recent_sk", text(documents.recent_sk(execution))),
        ]
        open_at = _open_attributes(execution)
        if open_at is not None:
            attributes += [("open_shard", text(open_at[0])), ("open_until", number(open_at[1]))]
        if not execution.is_open:
            attributes.append(("ttl", number(self._expiry(execution))))
        fields = ",".join(f"'{name}':?" for name, _ in attributes)
        return Statement(f'INSERT INTO "{self._table}" VALUE {{{fields}}}', tuple(value for _, value in attributes))

    def _replacement(self, execution: Execution, expected_rev: int) -> Statement:
        values = [text(self._doc(execution)), number(execution.rev)]
        clauses = ["SET doc=?", "SET rev=?"]
        open_at = _open_attributes(execution)
        if open_at is not None:
            clauses += ["SET open_shard=?", "SET open_until=?"]
            values += [text(open_at[0]), number(open_at[1])]
        else:  # costs nothing where there is nothing to take out
            clauses += ["REMOVE open_shard", "REMOVE open_until"]
        if not execution.is_open:
            clauses.append('SET "ttl"=?')
            values.append(number(self._expiry(execution)))
        elif expected_rev > 1:
            clauses.append('REMOVE "ttl"')  # a finished record that is tried again must not expire meanwhile
        pk, sk = _primary(execution.key)
        where = (text(pk), text(sk), number(expected_rev))
        return Statement(f'UPDATE "{self._table}" {" ".join(clauses)} WHERE pk=? AND sk=? AND rev=?', (*values, *where))

    def _doc(self, execution: Execution) -> str:
        """The document, with payload and result sealed."""
        return documents.encode_execution(with_texts(execution, self._db.sealing.seal))

    def _opened(self, execution: Execution) -> Execution:
        return with_texts(execution, self._db.sealing.unseal)

    def _expiry(self, execution: Execution) -> int:
        """When a finished record may be forgotten, in unix seconds."""
        ended_ms = execution.created_ms if execution.finished_ms is None else execution.finished_ms
        return max(ended_ms, execution.firing_ms) // 1000 + self._retention_s


def _primary(at: ExecutionKey) -> tuple[str, str]:
    return documents.partition(at.tenant, at.schedule_id), documents.execution_sk(at)


def _bounds(from_ms: int, to_ms: int) -> tuple[str, str]:
    """Between which sort keys of ``recent`` the instants of a range lie."""
    return documents.instant_text(from_ms) + "#", documents.instant_text(to_ms) + "#" + _AFTER_ALL


def _recent_pk(tenant: str, shard: int) -> str:
    return f"{documents.escaped(tenant)}#{shard}"


def _open_place(shard: int, after: str) -> dict[str, Value]:
    """The key in the ``open`` index of the entry that a page ended with."""
    until_ms, sk, pk = after.split(" ", 2)
    return {**key(pk, sk), "open_shard": text(str(shard)), "open_until": number(int(until_ms))}


def _open_attributes(execution: Execution) -> tuple[str, int] | None:
    """What puts a record into the ``open`` index, or None. What ended badly lies in it too, under another key."""
    if has_ended_badly(execution) and execution.finished_ms is not None:
        return _failed_shard(execution.shard), execution.finished_ms
    if not is_listed_open(execution) or execution.open_until_ms is None:
        return None
    return str(execution.shard), execution.open_until_ms


def _failed_shard(shard: int) -> str:
    return f"bad#{shard}"


def _short(parts: Sequence[_Shard], limit: int) -> list[int]:
    """Of which parts a page of all that came takes the last entry, though more of their shards remain."""
    taken = _newest(parts, limit)
    oldest = taken[-1][0] if len(taken) == limit else ""
    return [
        place for place, part in enumerate(parts) if part.more and (not part.entries or part.entries[-1][0] >= oldest)
    ]


def _newest(parts: Sequence[_Shard], limit: int) -> list[tuple[str, ExecutionKey]]:
    return sorted((entry for part in parts for entry in part.entries), key=itemgetter(0), reverse=True)[:limit]


def _merged(parts: Sequence[_Shard], limit: int) -> ExecutionPage:
    """The newest ``limit`` entries of all shards, and whether older ones remain."""
    taken = _newest(parts, limit)
    more = any(part.more for part in parts) or sum(len(part.entries) for part in parts) > len(taken)
    return ExecutionPage([at for _, at in taken], taken[-1][0] if more and taken else None)
