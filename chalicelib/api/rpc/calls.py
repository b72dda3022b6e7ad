"""Runs a call of gRPC, gRPC-Web or Connect as the REST operation behind it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final, NamedTuple

from chalice.app import CaseInsensitiveMapping, Response
from google.protobuf.message import Message

from chalicelib.api.http.app import HttpApi
from chalicelib.api.http.incoming import IncomingCall
from chalicelib.api.http.operations import Operation
from chalicelib.api.http.problem import JSON
from chalicelib.api.rpc.methods import Json, Method, RestCall
from chalicelib.api.rpc.status import RpcError, of_problem
from chalicelib.core.errors import ChronoError

# What a call says beside its message: metadata in gRPC, headers in the others.
HANDED_ON: Final = (
    "authorization", "idempotency-key", "if-match", "traceparent", "tracestate", "x-chrono-depth", "x-chrono-hlc",
    "x-forwarded-for",
)  # fmt: skip
HANDED_BACK: Final = ("traceparent", "x-chrono-hlc", "retry-after", "ratelimit", "ratelimit-policy",
    "idempotent-replayed", "etag", "www-authenticate")  # fmt: skip


class RestAnswer(NamedTuple):
    """What an operation answered: its JSON, or the error that its problem is. Names of headers are in lower case."""

    said: Json | RpcError
    headers: dict[str, str]


class RpcOutcome(NamedTuple):
    """What a call came to, and what is said beside it. Names are in lower case."""

    result: Message | RpcError
    headers: dict[str, str]


def run(api: HttpApi, method: Method, message: Message, headers: Mapping[str, str], peer: str | None) -> RpcOutcome:
    """Ask the operation behind ``method``. Never raises for what a caller did."""
    try:
        asked = method.ask(message)
    except ChronoError as error:
        said, back = _refused(api, error, headers, peer)
    else:
        said, back = ask(api, api.operation(*method.rest), asked, headers, peer)
    return RpcOutcome(said if isinstance(said, RpcError) else method.answer(message, said), back)


def ask(
    api: HttpApi, operation: Operation, asked: RestCall, headers: Mapping[str, str], peer: str | None
) -> RestAnswer:
    """Ask one operation as the caller of the call: with what it said beside its message, and from its address."""
    handed = {name: headers[name] for name in HANDED_ON if name in headers}
    body = b"" if asked.body is None else json.dumps(asked.body).encode()
    if asked.body is not None:
        handed["content-type"] = JSON
    query = {name: [value] for name, value in asked.query.items()}
    incoming = IncomingCall(CaseInsensitiveMapping(handed), query, lambda: body)
    return _answered(api.ask(operation, asked.params, incoming, peer))


def _refused(api: HttpApi, error: ChronoError, headers: Mapping[str, str], peer: str | None) -> RestAnswer:
    """The refusal of a message that asks for nothing that there is. Wrong credentials come first, as in REST."""

    def refuse(_visit: object) -> Response:
        raise error

    return _answered(api.respond(headers, peer, refuse))


def marks(api: HttpApi, headers: Mapping[str, str], peer: str | None) -> dict[str, str]:
    """The trace and the stamp that every answer has, for one that no operation gave."""
    return _answered(api.respond(headers, peer, lambda _: Response(body=""))).headers


def _answered(response: Response) -> RestAnswer:
    told = {name.lower(): str(value) for name, value in response.headers.items()}
    back: dict[str, str] = {name: told[name] for name in HANDED_BACK if name in told}
    said = json.loads(response.body or "{}")
    if response.status_code >= 400:
        said = of_problem(response.status_code, said, told.get("retry-after"))
    return RestAnswer(said, back)
