"""First answers of creating calls. The contract that all stores share is in ``ports.services``."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct


class Remembered(Struct, frozen=True):
    """An idempotency record. ``answer`` is None while the first call still runs.

    ``seed`` is the id that the call gives to what it creates: running it again after a crash creates the same thing.
    """

    body_hash: str
    seed: str
    started_ms: int
    answer: str | None = None


class IdempotencyStore(Protocol):
    """First answers by (tenant, key), kept for IDEMPOTENCY_RETENTION_S. The key already includes the subject."""

    def begin(self, tenant: str, key: str, record: Remembered) -> Remembered | None:
        """Write the record if there is none: None when written, otherwise the record that stands."""
        ...

    def take_over(self, tenant: str, key: str, stale: Remembered, record: Remembered) -> bool:
        """Replace a record whose first call died (no answer, same ``started_ms`` as ``stale``)."""
        ...

    def finish(self, tenant: str, key: str, record: Remembered) -> None:
        """Keep the answer."""
        ...

    def forget(self, tenant: str, key: str) -> None:
        """Take back a call that was refused and wrote nothing."""
        ...
