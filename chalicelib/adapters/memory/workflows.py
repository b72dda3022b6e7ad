"""``WorkflowStore`` in memory."""

from __future__ import annotations

import threading

from chalicelib.ports.stores.workflows import WorkflowHead


class MemoryWorkflowStore:
    """``WorkflowStore`` in memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heads: dict[tuple[str, str], WorkflowHead] = {}
        self._documents: dict[tuple[str, str, str], str] = {}

    def load(self, tenant: str, name: str) -> WorkflowHead | None:
        """A workflow."""
        with self._lock:
            return self._heads.get((tenant, name))

    def page(self, tenant: str, limit: int, after: str | None) -> tuple[list[WorkflowHead], str | None]:
        """A tenant's workflows by name, after a name, and the name to go on after (None: the end)."""
        with self._lock:
            names = sorted(n for t, n in self._heads if t == tenant and (after is None or n > after))
            found = [self._heads[tenant, name] for name in names[:limit]]
            return found, names[limit - 1] if len(names) > limit else None

    def save(self, head: WorkflowHead, expected_rev: int) -> bool:
        """Write a workflow if its stored rev still is ``expected_rev`` (0: if there is none)."""
        with self._lock:
            if not self._is_at(head.tenant, head.name, expected_rev):
                return False
            self._heads[head.tenant, head.name] = head
            return True

    def delete(self, tenant: str, name: str, expected_rev: int) -> bool:
        """Delete a workflow if its stored rev still is ``expected_rev``."""
        with self._lock:
            if not expected_rev or not self._is_at(tenant, name, expected_rev):
                return False
            del self._heads[tenant, name]
            return True

    def save_version(self, tenant: str, name: str, version: str, document: str) -> None:
        """Keep the document of a version."""
        with self._lock:
            self._documents[tenant, name, version] = document

    def load_version(self, tenant: str, name: str, version: str) -> str | None:
        """The document of a version."""
        with self._lock:
            return self._documents.get((tenant, name, version))

    def _is_at(self, tenant: str, name: str, rev: int) -> bool:
        known = self._heads.get((tenant, name))
        return (0 if known is None else known.rev) == rev
