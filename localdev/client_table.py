"""What clients are made from: the operations of the OpenAPI document, each with its place among nouns and verbs.

``scripts/generate-clients`` writes the Python client and the table of chronosctl from it, so that neither can say
another thing than the service does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

# Operations that no rule below places well: noun and verb. None: for browsers, or answered in a form of its own.
_PLACES: Final[Mapping[str, tuple[str, str] | None]] = {
    "get_upcoming": ("schedules", "upcoming"),
    "post_schedules_pause": ("schedules", "pause-tagged"),
    "post_schedules_resume": ("schedules", "resume-tagged"),
    "post_schedules_delete": ("schedules", "delete-tagged"),
    "post_executions_by_execution_id_logs": ("executions", "log"),
    "delete_api_tasks_by_task_id": ("tasks", "cancel"),
    "get_api_tasks_subscribe": None,
    "get_time_now": ("time", "now"),
    "get_time_drift": ("time", "drift"),
    "get_health": ("service", "health"),
    "get_debug_cluster": ("service", "cluster"),
    "post_join": ("service", "join"),
    "get_metrics": ("service", "metrics"),
    "get_openapi_json": ("service", "openapi"),
    "get_api_admin_queue": ("queue", "get"),
    "post_api_admin_queue_pause": ("queue", "pause"),
    "post_api_admin_queue_resume": ("queue", "resume"),
    "post_policies_dry_run": ("policies", "dry-run-all"),
    "get_workflows_by_workflow_versions_by_version": ("workflows", "version"),
    "post_runs_by_run_id_sessions": ("sessions", "begin"),
    "put_sessions_by_session_id_breakpoints": ("sessions", "breakpoints"),
}
_HIDDEN: Final = (
    "/api/session",
    "/console",
    "/docs",
    "/.well-known",
    "/mcp",
    "/ping",
    "/llms",
    "/badge",
    "/ingest",
    "/schemas",
)
# A list answers with its items, and at most with what says that there are others: all else is a report.
_OF_LISTS: Final = {"items", "next_page_token", "next_after", "more"}
_ONE: Final = {"GET": "get", "PATCH": "edit", "PUT": "set", "DELETE": "delete"}
_ALL: Final = {"GET": "list", "POST": "create"}

# Calls without Idempotency-Key that may be made twice: the second finds what the first did. Beside GET, PUT and DELETE.
_REPEATABLE: Final = {
    "preview", "pause", "resume", "pause-tagged", "resume-tagged", "delete-tagged", "evaluate", "dry-run",
    "dry-run-all", "validate", "verify", "parse", "acquire", "renew", "release", "break", "enable", "disable",
    "cancel", "complete", "fail", "heartbeat", "jump", "breakpoints", "edit",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter, or a field of a body."""

    name: str
    schema: Mapping[str, Any]
    required: bool

    @property
    def bare(self) -> Mapping[str, Any]:
        """The schema without the choice of null."""
        options = [each for each in self.schema.get("anyOf", ()) if each != {"type": "null"}]
        return options[0] if len(options) == 1 else self.schema

    @property
    def nullable(self) -> bool:
        return {"type": "null"} in self.schema.get("anyOf", ())

    @property
    def said(self) -> str:
        """What the document says of it."""
        return self.schema.get("description") or self.bare.get("description") or ""

    @property
    def kind(self) -> str:
        """How a person gives it: a text, a number, yes or no, several texts, several pieces of JSON, or one."""
        bare = self.bare
        if bare.get("type") in ("string", "integer", "number", "boolean"):
            return str(bare["type"])
        if bare.get("type") == "array" and bare.get("items", {}).get("type") == "string":
            return "strings"
        return "list" if bare.get("type") == "array" else "json"


@dataclass(frozen=True, slots=True)
class Entry:
    """One operation, where it stands among nouns and verbs."""

    noun: str
    verb: str
    id: str
    method: str
    path: str
    summary: str
    description: str
    path_fields: tuple[Field, ...]
    query: tuple[Field, ...]
    body: tuple[Field, ...]
    body_list: bool
    has_body: bool
    keyed: bool
    guarded: bool
    answer: str
    answer_schema: Mapping[str, Any] | None
    item: str | None
    listed: bool
    by_position: bool
    example: Any

    @property
    def is_text(self) -> bool:
        """Whether its answer is no JSON; lines of JSON are none either."""
        return bool(self.answer) and ("json" not in self.answer or "ndjson" in self.answer)

    @property
    def safe(self) -> bool:
        """Whether a client may make the call twice when the answer was lost."""
        return self.method in ("GET", "PUT", "DELETE") or self.keyed or self.verb in _REPEATABLE


