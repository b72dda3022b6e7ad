"""Receivers in web frameworks: signed, forged, repeated. Frameworks that are not installed are skipped by name."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from chronowatch import Firing, receiver
from chronowatch.receiving import Receiver

KEY = b"secret-of-this-test"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
Post = Callable[[bytes, dict[str, str]], int]


def _signed() -> tuple[bytes, dict[str, str]]:
    event = {
        "specversion": "1.0", "id": "E1", "type": "chronowatch.firings.v1", "subject": "S",
        "time": "2026-11-27T02:00:00Z", "attempt": 1, "fencingtoken": 1, "data": {"n": 1},
    }  # fmt: skip
    body, stamp = json.dumps(event).encode(), str(int(time.time()))
    signature = hmac.new(KEY, f"E1.{stamp}.".encode() + body, hashlib.sha256).digest()
    headers = {"webhook-id": "E1", "webhook-timestamp": stamp}
    return body, {**headers, "webhook-signature": "v1," + base64.b64encode(signature).decode()}


def _asgi(app: Any, method: str = "POST") -> Post:
    def post(body: bytes, headers: dict[str, str]) -> int:
        sent: list[dict[str, Any]] = []
        parts = [body[:5], body[5:]]

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": "/firings",
            "raw_path": b"/firings", "root_path": "", "scheme": "http", "query_string": b"", "headers": pairs,
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
        }  # fmt: skip
        asyncio.run(app(scope, receive, send))
        return int(sent[0]["status"])

    return post


def _plain(handler: Receiver) -> Post:
    return _asgi(handler.asgi)


def _fastapi(handler: Receiver) -> Post:
    fastapi = pytest.importorskip("fastapi")
    app = fastapi.FastAPI()
    app.add_route("/firings", handler.asgi, methods=["POST"])
    return _asgi(app)


def _flask(handler: Receiver) -> Post:
    flask = pytest.importorskip("flask")
    app = flask.Flask("test")
    app.post("/firings")(handler.flask)
    client = app.test_client()
    return lambda body, headers: int(client.post("/firings", data=body, headers=headers).status_code)


def _django(handler: Receiver) -> Post:
    pytest.importorskip("django")
    from django.conf import settings
    from django.test import RequestFactory

    if not settings.configured:
        settings.configure(DEFAULT_CHARSET="utf-8")
    factory = RequestFactory(enforce_csrf_checks=True)

    def post(body: bytes, headers: dict[str, str]) -> int:
        request = factory.post("/firings", body, content_type="application/cloudevents+json", headers=headers)
        return int(handler.django(request).status_code)

    assert handler.django.csrf_exempt
    return post


@pytest.mark.parametrize("framework", [_plain, _fastapi, _flask, _django])
def test_a_firing_is_verified_and_handled_once(framework: Callable[[Receiver], Post]) -> None:
    seen: list[Any] = []

    @receiver(secret=SECRET)
    def handler(firing: Firing) -> None:
        seen.append(firing.data)

    post = framework(handler)
    body, headers = _signed()
    assert post(body, {**headers, "webhook-signature": "v1,AAAA"}) == 401
    assert post(body + b" ", headers) == 401
    assert [post(body, headers), post(body, headers)] == [204, 204]
    assert seen == [{"n": 1}]


def test_what_is_no_post_or_too_large_is_refused() -> None:
    handler = receiver(secret=SECRET)(lambda firing: None)
    assert _asgi(handler.asgi, "GET")(b"", {}) == 405
    assert _asgi(handler.asgi)(b"x" * 300_000, {}) == 413
