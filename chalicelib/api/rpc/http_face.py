"""Connect and gRPC-Web, unary, as plain HTTP requests: what passes API Gateway, which has no trailers of HTTP/2.

Connect: https://connectrpc.com/docs/protocol. gRPC-Web: PROTOCOL-WEB.md of grpc. Messages are not compressed.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple
from urllib.parse import parse_qs, quote

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

from chalicelib.api.http import connection
from chalicelib.api.http.app import HttpApi
from chalicelib.api.http.connection import CallerConnection
from chalicelib.api.rpc.calls import RpcOutcome, marks, run
from chalicelib.api.rpc.methods import BY_PATH, Method
from chalicelib.api.rpc.status import (
    DEADLINE_EXCEEDED,
    INVALID_ARGUMENT,
    RESOURCE_EXHAUSTED,
    UNIMPLEMENTED,
    RpcError,
    invalid_field,
)
from chalicelib.core.limits import BODY_MAX_BYTES

JSON: Final = "application/json"
PROTO: Final = "application/proto"
WEB: Final = "application/grpc-web"
WEB_TEXT: Final = "application/grpc-web-text"
TEXT_TYPES: Final = (JSON, WEB_TEXT, WEB_TEXT + "+proto")
_TIMEOUT_MAX_DIGITS: Final = 10
_TRAILERS: Final = 0x80
_WRONG_FIELD: Final = re.compile(r'has no field named "([^"]+)"|Failed to parse (\S+) field')  # as json_format says it


class RpcAnswer(NamedTuple):
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class RpcQuestion(NamedTuple):
    """A request under ``/chronowatch.v1.…``. Names of headers are in lower case. ``body`` is read late."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: Callable[[], bytes]
    peer: str | None


def answer(api: HttpApi, asked: RpcQuestion, now_ms: Callable[[], int]) -> RpcAnswer:
    """The answer, in the protocol that the request speaks. Refusals too bear the trace and the stamp."""
    said = _in_its_protocol(api, asked, now_ms)
    if "traceparent" not in said.headers:
        said.headers.update(marks(api, asked.headers, asked.peer))
    return said


def _in_its_protocol(api: HttpApi, asked: RpcQuestion, now_ms: Callable[[], int]) -> RpcAnswer:
    media, _, _ = asked.headers.get("content-type", "").partition(";")
    media = media.strip().lower()
    if media.removesuffix("+proto") in (WEB, WEB_TEXT):
        return _web(api, asked, media, now_ms)
    return _connect(api, asked, media, now_ms)


# -- Connect


def _connect(api: HttpApi, asked: RpcQuestion, media: str, now_ms: Callable[[], int]) -> RpcAnswer:
    method = BY_PATH.get(asked.path)
    if method is None:
        return _refusal(RpcError(UNIMPLEMENTED, f"there is no call {asked.path}"))
    if asked.method == "GET" and method.reads:
        return _connect_get(api, asked, method, now_ms)
    if asked.method != "POST":
        return RpcAnswer(405, {"Allow": "GET, POST" if method.reads else "POST"}, b"")
    if media not in (JSON, PROTO):
        return RpcAnswer(415, {"Accept-Post": f"{JSON}, {PROTO}"}, b"")
    try:
        _check_version(asked.headers.get("connect-protocol-version"))
        if (coding := asked.headers.get("content-encoding", "identity")) != "identity":
            raise RpcError(UNIMPLEMENTED, f"messages in {coding} are not taken: send identity")
        message = _read(method, media == JSON, _bounded(asked.body()))
        outcome = _timed(api, asked, method, message, asked.headers.get("connect-timeout-ms"), now_ms)
    except RpcError as error:
        return _refusal(error)
    return _connect_answer(outcome, media == JSON)


def _connect_get(api: HttpApi, asked: RpcQuestion, method: Method, now_ms: Callable[[], int]) -> RpcAnswer:
    given = {name: values[-1] for name, values in parse_qs(asked.query, keep_blank_values=True).items()}
    try:
        _check_version(given.get("connect", "").removeprefix("v") or None)
        encoding, text = given.get("encoding", ""), given.get("message", "")
        if encoding not in ("json", "proto"):
            raise RpcError(INVALID_ARGUMENT, "encoding: must be json or proto")
        raw = _unbase64(text, "message") if given.get("base64") == "1" else text.encode()
        message = _read(method, encoding == "json", _bounded(raw))
        outcome = _timed(api, asked, method, message, asked.headers.get("connect-timeout-ms"), now_ms)
    except RpcError as error:
        return _refusal(error)
    return _connect_answer(outcome, encoding == "json")


def _connect_answer(outcome: RpcOutcome, in_json: bool) -> RpcAnswer:
    if isinstance(outcome.result, RpcError):
        return _refusal(outcome.result, outcome.headers)
    if in_json:
        text = json_format.MessageToJson(outcome.result, indent=None)
        return RpcAnswer(200, {**outcome.headers, "Content-Type": JSON}, text.encode())
    return RpcAnswer(200, {**outcome.headers, "Content-Type": PROTO}, outcome.result.SerializeToString())


def _refusal(error: RpcError, headers: Mapping[str, str] | None = None) -> RpcAnswer:
    details = [
        {
            "type": d.DESCRIPTOR.full_name,
            "value": base64.b64encode(d.SerializeToString()).decode().rstrip("="),
            "debug": json_format.MessageToDict(d),
        }
        for d in error.details
    ]
    said = {"code": error.code.name, "message": error.message, "details": details}
    return RpcAnswer(error.code.http, {**(headers or {}), "Content-Type": JSON}, json.dumps(said).encode())


