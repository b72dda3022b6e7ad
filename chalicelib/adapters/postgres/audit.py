"""``AuditStore`` in PostgreSQL."""

from __future__ import annotations

from typing import Final

from chalicelib.adapters.postgres.database import PostgresDatabase
from chalicelib.adapters.postgres.document_rows import LAST, DocumentRows, Kept
from chalicelib.ports.stores.audit import AuditMark, StoredSegment

_DIGITS: Final = 12


class PostgresAuditStore:
    """``AuditStore``: documents of four kinds. Intents and marks of all tenants lie together, so that one query finds
    what was left behind."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._segments = DocumentRows(database, "audit segment")
        self._intents = DocumentRows(database, "audit intent")
        self._marks = DocumentRows(database, "audit mark")
        self._subjects = DocumentRows(database, "audit subject")

    def append(self, tenant: str, segment: StoredSegment) -> bool:
        """Write the segment unless its number is taken."""
        return self._segments.save(tenant, _digits(segment.number), segment.document, segment.rev, 0)

    def replace(self, tenant: str, segment: StoredSegment, expected_rev: int) -> bool:
        """Write the segment under its number if the stored rev still is ``expected_rev``."""
        if not expected_rev:
            return False
        return self._segments.save(tenant, _digits(segment.number), segment.document, segment.rev, expected_rev)

    def newest(self, tenant: str, limit: int, before: int | None = None) -> list[StoredSegment]:
        """Segments with a number below ``before`` (None: any), the highest first."""
        below = LAST if before is None else _digits(before)
        return [_segment(kept) for kept in self._segments.between(tenant, "", below, limit, newest_first=True)]

    def oldest(self, tenant: str, limit: int, after: int = 0) -> list[StoredSegment]:
        """Segments with a number above ``after``, the lowest first."""
        return [_segment(kept) for kept in self._segments.between(tenant, _digits(after), LAST, limit)]

    def remove(self, tenant: str, number: int) -> None:
        """Delete a segment, if there is one."""
        self._segments.delete(tenant, _digits(number))

    def note_intent(self, intent_id: str, document: str) -> bool:
        """Write an intent unless there is one with this id."""
        return self._intents.save("", intent_id, document, 1, 0)

    def drop_intent(self, intent_id: str) -> None:
        """Delete an intent, if there is one."""
        self._intents.delete("", intent_id)

    def intents(self, before_id: str, limit: int) -> list[tuple[str, str]]:
        """(id, document) of the intents of all tenants whose id is below ``before_id``, in order."""
        return [(kept.name, kept.doc) for kept in self._intents.between("", "", before_id, limit)]

    def mark(self, mark: AuditMark) -> None:
        """Write the mark in the place of the tenant's earlier one."""
        self._marks.put("", mark.tenant, "", mark.at_ms)

    def marks(self, limit: int, after: str | None = None) -> list[AuditMark]:
        """Marks by tenant, after a tenant."""
        return [AuditMark(kept.name, kept.rev) for kept in self._marks.between("", after or "", LAST, limit)]

    def unmark(self, mark: AuditMark) -> bool:
        """Delete the mark if it still is this one."""
        return self._marks.delete("", mark.tenant, mark.at_ms)

    def pseudonym(self, tenant: str, subject: str) -> str | None:
        """The pseudonym of a subject; None: it has none yet, or no longer."""
        found = self._subjects.load(tenant, subject)
        return None if found is None else found[0]

    def give_pseudonym(self, tenant: str, subject: str, pseudonym: str) -> bool:
        """Write a subject's pseudonym unless it has one."""
        return self._subjects.save(tenant, subject, pseudonym, 1, 0)

    def forget_subject(self, tenant: str, subject: str) -> None:
        """Delete a subject's pseudonym, if it has one."""
        self._subjects.delete(tenant, subject)


def _segment(kept: Kept) -> StoredSegment:
    return StoredSegment(int(kept.name), kept.doc, kept.rev)


def _digits(number: int) -> str:
    return f"{number:0{_DIGITS}d}"
