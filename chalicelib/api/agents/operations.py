"""The door for agents: MCP at ``/mcp``, and ``/llms.txt``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from chalicelib.api.agents.llms_text import LLMS_TEXT
from chalicelib.api.agents.offer import ServiceOffer
from chalicelib.api.agents.protocol import Agents, RpcBody
from chalicelib.api.http.operations import Call, Operation
from chalicelib.api.http.problem import JSON, Reply
from chalicelib.api.http.requests import Body, Query
from chalicelib.core.limits import BODY_MAX_BYTES

PATH: Final = "/mcp"


def llms(_call: Call[Body, Query]) -> Reply:
    """What an agent should know of the service."""
    return Reply(200, LLMS_TEXT, content_type="text/plain; charset=utf-8")


def door(agents: Agents) -> Operation:
    """The call that agents make."""
    return Operation(
        method="POST",
        path=PATH,
        summary="MCP for agents: Streamable HTTP, stateless",
        tag="agents",
        permission="docs:read",
        handler=agents.answer,
        body=RpcBody,
        answers={200: JSON, 202: None, 400: JSON},
        any_body_bytes=BODY_MAX_BYTES,
        description="JSON-RPC 2.0. Each tool is one call of this API, with its permission and its audit entry. "
        "What changes something is a dry run unless `dry_run` is false. Errors are JSON-RPC errors.",
    )


def operations(everything: Callable[[], Sequence[Operation]]) -> list[Operation]:
    """The calls of this noun; ``everything`` gives all operations, these included."""
    return [
        door(Agents(lambda call: ServiceOffer(call, everything))),
        Operation(
            method="GET",
            path="/llms.txt",
            summary="What an agent should know of the service",
            tag="agents",
            permission="docs:read",
            handler=llms,
            answers={200: "text/plain"},
            open_to_all=True,
        ),
    ]
