"""An engine beside the service, over real sockets: its answers, and every way of giving none."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from chalicelib.adapters.policies.opa import OpaPolicies
from chalicelib.core.rules.opa_settings import OpaSettings
from chalicelib.ports.external_policies import ExternalVerdict

QUESTION = {"tenant": "t", "action": "schedules:create", "caller": {"subject": "a", "roles": []}, "subject": {}}


class Opa:
    """A server that answers every question with ``answer``; ``asked`` has paths and bodies."""

    def __init__(self) -> None:
        self.answer: Callable[[], tuple[int, bytes]] = lambda: (200, b"{}")
        self.asked: list[tuple[str, Any]] = []
        opa = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                opa.asked.append((self.path, json.loads(body)))
                status, text = opa.answer()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def says(self, document: Any) -> None:
        self.answer = lambda: (200, json.dumps(document).encode())


@pytest.fixture
def opa() -> Iterator[Opa]:
    made = Opa()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


@pytest.fixture
def policies(opa: Opa) -> OpaPolicies:
    """With more patience than the product has: what is tried here answers, if late on a busy machine."""
    return OpaPolicies(OpaSettings(opa.url, "chronowatch/allow"), time.monotonic, timeout_s=10)


@pytest.mark.parametrize(
    ("document", "verdict"),
    [
        ({"result": True, "decision_id": "d-1"}, ExternalVerdict(True, (), "d-1")),
        ({"result": False}, ExternalVerdict(False)),
        ({"result": {"allow": True}}, ExternalVerdict(True)),
        (
            {"result": {"allow": False, "reasons": ["a", 1, "b"]}, "decision_id": "d"},
            ExternalVerdict(False, ("a", "b"), "d"),
        ),
    ],
)
def test_what_it_decides(opa: Opa, policies: OpaPolicies, document: Any, verdict: ExternalVerdict) -> None:
    opa.says(document)
    assert policies.decide(QUESTION) == verdict
    assert opa.asked == [("/v1/data/chronowatch/allow", {"input": QUESTION})]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((200, b"{}"), "undefined"),
        ((200, b'{"result": "yes"}'), "no decision"),
        ((200, b'{"result": {"allow": 1}}'), "no decision"),
        ((200, b"[]"), "no decision"),
        ((200, b"not json"), "not JSON"),
        ((500, b'{"result": true}'), "HTTP 500"),
        ((302, b'{"result": true}'), "HTTP 302"),
    ],
)
def test_anything_else_denies(opa: Opa, policies: OpaPolicies, answer: tuple[int, bytes], reason: str) -> None:
    opa.answer = lambda: answer
    verdict = policies.decide(QUESTION)
    assert not verdict.allowed
    assert reason in verdict.reasons[0]


def test_silence_denies_in_time(opa: Opa) -> None:
    over = threading.Event()

    def slowly() -> tuple[int, bytes]:
        assert over.wait(30)
        return 200, b'{"result": true}'

    opa.answer = slowly
    verdict = OpaPolicies(OpaSettings(opa.url, "p"), time.monotonic).decide(QUESTION)
    over.set()
    assert not verdict.allowed
    assert "200 ms" in verdict.reasons[0]


def test_an_engine_that_is_away_denies() -> None:
    away = OpaPolicies(OpaSettings("http://127.0.0.1:1", "p"), time.monotonic, timeout_s=10)
    assert not away.decide(QUESTION).allowed
