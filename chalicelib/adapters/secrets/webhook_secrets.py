"""What a webhook needs of secrets: the keys that sign it, and headers whose values are kept in a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from chalicelib.adapters.secrets import ed25519
from chalicelib.core.secrets.secret_policy import SecretPolicy
from chalicelib.core.targets.webhook_signature import (
    SigningKey,
    check_value,
    decode_values,
    header_refs,
    sign,
)
from chalicelib.ports.secrets import SecretMissing, Secrets


class ReadSecrets(Struct, frozen=True):
    """What one delivery was given. ``read``: the values by reference, to notice a rotation. Shows no value."""

    keys: tuple[SigningKey, ...]
    headers: Mapping[str, str]
    read: Mapping[str, tuple[str, ...]]

    def __repr__(self) -> str:
        return f"ReadSecrets({', '.join(self.read)})"

    def sign(self, message_id: str, timestamp_s: int, body: bytes) -> str | None:
        """The value of ``webhook-signature``, or None when nothing signs."""
        return sign(self.keys, message_id, timestamp_s, body, ed25519.sign) if self.keys else None


class WebhookSecrets:
    """Reads them. ``service_key`` refers to the key that signs every webhook of the deployment, if there is one."""

    def __init__(self, secrets: Secrets, policy: SecretPolicy, service_key: str | None = None) -> None:
        self._secrets = secrets
        self._policy = policy
        self._service_key = service_key

    def read(self, target: Mapping[str, object], tenant: str) -> ReadSecrets:
        """All that a target refers to. Raises SecretMissing, SecretAway; their texts name references only."""
        read: dict[str, tuple[str, ...]] = {}
        keys: list[SigningKey] = []
        for ref in (target.get("secret_ref"), self._service_key):
            if ref:
                keys += self._keys(str(ref), read)
        headers = {}
        for name, ref in header_refs(target.get("headers")).items():
            problem = self._policy.header_problem(ref, tenant)
            if problem is not None:
                raise SecretMissing(f"target.headers.{name}: {ref} {problem}")
            headers[name] = self._header(name, ref, read)
        return ReadSecrets(tuple(dict.fromkeys(keys)), headers, read)

    def refused(self, found: ReadSecrets) -> bool:
        """A target answered 401: read its secrets anew. True when one has changed, so that another try may pass."""
        changed = [self._secrets.refused(ref, values) for ref, values in found.read.items()]
        return any(changed)

    def _keys(self, ref: str, read: dict[str, tuple[str, ...]]) -> Sequence[SigningKey]:
        values = read[ref] = self._secrets.values(ref)
        try:
            return decode_values(values)
        except ValueError as error:
            raise SecretMissing(f"{ref}: {error}") from None

    def _header(self, name: str, ref: str, read: dict[str, tuple[str, ...]]) -> str:
        """The newest value: a header, unlike a signature, has one."""
        values = read[ref] = self._secrets.values(ref)
        value = values[0].strip()
        if problem := check_value(value):
            raise SecretMissing(f"target.headers.{name}: the value of {ref} {problem}")
        return value
