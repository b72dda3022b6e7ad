"""A receiver inside a web framework. Nothing of the framework is imported before its first request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from chronowatch.webhooks import BODY_MAX_BYTES


class Answered(Protocol):
    """What a receiver answers."""

    @property
    def status(self) -> int: ...
    @property
    def body(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...


Receive = Callable[[Mapping[str, str], bytes], Answered]
_TYPE = "text/plain; charset=utf-8"


class AsgiReceiver:
    """An ASGI application that takes POST: FastAPI and Starlette by ``add_route``. The handler runs in a thread."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive

    async def __call__(
        self,
        scope: Mapping[str, Any],
        receive: Callable[[], Awaitable[Mapping[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        import asyncio

        if scope["type"] != "http":
            raise TypeError(f"a receiver takes requests of HTTP, not {scope['type']}")
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if len(body) > BODY_MAX_BYTES or not message.get("more_body"):
                break
        if scope["method"] != "POST":
            await _send(send, 405, "POST a firing", {"Allow": "POST"})
        elif len(body) > BODY_MAX_BYTES:
            await _send(send, 413, f"the body has more than {BODY_MAX_BYTES // 1024} KiB", {})
        else:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            answer = await asyncio.to_thread(self._receive, headers, body)
            await _send(send, answer.status, answer.body, answer.headers)


async def _send(
    send: Callable[[dict[str, Any]], Awaitable[None]], status: int, text: str, more: Mapping[str, str]
) -> None:
    body = text.encode()
    headers = {"Content-Type": _TYPE, "Content-Length": str(len(body)), **more}
    pairs = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


def flask_view(receive: Receive) -> Callable[[], tuple[str, int, dict[str, str]]]:
    """A view of Flask."""

    def firing() -> tuple[str, int, dict[str, str]]:
        from flask import request

        answer = receive(dict(request.headers), request.get_data())
        return answer.body, answer.status, {"Content-Type": _TYPE, **answer.headers}

    return firing


def django_view(receive: Receive) -> Callable[[Any], Any]:
    """A view of Django. Its signature stands in the place of a CSRF token."""

    def firing(request: Any) -> Any:
        from django.http import HttpResponse, HttpResponseNotAllowed

        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        answer = receive(dict(request.headers), request.body)
        return HttpResponse(answer.body, _TYPE, answer.status, headers=dict(answer.headers))

    firing.csrf_exempt = True  # type: ignore[attr-defined]
    return firing
