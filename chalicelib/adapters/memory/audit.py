"""``AuditStore`` in memory."""

from __future__ import annotations

import threading
from collections import defaultdict

from chalicelib.ports.stores.audit import AuditMark, StoredSegment


class MemoryAuditStore:
    """``AuditStore`` in memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._segments: dict[str, dict[int, StoredSegment]] = defaultdict(dict)
        self._intents: dict[str, str] = {}
        self._marks: dict[str, int] = {}
        self._pseudonyms: dict[tuple[str, str], str] = {}

    def append(self, tenant: str, segment: StoredSegment) -> bool:
        """Write the segment unless its number is taken."""
        with self._lock:
            if segment.number in self._segments[tenant]:
                return False
            self._segments[tenant][segment.number] = segment
            return True

    def replace(self, tenant: str, segment: StoredSegment, expected_rev: int) -> bool:
        """Write the segment under its number if the stored rev still is ``expected_rev``."""
        with self._lock:
            stored = self._segments[tenant].get(segment.number)
            if stored is None or stored.rev != expected_rev:
                return False
            self._segments[tenant][segment.number] = segment
            return True

    def newest(self, tenant: str, limit: int, before: int | None = None) -> list[StoredSegment]:
        """Segments with a number below ``before`` (None: any), the highest first."""
        with self._lock:
            found = self._segments.get(tenant, {})
            numbers = sorted((n for n in found if before is None or n < before), reverse=True)
            return [found[number] for number in numbers[:limit]]

    def oldest(self, tenant: str, limit: int, after: int = 0) -> list[StoredSegment]:
        """Segments with a number above ``after``, the lowest first."""
        with self._lock:
            found = self._segments.get(tenant, {})
            return [found[number] for number in sorted(n for n in found if n > after)[:limit]]

    def remove(self, tenant: str, number: int) -> None:
        """Delete a segment, if there is one."""
        with self._lock:
            self._segments[tenant].pop(number, None)

    def note_intent(self, intent_id: str, document: str) -> bool:
        """Write an intent unless there is one with this id."""
        with self._lock:
            if intent_id in self._intents:
                return False
            self._intents[intent_id] = document
            return True

    def drop_intent(self, intent_id: str) -> None:
        """Delete an intent, if there is one."""
        with self._lock:
            self._intents.pop(intent_id, None)

    def intents(self, before_id: str, limit: int) -> list[tuple[str, str]]:
        """(id, document) of the intents of all tenants whose id is below ``before_id``, in order."""
        with self._lock:
            return sorted(pair for pair in self._intents.items() if pair[0] < before_id)[:limit]

    def mark(self, mark: AuditMark) -> None:
        """Write the mark in the place of the tenant's earlier one."""
        with self._lock:
            self._marks[mark.tenant] = mark.at_ms

    def marks(self, limit: int, after: str | None = None) -> list[AuditMark]:
        """Marks by tenant, after a tenant."""
        with self._lock:
            tenants = sorted(tenant for tenant in self._marks if after is None or tenant > after)
            return [AuditMark(tenant, self._marks[tenant]) for tenant in tenants[:limit]]

    def unmark(self, mark: AuditMark) -> bool:
        """Delete the mark if it still is this one."""
        with self._lock:
            if self._marks.get(mark.tenant) != mark.at_ms:
                return False
            del self._marks[mark.tenant]
            return True

    def pseudonym(self, tenant: str, subject: str) -> str | None:
        """The pseudonym of a subject; None: it has none yet, or no longer."""
        with self._lock:
            return self._pseudonyms.get((tenant, subject))

    def give_pseudonym(self, tenant: str, subject: str, pseudonym: str) -> bool:
        """Write a subject's pseudonym unless it has one."""
        with self._lock:
            if (tenant, subject) in self._pseudonyms:
                return False
            self._pseudonyms[tenant, subject] = pseudonym
            return True

    def forget_subject(self, tenant: str, subject: str) -> None:
        """Delete a subject's pseudonym, if it has one."""
        with self._lock:
            self._pseudonyms.pop((tenant, subject), None)