def entries(document: Mapping[str, Any]) -> list[Entry]:
    """Every operation that a program calls, noun by noun in the order of the document."""
    found = [
        _entry(document, path, method.upper(), operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    placed = [each for each in found if each is not None]
    nouns = list(dict.fromkeys(each.noun for each in placed))
    names = [(each.noun, each.verb) for each in placed]
    doubled = {name for name in names if names.count(name) > 1}
    assert not doubled, f"two operations have one place; say in _PLACES which is which: {sorted(doubled)}"
    return sorted(placed, key=lambda each: nouns.index(each.noun))


def _entry(document: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]) -> Entry | None:
    name = operation["operationId"]
    place = _PLACES.get(name, ...)
    if place is None or path.startswith(_HIDDEN):
        return None
    noun, verb = _placed(method, path) if place is ... else place
    given = [each for each in operation["parameters"] if "name" in each]
    body, body_list = _body(document, operation)
    answer, schema = _answer(operation)
    answered = set(resolve(document, schema or {}).get("properties", {}))
    refs = {each["$ref"].rpartition("/")[2] for each in operation["parameters"] if "$ref" in each}
    return Entry(
        noun=noun,
        verb=verb,
        id=name,
        method=method,
        path=path,
        summary=operation["summary"],
        description=operation.get("description", ""),
        path_fields=_fields(given, "path"),
        query=_fields(given, "query"),
        body=body,
        body_list=body_list,
        has_body="requestBody" in operation,
        keyed="IdempotencyKey" in refs,
        guarded="IfMatch" in refs,
        answer=answer,
        answer_schema=schema,
        item=_item(document, schema, given),
        listed="items" in answered and answered <= _OF_LISTS,
        by_position="next_after" in answered,
        example=operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example"),
    )


def _placed(method: str, path: str) -> tuple[str, str]:
    parts = path.removeprefix("/api/v1").removeprefix("/api").strip("/").split("/")
    last, _, verb = parts[-1].partition(":")
    noun = parts[0].partition(":")[0]
    if verb:
        return noun, verb
    if len(parts) == 1:
        return noun, _ALL[method]
    if last.startswith("{"):
        return noun, _ONE[method]
    return noun, last if method in ("GET", "POST") and not (method == "POST" and last.endswith("s")) else f"set-{last}"


def _fields(given: Iterable[Mapping[str, Any]], where: str) -> tuple[Field, ...]:
    return tuple(Field(each["name"], each["schema"], each["required"]) for each in given if each["in"] == where)


def _body(document: Mapping[str, Any], operation: Mapping[str, Any]) -> tuple[tuple[Field, ...], bool]:
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    if schema.get("type") == "array":
        return (Field("items", schema, True),), True
    resolved = resolve(document, schema)
    required = resolved.get("required", ())
    fields = [Field(name, each, name in required) for name, each in resolved.get("properties", {}).items()]
    return tuple(fields), False


def _answer(operation: Mapping[str, Any]) -> tuple[str, Mapping[str, Any] | None]:
    for status, answer in sorted(operation["responses"].items()):
        if status.startswith("2"):
            for media, content in answer.get("content", {}).items():
                return media, content.get("schema")
    return "", None


def _item(document: Mapping[str, Any], schema: Mapping[str, Any] | None, given: Iterable[Any]) -> str | None:
    """The name of the items' model where the answer is a page of a list, whose next page a token names."""
    properties = resolve(document, schema or {}).get("properties", {})
    if "page_token" not in {each["name"] for each in given} or "next_page_token" not in properties:
        return None
    items = properties.get("items", {}).get("items", {})
    return str(items["$ref"].rpartition("/")[2]) if "$ref" in items else None


def resolve(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema that a reference names."""
    if "$ref" not in schema:
        return schema
    named: Mapping[str, Any] = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return named
