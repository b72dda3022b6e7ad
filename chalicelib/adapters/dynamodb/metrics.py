"""``MetricStore`` in DynamoDB; see docs/storage.md."""

from __future__ import annotations

from typing import Final

from chalicelib.adapters.dynamodb.registry import RegistryItems

_PK: Final = "#metrics"


class DynamoMetricStore(RegistryItems):
    """``MetricStore``: one item a document."""

    def load(self, name: str) -> tuple[str, int] | None:
        """(document, rev), or None when there is none."""
        item = self.load_item(_PK, name)
        return None if item is None else (item["doc"]["S"], int(item["rev"]["N"]))

    def save(self, name: str, document: str, rev: int, expected_rev: int) -> bool:
        """Write the document if the stored rev still is ``expected_rev`` (0: if there is none)."""
        return self.save_item(_PK, name, document, rev, expected_rev)
