"""The calls on PostgreSQL that all stores share: statements that are repeated where that is safe.

A statement is its own transaction: it has happened as a whole, or not at all. What came back decides what follows:

- An error that the server states is a statement undone. Where it only lost against another it is sent again: after a
  serialization failure, or a deadlock. So it is where the server takes no writes. Else it is ``Unavailable``.
- No answer means that a write may have happened: ``OutcomeUnknown``. A read is sent again.
- A connection that nothing could be sent over is replaced by another, and nothing has happened.
"""

from __future__ import annotations

import logging
import select
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from msgspec import Struct

from chalicelib.adapters.machine.system import SystemClock, pause
from chalicelib.core.errors import InvalidField, OutcomeUnknown, Unavailable
from chalicelib.ports.sealing import UNSEALED, Sealing

if TYPE_CHECKING:
    import psycopg
    from psycopg_pool import ConnectionPool

    from chalicelib.adapters.postgres.statements import Session

Row = tuple[Any, ...]
Values = Sequence[object]
T = TypeVar("T")
_Values = Values | Mapping[str, object] | None

POOL_MAX: Final = 16  # connections of one process
POOL_WAIT_S: Final = 5.0
CONNECT_TIMEOUT_S: Final = 3
STATEMENT_TIMEOUT_MS: Final = 10_000
PEER_TIMEOUT_MS: Final = 6_000  # a server that acknowledges nothing for so long is gone
RETRY_FOR_S: Final = 6.0  # a fail-over takes some seconds
PAUSE_S: Final = 0.02
PAUSE_MAX_S: Final = 0.5

# The statement was undone, and may do better at once.
LOST_RACES: Final = frozenset({"40001", "40P01"})
# The server takes no writes, or none yet: another of the DSN may.
NOT_HERE: Final = frozenset({"25006", "57P03", "53300"})
# The server is going down; said in the middle of a statement, whether that was committed is not known.
GOING_DOWN: Final = frozenset({"57P01", "57P02", "57P05"})

_log = logging.getLogger(__name__)


class StatementRefused(Exception):
    """Raised by a statement that ends with ``refuse``: everything that it wrote is undone."""

    def __init__(self, state: str) -> None:
        super().__init__(state)
        self.state = state


class Place(Struct, frozen=True):
    """Where the tables are: a DSN of libpq's, and the schema of the deployment."""

    dsn: str
    schema: str

    @classmethod
    def of_stage(cls, dsn: str, stage: str) -> Place:
        """Each stage has a schema of its own."""
        return cls(dsn, f"chronowatch_{stage.replace('-', '_')}")


def connect(place: Place, name: str = "chronowatch") -> psycopg.Connection[Row]:
    """A connection for statements that are transactions of their own. Raises Unavailable."""
    import psycopg

    try:
        found = psycopg.connect(place.dsn, autocommit=True, **_options(name))
    except psycopg.Error as problem:
        raise Unavailable(f"PostgreSQL cannot be reached: {_said(problem)}") from problem
    prepare(place, found)
    return found


def prepare(place: Place, connection: psycopg.Connection[Row]) -> None:
    """The first statement of each connection. What was acknowledged is durable, whatever the server's default."""
    connection.execute(
        "SELECT set_config('search_path', %s, false), set_config('statement_timeout', %s, false), "
        "set_config('plan_cache_mode', 'force_generic_plan', false), set_config('jit', 'off', false), "
        "CASE current_setting('synchronous_commit') WHEN 'off' THEN set_config('synchronous_commit', 'on', false) END",
        (f'"{place.schema}"', str(STATEMENT_TIMEOUT_MS)),
    )


def _options(name: str) -> dict[str, Any]:
    return {
        "application_name": name,
        "connect_timeout": CONNECT_TIMEOUT_S,
        "tcp_user_timeout": PEER_TIMEOUT_MS,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 2,
    }


