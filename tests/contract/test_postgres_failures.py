"""What callers are told when PostgreSQL fails: nothing was written, or it is not known. And what is tried again."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial

import psycopg
import pytest

from chalicelib.adapters.postgres import database as postgres_database
from chalicelib.adapters.postgres.cursors import PostgresCursorStore
from chalicelib.adapters.postgres.database import Place, PostgresDatabase, in_lots
from chalicelib.core.errors import OutcomeUnknown, Unavailable
from infra.migrate import migrate
from localdev.postgres import PostgresServer
from tests.brokers import wait_until
from tests.kit.ports import free_port
from tests.kit.threads import run_together
from tests.postgres import own_server


class Cut:
    """A way to a server that is cut after so many bytes of its answers, or lets all through (None)."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.cuts_answers = False
        self.refuses = False
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                if self.refuses:
                    caller.close()
                    continue
                thread = threading.Thread(target=self._carry, args=(caller,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _carry(self, caller: socket.socket) -> None:
        with caller, socket.create_connection(("127.0.0.1", self._to)) as server:
            asks = threading.Thread(target=self._copy, args=(caller, server, False), daemon=True)
            asks.start()
            self._copy(server, caller, True)
            asks.join(10)

    def _copy(self, source: socket.socket, sink: socket.socket, is_answer: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if is_answer and self.cuts_answers:
                    break
                sink.sendall(data)
        for side in (source, sink):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with own_server() as started:
        migrate(Place.of_stage(started.dsn, "failures"))
        yield started


@pytest.fixture
def cut(server: PostgresServer) -> Iterator[Cut]:
    way = Cut(int(server.dsn.rpartition(":")[2].partition("/")[0]))
    yield way
    way.close()


@pytest.fixture
def database(server: PostgresServer, cut: Cut) -> Iterator[PostgresDatabase]:
    dsn = f"postgresql://postgres@127.0.0.1:{cut.port}/postgres"
    found = PostgresDatabase(Place.of_stage(dsn, "failures"))
    yield found
    found.close()


def test_a_write_whose_answer_is_lost_may_have_happened(database: PostgresDatabase, cut: Cut) -> None:
    cursors = PostgresCursorStore(database)
    rev = cursors.load("lost answer").rev
    cut.cuts_answers = True
    with pytest.raises(OutcomeUnknown):
        cursors.save("lost answer", {"n": 1}, rev)
    cut.cuts_answers = False
    assert cursors.load("lost answer").values == {"n": 1}, "this one did"


def test_a_read_whose_answer_is_lost_is_sent_again(database: PostgresDatabase, cut: Cut) -> None:
    cursors = PostgresCursorStore(database)
    cursors.load("read")
    cut.cuts_answers = True
    threading.Timer(0.3, lambda: setattr(cut, "cuts_answers", False)).start()
    assert cursors.load("read").rev == 0


def test_a_connection_that_the_server_ended_while_it_was_idle_is_replaced_before_a_write(
    server: PostgresServer, database: PostgresDatabase
) -> None:
    cursors = PostgresCursorStore(database)
    rev = cursors.load("idle").rev
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        # Asked until none is left: what was told to end lives on until it is scheduled.
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'chronowatch'"
        wait_until(lambda: not admin.execute(end).fetchall(), what="the end of the connections")
    time.sleep(0.3)  # until the way to the server has passed it on
    assert cursors.save("idle", {"n": 1}, rev), "neither lost nor unknown: it went over another connection"


def test_a_server_that_cannot_be_reached_has_written_nothing(database: PostgresDatabase, cut: Cut) -> None:
    cut.refuses = True
    with pytest.raises(Unavailable) as problem:
        database.write("SELECT 1", tries_s=0.2)
    assert not isinstance(problem.value, OutcomeUnknown)
    assert "cannot be reached" in problem.value.detail


def test_a_statement_that_the_server_refuses_has_written_nothing(database: PostgresDatabase) -> None:
    with pytest.raises(Unavailable) as problem:
        database.write("INSERT INTO no_such_table VALUES (1)")
    assert not isinstance(problem.value, OutcomeUnknown)


def test_serialization_failures_are_tried_again(server: PostgresServer) -> None:
    dsn = f"{server.dsn}?options=-c%20default_transaction_isolation%3Dserializable"
    strict = PostgresDatabase(Place.of_stage(dsn, "failures"))
    try:
        assert strict.read("SHOW transaction_isolation") == [("serializable",)]
        strict.write("INSERT INTO capacity (place, jobs, weight) VALUES (77, 0, 0) ON CONFLICT DO NOTHING")
        add = "UPDATE capacity SET jobs = (SELECT jobs FROM capacity WHERE place = 77) + 1 WHERE place = 77"

        def add_many() -> None:
            for _ in range(25):
                strict.write(add)

        run_together([add_many] * 4)
        assert strict.read("SELECT jobs FROM capacity WHERE place = 77") == [(100,)]
    finally:
        strict.close()


def test_deadlocks_are_tried_again(server: PostgresServer) -> None:
    both = PostgresDatabase(Place.of_stage(server.dsn, "failures"))
    try:
        for place in (81, 82):
            both.write("INSERT INTO capacity (place, jobs, weight) VALUES (%s, 0, 0) ON CONFLICT DO NOTHING", (place,))
        both.write(
            "CREATE OR REPLACE FUNCTION add_to(a int, b int) RETURNS void LANGUAGE plpgsql AS $$ BEGIN "
            "UPDATE capacity SET jobs = jobs + 1 WHERE place = a; PERFORM pg_sleep(0.3); "
            "UPDATE capacity SET jobs = jobs + 1 WHERE place = b; END $$"
        )
        run_together([partial(both.write, "SELECT add_to(%s, %s)", pair) for pair in ((81, 82), (82, 81))])
        assert both.read("SELECT jobs FROM capacity WHERE place IN (81, 82)") == [(2,), (2,)]
    finally:
        both.close()


def test_what_was_acknowledged_is_durable_where_the_server_would_not_care(server: PostgresServer) -> None:
    dsn = f"{server.dsn}?options=-c%20synchronous_commit%3Doff"
    careful = PostgresDatabase(Place.of_stage(dsn, "failures"))
    assert careful.read("SHOW synchronous_commit") == [("on",)]
    careful.close()


def test_of_two_hosts_the_one_that_takes_writes_is_found() -> None:
    with own_server(free_port()) as first, own_server(free_port()) as second:
        hosts = ",".join(server.dsn.partition("@")[2].partition("/")[0] for server in (first, second))
        dsn = f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write"
        for server in (first, second):
            migrate(Place.of_stage(server.dsn, "failover"))
        read_only(second, "on")
        database = PostgresDatabase(Place.of_stage(dsn, "failover"))
        try:
            cursors = PostgresCursorStore(database)
            assert cursors.save("c", {"at": 1}, 0)
            # The first becomes the standby, and says so to connections that are there.
            read_only(second, "off")
            read_only(first, "on")
            assert cursors.load("c").rev in (0, 1), "reads go on"
            assert cursors.save("d", {"at": 2}, 0), "a write goes to the one that takes it"
            first.kill()
            assert cursors.load("d").values == {"at": 2}
        finally:
            database.close()


def read_only(server: PostgresServer, value: str) -> None:
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        admin.execute("SET default_transaction_read_only = off")
        admin.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
        admin.execute("SELECT pg_reload_conf()")
    # The server reads it, tells the connections that are there, and only then takes another one.
    wait_until(lambda: shown(server, "default_transaction_read_only") == value, what=f"read_only {value}")


def shown(server: PostgresServer, setting: str) -> str:
    """A setting as a new connection has it."""
    with psycopg.connect(server.dsn, autocommit=True) as asking:
        row = asking.execute(f"SHOW {setting}").fetchone()
    assert row is not None
    return str(row[0])


def test_a_statement_never_writes_one_row_twice() -> None:
    assert in_lots([1, 2, 1, 3, 3, 4], 2, lambda n: n) == [[1, 2], [1, 3], [3, 4]]
    assert in_lots([], 2, lambda n: n) == []


def test_the_limits_fit_into_each_other() -> None:
    assert postgres_database.STATEMENT_TIMEOUT_MS > postgres_database.PEER_TIMEOUT_MS
