"""The audit: segments of entries, intents, marks and pseudonyms. The shared contract is in ``ports.services``."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class StoredSegment(NamedTuple):
    """A segment's document (core.audit.segment) under its number. ``rev`` grows with each erasure in it."""

    number: int
    document: str
    rev: int = 1


class AuditMark(NamedTuple):
    """A tenant whose chain may have entries that no checkpoint covers, and when a process last said so."""

    tenant: str
    at_ms: int


class AuditStore(Protocol):
    """A chain of segments for each tenant, and what is needed to keep it whole."""

    def append(self, tenant: str, segment: StoredSegment) -> bool:
        """Write the segment unless its number is taken."""
        ...

    def replace(self, tenant: str, segment: StoredSegment, expected_rev: int) -> bool:
        """Write the segment under its number if the stored rev still is ``expected_rev``."""
        ...

    def newest(self, tenant: str, limit: int, before: int | None = None) -> list[StoredSegment]:
        """Segments with a number below ``before`` (None: any), the highest first."""
        ...

    def oldest(self, tenant: str, limit: int, after: int = 0) -> list[StoredSegment]:
        """Segments with a number above ``after``, the lowest first. Fewer than ``limit``: there are no more."""
        ...

    def remove(self, tenant: str, number: int) -> None:
        """Delete a segment, if there is one."""
        ...

    def note_intent(self, intent_id: str, document: str) -> bool:
        """Write an intent (core.audit.intent) unless there is one with this id."""
        ...

    def drop_intent(self, intent_id: str) -> None:
        """Delete an intent, if there is one."""
        ...

    def intents(self, before_id: str, limit: int) -> list[tuple[str, str]]:
        """(id, document) of the intents of all tenants whose id is below ``before_id``, in order."""
        ...

    def mark(self, mark: AuditMark) -> None:
        """Write the mark in the place of the tenant's earlier one."""
        ...

    def marks(self, limit: int, after: str | None = None) -> list[AuditMark]:
        """Marks by tenant, after a tenant."""
        ...

    def unmark(self, mark: AuditMark) -> bool:
        """Delete the mark if it still is this one."""
        ...

    def pseudonym(self, tenant: str, subject: str) -> str | None:
        """The pseudonym of a subject; None: it has none yet, or no longer."""
        ...

    def give_pseudonym(self, tenant: str, subject: str, pseudonym: str) -> bool:
        """Write a subject's pseudonym unless it has one."""
        ...

    def forget_subject(self, tenant: str, subject: str) -> None:
        """Delete a subject's pseudonym, if it has one."""
        ...
