"""Executions in PostgreSQL: one row each, in partitions by instant; see docs/postgres.md."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.dynamodb.execution_texts import with_texts
from chalicelib.adapters.machine.combining import Combiner
from chalicelib.adapters.postgres.database import PostgresDatabase, Row, in_lots
from chalicelib.adapters.postgres.execution_rows import key_of, place
from chalicelib.core.executions.execution import Execution, ExecutionKey, has_ended_badly, is_listed_open
from chalicelib.core.executions.limits import HISTORY_RETENTION_S
from chalicelib.core.schedules.schedule import Key
from chalicelib.ports.stores.executions import ExecutionPage

BATCH_MAX: Final = 500  # rows of one statement
_INT8_MAX: Final = 2**63 - 1
_Write = tuple[Execution, int]

_GIVEN: Final = """
    unnest(%s::text[], %s::text[], %s::int8[], %s::bool[], %s::int[], %s::int8[], %s::int8[], %s::int8[], %s::int8[],
           %s::int8[], %s::text[], %s::int8[])
    AS g(tenant, schedule_id, firing_ms, manual, shard, rev, open_ms, bad_ms, expires_s, at_ms, doc, expected)"""
INSERT: Final = f"""
INSERT INTO executions (tenant, schedule_id, firing_ms, manual, shard, rev, open_ms, bad_ms, expires_s, at_ms, doc)
SELECT tenant, schedule_id, firing_ms, manual, shard, rev, open_ms, bad_ms, expires_s, at_ms, doc FROM {_GIVEN}
WHERE g.expected = 0 ORDER BY tenant, schedule_id, firing_ms, manual
ON CONFLICT DO NOTHING RETURNING tenant, schedule_id, firing_ms, manual"""
# A row is found by its key, and so in its own partition alone.
UPDATE: Final = f"""
UPDATE executions e
SET rev = g.rev, open_ms = g.open_ms, bad_ms = g.bad_ms, expires_s = g.expires_s, doc = g.doc
FROM {_GIVEN}
WHERE e.tenant = g.tenant AND e.schedule_id = g.schedule_id AND e.firing_ms = g.firing_ms AND e.manual = g.manual
AND e.rev = g.expected AND g.expected > 0
RETURNING e.tenant, e.schedule_id, e.firing_ms, e.manual"""
BOTH: Final = f"WITH made AS ({INSERT}), changed AS ({UPDATE}) SELECT * FROM made UNION ALL SELECT * FROM changed"
GET: Final = """
SELECT e.tenant, e.schedule_id, e.firing_ms, e.manual, e.doc
FROM unnest(%s::text[], %s::text[], %s::int8[], %s::bool[]) AS g(tenant, schedule_id, firing_ms, manual)
JOIN executions e USING (tenant, schedule_id, firing_ms, manual)"""
GET_ONE: Final = """
SELECT tenant, schedule_id, firing_ms, manual, doc FROM executions
WHERE tenant = %s AND schedule_id = %s AND firing_ms = %s AND manual = %s"""
_OF_SCHEDULE: Final = """
SELECT tenant, schedule_id, firing_ms, manual, doc FROM executions
WHERE tenant = %s AND schedule_id = %s AND firing_ms BETWEEN %s AND %s AND (firing_ms, manual) {past} (%s, %s)
ORDER BY firing_ms {way}, manual {way} LIMIT %s"""
OLDER: Final = _OF_SCHEDULE.format(past="<", way="DESC")
NEWER: Final = _OF_SCHEDULE.format(past=">", way="ASC")
# Those that events set off lie in the rest alone, and are listed by their own instant.
RECENT: Final = """
SELECT r.at_ms, r.schedule_id, r.firing_ms, r.manual FROM unnest(%(shards)s::int[]) AS s(shard) CROSS JOIN LATERAL (
    (SELECT firing_ms AS at_ms, schedule_id, firing_ms, manual FROM executions e
    WHERE e.tenant = %(tenant)s AND e.shard = s.shard AND e.firing_ms BETWEEN %(low)s AND %(high)s
    AND (e.firing_ms, e.schedule_id, e.manual) < (%(at)s, %(id)s, %(manual)s) AND e.at_ms IS NULL
    ORDER BY e.firing_ms DESC, e.schedule_id DESC, e.manual DESC LIMIT %(limit)s)
    UNION ALL
    (SELECT at_ms, schedule_id, firing_ms, manual FROM executions_rest e
    WHERE e.tenant = %(tenant)s AND e.shard = s.shard AND e.at_ms BETWEEN %(low)s AND %(high)s
    AND (e.at_ms, e.schedule_id) < (%(at)s, %(id)s)
    ORDER BY e.at_ms DESC, e.schedule_id DESC LIMIT %(limit)s)
) r ORDER BY r.at_ms DESC, r.schedule_id DESC, r.manual DESC LIMIT %(limit)s"""
COUNT_RECENT: Final = """
SELECT coalesce(sum(least(%(limit)s, counted.n)), 0)
FROM unnest(%(shards)s::int[], %(lows)s::bigint[]) AS wanted (shard, low), LATERAL (SELECT count(*) AS n FROM (
(SELECT 1 FROM executions e WHERE e.tenant = %(tenant)s AND e.shard = wanted.shard
AND e.firing_ms BETWEEN wanted.low AND %(high)s AND e.at_ms IS NULL LIMIT %(limit)s)
UNION ALL (SELECT 1 FROM executions_rest r WHERE r.tenant = %(tenant)s AND r.shard = wanted.shard
AND r.at_ms BETWEEN wanted.low AND %(high)s LIMIT %(limit)s)) found) counted"""
OPEN_UNTIL: Final = """
SELECT open_ms, tenant, schedule_id, firing_ms, manual FROM executions
WHERE shard = %s AND open_ms <= %s AND (open_ms, tenant, schedule_id, firing_ms, manual) > (%s, %s, %s, %s, %s)
ORDER BY open_ms, tenant, schedule_id, firing_ms, manual LIMIT %s"""
ENDED_BADLY: Final = """
SELECT coalesce(sum(counted.n), 0) FROM unnest(%s::int[]) AS wanted (shard), LATERAL (SELECT count(*) AS n FROM (
SELECT 1 FROM executions e WHERE e.shard = wanted.shard AND e.bad_ms >= %s LIMIT %s) found) counted"""
OLDEST_BAD: Final = "SELECT bad_ms FROM executions WHERE shard = %s AND bad_ms >= %s ORDER BY bad_ms LIMIT 1"


class PostgresExecutionStore:
    """``ExecutionStore`` over the table of executions."""

    def __init__(self, database: PostgresDatabase, retention_s: int = HISTORY_RETENTION_S) -> None:
        """``retention_s``: how long an execution is kept after its end."""
        self._db = database
        self._retention_s = retention_s
        # Outcomes of slow targets come one by one from many threads.
        self._updates: Combiner[_Write, bool] = Combiner(self._written, BATCH_MAX)

    def insert(self, executions: Sequence[Execution]) -> list[bool]:
        """Write new records; False for each whose key exists already."""
        return self._written([(execution, 0) for execution in executions])

    def update(self, writes: Sequence[tuple[Execution, int]]) -> list[bool]:
        """Replace records, each if its stored ``rev`` still is the given one (0: if there is none)."""
        return self._updates.call(writes) if writes else []

    def get(self, keys: Sequence[ExecutionKey]) -> dict[ExecutionKey, Execution]:
        """Records by key; missing ones are left out."""
        if not keys:
            return {}
        if len(keys) == 1:
            rows = self._db.read(GET_ONE, place(keys[0]))
        else:
            rows = self._db.read(GET, _columns([place(at) for at in dict.fromkeys(keys)], 4))
        return {record.key: record for record in map(self._record, rows)}

    def of_schedule(
        self, schedule: Key, from_ms: int, to_ms: int, limit: int, after: str | None, newest_first: bool = True
    ) -> tuple[list[Execution], str | None]:
        """Records of one schedule with ``from_ms <= firing_ms <= to_ms``, and the position to go on from."""
        start: tuple[int, bool] = (_INT8_MAX, True) if newest_first else (-1, False)
        if after is not None:
            at = documents.execution_key(documents.partition(*schedule), after)
            start = (at.firing_ms, at.manual)
        values = (*schedule, _clamped(from_ms), _clamped(to_ms), *start, limit + 1)
        rows = self._db.read(OLDER if newest_first else NEWER, values)
        found = [self._record(row) for row in rows[:limit]]
        return found, documents.execution_sk(found[-1].key) if len(rows) > limit and found else None

    def recent(
        self, tenant: str, shards: Sequence[int], from_ms: int, to_ms: int, limit: int, after: str | None
    ) -> ExecutionPage:
        """Keys of a tenant's executions by firing instant, newest first, merged over the shards."""
        at, row_id, manual = (_INT8_MAX, "", True) if after is None else json.loads(after)
        values = {
            "shards": list(shards),
            "tenant": tenant,
            "low": _clamped(from_ms),
            "high": _clamped(to_ms),
            "at": at,
            "id": row_id,
            "manual": manual,
            "limit": limit + 1,
        }
        rows = self._db.read(RECENT, values)
        keys = [key_of(tenant, *row[1:]) for row in rows[:limit]]
        last = [(at_ms, row_id, manual) for at_ms, row_id, _, manual in rows[limit - 1 : limit]]
        return ExecutionPage(keys, json.dumps(last[0]) if len(rows) > limit and keys else None)

    def count_recent(self, tenant: str, from_ms: Mapping[int, int], to_ms: int, limit: int) -> int:
        """How many executions of a tenant have a firing instant in each shard's range, up to ``limit`` of a shard."""
        shards, lows = list(from_ms), [_clamped(first_ms) for first_ms in from_ms.values()]
        values = {"tenant": tenant, "shards": shards, "lows": lows, "high": _clamped(to_ms), "limit": limit}
        return int(self._db.read(COUNT_RECENT, values)[0][0])

    def open_until(self, shard: int, until_ms: int, limit: int, after: str | None = None) -> ExecutionPage:
        """Records that are listed open with ``open_until_ms <= until_ms``, earliest first."""
        start = (-1, "", "", -1, False) if after is None else json.loads(after)
        rows = self._db.read(OPEN_UNTIL, (shard, until_ms, *start, limit + 1))
        keys = [key_of(*row[1:]) for row in rows[:limit]]
        return ExecutionPage(keys, json.dumps(rows[limit - 1]) if len(rows) > limit and keys else None)

    def ended_badly(self, shards: Sequence[int], from_ms: int, limit: int) -> int:
        """How many records ended as failed or timeout at or after ``from_ms``, up to ``limit`` of a shard."""
        return int(self._db.read(ENDED_BADLY, (list(shards), from_ms, limit))[0][0])

    def oldest_bad_ms(self, shard: int, from_ms: int) -> int | None:
        """When the first record of a shard ended badly at or after ``from_ms``; None when none did."""
        rows = self._db.read(OLDEST_BAD, (shard, from_ms))
        return int(rows[0][0]) if rows else None

    def _written(self, writes: Sequence[_Write]) -> list[bool]:
        """New records and changes of others, in one statement each lot."""
        answers: list[bool] = []
        for lot in in_lots(writes, BATCH_MAX, lambda write: write[0].key):
            columns = _columns([self._row(execution, rev) for execution, rev in lot], 12)
            made, changed = any(not rev for _, rev in lot), any(rev for _, rev in lot)
            if made and changed:
                rows = self._db.write(BOTH, (*columns, *columns))
            else:
                rows = self._db.write(INSERT if made else UPDATE, columns)
            won = {key_of(*row) for row in rows}
            answers += [execution.key in won for execution, _ in lot]
        return answers

    def _row(self, execution: Execution, expected_rev: int) -> Row:
        bad_ms = execution.finished_ms if has_ended_badly(execution) else None
        return (
            *place(execution.key),
            execution.shard,
            execution.rev,
            execution.open_until_ms if is_listed_open(execution) else None,
            bad_ms,
            None if execution.is_open else self._expiry(execution),
            execution.firing_ms if execution.event else None,
            documents.encode_execution(with_texts(execution, self._db.sealing.seal)),
            expected_rev,
        )

    def _record(self, row: Row) -> Execution:
        *at, doc = row
        return with_texts(documents.decode_execution(key_of(*at), doc), self._db.sealing.unseal)

    def _expiry(self, execution: Execution) -> int:
        """When a finished record may be forgotten, in unix seconds."""
        ended_ms = execution.created_ms if execution.finished_ms is None else execution.finished_ms
        return max(ended_ms, execution.firing_ms) // 1000 + self._retention_s


def _columns(rows: Sequence[Row], width: int) -> list[list[object]]:
    """Rows as arrays, one a column."""
    return [[row[n] for row in rows] for n in range(width)]


def _clamped(unix_ms: int) -> int:
    return min(max(unix_ms, 0), 10**15 - 1)
