"""Every statement on the way of a firing reads by an index on a filled database: none goes through a whole table."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from chalicelib.adapters.postgres import (
    alerts,
    changes,
    document_rows,
    executions,
    leases,
    runs,
    schedule_writes,
    schedules,
    triggers,
    work_queue,
    written,
)
from chalicelib.adapters.postgres.database import PostgresDatabase
from chalicelib.adapters.postgres.housekeeping import keep_partitions, width
from tests.postgres import own_database

ROWS = 20_000
NOW_MS = 1_795_252_800_000
RETENTION_S = 30 * 86_400
STATEMENTS = {
    "states": (schedules.STATES, 2),
    "epochs": (schedules.EPOCHS, 2),
    "epochs of tenants": (schedules.TENANT_EPOCHS, 3),
    "definitions": (schedules.DEFINITIONS, 2),
    "both": (schedules.BOTH, 2),
    "snapshots": (schedules.SNAPSHOTS, 3),
    "write states": (schedules.WRITE_STATES, 9),
    "release": (schedule_writes.RELEASE, 11),
    "due": (schedules.DUE, 6),
    "due monitors": (schedules.DUE_MONITORS, 3),
    "insert executions": (executions.INSERT, 12),
    "update executions": (executions.UPDATE, 12),
    "insert and update executions": (executions.BOTH, 24),
    "get executions": (executions.GET, 4),
    "get an execution": (executions.GET_ONE, 4),
    "newest of a schedule": (executions.OLDER, 7),
    "oldest of a schedule": (executions.NEWER, 7),
    "recent": (executions.RECENT, 8),
    "count recent": (executions.COUNT_RECENT, 5),
    "open": (executions.OPEN_UNTIL, 8),
    "ended badly": (executions.ENDED_BADLY, 3),
    "oldest bad": (executions.OLDEST_BAD, 2),
    "receive": (work_queue.RECEIVE, 3),
    "next message": (work_queue.NEXT_MS, 1),
    "delete messages": (work_queue.DELETE, 1),
    "hide messages": (work_queue.HIDE, 3),
    "load a lease": (leases.LOAD, 2),
    "replace a lease": (leases.REPLACE, 5),
    "a watch": (triggers.WATCH, 4),
    "replace a watch": (triggers.REPLACE_WATCH, 8),
    "due watches": (triggers.DUE_WATCHES, 2),
    "claim a key": (triggers.CLAIM_KEY, 7),
    "an alert": (alerts.LOAD, 3),
    "replace an alert": (alerts.REPLACE, 8),
    "delete an alert": (alerts.DELETE, 4),
    "alerts of a tenant": (alerts.PAGE, 4),
    "woken alerts": (alerts.WOKEN, 2),
    "change a run": (runs.SUMMARIZE, 11),
    "wake a run": (runs.WAKE_BY, 5),
    "woken runs": (runs.WOKEN, 2),
    "runs of a tenant": (runs.PAGE, 6),
    "append to the log of a run": (runs.APPEND, 4),
    "log of a run": (runs.EVENTS, 4),
    "read a run": (runs.READ, 2),
    "contents of a run": (runs.CONTENTS, 3),
    "replace slots": (runs.SAVE_SLOTS, 5),
    "append to the log of changes": (changes.APPEND, 10),
    "load a document": (document_rows.LOAD, 3),
    "replace a document": (document_rows.REPLACE, 7),
    "read what was written": (written.READ, 3),
    "forget what was written": (written.FORGET, 4),
}


@pytest.fixture(scope="module")
def filled(postgres_dsn: str) -> Iterator[PostgresDatabase]:
    with own_database(postgres_dsn) as database:
        keep_partitions(database, NOW_MS, RETENTION_S)
        number = f"generate_series(1, {ROWS}) n"
        step = 3 * width(RETENTION_S) // ROWS
        first = NOW_MS // width(RETENTION_S) * width(RETENTION_S)
        for fill in (
            "INSERT INTO states (tenant, id, shard, rev, epoch, due_ms, doc) "
            f"SELECT 't' || n % 50, 'schedule' || n, n % 16, 1, 1, n, '{{}}' FROM {number}",
            "INSERT INTO definitions (tenant, id, version, owner, enabled, type, tags, doc, payload) "
            f"SELECT 't' || n % 50, 'schedule' || n, 'v', 'o', true, 'AT', '{{}}', '{{}}', 'null' FROM {number}",
            "INSERT INTO snapshots (tenant, id, version, doc, payload, expires_s) "
            f"SELECT 't' || n % 50, 'schedule' || n, 'v', '{{}}', 'null', n FROM {number}",
            "INSERT INTO monitors (tenant, id, shard, rev, look_ms, doc) "
            f"SELECT 't' || n % 50, 'schedule' || n, n % 16, 1, n, '{{}}' FROM {number}",
            "INSERT INTO epochs (tenant, epoch) SELECT 't' || n, 1 FROM generate_series(1, 2000) n",
            "INSERT INTO capacity (place, jobs, weight) SELECT n, 1, 1 FROM generate_series(1, 16) n",
            "INSERT INTO executions (tenant, schedule_id, firing_ms, manual, shard, rev, open_ms, bad_ms, doc) "
            f"SELECT 't' || n % 50, 'schedule' || n % 500, {first} + n * {step}::bigint, false, n % 16, 1, "
            f"CASE WHEN n % 20 = 0 THEN n END, CASE WHEN n % 20 = 1 THEN n END, '{{}}' FROM {number}",
            "INSERT INTO executions (tenant, schedule_id, firing_ms, manual, shard, rev, open_ms, bad_ms, doc) "
            f"SELECT 't' || n % 50, 'old' || n % 500, n, false, n % 16, 1, NULL, NULL, '{{}}' FROM {number}",
            "INSERT INTO executions (tenant, schedule_id, firing_ms, manual, shard, rev, at_ms, doc) "
            f"SELECT 't' || n % 50, 'trigger' || n % 500 || '-e' || n, 0, false, n % 16, 1, n, '{{}}' FROM {number}",
            "INSERT INTO watches (tenant, trigger_id, kind, key, rev, due_ms, doc) "
            f"SELECT 't' || n % 50, 'trigger' || n, 'absence', 'k', 1, n, '{{}}' FROM {number}",
            "INSERT INTO runs (tenant, id, rev, started_ms, workflow, status, listed, wake_ms, doc) "
            f"SELECT 't' || n % 50, 'r' || n, 1, n, 'w', 'running', true, n, '{{}}' FROM {number}",
            f"INSERT INTO run_events (tenant, run_id, number, doc) SELECT 't', 'r' || n, 1, '{{}}' FROM {number}",
            "INSERT INTO run_contents (tenant, run_id, name, number, packed) "
            f"SELECT 't' || n % 50, 'r' || n, '', 1, '' FROM {number}",
            f"INSERT INTO run_slots (tenant, name, rev, packed) SELECT 't' || n % 50, 's' || n, '1', '' FROM {number}",
            f"INSERT INTO change_heads (tenant, rev, doc) SELECT 't' || n, 1, '{{}}' FROM {number}",
            "INSERT INTO alerts (tenant, kind, id, rev, wake_ms, doc) "
            f"SELECT 't' || n % 50, CASE n % 2 WHEN 0 THEN 'monitor' ELSE 'sent' END, 'a' || n, 1, "
            f"CASE n % 2 WHEN 0 THEN n END, '{{}}' FROM {number}",
            "INSERT INTO messages (queue, visible_ms, sent_ms, body) "
            f"SELECT CASE n % 2 WHEN 0 THEN 'work' ELSE 'steps' END, {NOW_MS} + n, 1, '{{}}' FROM {number}",
            f"INSERT INTO leases (tenant, name, rev, doc) SELECT '#t' || n % 50, 'l' || n, 1, '{{}}' FROM {number}",
            "INSERT INTO documents (kind, tenant, name, rev, doc) "
            f"SELECT 'k' || n % 9, 't' || n % 50, 'l' || n, 1, '{{}}' FROM {number}",
        ):
            database.run(fill)
        database.run("ANALYZE")
        yield database


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_statement_goes_through_a_whole_table(filled: PostgresDatabase, name: str) -> None:
    sql, count = STATEMENTS[name]
    prepared = numbered(sql)
    assert max(int(n) for n in re.findall(r"\$(\d+)", prepared)) == count
    plan = plan_of(filled, prepared, count)
    through = [node for node in nodes(plan) if node["Node Type"] == "Seq Scan" and node["Relation Name"] != "capacity"]
    assert not through, json.dumps(through)[:400]


def test_that_check_would_notice(filled: PostgresDatabase) -> None:
    plan = plan_of(filled, "SELECT * FROM states WHERE doc = $1", 1)
    assert any(node["Node Type"] == "Seq Scan" for node in nodes(plan))


def test_a_write_of_records_reads_the_range_of_its_instants_alone(filled: PostgresDatabase) -> None:
    """Each partition costs a lookup: rows are found one by one, and pruned by their instants."""
    plan = plan_of(filled, numbered(executions.UPDATE), 12)
    kinds = [node["Node Type"] for node in nodes(plan)]
    assert "Nested Loop" in kinds, kinds
    assert "Append" in kinds, kinds


def numbered(sql: str) -> str:
    """A statement with PostgreSQL's own placeholders."""
    names: dict[str, int] = {}

    def place(found: re.Match[str]) -> str:
        name = found[1] or f"#{len(names)}"
        return f"${names.setdefault(name, len(names) + 1)}"

    return re.sub(r"%(?:\((\w+)\))?s", place, sql)


def plan_of(database: PostgresDatabase, prepared: str, count: int) -> Mapping[str, Any]:
    """The plan that a prepared statement has for any values."""
    import psycopg

    with psycopg.connect(database.place.dsn, autocommit=True) as connection:
        connection.execute(f'SET search_path TO "{database.place.schema}"')
        connection.execute("SET plan_cache_mode = force_generic_plan")
        connection.execute(f"PREPARE p AS {prepared}".encode())
        nothing = ", ".join(["NULL"] * count)
        row = connection.execute(f"EXPLAIN (FORMAT JSON) EXECUTE p({nothing})".encode()).fetchone()
    assert row is not None
    plan: Mapping[str, Any] = row[0][0]["Plan"]
    return plan


def nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    inner: Sequence[Mapping[str, Any]] = plan.get("Plans", ())
    for node in inner:
        yield from nodes(node)
