"""What a receiver remembers: which executions were handled, and the highest fencing token of each schedule.

``DynamoStore`` is for receivers of several processes. Its table has the string key ``id`` and the expiry ``expires``.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, Final, Literal, Protocol

NEW: Final = "new"
DONE: Final = "done"
BUSY: Final = "busy"
Begun = Literal["new", "done", "busy"]

MEMORY_MAX = 100_000
KEEP_S = 7 * 86_400  # as long as a dead letter may wait
BUSY_S = 900  # after which a handler that never ended no longer stands in the way; a newer attempt never waits


class ReceiverStore(Protocol):
    """Each method is one atomic step."""

    def begin(self, execution_id: str, token: int, now_s: float) -> Begun:
        """Begin with an execution. ``busy``: the same attempt is being handled; a newer one takes over."""
        ...

    def admit(self, schedule_id: str, token: int) -> bool:
        """Whether ``token`` is as new as any that was seen; it is remembered."""
        ...

    def finish(self, execution_id: str, token: int, now_s: float) -> None:
        """It was handled: later deliveries are not."""
        ...

    def forget(self, execution_id: str, token: int) -> None:
        """Its handler failed: the next delivery is handled."""
        ...


class MemoryStore:
    """For a receiver of one process. The oldest of what it has seen is forgotten first."""

    def __init__(self, most: int = MEMORY_MAX) -> None:
        self._seen: OrderedDict[str, tuple[bool, int, float]] = OrderedDict()
        self._highest: OrderedDict[str, int] = OrderedDict()
        self._most = most
        self._lock = threading.Lock()

    def begin(self, execution_id: str, token: int, now_s: float) -> Begun:
        with self._lock:
            is_done, before, until_s = self._seen.get(execution_id, (False, -1, 0.0))
            if is_done:
                return DONE
            if token <= before and now_s < until_s:
                return BUSY
            self._put(self._seen, execution_id, (False, token, now_s + BUSY_S))
            return NEW

    def admit(self, schedule_id: str, token: int) -> bool:
        with self._lock:
            if token < self._highest.get(schedule_id, 0):
                return False
            self._put(self._highest, schedule_id, token)
            return True

    def finish(self, execution_id: str, token: int, now_s: float) -> None:
        with self._lock:
            self._put(self._seen, execution_id, (True, token, now_s))

    def forget(self, execution_id: str, token: int) -> None:
        with self._lock:
            found = self._seen.get(execution_id)
            if found is not None and not found[0] and found[1] == token:
                del self._seen[execution_id]

    def _put(self, memory: OrderedDict[str, Any], key: str, value: object) -> None:
        memory[key] = value
        memory.move_to_end(key)
        if len(memory) > self._most:
            memory.popitem(last=False)


class DynamoStore:
    """In a table of DynamoDB, by boto3's client, which is handed in: nothing of AWS is imported here."""

    def __init__(self, client: Any, table: str, keep_s: int = KEEP_S) -> None:
        self._client = client
        self._table = table
        self._keep_s = keep_s

    def begin(self, execution_id: str, token: int, now_s: float) -> Begun:
        failed = self._write(
            f"execution#{execution_id}",
            "SET #done = :no, #token = :token, #until = :until, #expires = :expires",
            "attribute_not_exists(#id) OR (#done = :no AND (#token < :token OR #until <= :now))",
            {":no": {"BOOL": False}, ":token": _n(token), ":until": _n(int(now_s) + BUSY_S), ":now": _n(int(now_s))},
            now_s,
        )
        if failed is None:
            return NEW
        return DONE if failed.get("done", {}).get("BOOL") else BUSY

    def admit(self, schedule_id: str, token: int) -> bool:
        failed = self._write(
            f"schedule#{schedule_id}",
            "SET #token = :token",
            "attribute_not_exists(#id) OR #token <= :token",
            {":token": _n(token)},
        )
        return failed is None

    def finish(self, execution_id: str, token: int, now_s: float) -> None:
        self._write(
            f"execution#{execution_id}",
            "SET #done = :yes, #token = :token, #expires = :expires",
            "",
            {":yes": {"BOOL": True}, ":token": _n(token)},
            now_s,
        )

    def forget(self, execution_id: str, token: int) -> None:
        try:
            self._client.delete_item(
                TableName=self._table,
                Key={"id": {"S": f"execution#{execution_id}"}},
                ConditionExpression="#done = :no AND #token = :token",
                ExpressionAttributeNames={"#done": "done", "#token": "token"},
                ExpressionAttributeValues={":no": {"BOOL": False}, ":token": _n(token)},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return  # a newer attempt has it

    def _write(
        self, key: str, update: str, condition: str, values: dict[str, Any], now_s: float | None = None
    ) -> dict[str, Any] | None:
        """Update an item; what is stored where the condition fails, else None."""
        if now_s is not None:
            values = {**values, ":expires": _n(int(now_s) + self._keep_s)}
        used = {
            f"#{name}": name for name in ("id", "done", "token", "until", "expires") if f"#{name}" in update + condition
        }
        try:
            self._client.update_item(
                TableName=self._table,
                Key={"id": {"S": key}},
                UpdateExpression=update,
                ExpressionAttributeNames=used,
                ExpressionAttributeValues=values,
                **(
                    {"ConditionExpression": condition, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
                    if condition
                    else {}
                ),
            )
        except self._client.exceptions.ConditionalCheckFailedException as failed:
            stored: dict[str, Any] = failed.response.get("Item", {})
            return stored
        return None


def _n(number: int) -> dict[str, str]:
    return {"N": str(number)}
