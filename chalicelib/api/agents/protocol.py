"""MCP as a protocol: one stateless POST (Streamable HTTP), JSON-RPC in and out. There is no session and no stream.

What is offered to an agent is an ``Offer``. The service has one; the official conformance suite brings its own tools,
resources and prompts, and tests serve them by the code of this module.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from chalicelib.api.http.cross_origin import split_origin
from chalicelib.api.http.operations import Call
from chalicelib.api.http.problem import JSON, Reply, check_json
from chalicelib.api.http.requests import Body, Query
from chalicelib.core.errors import BadRequest

VERSIONS: Final = ("2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28")
PARSE_ERROR, INVALID_REQUEST, NO_METHOD, INVALID_PARAMS, INTERNAL_ERROR = -32700, -32600, -32601, -32602, -32603
NO_RESOURCE: Final = -32002
WRONG_VERSION: Final = -32022  # the schema of 2026-07-28: UnsupportedProtocolVersionError
VERSION_HEADER: Final = "mcp-protocol-version"
COMPLETED_MAX: Final = 100
_NO_BODY: Final = 202
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class RpcBody(Body, kw_only=True):
    """A message of JSON-RPC."""

    text: str = ""


class RpcProblem(Exception):
    """Raised for what JSON-RPC answers with an error."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


class ToolAnswer(NamedTuple):
    """What a tool answered. ``failed``: its content says why, for the agent to read."""

    content: Sequence[Mapping[str, Any]]
    structured: Any = None
    failed: bool = False


