"""Things by id or name: a person says a name, the API takes an id."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from typing import Any, Final

from chronosctl.faults import NOT_FOUND, Fault, usage
from chronosctl.session import Session

_ULID: Final = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_KEY_ID: Final = re.compile(r"[0-9A-Za-z]{8}")
_COMPLETED_MAX: Final = 100
_COMPLETION_S: Final = 1.5


def schedule(session: Session, said: str) -> str:
    """The id of a schedule that ``said`` names. Raises Fault when there is none, or several owners have one."""
    if _ULID.fullmatch(said):
        return said
    query = {"name_prefix": said} if 0 < len(said) <= 128 else None
    found = (
        [] if query is None else [each for each in session.pages("/api/v1/schedules", query) if each["name"] == said]
    )
    return _only("schedule", said, found)


def key(session: Session, said: str) -> str:
    """The id of an API key that ``said`` names. Raises Fault."""
    found = list(session.pages("/api/v1/keys", {}))
    if any(each["id"] == said for each in found):
        return said
    # Names of keys may be used again: the one that still opens doors is meant.
    named = [each for each in found if each["name"] == said]
    return _only("key", said, [each for each in named if each["active"]] or named)


def monitor(session: Session, said: str) -> str:
    """The id of a monitor that ``said`` names. Raises Fault."""
    return _by_name(session, "monitor", "/api/v1/monitors", said)


def rule(session: Session, said: str) -> str:
    """The id of a notification rule that ``said`` names. Raises Fault."""
    return _by_name(session, "notification-rule", "/api/v1/notification-rules", said)


def trigger(session: Session, said: str) -> str:
    """The id of a trigger that ``said`` names. Raises Fault."""
    return _by_name(session, "trigger", "/api/v1/triggers", said)


def _by_name(session: Session, noun: str, path: str, said: str) -> str:
    if _ULID.fullmatch(said):
        return said
    return _only(noun, said, [each for each in session.pages(path, {}) if each["name"] == said])


def _only(noun: str, said: str, found: list[Any]) -> str:
    if not found:
        hint = f"`chronosctl {noun}s list -o name` shows what there is; names are told apart by case"
        raise Fault(f"there is no {noun} {said}", NOT_FOUND, hint)
    if len(found) > 1:
        ids = ", ".join(f"{each['id']} ({each.get('owner', '')})" for each in found[:5])
        raise usage(f"several {noun}s are called {said}: {ids}", "say its id")
    return str(found[0]["id"])


RESOLVERS: Final[dict[str, Callable[[Session, str], str]]] = {
    "schedule_id": schedule,
    "key_id": key,
    "monitor_id": monitor,
    "rule_id": rule,
    "trigger_id": trigger,
}
_LISTS: Final = {
    "schedule_id": "/api/v1/schedules",
    "execution_id": "/api/v1/executions",
    "key_id": "/api/v1/keys",
    "name": "/api/v1/leases",
    "policy": "/api/v1/policies",
    "workflow": "/api/v1/workflows",
    "run_id": "/api/v1/runs",
    "job_id": "/jobs",
    "role": "/api/v1/roles",
    "task_id": "/api/tasks",
    "monitor_id": "/api/v1/monitors",
    "rule_id": "/api/v1/notification-rules",
    "trigger_id": "/api/v1/triggers",
}


def complete(parameter: str, begun: str, session: Session) -> list[str]:
    """Names and ids that begin so. A shell that completes is never told of a fault: it gets nothing."""
    from chronosctl.output import name_of

    if parameter == "frequency":
        return [each for each in ("second", "minute", "hour", "day") if each.startswith(begun)]
    if parameter not in _LISTS:
        return []
    query: dict[str, Any] = {"limit": _COMPLETED_MAX}
    if parameter == "schedule_id" and begun:
        query["name_prefix"] = begun
    try:
        transport = session.connect(_COMPLETION_S, attempts=1)
        with closing(transport):
            items = transport.call("GET", _LISTS[parameter], query=query)["items"]
    except Exception:
        return []
    return [name for name in map(name_of, items) if name.startswith(begun)]
