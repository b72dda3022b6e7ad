"""The stores of secrets, loaded with the first reference to one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from chalicelib.adapters.machine.lazy import Lazy

if TYPE_CHECKING:
    from chalicelib.core.secrets.secret_settings import SecretSettings
    from chalicelib.ports.secrets import Secrets


def lazy_secrets(
    chosen: SecretSettings,
    client: Callable[[str], Callable[[], Any]],
    now_ms: Callable[[], int],
    monotonic_s: Callable[[], float],
    environment: Callable[[str], str | None] | None,
) -> Secrets:
    """The stores that ``chosen`` names; what they are made of is as in ``SecretSources``."""

    def made() -> Secrets:
        from chalicelib.adapters.secrets.chosen_stores import SecretSources, kept_secrets

        return kept_secrets(chosen, SecretSources(client, now_ms, monotonic_s, environment))

    found: Secrets = Lazy(made)
    return found
