"""The OpenAPI 3.1 document, read off the table of operations and the models that validate and encode."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final

import msgspec

from chalicelib import VERSION
from chalicelib.api.console.schemas import ConsoleFileName, ConsoleReleaseName
from chalicelib.api.executions.schemas import ExecutionId
from chalicelib.api.http import responses
from chalicelib.api.http.operations import Operation
from chalicelib.api.http.problem import JSON, PROBLEM_JSON, QUOTA_PROBLEM_TYPE
from chalicelib.api.http.quotas import RATE_LIMIT, RATE_LIMIT_POLICY
from chalicelib.api.http.requests import Body
from chalicelib.api.http.responses import Problem
from chalicelib.api.http.yaml_text import YAML
from chalicelib.api.keys.schemas import KeyId
from chalicelib.api.leases.schemas import LeaseName
from chalicelib.api.policies.schemas import ExceptionBody, MatchBody, PolicyName
from chalicelib.api.roles.schemas import RoleName
from chalicelib.api.schedules.schemas import NewSchedule, ScheduleChanges
from chalicelib.api.subjects.schemas import SubjectName
from chalicelib.api.triggers.schemas import InletToken
from chalicelib.api.workflows.schemas import NodeId, RunId, WorkflowName, WorkflowVersion
from chalicelib.core.clock import hlc
from chalicelib.core.errors import ChronoError
from chalicelib.core.executions.limits import IDEMPOTENCY_KEY_MAX_BYTES
from chalicelib.core.json_schema import formed, shown
from chalicelib.core.schedules.schedule import Definition
from chalicelib.core.targets import registry
from chalicelib.core.ticks.frequencies import Frequency

_REF = "#/components/schemas/{name}"
_PARAMETER = re.compile(r"\{(\w+)\}")
_EVERY_CALL = (401, 403, 414, 422, 429, 500, 503)
_WITH_BODY = (400, 413, 415)
_IN_YAML: Final = f"The body may be YAML too (`Content-Type: {YAML}`): the same document in another spelling."

# Alternatives that one field decides between, by that field. Under a name of their own a generator makes one type of
# them, where a copy in each place makes many.
_UNION_NAMES: Final[Mapping[str, str]] = {"type": "Target", "op": "BatchOperation"}

# The form of the parameters of paths. Others are not found: what cannot be an id never reaches a table.
PATH_PARAMETERS: Final[Mapping[str, Any]] = {
    "schedule_id": responses.Ulid,
    "subject_id": SubjectName,
    "job_id": responses.Ulid,
    "task_id": ExecutionId,
    "bulk_id": responses.Ulid,
    "monitor_id": responses.Ulid,
    "rule_id": responses.Ulid,
    "ping_id": Annotated[str, formed(min_length=36, max_length=36, pattern="^[0-9a-f-]{36}$")],
    "signal_id": Annotated[str, formed(pattern="^(start|fail|log|[0-9]{1,3})$")],
    "badge_id": Annotated[str, formed(min_length=40, max_length=40, pattern=r"^[0-9a-f-]{36}\.svg$")],
    "execution_id": ExecutionId,
    "key_id": KeyId,
    "name": LeaseName,
    "frequency": Frequency,
    "role": RoleName,
    "policy": PolicyName,
    "release": ConsoleReleaseName,
    "file": ConsoleFileName,
    "workflow": WorkflowName,
    "version": WorkflowVersion,
    "run_id": RunId,
    "node": NodeId,
    "session_id": responses.Ulid,
    "trigger_id": responses.Ulid,
    "token": InletToken,
}

_ERRORS: tuple[type[ChronoError], ...] = (ChronoError, *ChronoError.__subclasses__())
_ERROR_TITLES: Mapping[int, str] = {
    error.status: error.title for error in _ERRORS if error.__module__ == ChronoError.__module__
}


def document(operations: Iterable[Operation]) -> dict[str, Any]:
    """The whole document."""
    table = tuple(operations)
    models = _models(table)
    schemas, components = msgspec.json.schema_components(models, ref_template=_REF)
    refs = dict(zip(models, schemas, strict=True))
    _add_defaults(components)
    _add_target_patterns(components)
    # What a field may be by another: validators read it, generators leave it out.
    for model in (*models, MatchBody, ExceptionBody):
        if conditions := getattr(model, "conditions", None):
            components[model.__name__] |= conditions
    components = _readable(components)
    paths: dict[str, dict[str, Any]] = {}
    for operation in table:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, refs, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ChronoWatch",
            "version": VERSION,
            "description": "Time, schedules, executions, leases and ticks as one service.",
        },
        "paths": paths,
        "tags": [{"name": name} for name in sorted({o.tag for o in table})],
        "security": [{}, {"bearer": []}],  # without one while CHRONO_AUTH is off, as the scheme's description says
        "components": {
            "schemas": components,
            "responses": {f"Problem{status}": _problem_response(status) for status in sorted(_ERROR_TITLES)},
            "headers": _HEADERS,
            "parameters": _PARAMETERS,
            "securitySchemes": {"bearer": _BEARER},
        },
    }


def _models(table: tuple[Operation, ...]) -> list[Any]:
    found: list[Any] = [Problem]
    for operation in table:
        answers = [m for m in operation.answers.values() if m is not None and not isinstance(m, str)]
        for model in (_body_model(operation), *answers):
            if model not in found:
                found.append(model)
    return found


def _body_model(operation: Operation) -> Any:
    """What the body is: the model, or the list that is one field of it."""
    if not operation.body_list:
        return operation.body
    return {field.name: field.type for field in msgspec.structs.fields(operation.body)}[operation.body_list]


def _add_defaults(components: dict[str, Any]) -> None:
    """Say what a schedule's field is when it is left out. The models cannot: to them absent is not the default."""
    blank = Definition(tenant="", id="", version="", since_ms=0, type="AT", expr="", created_at_ms=0, updated_at_ms=0)
    properties = components[NewSchedule.__name__]["properties"]
    # Bounds and names that have no default, and those whose default the deployment or the caller decides.
    undecided = {"type", "expr", "owner", "shard_key", "timezone", "enabled", "payload"}
    for name in {f.name for f in msgspec.structs.fields(ScheduleChanges)} - undecided:
        value = getattr(blank, name, None)
        properties[name] = {**properties[name], "default": msgspec.to_builtins(value)}
    properties["enabled"]["default"] = True
    properties["payload"]["default"] = None


