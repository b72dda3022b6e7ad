"""What signs in at a broker, read from the secret that a target names. It shows no value."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Final

from chalicelib.core.secrets.secret_policy import SecretPolicy
from chalicelib.ports.secrets import SecretMissing, Secrets

SIGN_IN_FIELDS: Final = ("username", "password")


class BrokerCredentials:
    """The fields of one secret. Without a reference there are none."""

    def __init__(self, ref: str = "", values: tuple[str, ...] = (), fields: Mapping[str, str] | None = None) -> None:
        self.ref = ref
        self.values = values  # as the store gave them, to notice a rotation
        self._fields = fields or {}

    def __repr__(self) -> str:
        return f"BrokerCredentials({self.ref})"

    def get(self, name: str) -> str | None:
        """A field, or None."""
        return self._fields.get(name)


def read_credentials(
    secrets: Secrets,
    policy: SecretPolicy,
    ref: object,
    tenant: str,
    fields: Collection[str],
    field: str,
) -> BrokerCredentials:
    """The newest value of a secret: a JSON object of texts. ``fields`` are those that the kind knows, ``field`` is what
    an error names.

    Raises SecretMissing, SecretAway. The owner of a schedule chooses the broker that the value goes to, so
    CHRONO_HEADER_SECRETS decides about it, as about the headers of webhooks.
    """
    if not ref:
        return BrokerCredentials()
    ref = str(ref)
    if problem := policy.header_problem(ref, tenant):
        raise SecretMissing(f"{field}: {ref} {problem}")
    values = secrets.values(ref)
    try:
        found = json.loads(values[0])
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise SecretMissing(f'{ref} must be a JSON object of texts, such as {{"username": …, "password": …}}')
    if not found.keys() & set(fields):
        raise SecretMissing(f"{ref} has none of the fields {', '.join(sorted(fields))}")
    return BrokerCredentials(ref, values, found)
