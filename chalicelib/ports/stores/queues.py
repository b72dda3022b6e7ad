"""Pauses of tenants' queues. The contract that all stores share is in ``ports.services``."""

from __future__ import annotations

from typing import Protocol


class QueueStore(Protocol):
    """One document a tenant, by core.queues.queue_state, replaced whole under its rev. A change also raises the epoch
    of ``ports.stores.policies.epoch_key``, all at once: firings read it right before their instants."""

    def load(self, tenant: str) -> tuple[str, int] | None:
        """(document, rev), or None when the tenant's queue was never paused."""
        ...

    def save(self, tenant: str, document: str, rev: int, expected_rev: int) -> bool:
        """Write the document if the stored rev still is ``expected_rev`` (0: if there is none)."""
        ...