def _add_target_patterns(components: dict[str, Any]) -> None:
    """Say which form a target's texts have, as the description of its kind judges them."""
    for kind in registry.every_kind():
        properties = components[kind.fields.__name__]["properties"]
        for name, rule in kind.rules.items():
            if rule.pattern:
                properties[name]["pattern"] = f"^{rule.pattern}$"


def _readable(components: dict[str, Any]) -> dict[str, Any]:
    """The same schemas, said so that generators of clients understand them."""
    unions: dict[str, Any] = {}
    read: dict[str, Any] = {name: _plain(schema, unions) for name, schema in components.items()}
    assert not read.keys() & unions.keys(), "a model has the name of a union"
    return read | unions


def _plain(node: Any, unions: dict[str, Any]) -> Any:
    """``node`` with each discriminated union under its name (they are added to ``unions``), enums with a type, and
    patterns as ECMA-262 has them."""
    if isinstance(node, list):
        return [_plain(each, unions) for each in node]
    if not isinstance(node, dict):
        return node
    said = {key: _plain(value, unions) for key, value in node.items()}
    if isinstance(said.get("pattern"), str):
        said["pattern"] = shown(said["pattern"])
    if isinstance(said.get("enum"), list) and all(isinstance(value, str) for value in said["enum"]):
        return {"type": "string", **said}
    if "discriminator" not in said:
        return said
    union = {key: said.pop(key) for key in ("anyOf", "discriminator")}
    name = _union_name(union["discriminator"])
    assert unions.setdefault(name, union) == union, f"{name} is the name of two unions"
    return {"$ref": _REF.format(name=name), **said}


def _union_name(discriminator: dict[str, Any]) -> str:
    """Targets and the sources of triggers have a ``type`` both: the models of the latter say what they are."""
    if all(ref.endswith("Source") for ref in discriminator.get("mapping", {}).values()):
        return "Source"
    return _UNION_NAMES[discriminator["propertyName"]]


