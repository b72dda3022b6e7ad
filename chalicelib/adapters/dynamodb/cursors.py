"""``CursorStore`` in DynamoDB; see docs/storage.md."""

from __future__ import annotations

from collections.abc import Mapping

from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.dynamodb.registry import RegistryItems
from chalicelib.ports.stores.cursors import Cursor


class DynamoCursorStore(RegistryItems):
    """``CursorStore``: one item a cursor."""

    def load(self, name: str) -> Cursor:
        """The cursor, or rev 0 and no values when there is none."""
        item = self.load_item(f"#cursor#{name}", "cursor")
        if item is None:
            return Cursor(0, {})
        return Cursor(int(item["rev"]["N"]), documents.decode_values(item["doc"]["S"]))

    def save(self, name: str, values: Mapping[str, int], expected_rev: int) -> bool:
        """Write the cursor under the next rev if its stored rev still is the given one."""
        doc = documents.encode_values(dict(values))
        return self.save_item(f"#cursor#{name}", "cursor", doc, expected_rev + 1, expected_rev)
