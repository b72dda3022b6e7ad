"""Runs a call of gRPC, gRPC-Web or Connect as the REST operation behind it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final, NamedTuple

from chalice.app import CaseInsensitiveMapping
from google.protobuf.message import Message

from chalicelib.api.http.app import HttpApi
from chalicelib.api.http.incoming import IncomingCall
from chalicelib.api.http.problem import JSON, problem
from chalicelib.api.rpc.methods import Method
from chalicelib.api.rpc.status import RpcError, of_problem
from chalicelib.core import trace
from chalicelib.core.errors import ChronoError

# What a call says beside its message: metadata in gRPC, headers in the others.
HANDED_ON: Final = (
    "authorization", "idempotency-key", "if-match", "traceparent", "tracestate", "x-chrono-depth", "x-chrono-hlc",
    "x-forwarded-for",
)  # fmt: skip
HANDED_BACK: Final = ("traceparent", "x-chrono-hlc", "retry-after", "ratelimit", "ratelimit-policy",
    "idempotent-replayed", "etag", "www-authenticate")  # fmt: skip


def handed_on(headers: Mapping[str, str]) -> dict[str, str]:
    """Of what a caller says beside its message, what goes on to the API."""
    return {name: headers[name] for name in HANDED_ON if name in headers}


class RpcOutcome(NamedTuple):
    """What a call came to, and what is said beside it. Names are in lower case."""

    result: Message | RpcError
    headers: dict[str, str]


def run(api: HttpApi, method: Method, message: Message, headers: Mapping[str, str], peer: str | None) -> RpcOutcome:
    """Ask the operation behind ``method``. Never raises for what a caller did."""
    handed = handed_on(headers)
    try:
        asked = method.ask(message)
    except ChronoError as error:
        context = trace.parse(headers.get("traceparent")) or trace.of_attempt(method.path, 0)
        reply = problem(error, context.trace_id)
        return RpcOutcome(of_problem(reply.status, json.loads(reply.text()), None), {})
    body = b"" if asked.body is None else json.dumps(asked.body).encode()
    if asked.body is not None:
        handed["content-type"] = JSON
    query = {name: [value] for name, value in asked.query.items()}
    incoming = IncomingCall(CaseInsensitiveMapping(handed), query, lambda: body)
    operation = api.operation(method.rest_method, method.rest_path)
    response = api.ask(operation, asked.params, incoming, peer)
    told = {name.lower(): str(value) for name, value in response.headers.items()}
    back: dict[str, str] = {name: told[name] for name in HANDED_BACK if name in told}
    said = json.loads(response.body or "{}")
    if response.status_code >= 400:
        return RpcOutcome(of_problem(response.status_code, said, told.get("retry-after")), back)
    return RpcOutcome(method.answer(message, said), back)