def _check_version(version: str | None) -> None:
    if version not in (None, "1"):
        raise RpcError(INVALID_ARGUMENT, f"connect-protocol-version: must be 1, not {version[:20]!r}")


# -- gRPC-Web


def _web(api: HttpApi, asked: RpcQuestion, media: str, now_ms: Callable[[], int]) -> RpcAnswer:
    in_text = media.startswith(WEB_TEXT)
    outcome = _web_outcome(api, asked, in_text, now_ms)
    failed = outcome.result if isinstance(outcome.result, RpcError) else None
    data = b"" if isinstance(outcome.result, RpcError) else _frame(0, outcome.result.SerializeToString())
    trailers = [f"grpc-status: {0 if failed is None else failed.code.number}"]
    if failed is not None:
        details = base64.b64encode(failed.status().SerializeToString()).decode().rstrip("=")
        trailers += [f"grpc-message: {quote(failed.message, safe=' ')}", f"grpc-status-details-bin: {details}"]
    body = data + _frame(_TRAILERS, "".join(f"{line}\r\n" for line in trailers).encode())
    kind = media if media.endswith("+proto") else media + "+proto"
    return RpcAnswer(200, {**outcome.headers, "Content-Type": kind}, base64.b64encode(body) if in_text else body)


def _web_outcome(api: HttpApi, asked: RpcQuestion, in_text: bool, now_ms: Callable[[], int]) -> RpcOutcome:
    try:
        method = BY_PATH.get(asked.path)
        if method is None or asked.method != "POST":
            raise RpcError(UNIMPLEMENTED, f"there is no call {asked.method} {asked.path}")
        raw = asked.body()
        message = _read(method, False, _unframed(_unbase64(raw.decode("latin-1"), "body") if in_text else raw))
        return _timed(api, asked, method, message, _milliseconds(asked.headers.get("grpc-timeout")), now_ms)
    except RpcError as error:
        return RpcOutcome(error, {})


def _frame(flag: int, content: bytes) -> bytes:
    return bytes([flag]) + len(content).to_bytes(4) + content


def _unframed(raw: bytes) -> bytes:
    """The one message of a unary call. Raises RpcError."""
    if len(raw) < 5 or raw[0] != 0 or int.from_bytes(raw[1:5]) != len(raw) - 5:
        raise RpcError(INVALID_ARGUMENT, "the body must be one message that is not compressed, behind its length")
    return _bounded(raw[5:])


_UNITS_MS: Final = {"H": 3_600_000.0, "M": 60_000.0, "S": 1_000.0, "m": 1.0, "u": 0.001, "n": 0.000_001}


def _milliseconds(timeout: str | None) -> str | None:
    """``grpc-timeout`` as Connect's. Raises RpcError."""
    if timeout is None:
        return None
    digits, unit = timeout[:-1], timeout[-1:]
    if not digits.isdecimal() or len(digits) > 8 or unit not in _UNITS_MS:
        raise RpcError(INVALID_ARGUMENT, f"grpc-timeout: cannot be read: {timeout[:20]!r}")
    return str(int(int(digits) * _UNITS_MS[unit]))


# -- both


def _timed(
    api: HttpApi, asked: RpcQuestion, method: Method, message: Message, timeout: str | None, now_ms: Callable[[], int]
) -> RpcOutcome:
    """Run the call within its time: when that is over the caller counts as gone, and gets nothing any more."""
    if timeout is None:
        return run(api, method, message, asked.headers, asked.peer)
    if not timeout.isdecimal() or len(timeout) > _TIMEOUT_MAX_DIGITS:
        raise RpcError(INVALID_ARGUMENT, f"connect-timeout-ms: must be milliseconds, not {timeout[:20]!r}")
    until_ms = now_ms() + int(timeout)
    here = connection.current()
    within = CallerConnection(
        lambda: here.gone() or now_ms() >= until_ms, here.address, here.client_certificate, gives_up=True
    )
    with connection.serving(within, connection.stream_slot()):
        outcome = run(api, method, message, asked.headers, asked.peer)
    if now_ms() >= until_ms:
        return RpcOutcome(RpcError(DEADLINE_EXCEEDED, f"the call took longer than its {timeout} ms"), outcome.headers)
    return outcome


def _read(method: Method, in_json: bool, raw: bytes) -> Message:
    """The message. Raises RpcError. A field that there is not is refused, as in REST: it may be a typo."""
    message = method.request()
    if in_json and raw.lstrip()[:1] not in (b"{", b""):  # an empty array or text passes json_format for an empty object
        raise RpcError(INVALID_ARGUMENT, "the message cannot be read: it is not a JSON object")
    try:
        if in_json:
            json_format.Parse(raw or b"{}", message, max_recursion_depth=50)
        else:
            message.ParseFromString(raw)
    except (json_format.ParseError, DecodeError, UnicodeDecodeError) as problem:
        reason = str(problem).partition("\n")[0] if in_json else "it is not the wire format of its type"
        text = f"the message cannot be read: {reason}"[:500]
        if found := _WRONG_FIELD.search(reason):
            raise invalid_field(found[1] or found[2], text) from None
        raise RpcError(INVALID_ARGUMENT, text) from None
    return message


def _bounded(raw: bytes) -> bytes:
    if len(raw) > BODY_MAX_BYTES:
        raise RpcError(RESOURCE_EXHAUSTED, f"a message has at most {BODY_MAX_BYTES} bytes")
    return raw


def _unbase64(text: str, what: str) -> bytes:
    plain = text.replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise RpcError(INVALID_ARGUMENT, f"{what}: is not base64") from None
