"""Wake-ups: notifications in the transactions that wrote messages. One that is lost costs time alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from chalicelib.adapters.postgres.database import Place, connect
from chalicelib.core.errors import Unavailable

WAIT_S: Final = 1.0


def listen(place: Place, woken: Callable[[str], None], goes_on: Callable[[], bool]) -> None:
    """Call ``woken`` with the name of each queue that got messages, while ``goes_on``. Raises Unavailable when the
    connection is lost: then notifications may be lost too."""
    import psycopg

    connection = connect(place, "chronowatch-listen")
    try:
        connection.execute(f'LISTEN "{place.schema}"')
        while goes_on():
            for notice in connection.notifies(timeout=WAIT_S, stop_after=1):
                woken(notice.payload)
    except psycopg.Error as problem:
        raise Unavailable(f"PostgreSQL no longer notifies: {problem}") from problem
    finally:
        connection.close()
