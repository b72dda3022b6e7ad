"""``LogStore`` in DynamoDB; see docs/storage.md."""

from __future__ import annotations

from typing import Any

import msgspec

from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.dynamodb.database import Database, key, number, text
from chalicelib.adapters.dynamodb.registry import ABSENT, RegistryItems
from chalicelib.core.decoders import decoder_of
from chalicelib.core.executions.execution import ExecutionKey
from chalicelib.core.executions.limits import HISTORY_RETENTION_S
from chalicelib.ports.stores.logs import LogLine

_decode_line = decoder_of(LogLine).decode


class DynamoLogStore(RegistryItems):
    """``LogStore``: one item a line, kept as long as a record that ended when the line was written."""

    def __init__(self, database: Database, retention_s: int = HISTORY_RETENTION_S) -> None:
        super().__init__(database)
        self._retention_s = retention_s

    def append(self, execution: ExecutionKey, line: LogLine) -> bool:
        """Write a line unless its number is taken."""
        item = {
            **key(_log(execution), f"{line.number:06d}"),
            "doc": text(msgspec.json.encode(line).decode()),
            "ttl": number(line.at_ms // 1000 + self._retention_s),
        }
        return self._db.write("put_item", TableName=self._table, Item=item, ConditionExpression=ABSENT)

    def last(self, execution: ExecutionKey) -> int:
        """The highest number; 0 when there is no line."""
        answer = self._query(execution, 0, ScanIndexForward=False, Limit=1)
        return int(answer["Items"][0]["sk"]["S"]) if answer["Items"] else 0

    def page(self, execution: ExecutionKey, limit: int, after: int) -> tuple[list[LogLine], int | None]:
        """Lines in order, after a number."""
        answer = self._query(execution, after, Limit=limit + 1)
        items = answer["Items"][:limit]
        lines = [_decode_line(i["doc"]["S"]) for i in items]
        more = len(answer["Items"]) > limit or "LastEvaluatedKey" in answer
        return lines, lines[-1].number if more and lines else None

    def _query(self, execution: ExecutionKey, after: int, **how: Any) -> dict[str, Any]:
        return self._db.read(
            "query",
            TableName=self._table,
            KeyConditionExpression="pk = :p AND sk > :a",
            ExpressionAttributeValues={":p": text(_log(execution)), ":a": text(f"{after:06d}")},
            ConsistentRead=True,
            **how,
        )


def _log(execution: ExecutionKey) -> str:
    return f"{documents.escaped(execution.tenant)}#log#{execution.id}"
