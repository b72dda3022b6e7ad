"""Creations that no counter marks: definitions of plain one-shots that were begun a while ago and have no state.

Their ids say when they were begun, and the list of a tenant's definitions is in their order. Each is checked once: a
process goes on where it ended, less the lag of the list. One that was begun longer before stays as an item. No reader
takes it for a schedule.
"""

from __future__ import annotations

from typing import Any, Final

from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.dynamodb.capacity_counters import CreationMark
from chalicelib.adapters.dynamodb.database import Value, text
from chalicelib.adapters.dynamodb.schedule_items import ScheduleItems
from chalicelib.core import ulid
from chalicelib.core.schedules.schedule import Key

LAG_MS: Final = 120_000  # of the list of definitions
FIRST_LOOK_MS: Final = 3_600_000  # how far back a new process looks
PAGE_DEFINITIONS: Final = 500


class CreationsWithoutMark:
    """What one process has checked already, by tenant."""

    def __init__(self, items: ScheduleItems) -> None:
        self._items = items
        self._looked_ms: dict[str, int] = {}
        self._true: dict[str, frozenset[str]] = {}

    def stateless(self, tenant: str, before_ms: int) -> list[CreationMark]:
        """Those of a tenant that were begun before ``before_ms`` and have no state."""
        from_ms = min(self._looked_ms.get(tenant, before_ms - FIRST_LOOK_MS), before_ms) - LAG_MS
        listed = self._listed(tenant, from_ms, before_ms)
        known = self._true.get(tenant, frozenset())
        new = [Key(tenant, i) for i in listed if i not in known]
        states = self._items.items([(at, documents.STATE_SK) for at in new], "pk,sk")
        stateless = [at for at in new if (at, documents.STATE_SK) not in states]
        self._true[tenant] = frozenset(listed) - {at.id for at in stateless}
        definitions = self._items.items([(at, documents.DEFINITION_SK) for at in stateless])
        found = [self._items.definition_of(at, item) for (at, _), item in definitions.items()]
        # A call that is run again keeps its id, and may be under way now.
        return [CreationMark(*d.key, d.version, d.created_at_ms, 0) for d in found if d.created_at_ms < before_ms]

    def looked(self, tenant: str, before_ms: int) -> None:
        """All that ``stateless`` found is taken back."""
        self._looked_ms[tenant] = before_ms

    def _listed(self, tenant: str, from_ms: int, before_ms: int) -> list[str]:
        """Ids of plain one-shots in the order of their making; the list may lag."""
        position: Any = None
        found: list[str] = []
        while True:
            answer = self._items.db.read(
                "query",
                TableName=self._items.table,
                IndexName="by_tenant",
                KeyConditionExpression="list_pk = :p AND list_sk BETWEEN :a AND :z",
                FilterExpression="#t = :t AND attribute_not_exists(#n)",
                ProjectionExpression="list_sk",
                ExpressionAttributeNames={"#t": "type", "#n": "name"},
                ExpressionAttributeValues=_bounds(tenant, from_ms, before_ms),
                Limit=PAGE_DEFINITIONS,
                **({} if position is None else {"ExclusiveStartKey": position}),
            )
            found += [item["list_sk"]["S"] for item in answer["Items"]]
            position = answer.get("LastEvaluatedKey")
            if position is None:
                return found


def _bounds(tenant: str, from_ms: int, before_ms: int) -> dict[str, Value]:
    return {
        ":p": text(documents.escaped(tenant)),
        ":a": text(ulid.encode(max(0, from_ms), 0)),
        ":z": text(ulid.encode(max(0, before_ms), 0)),
        ":t": text("AT"),
    }
