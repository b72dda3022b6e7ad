"""``WorkflowStore`` in PostgreSQL."""

from __future__ import annotations

from typing import Final

import msgspec

from chalicelib.adapters.postgres.database import PostgresDatabase
from chalicelib.adapters.postgres.document_rows import DocumentRows
from chalicelib.core.decoders import decoder_of
from chalicelib.ports.stores.workflows import WorkflowHead

_read: Final = decoder_of(WorkflowHead).decode


class PostgresWorkflowStore:
    """``WorkflowStore``: a document a workflow, and one a version."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._heads = DocumentRows(database, "workflow")
        self._versions = DocumentRows(database, "workflow version")

    def load(self, tenant: str, name: str) -> WorkflowHead | None:
        """A workflow."""
        found = self._heads.load(tenant, name)
        return None if found is None else _read(found[0])

    def page(self, tenant: str, limit: int, after: str | None) -> tuple[list[WorkflowHead], str | None]:
        """A tenant's workflows by name, after a name, and the name to go on after (None: the end)."""
        found, more = self._heads.page(tenant, limit, after)
        return [_read(kept.doc) for kept in found], more

    def save(self, head: WorkflowHead, expected_rev: int) -> bool:
        """Write a workflow if its stored rev still is ``expected_rev`` (0: if there is none)."""
        return self._heads.save(head.tenant, head.name, msgspec.json.encode(head).decode(), head.rev, expected_rev)

    def delete(self, tenant: str, name: str, expected_rev: int) -> bool:
        """Delete a workflow if its stored rev still is ``expected_rev``."""
        return bool(expected_rev) and self._heads.delete(tenant, name, expected_rev)

    def save_version(self, tenant: str, name: str, version: str, document: str) -> None:
        """Keep the document of a version."""
        self._versions.put(tenant, f"{name}\n{version}", document)

    def load_version(self, tenant: str, name: str, version: str) -> str | None:
        """The document of a version."""
        found = self._versions.load(tenant, f"{name}\n{version}")
        return None if found is None else found[0]
