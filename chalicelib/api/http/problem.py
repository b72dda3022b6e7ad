"""Between HTTP and the service: JSON bodies in, problem documents out, headers read and written.

Nothing here knows what a schedule is. Every error leaves as ``application/problem+json`` (RFC 9457) through
``problem``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, TypeVar
from urllib.parse import unquote

import msgspec
from msgspec import UNSET, Struct, field

from chalicelib.api.http.responses import Check, Problem, ProblemField, violation_view
from chalicelib.core.decoders import converted, decoder_of
from chalicelib.core.errors import (
    BadRequest,
    ChronoError,
    FieldError,
    InvalidField,
    MethodNotAllowed,
    PolicyDenied,
    PreconditionFailed,
    QuotaExceeded,
    RedriveConflict,
    TooLarge,
    TooMany,
    Unauthorized,
    Unavailable,
    UnsupportedCoding,
    UnsupportedMedia,
)
from chalicelib.core.json_schema import shown
from chalicelib.core.limits import BODY_MAX_BYTES, JSON_MAX_DEPTH

JSON = "application/json"
PROBLEM_JSON = "application/problem+json"
# Registered by draft-ietf-httpapi-ratelimit-headers-11; all other types are our own.
QUOTA_PROBLEM_TYPE = "https://iana.org/assignments/http-problem-types#quota-exceeded"
CHALLENGE = 'Bearer realm="chronowatch"'
INVALID_CHALLENGE = (
    CHALLENGE + ', error="invalid_token"'
)  # RFC 6750, section 3.1; the problem says what is wrong with it

S = TypeVar("S", bound=msgspec.Struct)

_JSON_TYPE = re.compile(r"application/(?:[a-z0-9!#$&^_.+-]+\+)?json", re.ASCII)
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE)
_BRACKET = re.compile(rb"[\[\]{}]")
_QUOTED = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ENTITY_TAG = re.compile(r'\s*(W/)?(?:"([^"]*)"|([^",\s]+))\s*(?:,|$)')

_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`", re.DOTALL)
_MATCHING = re.compile(r"(Expected `str` matching regex )(.*)", re.DOTALL)
_PLACE = re.compile(r" - at (?:`key` in )?`\$(?P<path>[^`]*)`$")
_INDEX = re.compile(r"\[(\d+)\]")
_INTEGER = re.compile(r"-?[0-9]+", re.ASCII)


class Reply(Struct):
    """An answer before it is written: ``body`` is anything that msgspec encodes, or the text itself.

    ``kept_body`` is kept in its place for repeats of the call, where it holds what is said only once.
    """

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = JSON
    kept_body: Any = None

    def text(self) -> str:
        """The body as it goes out; empty when there is none."""
        if self.body is None:
            return ""
        return self.body if isinstance(self.body, str) else msgspec.json.encode(self.body).decode()


def problem(error: ChronoError, trace_id: str, checks: Mapping[str, Check] | None = None) -> Reply:
    """The one way an error is written. ``checks`` goes with the 503 of /health."""
    document = Problem(
        type=f"urn:chronowatch:error:{error.code}",
        title=error.title,
        status=error.status,
        detail=error.detail,
        code=error.code,
        trace_id=trace_id,
    )
    if isinstance(error, InvalidField):
        document.errors = [_field_of(e) for e in error.errors]
    if isinstance(error, PolicyDenied):
        document.violations = [violation_view(v) for v in error.violations]
    if isinstance(error, RedriveConflict):
        document.kept, document.again, document.conflicts = error.kept, error.again, error.conflicts
    if isinstance(error, QuotaExceeded):
        document.type = QUOTA_PROBLEM_TYPE
        document.violated_policies = [error.policy]
    if checks is not None:
        document.checks = dict(checks)
    return Reply(error.status, document, _error_headers(error), PROBLEM_JSON)


def _field_of(error: FieldError) -> ProblemField:
    return ProblemField(error.field, error.message, UNSET if error.at is None else list(error.at))


def _error_headers(error: ChronoError) -> dict[str, str]:
    if isinstance(error, Unauthorized):
        return {"WWW-Authenticate": INVALID_CHALLENGE if error.invalid_token else CHALLENGE}
    if isinstance(error, MethodNotAllowed):
        return {"Allow": ", ".join(error.allowed)}
    if isinstance(error, UnsupportedCoding):
        return {"Accept-Encoding": "identity"}  # RFC 9110, section 15.5.16
    if isinstance(error, TooMany | Unavailable):
        return {"Retry-After": str(max(1, error.retry_after_s))}
    return {}


def read_body(model: type[S], raw: bytes, content_type: str | None) -> S:
    """The body as ``model``. No body at all counts as an empty object where the model requires nothing.

    Raises UnsupportedMedia, BadRequest (not JSON) and InvalidField (JSON of another shape).
    """
    if not raw:
        if _requires_fields(model):
            raise BadRequest("the body is empty; a JSON object is needed")
        return model()
    check_json(raw, content_type)
    try:
        return decoder_of(model).decode(raw)
    except msgspec.ValidationError as error:
        raise InvalidField([field_error(str(error), model)]) from None


@cache
def _requires_fields(model: type[msgspec.Struct]) -> bool:
    """Asked at every call without a body."""
    return any(f.required for f in msgspec.structs.fields(model))


def check_plain(headers: Mapping[str, str]) -> None:
    """Refuse a body that its headers say to be something else than its bytes (RFC 9110, sections 8.4 and 14.5).

    Raises UnsupportedCoding for a compressed body, BadRequest for a part of one.
    """
    codings = {coding.strip().lower() for coding in headers.get("content-encoding", "").split(",")}
    if unknown := codings - {"", "identity"}:
        raise UnsupportedCoding(f"Content-Encoding: {sorted(unknown)[0]} is not understood; send the body as it is")
    if headers.get("content-range") is not None:
        raise BadRequest("Content-Range: a part of a body is not taken")


def check_size(raw: bytes) -> None:
    """Refuse a body over the limit. Raises TooLarge."""
    if len(raw) > BODY_MAX_BYTES:
        raise too_large()


def too_large() -> TooLarge:
    """The error of a body over the limit."""
    return TooLarge(f"a body may have at most {BODY_MAX_BYTES} bytes", code="body_too_large")


def is_json(content_type: str | None) -> bool:
    if content_type is None:
        return False
    charset = _CHARSET.search(content_type)
    media = content_type.partition(";")[0].strip().lower()
    plain = charset is None or charset[1].lower() in ("utf-8", "utf8", "us-ascii")
    return plain and _JSON_TYPE.fullmatch(media) is not None


def check_json(raw: bytes, content_type: str | None) -> None:
    """Refuse what is no JSON text (RFC 8259): models leave embedded payloads unread, so the whole is read here once.

    Raises UnsupportedMedia, BadRequest.
    """
    if not is_json(content_type):
        raise UnsupportedMedia(f"the body must be {JSON} in UTF-8")
    if _depth(raw) > JSON_MAX_DEPTH:
        raise BadRequest(f"the JSON is nested deeper than {JSON_MAX_DEPTH}")
    try:
        raw.decode()
        msgspec.json.decode(raw)
    except UnicodeDecodeError:
        raise BadRequest("the body is not UTF-8") from None
    except msgspec.ValidationError as error:
        raise BadRequest(f"the JSON holds a number that cannot be kept: {error}") from None
    except msgspec.DecodeError as error:
        raise BadRequest(f"the body is not JSON: {error}") from None


def _depth(raw: bytes) -> int:
    """How deep arrays and objects nest, or at least more than the limit when they do."""
    if raw.count(b"[") + raw.count(b"{") <= JSON_MAX_DEPTH:
        return 0  # so few cannot nest too deep: the usual case costs two counts
    depth = deepest = 0
    for bracket in _BRACKET.findall(_QUOTED.sub(b"", raw)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def read_query(model: type[S], given: Mapping[str, Sequence[str]]) -> S:
    """The query parameters as ``model``. Raises InvalidField."""
    for name, values in given.items():
        if len(values) != 1:
            raise InvalidField.of(name, "is given more than once")
    texts = {name: values[0] for name, values in given.items()}
    try:
        query = converted(texts, model, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidField([field_error(str(error), model, "parameter")]) from None
    for name, text in texts.items():  # msgspec takes 1e1 for 10
        if type(getattr(query, name)) is int and _INTEGER.fullmatch(text) is None:
            raise InvalidField.of(name, "expected `int`, got `str`")
    return query


def field_error(message: str, model: type[msgspec.Struct], noun: str = "field") -> FieldError:
    """What msgspec says about a wrong body or query, as the field's dotted name and a sentence about it."""
    place = _PLACE.search(message)
    said = message[: place.start()] if place else message
    path = _INDEX.sub(r".\1", place["path"]).replace("[...]", "").strip(".") if place else ""
    if unknown := _UNKNOWN.fullmatch(said):
        return FieldError(_joined(path, unknown[1]), f"is not a known {noun}")
    if missing := _MISSING.fullmatch(said):
        return FieldError(_joined(path, missing[1]), "is required")
    if said.startswith("Invalid ") and (choices := _choices(model, path)):
        return FieldError(path, "must be one of " + ", ".join(choices))
    if matching := _MATCHING.fullmatch(said):
        said = matching[1] + shown(matching[2].replace("\\\\", "\\"))  # msgspec quotes as Python does
    return FieldError(path or "body", said[:1].lower() + said[1:])


