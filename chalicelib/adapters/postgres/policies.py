"""``PolicyStore`` in PostgreSQL."""

from __future__ import annotations

from typing import Final

from chalicelib.adapters.postgres import epochs
from chalicelib.adapters.postgres.database import PostgresDatabase
from chalicelib.adapters.postgres.document_rows import LAST, DocumentRows, Kept
from chalicelib.ports.stores.policies import KeptPolicy

_KIND: Final = "policy"
_VERSIONS: Final = "policy version"
_REV_DIGITS: Final = 15
# A version is numbered by its rev: one that is made again under the same rev replaces it.
_VERSION_KEPT: Final = """,
version AS (
    INSERT INTO documents (kind, tenant, name, rev, doc) SELECT %s, %s, %s, %s, %s FROM changed
    ON CONFLICT (kind, tenant, name) DO UPDATE SET rev = excluded.rev, doc = excluded.doc)"""


class PostgresPolicyStore:
    """``PolicyStore``: a document a policy and one a version."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._db = database
        self._rows = DocumentRows(database, _KIND)
        self._versions = DocumentRows(database, _VERSIONS)

    def load(self, tenant: str, name: str) -> KeptPolicy | None:
        """One policy."""
        found = self._rows.load(tenant, name)
        return None if found is None else KeptPolicy(name, *found)

    def page(self, tenant: str, limit: int, after: str | None) -> tuple[list[KeptPolicy], str | None]:
        """A tenant's policies by name, after a name, and the name to go on after (None: the end)."""
        found, more = self._rows.page(tenant, limit, after)
        return [_policy(kept.name, kept) for kept in found], more

    def save(self, tenant: str, policy: KeptPolicy, expected_rev: int) -> bool:
        """Write a policy if its stored rev still is ``expected_rev`` (0: if there is none)."""
        part, values = epochs.saving(_KIND, tenant, policy.name, policy.rev, policy.document, expected_rev)
        kept = (_VERSIONS, tenant, _version(policy.name, policy.rev), policy.rev, policy.document)
        return bool(self._db.write(part + _VERSION_KEPT + epochs.RAISED, (*values, *kept, tenant))[0][0])

    def delete(self, tenant: str, name: str, expected_rev: int) -> bool:
        """Delete a policy if its stored rev still is ``expected_rev``."""
        values = (_KIND, tenant, name, expected_rev, tenant)
        return bool(self._db.write(epochs.DELETED + epochs.RAISED, values)[0][0])

    def versions(self, tenant: str, name: str, limit: int) -> list[KeptPolicy]:
        """The newest versions of a policy, newest first."""
        found = self._versions.between(tenant, f"{name}\n", f"{name}\n{LAST}", limit, newest_first=True)
        return [_policy(name, kept) for kept in found]


def _policy(name: str, kept: Kept) -> KeptPolicy:
    return KeptPolicy(name, kept.doc, kept.rev)


def _version(name: str, rev: int) -> str:
    return f"{name}\n{rev:0{_REV_DIGITS}d}"
