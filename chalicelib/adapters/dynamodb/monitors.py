"""The monitors of schedules: one item each, beside the state of its schedule."""

from __future__ import annotations

from collections.abc import Sequence

from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.dynamodb.database import key
from chalicelib.adapters.dynamodb.schedule_items import ScheduleItems, if_rev, monitor_item, monitor_partition
from chalicelib.adapters.dynamodb.schedule_lists import ScheduleLists
from chalicelib.core.policies.monitor import MonitorState
from chalicelib.core.schedules.schedule import Key


class Monitors:
    """What ``ScheduleStore`` says of monitors."""

    def __init__(self, items: ScheduleItems, lists: ScheduleLists) -> None:
        self._items = items
        self._lists = lists

    def get(self, keys: Sequence[Key]) -> dict[Key, MonitorState]:
        """The monitors of monitored schedules."""
        items = self._items.items([(k, documents.MONITOR_SK) for k in keys])
        return {at: documents.decode_monitor(at, item["doc"]["S"]) for (at, _), item in items.items()}

    def due(self, shard: int, until_ms: int, limit: int) -> Sequence[Key]:
        """Schedules of a shard whose monitor has ``look_ms <= until_ms``, earliest first."""
        return self._lists.in_due(monitor_partition(shard), until_ms, limit)

    def write(self, monitor: MonitorState, expected_rev: int) -> bool:
        """Write a monitor if its stored rev still is the given one."""
        put = {"TableName": self._items.table, "Item": monitor_item(monitor)}
        return self._items.db.write("put_item", **put, **if_rev(expected_rev))

    def drop(self, at: Key, expected_rev: int) -> bool:
        """Delete a monitor if its stored rev still is the given one."""
        item = key(documents.partition(*at), documents.MONITOR_SK)
        return self._items.db.write("delete_item", TableName=self._items.table, Key=item, **if_rev(expected_rev))
