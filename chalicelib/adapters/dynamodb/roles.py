"""``RoleStore`` in DynamoDB; see docs/storage.md."""

from __future__ import annotations

from typing import Final

from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.dynamodb.registry import RegistryItems

_SK: Final = "roles"


class DynamoRoleStore(RegistryItems):
    """``RoleStore``: one item a tenant."""

    def load(self, tenant: str) -> tuple[str, int] | None:
        """(document, rev), or None when the tenant never made a role."""
        item = self.load_item(_roles(tenant), _SK)
        return None if item is None else (item["doc"]["S"], int(item["rev"]["N"]))

    def save(self, tenant: str, document: str, rev: int, expected_rev: int) -> bool:
        """Write the document if the stored rev still is ``expected_rev`` (0: if there is none)."""
        return self.save_item(_roles(tenant), _SK, document, rev, expected_rev)


def _roles(tenant: str) -> str:
    return f"{documents.escaped(tenant)}#roles"
