"""The schema of a deployment on PostgreSQL: plain SQL files in ``infra/postgres``, applied in order, and forward only.

One process applies them while the others wait, under an advisory lock that ends with its connection. Each file is a
transaction of its own with the row that says it is done. A database that is newer than this code is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from chalicelib.core.errors import SettingsError

if TYPE_CHECKING:
    import psycopg

    from chalicelib.adapters.postgres.database import Place

FOLDER = Path(__file__).parent / "postgres"
LOCK_TIMEOUT = "30s"
_TABLE = """
CREATE TABLE IF NOT EXISTS migrations (
    number integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"""


class Migration(NamedTuple):
    """A file: its number, its name, and the statements in it."""

    number: int
    name: str
    sql: str


def migrations(folder: Path = FOLDER) -> list[Migration]:
    """All there are, in order; their numbers have no gaps."""
    found = [Migration(int(path.name[:4]), path.stem, path.read_text()) for path in sorted(folder.glob("*.sql"))]
    assert [m.number for m in found] == list(range(1, len(found) + 1)), "migrations are numbered without gaps"
    return found


def migrate(place: Place, known: list[Migration] | None = None) -> list[str]:
    """Bring the schema up to date; the names of what was applied. Raises SettingsError (CHRONO_DB_DSN) when the
    database is newer than this code or may not be written, and Unavailable when it cannot be reached."""
    import psycopg

    from chalicelib.adapters.postgres import database

    known = migrations() if known is None else known
    connection = database.connect(place, "chronowatch-migrate")
    try:
        connection.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
        connection.execute("SET statement_timeout = 0")
        connection.execute("SELECT pg_advisory_lock(hashtext(%s))", (f"chronowatch migrations {place.schema}",))
        return _apply(place, connection, known)
    except psycopg.Error as problem:
        said = str(problem).strip().partition("\n")[0]
        raise SettingsError(
            "CHRONO_DB_DSN", f"the schema {place.schema} cannot be brought up to date: {said}"
        ) from None
    finally:
        connection.close()


def _apply(place: Place, connection: psycopg.Connection[tuple[object, ...]], known: list[Migration]) -> list[str]:
    from psycopg import sql

    if not connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (place.schema,)).fetchone():
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(place.schema)))
    connection.execute(_TABLE)
    row = connection.execute("SELECT coalesce(max(number), 0) FROM migrations").fetchone()
    done = int(str(row[0])) if row else 0
    if done > len(known):
        raise SettingsError(
            "CHRONO_DB_DSN",
            f"the schema {place.schema} is of a newer release (migration {done}, this one knows {len(known)}): upgrade",
        )
    for migration in known[done:]:
        with connection.transaction():
            connection.execute(migration.sql.encode())
            connection.execute(
                "INSERT INTO migrations (number, name) VALUES (%s, %s)", (migration.number, migration.name)
            )
    return [migration.name for migration in known[done:]]