def _operation(operation: Operation, refs: Mapping[Any, Any], components: Mapping[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": _operation_id(operation),
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": list(_parameters(operation)),
        "responses": _responses(operation, refs),
    }
    if operation.open_to_all:
        described["security"] = [{}]
    if operation.description or operation.yaml:
        described["description"] = " ".join(filter(None, (operation.description, _IN_YAML if operation.yaml else "")))
    if operation.takes_body:
        required = bool(
            operation.any_json or operation.body_list or components.get(operation.body.__name__, {}).get("required")
        )
        media: dict[str, Any] = {"schema": {} if operation.any_json else refs[_body_model(operation)]}
        if operation.example is not None:
            media["example"] = operation.example
        # YAML is said in the description only: generators refuse a body of a type that they cannot write.
        described["requestBody"] = {"required": required, "content": {JSON: media}}
    return described


def _operation_id(operation: Operation) -> str:
    words = re.findall(r"[A-Za-z0-9]+", _PARAMETER.sub(r"by \1", operation.path.removeprefix("/api/v1")))
    return "_".join([operation.method.lower(), *words])


def _parameters(operation: Operation) -> Iterable[dict[str, Any]]:
    for name in _PARAMETER.findall(operation.path):
        schema = _plain(msgspec.json.schema(PATH_PARAMETERS[name]), {})
        yield {"name": name, "in": "path", "required": True, "schema": schema}
    (_,), components = msgspec.json.schema_components([operation.query], ref_template=_REF)
    for name, schema in components[operation.query.__name__]["properties"].items():
        yield {"name": name, "in": "query", "required": False, "schema": _plain(schema, {})}
    if operation.creates:
        yield {"$ref": "#/components/parameters/IdempotencyKey"}
    if operation.guarded:
        yield {"$ref": "#/components/parameters/IfMatch"}
    if 304 in operation.answers:
        yield {"$ref": "#/components/parameters/IfNoneMatch"}
    yield {"$ref": "#/components/parameters/traceparent"}
    yield {"$ref": "#/components/parameters/Hlc"}


def _responses(operation: Operation, refs: Mapping[Any, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, model in operation.answers.items():
        responses[str(status)] = _answer(operation, status, model, refs)
    statuses = {*_EVERY_CALL, *operation.errors, *(_WITH_BODY if operation.takes_body else ())}
    statuses |= {409} if operation.creates else set()
    statuses |= {412} if operation.guarded else set()
    statuses |= {400, 404} if "{" in operation.path else set()
    for status in sorted(statuses):
        responses[str(status)] = {"$ref": f"#/components/responses/Problem{status}"}
    return responses


def _answer(operation: Operation, status: int, model: Any, refs: Mapping[Any, Any]) -> dict[str, Any]:
    own = operation.answer_headers.items()
    headers: dict[str, Any] = {name: {"description": said, "schema": {"type": "string"}} for name, said in own}
    headers |= {name: {"$ref": f"#/components/headers/{name}"} for name in _ON_EVERY_ANSWER}
    if not operation.free:
        headers |= _QUOTA_REFS
    if operation.creates:
        headers["Idempotent-Replayed"] = {"$ref": "#/components/headers/Idempotent-Replayed"}
    described: dict[str, Any] = {"description": "Not modified" if status == 304 else "Done", "headers": headers}
    if isinstance(model, str):
        described["content"] = {model: {"schema": _MEDIA_SCHEMAS[model]}}
    elif model is not None:
        described["content"] = {JSON: {"schema": refs[model]}}
    return described


# Of YAML a schema judges the document and not its text, and a client that does not read YAML hands on the text.
_MEDIA_SCHEMAS: Final[Mapping[str, Any]] = {
    JSON: {"type": "object"},
    YAML: {},
    "text/html": {"type": "string"},
    "text/plain": {"type": "string"},
    "image/svg+xml": {"type": "string"},
    "text/javascript": {"type": "string"},
    "text/event-stream": {"type": "string"},
    "text/x-ndjson": {"type": "string"},
}


def _problem_response(status: int) -> dict[str, Any]:
    example = {
        "type": "urn:chronowatch:error:invalid_field",
        "title": "Invalid field",
        "status": 422,
        "detail": "expr: must begin with rate:",
        "code": "invalid_field",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "errors": [{"field": "expr", "message": "must begin with rate:"}],
    }
    media: dict[str, Any] = {"schema": {"$ref": _REF.format(name=Problem.__name__)}}
    if status == 422:
        media["example"] = example
    described: dict[str, Any] = {"description": _ERROR_TITLES[status], "content": {PROBLEM_JSON: media}}
    if status in (429, 503):
        described["headers"] = {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}
    if status == 429:
        media["example"] = _QUOTA_EXAMPLE
        described["headers"] |= _QUOTA_REFS
    return described


_BEARER: Final[Mapping[str, Any]] = {
    "type": "http",
    "scheme": "bearer",
    "description": "A JSON Web Token of the deployment's issuer, or an API key (`cw_…`), as `CHRONO_AUTH` says. A "
    "deployment on loopback takes every caller while that is `off`.",
}
_HEADERS: dict[str, Any] = {
    "traceparent": {
        "description": "W3C Trace Context: the caller's trace, or a new one.",
        "schema": {"type": "string"},
    },
    "X-Chrono-HLC": {
        "description": "Hybrid logical clock stamp, `<physical_nanos>.<logical>`.",
        "schema": {"type": "string", "pattern": hlc.PATTERN},
    },
    "Idempotent-Replayed": {
        "description": "`true` when this is the first call's answer again.",
        "schema": {"type": "string", "const": "true"},
    },
    "Retry-After": {
        "description": "Seconds after which the call may pass.",
        "schema": {"type": "integer", "minimum": 1},
    },
    RATE_LIMIT: {
        "description": "Where a quota is set: `r` calls may follow at once; `t` seconds later there are more. A "
        "structured field (draft-ietf-httpapi-ratelimit-headers-11).",
        "schema": {"type": "string", "examples": ['"writes";r=42;t=1']},
    },
    RATE_LIMIT_POLICY: {
        "description": "Where a quota is set: `q` calls of the caller in a window of `w` seconds.",
        "schema": {"type": "string", "examples": ['"writes";q=100;w=1']},
    },
}
_ON_EVERY_ANSWER: Final = ("traceparent", "X-Chrono-HLC")
_QUOTA_REFS: Final[Mapping[str, Any]] = {
    name: {"$ref": f"#/components/headers/{name}"} for name in (RATE_LIMIT, RATE_LIMIT_POLICY)
}
_QUOTA_EXAMPLE: Final[Mapping[str, Any]] = {
    "type": QUOTA_PROBLEM_TYPE,
    "title": "Quota exceeded",
    "status": 429,
    "detail": "writes: at most 100 a second for one caller; come again after Retry-After",
    "code": "quota_exceeded",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "violated-policies": ["writes"],
}
_PARAMETERS: dict[str, Any] = {
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": f"1 to {IDEMPOTENCY_KEY_MAX_BYTES} bytes. Repeats of a call under one key get the first "
        "answer again. Refused calls are not remembered.",
        "schema": {"type": "string", "minLength": 1, "maxLength": IDEMPOTENCY_KEY_MAX_BYTES},
    },
    "IfMatch": {
        "name": "If-Match",
        "in": "header",
        "required": False,
        "description": "The ETag that the resource must still have (412 otherwise).",
        "schema": {"type": "string"},
    },
    "IfNoneMatch": {
        "name": "If-None-Match",
        "in": "header",
        "required": False,
        "description": "An ETag the caller has: 304 while it is current.",
        "schema": {"type": "string"},
    },
    "traceparent": {"name": "traceparent", "in": "header", "required": False, "schema": {"type": "string"}},
    "Hlc": {
        "name": "X-Chrono-HLC",
        "in": "header",
        "required": False,
        "description": "The caller's stamp, `<physical_nanos>.<logical>`; refused when it is too far ahead "
        "(422 `clock_skew`).",
        # As `pattern`, which keeps schemathesis from trying headers: it then sends letters and digits only.
        "schema": {"type": "string", "not": {"not": {"pattern": hlc.PATTERN}}, "examples": ["1767225600000000000.0"]},
    },
}

assert Body in ScheduleChanges.__mro__  # bodies share one base, which refuses unknown fields
