"""``InletSignatures`` over the secrets of the deployment: the live keys, the newest and those before it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from chalicelib.adapters.secrets import ed25519
from chalicelib.core.errors import Unavailable
from chalicelib.core.targets import webhook_signature
from chalicelib.ports.secrets import SecretAway, SecretMissing, Secrets

log = logging.getLogger(__name__)


class StoredInletSignatures:
    """Reads the secret at each call; ``Secrets`` keeps it for a while."""

    def __init__(self, secrets: Secrets, now_ms: Callable[[], int]) -> None:
        self._secrets = secrets
        self._now_ms = now_ms

    def problem(self, secret_ref: str, headers: Mapping[str, str], body: bytes) -> str | None:
        """Why a call is not let in. A secret that has just been rotated is read anew before a call is refused."""
        try:
            values = self._secrets.values(secret_ref)
            found = self._judged(values, headers, body)
            if found is not None and self._secrets.refused(secret_ref, values):
                found = self._judged(self._secrets.values(secret_ref), headers, body)
        except SecretAway as problem:
            raise Unavailable(f"the secret of the signature cannot be read now: {problem}") from None
        except (SecretMissing, ValueError) as problem:
            log.error("no call can be verified with %s: %s", secret_ref, problem)
            return "the secret of this inlet is not there"
        return found

    def _judged(self, values: tuple[str, ...], headers: Mapping[str, str], body: bytes) -> str | None:
        keys = webhook_signature.decode_values(values)
        now_s = self._now_ms() // 1000
        return webhook_signature.verify_problem(keys, headers, body, now_s, ed25519.sign)
