"""The target of schedules that name none, as a deployment chooses it. Imported before anything is installed."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from chalicelib.core.errors import SettingsError

if TYPE_CHECKING:
    from chalicelib.core.secrets.secret_policy import SecretPolicy

VARIABLE: Final = "CHRONO_DEFAULT_TARGET"
_EXAMPLE: Final = '{"type": "kafka", "brokers": ["kafka:9092"], "topic": "firings"}'


def read(env: Mapping[str, str]) -> dict[str, object] | None:
    """The target that ``env`` states, None for none. What is wrong with its fields, ``settled`` says. Raises
    SettingsError."""
    text = env.get(VARIABLE, "").strip()
    if not text:
        return None
    try:
        found = json.loads(text)
    except ValueError as problem:
        raise SettingsError(VARIABLE, f"must be JSON such as {_EXAMPLE}: {problem}") from None
    if not isinstance(found, dict) or not isinstance(found.get("type"), str):
        raise SettingsError(VARIABLE, f"must be a target, as schedules have it, such as {_EXAMPLE}")
    return found


def settled(
    chosen: Mapping[str, object] | None, webhook_allow: Sequence[str], secrets: SecretPolicy, unoffered: Collection[str]
) -> dict[str, object] | None:
    """The target as it is stored; None: the bus. Where there is no bus and none was chosen it is the log. Raises
    SettingsError with all that is wrong with it."""
    if chosen is None:
        return {"type": "log"} if "eventbridge" in unoffered else None
    from chalicelib.core.targets import registry  # no other setting needs what describes targets

    normal = registry.normal_target(chosen)
    problems = [f"{error.field} {error.message}" for error in registry.problems(normal, webhook_allow, secrets)]
    if not problems and chosen["type"] in unoffered:
        problems = [f"target.type {chosen['type']} needs a service that this deployment runs without"]
    if problems:
        raise SettingsError(VARIABLE, "; ".join(problems))
    return normal
