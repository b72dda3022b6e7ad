"""The public halves of the service's own key, read where the private ones are kept."""

from __future__ import annotations

from chalicelib.adapters.secrets import ed25519
from chalicelib.core.errors import Unavailable
from chalicelib.core.targets.webhook_signature import decode_values
from chalicelib.ports.secrets import SecretAway, SecretMissing, Secrets


class ServiceKey:
    """``WebhookKeys`` of the secret that CHRONO_WEBHOOK_SIGNING_KEY names."""

    def __init__(self, secrets: Secrets, ref: str) -> None:
        self._secrets = secrets
        self._ref = ref

    def public_keys(self) -> tuple[bytes, ...]:
        """The keys that deliveries are signed with just now: while one is rotated, both. Raises Unavailable."""
        try:
            keys = decode_values(self._secrets.values(self._ref))
        except (SecretMissing, SecretAway) as error:
            raise Unavailable(f"the key that signs webhooks cannot be read: {error}") from error
        except ValueError as error:
            raise Unavailable(f"CHRONO_WEBHOOK_SIGNING_KEY: {error}") from None
        return tuple(ed25519.public_key(key) for scheme, key in keys if scheme == "v1a")
