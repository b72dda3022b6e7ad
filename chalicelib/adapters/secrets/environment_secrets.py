"""Secrets of the environment of this process, for trying things out on one machine."""

from __future__ import annotations

from collections.abc import Callable

from chalicelib.core.secrets.secret_ref import SecretRef
from chalicelib.ports.secrets import SecretMissing


class EnvironmentStore:
    """``env:NAME``. ``variable`` answers None for what is not set, and for what no target may have."""

    def __init__(self, variable: Callable[[str], str | None]) -> None:
        self._variable = variable

    def read(self, ref: SecretRef) -> tuple[str, ...]:
        """The variable's value."""
        value = self._variable(ref.name)
        if not value:
            raise SecretMissing(f"env:{ref.name} is not set in the environment of the worker, or is the service's own")
        return (value,)
