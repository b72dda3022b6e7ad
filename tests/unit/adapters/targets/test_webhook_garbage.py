"""Nothing that a receiver sends changes the outcome of its status by failing to be read."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from chalicelib.adapters.http.answer import UNREADABLE, HttpAnswer
from chalicelib.adapters.targets.webhook import WebhookSender
from chalicelib.core.targets import target_answer
from chalicelib.ports.target import Delivery, Outcome
from tests.kit.receivers import GUARD_S, OK, Receiver, say

NOW_MS = 1_795_252_805_002


@pytest.fixture
def target() -> Iterator[WebhookSender]:
    made = WebhookSender(now_ms=lambda: NOW_MS, monotonic_s=time.monotonic, allow=("127.0.0.1",))
    yield made
    made.close()


def outcome_of(target: WebhookSender, receiver: Receiver, answer: bytes) -> Outcome:
    receiver.answers.append(say(answer))
    delivery = Delivery(
        execution_id="01KB-1",
        tenant="default",
        schedule_id="01KB",
        firing_unix_ms=1_795_252_805_000,
        attempt=1,
        fencing_token=1,
        target={"type": "webhook", "url": f"http://127.0.0.1:{receiver.port}/", "method": "POST"},
        event=b"{}",
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        timeout_ms=GUARD_S * 1000,
    )
    (outcome,) = target.dispatch([delivery])
    assert outcome.kind == "completed" or target_answer.read(outcome.answer or "")
    return replace(outcome, answer=None)


UNREADABLE_HEADERS = [
    "Retry-After: Mon, 20 Nov 9999999999 12:00:00 +0000",
    "Retry-After: Mon, 20 Nov 2026 12:00:00 +99999999999999999999",
    "Retry-After: Mon, 99999999999999999999 Nov 2026 10:00:00 GMT",
    "Retry-After: 17 June , 2022",
    "Retry-After: " + "9" * 5000 + "x",
    "Retry-After: soon",
    "Retry-After:  ",
    "X-Chrono-Async: \xff",
    "Date: never",
]
BROKEN_LINES = [
    "Content-Length: many",
    "Content-Length: -1",
    "Content-Length: 99999999999999999999999999",
    "Content-Length: 1\r\nContent-Length: 2",
    "Transfer-Encoding: chunked\r\nContent-Length: 3",
    "no colon",
    "blank in name: x",
    "X-Bell: \x07",
]


@pytest.mark.parametrize("header", UNREADABLE_HEADERS)
def test_a_header_that_cannot_be_read_counts_as_absent(target: WebhookSender, receiver: Receiver, header: str) -> None:
    answer = f"HTTP/1.1 429 Too Many\r\n{header}\r\nContent-Length: 0\r\n\r\n".encode("latin-1")
    assert outcome_of(target, receiver, answer) == Outcome("failed", 429, "http_error", "HTTP 429 Too Many")


@pytest.mark.parametrize("header", BROKEN_LINES)
def test_a_status_stands_though_its_headers_are_broken(target: WebhookSender, receiver: Receiver, header: str) -> None:
    found = outcome_of(target, receiver, f"HTTP/1.1 200 OK\r\n{header}\r\n\r\n".encode("latin-1"))
    assert found == Outcome("completed", 200)
    found = outcome_of(target, receiver, f"HTTP/1.1 410 Gone\r\n{header}\r\n\r\n".encode("latin-1"))
    gone = Outcome("failed", 410, "http_error", "HTTP 410 Gone", None, permanent=True, pause_schedule=True)
    assert found == gone
    assert receiver.connections == 2, "a connection whose answer could not be read is not used again"


def test_a_410_pauses_its_schedule_whatever_its_headers_say(target: WebhookSender, receiver: Receiver) -> None:
    answer = f"HTTP/1.1 410 Gone\r\n{UNREADABLE_HEADERS[0]}\r\nContent-Length: 0\r\n\r\n"
    found = outcome_of(target, receiver, answer.encode())
    assert (found.http_status, found.permanent, found.pause_schedule) == (410, True, True)


@pytest.mark.parametrize("line", ["HTTP/1.1 41x Gone", "HTTP/1.1 2000 OK", "HTTP/1.1 20 OK", "HTTP/x 200 OK"])
def test_a_status_line_that_cannot_be_read_is_no_answer(target: WebhookSender, receiver: Receiver, line: str) -> None:
    found = outcome_of(target, receiver, f"{line}\r\n\r\n".encode())
    assert (found.kind, found.http_status, found.error_type) == ("failed", None, "connection_error")


def test_an_interim_answer_with_broken_headers_is_not_the_status(target: WebhookSender, receiver: Receiver) -> None:
    found = outcome_of(target, receiver, b"HTTP/1.1 103 Early Hints\r\nno colon\r\n\r\n" + OK)
    assert (found.http_status, found.error_type) == (None, "connection_error")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=80))
def test_no_bytes_after_a_status_line_take_it_back(rest: bytes) -> None:
    answer = HttpAnswer()
    try:
        answer.feed(b"HTTP/1.1 410 Gone\r\n" + rest)
    except UNREADABLE:
        assert answer.status == 410
        assert not answer.is_kept
    else:
        assert answer.status in (0, 410), "0: its head has not ended"
