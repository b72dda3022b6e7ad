"""The policy of simulated worlds denies every firing of what is tagged. An administrator makes it and deletes it."""

from __future__ import annotations

from typing import Any, Final

from chalicelib.core.rules.policy import Match, Rule, WrittenPolicy
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.usecases import policies

TAG: Final = "frozen"
FREEZE, THAW = "freeze", "thaw"
_NO_FIRING: Final = {"field": "action", "operator": "ne", "value": "firing"}
FROZEN: Final = WrittenPolicy(
    name=TAG,
    match=Match(tag=TAG),
    rules=(Rule(name="release", condition=_NO_FIRING, action="deny", message="the release is frozen"),),
)


def freeze(s: Any) -> Any:
    """Deny every firing of what is tagged."""
    return policies.put(s, ANONYMOUS_ADMIN, TAG, FROZEN)


def thaw(s: Any) -> Any:
    """Let them pass again."""
    return policies.delete(s, ANONYMOUS_ADMIN, TAG)