class PostgresDatabase:
    """The connections of one process to one deployment's tables; safe to share between threads. Opens nothing until it
    is used."""

    def __init__(self, place: Place, sealing: Sealing = UNSEALED, pool_max: int = POOL_MAX) -> None:
        self.place = place
        self.sealing = sealing
        self._pool_max = pool_max
        self._lock = threading.Lock()
        self._pool: ConnectionPool[Session] | None = None

    def read(self, sql: str, values: Values | Mapping[str, object] = ()) -> list[Row]:
        """The rows of a query. None where a value is text that no row can have. Raises Unavailable."""
        return self._repeat(sql, values, is_read=True)

    def write(self, sql: str, values: Values | Mapping[str, object] = (), tries_s: float = RETRY_FOR_S) -> list[Row]:
        """What a statement that writes returns. Raises StatementRefused, Unavailable and InvalidField, after which
        nothing was written, and OutcomeUnknown."""
        return self._repeat(sql, values, is_read=False, tries_s=tries_s)

    def run(self, script: str) -> None:
        """Several statements without values, as one transaction. Raises as ``write``."""
        self._repeat(script, None, is_read=False)

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close(0.5)

    def _repeat(self, sql: str, values: _Values, is_read: bool, tries_s: float = RETRY_FOR_S) -> list[Row]:
        until_s, pause_s = _monotonic_s() + tries_s, PAUSE_S
        while True:
            try:
                return self._once(sql, values, is_read)
            except _Again as problem:
                if _monotonic_s() + pause_s > until_s:
                    raise Unavailable(f"PostgreSQL: {problem}") from problem.__cause__
            pause(pause_s * 1000)
            pause_s = min(PAUSE_MAX_S, pause_s * 2)

    def _once(self, sql: str, values: _Values, is_read: bool) -> list[Row]:
        """Send it once. Raises _Again where nothing has happened and another try may do better."""
        import psycopg

        from chalicelib.adapters.postgres import statements

        pool, connection = self._take()
        try:
            if values is not None:
                return statements.execute(connection, sql, values)
            connection.execute(sql.encode())
            return []
        except statements.CannotHold:
            if is_read:
                return []
            raise InvalidField.of("body", "PostgreSQL cannot store the character U+0000 (NUL)") from None
        except psycopg.Error as problem:
            if problem.sqlstate in NOT_HERE:
                connection.close()  # the next one may find another server
            raise _meaning(problem, is_read) from problem
        finally:
            pool.putconn(connection)  # which drops one that is broken

    def _take(self) -> tuple[ConnectionPool[Session], Session]:
        """A connection that was alive a moment ago."""
        import psycopg
        from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

        pool = self._opened()
        try:
            while True:
                connection = pool.getconn()
                if _is_quiet(connection):
                    return pool, connection
                connection.close()
                pool.putconn(connection)
        except (PoolTimeout, PoolClosed, TooManyRequests) as problem:
            raise Unavailable(f"PostgreSQL cannot be reached: {_said(problem)}") from problem
        except psycopg.Error as problem:
            raise _Again(_said(problem)) from problem

    def _opened(self) -> ConnectionPool[Session]:
        from psycopg_pool import ConnectionPool

        from chalicelib.adapters.postgres.statements import Session

        with self._lock:
            if self._pool is None:
                self._pool = ConnectionPool(
                    self.place.dsn,
                    connection_class=Session,
                    kwargs={"autocommit": True, **_options("chronowatch")},
                    configure=lambda connection: prepare(self.place, connection),
                    min_size=1,
                    max_size=self._pool_max,
                    max_idle=60.0,
                    timeout=POOL_WAIT_S,
                    reconnect_timeout=RETRY_FOR_S,
                    num_workers=2,
                    open=True,
                )
            return self._pool


class _Again(Exception):
    """Nothing has happened, and another try may do better."""


def _meaning(problem: psycopg.Error, is_read: bool) -> Exception:
    """What an error says of the statement."""
    state = problem.sqlstate
    said = _said(problem)
    if state is not None and state.startswith("CW"):
        return StatementRefused(state)
    if state in LOST_RACES or state in NOT_HERE:
        return _Again(said)
    if state is None or state in GOING_DOWN:  # the connection broke
        return _Again(said) if is_read else OutcomeUnknown(f"PostgreSQL gave no answer: {said}")
    return Unavailable(f"PostgreSQL refuses: {said} ({state})")


def _monotonic_s() -> float:
    return SystemClock().read().monotonic_nanos / 1e9


def _said(problem: Exception) -> str:
    return str(problem).strip().partition("\n")[0][:200] or type(problem).__name__


def _is_quiet(connection: psycopg.Connection[Row]) -> bool:
    """Whether an idle connection has nothing to say. What a server says to one that waits for nothing is good-bye: to
    send a write then would leave open whether it was taken. Asks no one."""
    if connection.closed:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    if not poll.poll(0):
        return True
    try:
        connection.pgconn.consume_input()
    except Exception:
        return False
    return connection.pgconn.status == 0 and not poll.poll(0)


def in_lots(items: Sequence[T], most: int, identity: Callable[[T], object]) -> list[list[T]]:
    """``items`` in order, cut so that no lot is longer than ``most`` or has two of one identity: a statement writes a
    row once."""
    lots: list[list[T]] = []
    seen: set[object] = set()
    for item in items:
        mine = identity(item)
        if not lots or len(lots[-1]) >= most or mine in seen:
            lots.append([])
            seen = set()
        lots[-1].append(item)
        seen.add(mine)
    return lots
