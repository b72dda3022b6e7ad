"""What an operation is asked, by whatever face the request came, and its body as the operation's model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec
from chalice.app import Request

from chalicelib.api.http import yaml_text
from chalicelib.api.http.operations import Operation
from chalicelib.api.http.problem import JSON, check_json, check_plain, check_size, is_json, read_body
from chalicelib.core.errors import BadRequest, InvalidField, UnsupportedMedia


class IncomingCall(NamedTuple):
    """What an operation is asked, however it came. Names of headers are found in any case. ``body`` is read late, by a
    function that may raise. ``base`` is what stands before our paths in the caller's URL."""

    headers: Mapping[str, str]
    query: Mapping[str, list[str]]
    body: Callable[[], bytes]
    base: str = ""


def body_of(incoming: IncomingCall, operation: Operation) -> tuple[bytes, str | None]:
    """The body and its content type; YAML as the JSON that says the same, where it is taken."""
    if operation.any_body_bytes and operation.method == "POST":
        raw = incoming.body()
        check_size(raw)
        return msgspec.json.encode({"text": raw[: operation.any_body_bytes].decode(errors="replace")}), JSON
    if not operation.takes_body:
        return b"", None
    check_plain(incoming.headers)
    raw, content_type = incoming.body(), incoming.headers.get("content-type")
    check_size(raw)
    if operation.yaml and yaml_text.is_yaml(content_type):
        return yaml_text.to_json(raw), JSON
    if operation.yaml and raw and not is_json(content_type):
        raise UnsupportedMedia(f"the body must be {JSON} or {yaml_text.MEDIA_TYPES[0]} in UTF-8, and say which it is")
    return raw, content_type


def model_of(operation: Operation, raw: bytes, content_type: str | None) -> Any:
    """The body as the operation's model, of which a list is one field. Errors name the fields as the caller sees them.

    Raises as ``read_body``.
    """
    if operation.any_json:
        if raw:
            check_json(raw, content_type)
        return operation.body()
    outer = operation.body_list
    if not outer or not raw:
        return read_body(operation.body, raw, content_type)
    check_json(raw, content_type)  # before it is put inside another document
    try:
        return read_body(operation.body, b'{"%s":%s}' % (outer.encode(), raw), content_type)
    except InvalidField as wrong:
        seen = [e._replace(field=e.field.removeprefix(outer).removeprefix(".") or "body") for e in wrong.errors]
        raise InvalidField(seen) from None


def raw_body(request: Request) -> bytes:
    try:
        raw = request.raw_body
        return raw.encode() if isinstance(raw, str) else raw
    except ValueError:  # base64 or text that is none
        raise BadRequest("the body cannot be read") from None
