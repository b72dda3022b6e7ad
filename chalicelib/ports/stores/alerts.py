"""What alerting keeps: monitors, rules and their books, and the ledger of what was sent.

The contract that all stores share is in ``ports.services``.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

from msgspec import Struct

AlertKind = Literal["monitor", "token", "rule", "book", "sent"]
EVERYBODY = ""  # the tenant of tokens, which say whose they are


class AlertRecord(Struct, frozen=True):
    """One document under its rev. ``wake_ms`` is when reconcile checks it (None: never), ``expires_s`` when it may be
    forgotten (unix seconds; None: never)."""

    tenant: str
    kind: AlertKind
    id: str
    document: str
    rev: int
    wake_ms: int | None = None
    expires_s: int | None = None


class WokenAlert(NamedTuple):
    """A document that is to be checked, and since when."""

    tenant: str
    kind: AlertKind
    id: str
    wake_ms: int


class AlertStore(Protocol):
    """Documents by tenant, kind and id."""

    def load(self, tenant: str, kind: AlertKind, record_id: str) -> AlertRecord | None:
        """One document."""
        ...

    def save(self, record: AlertRecord, expected_rev: int) -> bool:
        """Write a document if its stored rev still is ``expected_rev`` (0: if there is none). Its own rev is higher."""
        ...

    def delete(self, tenant: str, kind: AlertKind, record_id: str, expected_rev: int) -> bool:
        """Delete a document if its stored rev still is ``expected_rev``."""
        ...

    def page(self, tenant: str, kind: AlertKind, limit: int, after: str | None) -> tuple[list[AlertRecord], str | None]:
        """A tenant's documents of a kind, the greatest id first, and where to go on (None: the end)."""
        ...

    def woken(self, until_ms: int, limit: int) -> list[WokenAlert]:
        """Documents to check by an instant, of all tenants, the earliest first. May lag."""
        ...
