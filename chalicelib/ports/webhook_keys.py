"""The service's own key of webhooks, as receivers may know it."""

from __future__ import annotations

from typing import Protocol


class WebhookKeys(Protocol):
    """Which public keys webhooks of this deployment are signed for."""

    def public_keys(self) -> tuple[bytes, ...]:
        """32 bytes each, the newest first; none when the deployment has no such key. Raises Unavailable."""
        ...


class NoWebhookKeys:
    """A deployment without a key of its own."""

    def public_keys(self) -> tuple[bytes, ...]:
        """None."""
        return ()
