"""What the database itself would keep for ever: expired rows, and partitions of executions whose time is over.

Run by one process about once a minute. Every step is safe to repeat and to do twice at once.
"""

from __future__ import annotations

from typing import Final

from chalicelib.adapters.postgres.database import PostgresDatabase
from chalicelib.core.errors import Unavailable

DAY_MS: Final = 86_400_000
PARTITIONS_KEPT: Final = 8  # about so many ranges make up the retention: each costs every query that spans them
AHEAD: Final = 2  # ranges that are made before their time
DELETE_MAX: Final = 2_000  # rows of one statement: so none holds locks for long
ROUNDS_MAX: Final = 20
_MESSAGES_KEPT_MS: Final = {"work": 4 * DAY_MS, "steps": 4 * DAY_MS, "dead": 14 * DAY_MS, "poison": 14 * DAY_MS}
_EXPIRING: Final = ("states", "snapshots", "documents", "change_segments", "executions_rest", "run_contents", "alerts")
RANGES: Final = """
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'executions'::regclass AND c.relname ~ '^executions_[0-9]+_[0-9]+$'"""
# A lock that is not free at once is tried a minute later: no firing stands in line for it.
MAKE: Final = """
SET LOCAL lock_timeout = '200ms';
CREATE TABLE {name} (LIKE executions INCLUDING DEFAULTS INCLUDING CONSTRAINTS)
    WITH (autovacuum_vacuum_insert_scale_factor = 0.2);
ALTER TABLE executions ATTACH PARTITION {name} FOR VALUES FROM ({first}) TO ({end})"""
DROP: Final = """
SET LOCAL lock_timeout = '200ms';
ALTER TABLE executions DETACH PARTITION {name};
INSERT INTO executions_rest SELECT * FROM {name} WHERE expires_s IS NULL OR expires_s > {now_s};
DROP TABLE {name}"""


def keep_house(database: PostgresDatabase, now_ms: int, retention_s: int) -> None:
    """All of it. Raises Unavailable, OutcomeUnknown: the next minute does the rest."""
    keep_partitions(database, now_ms, retention_s)
    delete_expired(database, now_ms)


def delete_expired(database: PostgresDatabase, now_ms: int) -> None:
    """Delete rows whose time is over, some thousands at once."""
    for table in _EXPIRING:
        sql = (
            f"DELETE FROM {table} WHERE ctid = ANY(ARRAY("
            f"SELECT ctid FROM {table} WHERE expires_s < %s LIMIT {DELETE_MAX})) RETURNING 1"
        )
        for _ in range(ROUNDS_MAX):
            if len(database.write(sql, (now_ms // 1000,))) < DELETE_MAX:
                break
    old = "DELETE FROM messages WHERE ctid = ANY(ARRAY(SELECT ctid FROM messages WHERE queue = %s AND sent_ms < %s "
    for queue, kept_ms in _MESSAGES_KEPT_MS.items():
        database.write(f"{old} AND visible_ms < %s LIMIT {DELETE_MAX}))", (queue, now_ms - kept_ms, now_ms))


def keep_partitions(database: PostgresDatabase, now_ms: int, retention_s: int) -> None:
    """Make the ranges that executions are about to fall into, and drop those whose retention is over."""
    width_ms = width(retention_s)
    ranges = {(int(first), int(end)): name for name, first, end in map(_range, database.read(RANGES))}
    begin = now_ms // width_ms * width_ms
    for first in range(begin, begin + (AHEAD + 1) * width_ms, width_ms):
        end = first + width_ms
        if any(first < other_end and other_first < end for other_first, other_end in ranges):
            continue
        _change(database, MAKE.format(name=f"executions_{first}_{end}", first=first, end=end))
    for (_, end), name in ranges.items():
        if end // 1000 + retention_s < now_ms // 1000:
            _change(database, DROP.format(name=name, now_s=now_ms // 1000))


def width(retention_s: int) -> int:
    """How long a range is, in milliseconds: whole days."""
    return max(1, -(-retention_s * 1000 // PARTITIONS_KEPT // DAY_MS)) * DAY_MS


def _range(row: tuple[str, ...]) -> tuple[str, int, int]:
    _, first, end = row[0].split("_")
    return row[0], int(first), int(end)


def _change(database: PostgresDatabase, sql: str) -> None:
    """One transaction of several statements. One that finds its table locked is for the next minute."""
    try:
        database.run(sql)
    except Unavailable as problem:
        if "55P03" not in problem.detail:
            raise
