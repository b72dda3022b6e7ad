"""What an agent may ask for, by intent: each tool is one call of the API, with its permission and its audit.

What changes something does nothing unless ``dry_run`` is false. There are few tools, and their descriptions are short:
an agent reads all of them with every task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

_SCHEDULES: Final = "/api/v1/schedules"
_SCHEDULE: Final = _SCHEDULES + "/{schedule_id}"
_RUNS: Final = "/api/v1/executions"
_RUN: Final = _RUNS + "/{execution_id}"
_TEXT: Final = {"type": "string"}
_NUMBER: Final = {"type": "integer"}
_DRY: Final = {"type": "boolean", "default": True, "description": "False: do it."}
_LIMIT: Final = {"type": "integer", "minimum": 1, "maximum": 50, "default": 10}
_MORE: Final = {"type": "string", "description": "next_page_token of the page before."}
_TIMES: Final = {
    "type": {"type": "string", "enum": ["CRON", "RATE", "DELAY", "ISO8601", "AT", "RRULE"]},
    "expr": _TEXT,
    "timezone": _TEXT,
}

Arguments = Mapping[str, Any]


class ToolCall(NamedTuple):
    """A call of the API: method, path with parameters, query, body."""

    method: str
    path: str
    params: Mapping[str, str]
    query: Mapping[str, Any] | None = None
    body: Mapping[str, Any] | None = None


class Tool(NamedTuple):
    """One intent. ``dry`` is what a dry run does in its place; None: the tool only reads."""

    name: str
    description: str
    properties: Mapping[str, Any]
    required: tuple[str, ...]
    call: Callable[[Arguments], ToolCall]
    dry: Callable[[Arguments], ToolCall] | None = None
    destructive: bool = False

    def shown(self) -> dict[str, Any]:
        """As ``tools/list`` has it."""
        properties = dict(self.properties) if self.dry is None else {**self.properties, "dry_run": _DRY}
        reads = self.dry is None
        return {
            "name": self.name,
            "description": self.description,
            "inputSchema": {
                "type": "object",
                "properties": properties,
                "required": list(self.required),
                "additionalProperties": False,
            },
            "annotations": {
                "readOnlyHint": reads,
                "destructiveHint": self.destructive,
                "idempotentHint": reads or self.name == "pause_schedule",
                "openWorldHint": False,
            },
        }


def _some(given: Arguments, *names: str) -> dict[str, Any]:
    return {name: given[name] for name in names if name in given}


def _schedule(given: Arguments) -> dict[str, str]:
    return {"schedule": str(given["schedule_id"])}


def _execution(given: Arguments) -> dict[str, str]:
    return {"execution": str(given["execution_id"])}


def _get_schedule(given: Arguments) -> ToolCall:
    return ToolCall("GET", _SCHEDULE, _schedule(given))


def _get_execution(given: Arguments) -> ToolCall:
    return ToolCall("GET", _RUN, _execution(given))


def _preview(given: Arguments) -> ToolCall:
    times = _some(given, "type", "expr", "timezone", "start_at_unix_ms", "end_at_unix_ms", "count")
    return ToolCall("POST", f"{_SCHEDULES}:preview", {}, body={"count": 5, **times})


def _create(given: Arguments) -> ToolCall:
    return ToolCall("POST", _SCHEDULES, {}, body={name: value for name, value in given.items() if name != "dry_run"})


def _pause(given: Arguments) -> ToolCall:
    verb = "pause" if given.get("paused", True) else "resume"
    body = _some(given, "note", "until_unix_ms") if verb == "pause" else {}
    return ToolCall("POST", f"{_SCHEDULE}:{verb}", _schedule(given), body=body)


def _page(given: Arguments) -> dict[str, Any]:
    return {"limit": given.get("limit", 10), **_some(given, "page_token")}


TOOLS: Final[tuple[Tool, ...]] = (
    Tool(
        "find_schedules",
        "List schedules, newest first.",
        {"name_prefix": _TEXT, "tag": _TEXT, "enabled": {"type": "boolean"}, "limit": _LIMIT, "page_token": _MORE},
        (),
        lambda g: ToolCall("GET", _SCHEDULES, {}, {**_page(g), **_some(g, "name_prefix", "tag", "enabled")}),
    ),
    Tool(
        "get_schedule",
        "One schedule: what it does and when it runs next.",
        {"schedule_id": _TEXT},
        ("schedule_id",),
        _get_schedule,
    ),
    Tool(
        "parse_words",
        "Turn words such as 'every weekday at 9:00' into type, expr and timezone. May offer choices: ask the user.",
        {"text": _TEXT, "timezone": _TEXT},
        ("text",),
        lambda g: ToolCall("POST", f"{_SCHEDULES}:parse", {}, body=_some(g, "text", "timezone")),
    ),
    Tool(
        "preview_runs",
        "Show the next runs of a recurrence. Writes nothing.",
        {**_TIMES, "count": {"type": "integer", "minimum": 1, "maximum": 50}},
        ("type", "expr"),
        _preview,
    ),
    Tool(
        "explain_instant",
        "Say why a schedule did, will or did not run at an instant.",
        {"schedule_id": _TEXT, "at_unix_ms": _NUMBER},
        ("schedule_id", "at_unix_ms"),
        lambda g: ToolCall("GET", f"{_SCHEDULE}:explain", _schedule(g), {"at_unix_ms": g["at_unix_ms"]}),
    ),
    Tool(
        "find_executions",
        "List executions, newest first; failed, timeout and missed ones by state.",
        {"schedule_id": _TEXT, "state": _TEXT, "limit": _LIMIT, "page_token": _MORE},
        (),
        lambda g: ToolCall("GET", _RUNS, {}, {**_page(g), **_some(g, "schedule_id", "state")}),
    ),
    Tool(
        "get_execution",
        "One execution with its attempts and errors.",
        {"execution_id": _TEXT},
        ("execution_id",),
        _get_execution,
    ),
    Tool(
        "create_schedule",
        "Make a schedule. A dry run previews it.",
        {
            **_TIMES,
            "name": _TEXT,
            "payload": {},
            "target": {"type": "object"},
            "tags": {"type": "array", "items": _TEXT},
        },
        ("type", "expr"),
        _create,
        _preview,
    ),
    Tool(
        "pause_schedule",
        "Pause a schedule, until an instant where until_unix_ms is given, or resume it with paused=false.",
        {
            "schedule_id": _TEXT,
            "paused": {"type": "boolean", "default": True},
            "note": _TEXT,
            "until_unix_ms": _NUMBER,
        },
        ("schedule_id",),
        _pause,
        _get_schedule,
        destructive=True,
    ),
    Tool(
        "trigger_schedule",
        "Fire a schedule once, now.",
        {"schedule_id": _TEXT, "payload": {}},
        ("schedule_id",),
        lambda g: ToolCall("POST", f"{_SCHEDULE}:trigger", _schedule(g), body=_some(g, "payload")),
        _get_schedule,
        destructive=True,
    ),
    Tool(
        "retry_execution",
        "Try an execution again that failed, timed out or was missed.",
        {"execution_id": _TEXT},
        ("execution_id",),
        lambda g: ToolCall("POST", f"{_RUN}:retry", _execution(g), body={}),
        _get_execution,
        destructive=True,
    ),
    Tool(
        "delete_schedule",
        "Delete a schedule for good.",
        {"schedule_id": _TEXT},
        ("schedule_id",),
        lambda g: ToolCall("DELETE", _SCHEDULE, _schedule(g)),
        _get_schedule,
        destructive=True,
    ),
)
BY_NAME: Final = {tool.name: tool for tool in TOOLS}
