"""The stores of secrets that a deployment chose, each loaded by the first reference to it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec import Struct

from chalicelib.core.secrets.secret_settings import SecretSettings, VaultSettings
from chalicelib.ports.secrets import Secrets, SecretStore


class SecretSources(Struct, frozen=True):
    """What stores are made of: AWS clients by service, the clock, and how a variable of the environment is read. None
    there: such references are not taken."""

    client: Callable[[str], Callable[[], Any]]
    now_ms: Callable[[], int]
    monotonic_s: Callable[[], float]
    environment: Callable[[str], str | None] | None


def kept_secrets(chosen: SecretSettings, sources: SecretSources) -> Secrets:
    """The stores by the word that references begin with, behind a memory."""
    from chalicelib.adapters.secrets.kept_secrets import KeptSecrets

    stores: dict[str, Callable[[], SecretStore]] = {
        "secretsmanager": partial(_secrets_manager, sources),
        "ssm": partial(_parameters, sources),
    }
    if sources.environment is not None:
        stores["env"] = partial(_environment, sources.environment)
    if chosen.vault is not None:
        stores["vault"] = partial(_vault, chosen.vault, sources)
    return KeptSecrets(stores, monotonic_s=sources.monotonic_s)


def _secrets_manager(sources: SecretSources) -> SecretStore:
    from chalicelib.adapters.secrets.aws_secrets import SecretsManagerStore

    return SecretsManagerStore(sources.client("secretsmanager"))


def _parameters(sources: SecretSources) -> SecretStore:
    from chalicelib.adapters.secrets.aws_secrets import ParameterStore

    return ParameterStore(sources.client("ssm"))


def _environment(read: Callable[[str], str | None]) -> SecretStore:
    from chalicelib.adapters.secrets.environment_secrets import EnvironmentStore

    return EnvironmentStore(read)


def _vault(found: VaultSettings, sources: SecretSources) -> SecretStore:
    from chalicelib.adapters.http.client import HttpClient
    from chalicelib.adapters.secrets.vault import VaultStore

    http = HttpClient(found.addr, monotonic_s=sources.monotonic_s, ca_file=found.ca_file)
    return VaultStore(http, found, monotonic_s=sources.monotonic_s, now_ms=sources.now_ms)