def _choices(model: type[msgspec.Struct], path: str) -> list[str]:
    """The values that the field at ``path`` takes, read off the model's schema: msgspec does not say them."""
    schemas, components = msgspec.json.schema_components([model])
    found: list[dict[str, Any]] = [*schemas]
    for name in path.split("."):
        options = [o for schema in found for o in _options(schema, components)]
        found = [o["properties"][name] if name in o.get("properties", {}) else o.get("items", {}) for o in options]
    values = (str(value) for schema in found for o in _options(schema, components) for value in o.get("enum", ()))
    return list(dict.fromkeys(values))  # kinds of targets have the same field with the same values


def _options(schema: Mapping[str, Any], components: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A schema with references followed and alternatives laid side by side."""
    if "$ref" in schema:
        return _options(components[schema["$ref"].rpartition("/")[2]], components)
    if "anyOf" in schema:
        return [o for option in schema["anyOf"] for o in _options(option, components)]
    return [schema]


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def decode_path(text: str) -> str:
    """A path segment, percent-decoded once. Raises BadRequest."""
    if "%" not in text:
        return text
    if _BAD_PERCENT.search(text):
        raise BadRequest("the path is not percent-encoded properly")
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise BadRequest("the path is not UTF-8") from None


def check_percent(text: str) -> None:
    """Refuse a query or path whose percent-encoding is broken or not UTF-8. Raises BadRequest."""
    decode_path(text.replace("+", " "))


def entity_tag(version: str) -> str:
    """The strong entity tag of a version."""
    return f'"{version}"'


def entity_tags(header: str) -> list[tuple[str, bool]]:
    """The tags of an If-Match or If-None-Match header, each with whether it is weak. Unquoted ones are taken too."""
    return [(m[2] if m[2] is not None else m[3], m[1] is not None) for m in _ENTITY_TAG.finditer(header)]


class EveryVersion(list[str]):
    """What ``If-Match: *`` allows: each version there is, so that only what does not exist has none of them."""

    def __contains__(self, version: object) -> bool:
        return True


def if_match(header: str | None) -> list[str] | None:
    """The versions that If-Match allows; None: there is no such header. Weak tags never match (RFC 9110, section
    13.1.1).

    Raises PreconditionFailed when no version could match.
    """
    if header is None:
        return None
    if header.strip() == "*":
        return EveryVersion()
    strong = [tag for tag, weak in entity_tags(header) if not weak]
    if not strong:
        raise PreconditionFailed("If-Match names no version")
    return strong


def none_match(header: str | None, version: str) -> bool:
    """Whether If-None-Match says that the caller has this version already."""
    return header is not None and (header.strip() == "*" or any(tag == version for tag, _ in entity_tags(header)))
