"""``mcp``: a bridge between an agent's stdio and the service's ``/mcp``."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from chronosctl.commands import Shared, session_of
from chronosctl.session import Session

_UNREACHABLE = -32001


@click.command("mcp", cls=Shared)
@click.pass_context
def mcp(context: click.Context, /) -> None:
    """Speak MCP on standard input and output, one JSON-RPC message a line; the service's /mcp answers."""
    session = session_of(context)
    for line in sys.stdin:
        if line.strip():
            for answer in _answers(session, line.strip()):
                sys.stdout.write(answer + "\n")
                sys.stdout.flush()


def _answers(session: Session, line: str) -> list[str]:
    from chronowatch.errors import ApiError, Unreachable

    try:
        message: Any = json.loads(line)
    except (ValueError, RecursionError):
        return [_error(None, -32700, "this line is no JSON")]
    if not isinstance(message, dict):
        return [_error(None, -32600, "send one JSON-RPC 2.0 request a line; batches are not taken")]
    asked, params = message.get("id"), message.get("params")
    headers = {"Accept": "application/json, text/event-stream", "Mcp-Method": str(message.get("method", ""))}
    if isinstance(params, dict) and isinstance(params.get("protocolVersion"), str):
        headers["MCP-Protocol-Version"] = params["protocolVersion"]
    try:
        answered = session.exchange("POST", "/mcp", line.encode(), headers=headers, safe=False)
    except ApiError as error:
        if error.problem.get("jsonrpc"):
            return [json.dumps(error.problem)]
        return [_error(asked, _UNREACHABLE, str(error))] if asked is not None else []
    except Unreachable as failure:
        return [_error(asked, _UNREACHABLE, str(failure))] if asked is not None else []
    text = answered.body.decode()
    if answered.headers.get("content-type", "").startswith("text/event-stream"):
        return [each[5:].strip() for each in text.splitlines() if each.startswith("data:")]
    return [" ".join(text.split("\n"))] if text.strip() else []


def _error(asked: Any, code: int, said: str) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": asked, "error": {"code": code, "message": said}})
