"""The product on PostgreSQL, as ``scripts/dev --postgres`` runs it, and what its tables say of its firings."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.product import Product, cpu_of
from bench.report import spread
from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.postgres.execution_rows import key_of

if TYPE_CHECKING:
    import psycopg

SCHEMA = "chronowatch_local"
FIRINGS = "SELECT tenant, schedule_id, firing_ms, manual, doc FROM executions WHERE firing_ms BETWEEN %s AND %s"


class PostgresProduct(Product):
    """``scripts/dev --postgres`` with a PostgreSQL of its own."""

    def __init__(self, arguments: Sequence[str] = (), data: Path | None = None) -> None:
        super().__init__(("--postgres", *arguments), {"CHRONO_GRPC_PORT": "off"}, data)

    @property
    def _note(self) -> list[str]:
        return (self.data / "postgres" / "data" / "postmaster.pid").read_text().splitlines()

    @property
    def dsn(self) -> str:
        """Where its PostgreSQL listens."""
        return f"postgresql://postgres@127.0.0.1:{self._note[3]}/postgres"

    def cpu_by_process(self) -> dict[str, float]:
        """As the product's, with all processes of PostgreSQL."""
        master = int(self._note[0])
        used = [cpu_of(master), *(cpu_of(int(each)) for each in children(master))]
        return {**super().cpu_by_process(), "postgres": sum(each for each in used if each is not None)}

    def connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection that finds the product's tables."""
        import psycopg

        return psycopg.connect(self.dsn, autocommit=True, options=f"-c search_path={SCHEMA}")

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """What its PostgreSQL answers."""
        with self.connect() as connection:
            cursor = connection.execute(sql.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def firings(self, from_ms: int, to_ms: int) -> Firings:
        """What the journal says of the instants in a range."""
        rows = self.rows(FIRINGS, (from_ms, to_ms))
        return Firings([documents.decode_execution(key_of(*row[:4]), row[4]) for row in rows])

    def settled(self, from_ms: int, to_ms: int, count: int, timeout_s: float) -> Firings:
        """As ``firings``, once ``count`` have ended, or nothing more has come for a while, or the time is over."""
        until = time.monotonic() + timeout_s
        while True:
            found = self.firings(from_ms, to_ms)
            if len(found.completed) >= count or time.monotonic() > until:
                return found
            time.sleep(1.0)


class Firings:
    """Executions of a run."""

    def __init__(self, executions: Sequence[Any]) -> None:
        self.all = executions
        self.completed = [e for e in executions if e.state == "completed"]

    @property
    def late_ms(self) -> list[float]:
        """When the first attempt of each began, after its instant."""
        return [float(e.attempts[0].started_ms - e.firing_ms) for e in self.all if e.attempts]

    @property
    def repeated(self) -> int:
        """How many needed more than one attempt."""
        return sum(len(e.attempts) > 1 for e in self.all)

    def as_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "recorded": len(self.all),
            "completed": len(self.completed),
            "repeated": self.repeated,
            "late_ms": spread(self.late_ms),
        }


def children(pid: int) -> list[int]:
    """The processes that a process started."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(each) for each in task.read_text().split()]
    return found