class Offer(Protocol):
    """What one caller is offered. Everything here raises RpcProblem for what is unknown or wrong."""

    @property
    def about(self) -> Mapping[str, Any]:
        """``serverInfo`` and ``instructions``."""

    def tools(self) -> Sequence[Mapping[str, Any]]:
        """The tools, as ``tools/list`` has them."""

    def use(self, name: str, given: Mapping[str, Any]) -> ToolAnswer:
        """Use a tool."""

    def resources(self) -> Sequence[Mapping[str, Any]]:
        """The resources that are always there."""

    def templates(self) -> Sequence[Mapping[str, Any]]:
        """Resources whose address has a part to fill in."""

    def read(self, uri: str) -> Sequence[Mapping[str, Any]]:
        """The contents of a resource."""

    def prompts(self) -> Sequence[Mapping[str, Any]]:
        """The prompts, with their arguments."""

    def prompt(self, name: str, given: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
        """The messages of a prompt."""

    def complete(self, ref: Mapping[str, Any], argument: str, begun: str) -> Sequence[str]:
        """How an argument of a prompt or a template may go on."""


class Agents(NamedTuple):
    """What answers agents, with what ``offered`` gives the caller of a call."""

    offered: Callable[[Call[RpcBody, Query]], Offer]

    def answer(self, call: Call[RpcBody, Query]) -> Reply:
        """Answer one message; a notification has no answer."""
        if not _may_come_from(call):
            told = "the page of another site made this call: its Origin is neither the console's nor this machine's"
            return _failed(None, RpcProblem(INVALID_REQUEST, told), 403)
        try:
            check_json(call.body.text.encode(), JSON)
        except BadRequest as wrong:
            return _failed(None, RpcProblem(PARSE_ERROR, wrong.detail), 400)
        message = json.loads(call.body.text)
        if (
            not isinstance(message, dict)
            or message.get("jsonrpc") != "2.0"
            or not isinstance(message.get("method"), str)
        ):
            return _failed(
                None, RpcProblem(INVALID_REQUEST, "send one JSON-RPC 2.0 request; batches are not taken"), 400
            )
        number = message.get("id")
        version = call.headers.get(VERSION_HEADER)
        if version is not None and version not in VERSIONS:
            return _failed(number if _is_id(number) else None, _wrong_version(version), 400)
        if "id" not in message:
            return Reply(_NO_BODY)
        if not _is_id(number):
            return _failed(None, RpcProblem(INVALID_REQUEST, "id must be a text or a whole number"), 400)
        try:
            params = message.get("params", {})
            if not isinstance(params, dict):
                raise RpcProblem(INVALID_PARAMS, "params must be an object")
            result = _result(self.offered(call), message["method"], params)
        except RpcProblem as problem:
            return _failed(number, problem, 200)
        return Reply(200, {"jsonrpc": "2.0", "id": number, "result": result})


def _is_id(number: object) -> bool:
    return isinstance(number, str | int) and not isinstance(number, bool)


def _wrong_version(version: str) -> RpcProblem:
    """MCP, "Transports": a version that is not spoken is answered with 400, before anything is done."""
    told = f"MCP-Protocol-Version: {version[:40]!r} is not spoken; these are: {', '.join(VERSIONS)}"
    return RpcProblem(WRONG_VERSION, told, {"supported": list(VERSIONS), "requested": version[:40]})


def _result(offer: Offer, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    if method.endswith("/list") and params.get("cursor") is not None:
        raise RpcProblem(INVALID_PARAMS, "lists have one page: leave cursor out")
    match method:
        case "initialize" | "server/discover":
            return _about(offer, params)
        case "ping":
            return {}
        case "tools/list":
            return {"tools": offer.tools()}
        case "tools/call":
            return _used(offer.use(_text(params, "name"), _object(params, "arguments")))
        case "resources/list":
            return {"resources": offer.resources()}
        case "resources/templates/list":
            return {"resourceTemplates": offer.templates()}
        case "resources/read":
            return {"contents": offer.read(_text(params, "uri"))}
        case "prompts/list":
            return {"prompts": offer.prompts()}
        case "prompts/get":
            return {"messages": offer.prompt(_text(params, "name"), _texts(params, "arguments"))}
        case "completion/complete":
            return _completed(offer, params)
    raise RpcProblem(NO_METHOD, f"there is no method {method}")


def _about(offer: Offer, params: Mapping[str, Any]) -> dict[str, Any]:
    wanted = params.get("protocolVersion")
    return {
        "protocolVersion": wanted if wanted in VERSIONS else VERSIONS[-1],
        "supportedVersions": list(VERSIONS),
        "capabilities": {
            "tools": {"listChanged": False},
            "resources": {"subscribe": False, "listChanged": False},
            "prompts": {"listChanged": False},
            "completions": {},
        },
        **offer.about,
    }


def _used(found: ToolAnswer) -> dict[str, Any]:
    said: dict[str, Any] = {"content": found.content, "isError": found.failed}
    return said if found.structured is None else {**said, "structuredContent": found.structured}


def _completed(offer: Offer, params: Mapping[str, Any]) -> dict[str, Any]:
    argument = _object(params, "argument")
    values = offer.complete(_object(params, "ref"), _text(argument, "name"), _text(argument, "value"))
    more = len(values) > COMPLETED_MAX
    return {"completion": {"values": values[:COMPLETED_MAX], "total": len(values), "hasMore": more}}


def _text(params: Mapping[str, Any], name: str) -> str:
    found = params.get(name)
    if not isinstance(found, str):
        raise RpcProblem(INVALID_PARAMS, f"{name} must be a text")
    return found


def _object(params: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = params.get(name) or {}
    if not isinstance(found, dict):
        raise RpcProblem(INVALID_PARAMS, f"{name} must be an object")
    return found


def _texts(params: Mapping[str, Any], name: str) -> Mapping[str, str]:
    found = _object(params, name)
    for key, value in found.items():
        if not isinstance(value, str):
            raise RpcProblem(INVALID_PARAMS, f"{name}: {key} must be a text")
    return found


def _may_come_from(call: Call[RpcBody, Query]) -> bool:
    """Whether the page that made a call may, as MCP wants it judged; what is no browser has no ``Origin``.

    A name that equals ``Host`` proves nothing: a page can have its own name lead to this machine (DNS rebinding).
    """
    origin = call.headers.get("origin")
    if origin is None or origin == call.services.sessions.origin():
        return True
    named = split_origin(origin)
    return named.hostname in _LOOPBACK and named.netloc == call.headers.get("host")


def _failed(number: str | int | None, problem: RpcProblem, status: int) -> Reply:
    error: dict[str, Any] = {"code": problem.code, "message": problem.message}
    if problem.data is not None:
        error["data"] = problem.data
    return Reply(status, {"jsonrpc": "2.0", "id": number, "error": error})
