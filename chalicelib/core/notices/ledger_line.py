"""The ledger of notifications."""

from __future__ import annotations

from msgspec import Struct


class SentNotification(Struct, frozen=True, kw_only=True):
    """One line of the ledger: what one channel was sent about one incident."""

    id: str
    notification_id: str
    rule_id: str
    rule: str
    owner: str
    incident_id: str
    kind: str
    channel: str
    state: str
    attempts: int
    at_ms: int
    subject: str
    name: str
    causes: tuple[str, ...]
    text: str
    error: str = ""
