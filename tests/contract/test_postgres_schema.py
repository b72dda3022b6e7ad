"""The schema on PostgreSQL: migrations go forward, one process at a time, and partitions come and go with time."""

from __future__ import annotations

from functools import partial

import psycopg
import pytest

from chalicelib.adapters.postgres.database import Place, PostgresDatabase, connect
from chalicelib.adapters.postgres.executions import PostgresExecutionStore
from chalicelib.adapters.postgres.housekeeping import RANGES, keep_house, keep_partitions, width
from chalicelib.core.errors import SettingsError
from chalicelib.core.executions.execution import COMPLETED, PENDING, ExecutionKey
from chalicelib.core.schedules.schedule import Key
from infra.migrate import Migration, migrate, migrations
from tests.kit.records import execution
from tests.kit.threads import run_together
from tests.postgres import drop, own_database, own_place

DAY_S = 86_400
RETENTION_S = 30 * DAY_S
NOW_MS = 1_795_252_800_000


@pytest.fixture
def place(postgres_dsn: str) -> Place:
    return Place.of_stage(postgres_dsn, "schema-test")


def test_many_processes_that_start_together_apply_each_migration_once(place: Place) -> None:
    applied: list[list[str]] = []
    try:
        run_together([partial(lambda: applied.append(migrate(place))) for _ in range(4)])
        assert sorted(name for names in applied for name in names) == sorted(m.name for m in migrations())
        assert migrate(place) == []
    finally:
        drop(place)


def test_a_migration_that_fails_leaves_nothing_and_names_the_schema(postgres_dsn: str) -> None:
    with own_place(postgres_dsn) as place:
        known = migrations()
        bad = Migration(len(known) + 1, "bad", "CREATE TABLE half (n int); SELECT no_such_function();")
        with pytest.raises(SettingsError) as problem:
            migrate(place, [*known, bad])
        assert "cannot be brought up to date" in str(problem.value)
        assert migrate(place, known) == [], "the database is where it was"
        good = Migration(len(known) + 1, "good", "CREATE TABLE half (n int)")
        assert migrate(place, [*known, good]) == ["good"]


def test_a_database_of_a_newer_release_is_refused_with_one_line(postgres_dsn: str) -> None:
    with own_place(postgres_dsn) as place:
        with pytest.raises(SettingsError) as problem:
            migrate(place, migrations()[:-1])
        assert "CHRONO_DB_DSN: " in str(problem.value)
        assert "newer release" in str(problem.value)
        assert "\n" not in str(problem.value)


def test_a_user_without_rights_is_told_so(postgres_dsn: str) -> None:
    with psycopg.connect(postgres_dsn, autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS chrono_nobody")
        admin.execute("CREATE ROLE chrono_nobody LOGIN")
    dsn = postgres_dsn.replace("postgres@", "chrono_nobody@")
    with pytest.raises(SettingsError) as problem:
        migrate(Place.of_stage(dsn, "not-mine"))
    assert "permission denied" in str(problem.value)


def test_each_migration_goes_over_a_filled_database(postgres_dsn: str) -> None:
    place = Place.of_stage(postgres_dsn, "filled-test")
    try:
        for number, _ in enumerate(migrations(), start=1):
            migrate(place, migrations()[:number])
            with connect(place) as connection:
                connection.execute(
                    "INSERT INTO states (tenant, id, shard, rev, epoch, due_ms, doc) "
                    "SELECT 't', %s || n, 1, 1, 1, n, '{}' FROM generate_series(1, 500) n",
                    (str(number),),
                )
                connection.execute(
                    "INSERT INTO executions (tenant, schedule_id, firing_ms, manual, shard, rev, doc) "
                    "SELECT 't', %s, n, false, 1, 1, '{}' FROM generate_series(1, 500) n",
                    (str(number),),
                )
    finally:
        drop(place)


def names(database: PostgresDatabase) -> list[str]:
    return sorted(row[0] for row in database.read(RANGES))


def test_ranges_are_made_ahead_and_dropped_when_their_retention_is_over(postgres_dsn: str) -> None:
    with own_database(postgres_dsn) as database:
        keep_partitions(database, NOW_MS, RETENTION_S)
        first = names(database)
        assert len(first) == 3
        keep_partitions(database, NOW_MS, RETENTION_S)
        assert names(database) == first, "doing it again does nothing"
        store = PostgresExecutionStore(database, RETENTION_S)
        ended = execution(Key("t", "A" * 26), NOW_MS, 1, state=COMPLETED, finished_ms=NOW_MS + 5)
        waits = execution(Key("t", "B" * 26), NOW_MS, 1, state=PENDING)
        long_ago = execution(Key("t", "C" * 26), 1000, 1, state=COMPLETED, finished_ms=NOW_MS, created_ms=NOW_MS)
        assert store.insert([ended, waits, long_ago]) == [True, True, True]
        later_ms = NOW_MS + width(RETENTION_S) + RETENTION_S * 1000 + 1000
        keep_house(database, later_ms, RETENTION_S)
        assert first[0] not in names(database)
        keys = [ExecutionKey("t", letter * 26, at) for letter, at in (("A", NOW_MS), ("B", NOW_MS), ("C", 1000))]
        assert list(store.get(keys)) == [waits.key], "what is open stays, though its range is gone"
        assert store.update([(waits, 1)]) == [True]


def test_a_range_that_is_in_use_waits_for_the_next_minute(postgres_dsn: str) -> None:
    with own_database(postgres_dsn) as database, psycopg.connect(postgres_dsn) as other:
        other.execute(f'SELECT count(*) FROM "{database.place.schema}".executions')  # in a transaction that stays open
        keep_partitions(database, NOW_MS, RETENTION_S)
        other.execute(f'LOCK TABLE "{database.place.schema}".executions IN ACCESS SHARE MODE')
        keep_partitions(database, NOW_MS + 60 * DAY_S * 1000, RETENTION_S)
        other.rollback()
        keep_partitions(database, NOW_MS + 60 * DAY_S * 1000, RETENTION_S)
        assert all(int(name.split("_")[2]) + RETENTION_S * 1000 > NOW_MS for name in names(database))
