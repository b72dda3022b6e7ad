"""The resource's side: refuse a caller with an older fencing token than one seen before.

A lease alone cannot stop a holder that was paused between looking and acting; only the resource can. It keeps the
highest token it has seen, in the same place and the same atomic step as what it protects, and lets equal and higher
ones pass (M. Kleppmann, "How to do distributed locking", 2016).
"""

from __future__ import annotations

import threading
from typing import Any, Protocol

from chronowatch.errors import StaleToken


class MemoryFence:
    """For a resource that lives in this process."""

    def __init__(self) -> None:
        self._highest: dict[str, int] = {}
        self._lock = threading.Lock()

    def check(self, resource: str, token: int) -> None:
        """Let ``token`` pass and remember it. Raises StaleToken when a higher one was seen."""
        with self._lock:
            if token < self._highest.get(resource, 0):
                raise StaleToken(resource, token)
            self._highest[resource] = token


class Cursor(Protocol):
    """What is used of a DB-API 2.0 (PEP 249) cursor."""

    @property
    def rowcount(self) -> int:
        """Rows that the last statement changed."""
        ...

    def execute(self, sql: str, parameters: Any = ..., /) -> Any:
        """Run one statement."""
        ...


SQL_TABLE = "CREATE TABLE IF NOT EXISTS chronowatch_fences (resource TEXT PRIMARY KEY, token BIGINT NOT NULL)"

_SQL_ADMIT = (
    "INSERT INTO chronowatch_fences (resource, token) VALUES ({mark}, {mark}) "
    "ON CONFLICT (resource) DO UPDATE SET token = excluded.token WHERE excluded.token >= chronowatch_fences.token"
)


def check_sql(cursor: Cursor, resource: str, token: int, mark: str = "?") -> None:
    """Let ``token`` pass and remember it, in the transaction of ``cursor``. Raises StaleToken if a higher one was seen.

    Call it first in the transaction that writes what the lease protects: the row it writes is then locked until the
    commit, so an older holder can neither overtake nor slip in between. One statement, for SQLite and PostgreSQL
    (``mark`` "%s" for psycopg); the table is ``SQL_TABLE``.
    """
    if mark not in ("?", "%s"):
        raise ValueError("mark is ? or %s")
    cursor.execute(_SQL_ADMIT.format(mark=mark), (resource, token))
    if cursor.rowcount != 1:
        raise StaleToken(resource, token)


def dynamodb_update(token: int, attribute: str = "fencing_token") -> dict[str, Any]:
    """Parameters for ``UpdateItem`` of boto3's client that let ``token`` pass and store it with the item.

    Without other changes they can be passed as they are; otherwise join your assignments to ``UpdateExpression`` with
    a comma and add your names and values. A refused token is a ConditionalCheckFailedException.
    """
    return {
        "UpdateExpression": "SET #chrono_fence = :chrono_fence",
        "ConditionExpression": "attribute_not_exists(#chrono_fence) OR #chrono_fence <= :chrono_fence",
        "ExpressionAttributeNames": {"#chrono_fence": attribute},
        "ExpressionAttributeValues": {":chrono_fence": {"N": str(token)}},
    }
