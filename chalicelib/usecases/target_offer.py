"""Which kinds of target this deployment has: some need services that it runs without."""

from __future__ import annotations

from collections.abc import Mapping

from chalicelib.core.errors import InvalidField
from chalicelib.core.targets import registry
from chalicelib.ports.services import Services


def check_offered(s: Services, target: Mapping[str, object], field: str = "target") -> None:
    """Raises InvalidField (``not_configured``) for a target of a kind that this deployment cannot send to."""
    kind = target.get("type")
    if isinstance(kind, str) and kind in s.config.unoffered:
        others = ", ".join(name for name in registry.NAMES if name not in s.config.unoffered)
        problem = f"{kind} needs a service that this deployment runs without; there are {others}"
        raise InvalidField.of(f"{field}.type", problem, code="not_configured")
