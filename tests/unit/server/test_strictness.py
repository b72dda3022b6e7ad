"""What is no proper request is refused as problem+json, and the connection ends (RFC 9112)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chalicelib.core.limits import BODY_MAX_BYTES
from tests.kit.house import RATE
from tests.kit.wires import HEAD, Wires, post, read_one, serving

NOW = b"GET /api/v1/time/now"
CREATE = b"POST /api/v1/schedules"
CLOSE = b"Connection: close\r\n"


@pytest.fixture(scope="module")
def wires() -> Iterator[Wires]:
    with serving() as running:
        yield running


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (NOW + b" HTTP/1.1\r\n\r\n", 400, "bad_request"),
        (NOW + b" HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "bad_request"),
        (NOW + b" HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "bad_request"),
        (NOW + b" HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400, "bad_request"),
        (NOW + b" HTTP/1.2\r\nHost: x\r\n\r\n", 505, "http_version_not_supported"),
        (NOW + b" HTTP/2.0\r\nHost: x\r\n\r\n", 505, "http_version_not_supported"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "http_version_not_supported"),
        (b"NOT HTTP AT ALL\r\n\r\n", 400, "bad_request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "bad_request"),
        (b"GET /\x80" + HEAD + b"\r\n", 400, "bad_request"),
        (b"GET /" + HEAD + b"broken header\r\n\r\n", 400, "bad_request"),
        (b"GET /" + HEAD + b"X: a\r\n b\r\n\r\n", 400, "bad_request"),
        (b"GET /" + HEAD + b"X : a\r\n\r\n", 400, "bad_request"),
        (b"GET /" + HEAD + b"X: " + b"x" * 300_000 + b"\r\n\r\n", 431, "headers_too_large"),
        (b"GET /" + HEAD + b"X: y\r\n" * 12_000 + b"\r\n", 431, "headers_too_large"),
        (b"GET /" + HEAD + b"X: " + b"x" * 600_000, 431, "headers_too_large"),
        (b"GET /" + b"x" * 20_000 + HEAD + b"\r\n", 414, "uri_too_long"),
        (CREATE + HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad_request"),
        (CREATE + HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400, "bad_request"),
        (CREATE + HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400, "bad_request"),
        (CREATE + HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "bad_request"),
        (CREATE + b" HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad_request"),
        (CREATE + HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400, "bad_request"),
        (CREATE + HEAD + b"Content-Length: +5\r\n\r\n", 400, "bad_request"),
        (CREATE + HEAD + b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n", 400, "bad_request"),
    ],
    ids=lambda value: value[:44].decode("latin-1") if isinstance(value, bytes) else None,
)
def test_what_is_no_request_is_refused(wires: Wires, sent: bytes, status: int, code: str) -> None:
    [answer] = wires.say(sent)
    assert (answer.status, answer.code) == (status, code)
    assert answer.headers["traceparent"].split("-")[1] == answer.json["trace_id"]
    assert answer.headers["X-Chrono-HLC"]
    assert answer.headers["Connection"] == "close"


@pytest.mark.parametrize("request_line", [NOW + b" HTTP/1.0\r\n", NOW + HEAD, b"GET http://x/api/v1/time/now" + HEAD])
def test_what_is_one_is_answered(wires: Wires, request_line: bytes) -> None:
    [answer] = wires.say(request_line + CLOSE + b"\r\n")
    assert answer.status == 200
    assert answer.headers["Date"].endswith(" GMT")


@pytest.mark.parametrize(
    ("path", "status", "allow"), [(b"/api/v1/schedules", 405, "GET, POST"), (b"/nowhere", 404, None)]
)
def test_a_method_that_no_standard_knows_is_refused_as_any_other(
    wires: Wires, path: bytes, status: int, allow: str | None
) -> None:
    [answer] = wires.say(b"FROB " + path + HEAD + b"\r\n")
    assert (answer.status, answer.headers.get("Allow")) == (status, allow)
    assert answer.code


def test_head_and_options_keep_the_connection(wires: Wires) -> None:
    sent = b"HEAD /api/v1/time/now" + HEAD + b"\r\nOPTIONS /api/v1/time/now" + HEAD + CLOSE + b"\r\n"
    with wires.connect() as sock:
        sock.sendall(sent)
        raw = b""
        while piece := sock.recv(65_536):
            raw += piece
    head, options, rest = raw.split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert options.startswith(b"HTTP/1.1 204 No Content\r\n")
    assert rest == b""


def test_requests_that_come_together_are_answered_in_order_and_a_bad_one_after_those_before_it(wires: Wires) -> None:
    good = b"".join(b"GET /api/v1/schedules/%026d" % n + HEAD + b"\r\n" for n in range(12))
    found = wires.say(good + NOW + HEAD + b"\r\nGARBAGE\r\n\r\n" + NOW + HEAD + b"\r\n")
    assert [a.status for a in found] == [404] * 12 + [200, 400]


def test_a_body_in_chunks_is_read(wires: Wires) -> None:
    sent = CREATE + HEAD + b"Content-Type: application/json\r\n" + CLOSE + b"Transfer-Encoding: chunked\r\n\r\n"
    pieces = [b'{"type":"RATE",', b'"expr":"rate:5s"}', b""]
    [answer] = wires.say(sent + b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces))
    assert answer.status == 201


@pytest.mark.parametrize("length", [BODY_MAX_BYTES + 1, 10_000_000])
def test_a_body_over_the_limit_is_refused_and_the_connection_goes_on(wires: Wires, length: int) -> None:
    with wires.connect() as sock:
        sock.sendall(CREATE + HEAD + b"Content-Length: %d\r\n\r\n" % length + b" " * length)
        answer = read_one(sock)
        assert (answer.status, answer.code) == (413, "body_too_large")
        sock.sendall(NOW + HEAD + b"\r\n")
        assert read_one(sock).status == 200


def test_a_body_declared_far_too_long_is_refused_before_it_comes(wires: Wires) -> None:
    with wires.connect() as sock:
        sock.sendall(CREATE + HEAD + b"Content-Length: 1000000000000\r\n\r\n")
        assert read_one(sock).code == "body_too_large"


def test_chunks_over_the_limit_are_refused_before_their_end(wires: Wires) -> None:
    with wires.connect() as sock:
        sock.sendall(CREATE + HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        sock.sendall(b"%x\r\n%s\r\n" % (BODY_MAX_BYTES + 1, b" " * (BODY_MAX_BYTES + 1)))
        assert read_one(sock).code == "body_too_large"


def test_a_caller_that_asks_first_is_told_before_it_sends(wires: Wires) -> None:
    with wires.connect() as sock:
        sock.sendall(CREATE + HEAD + b"Expect: 100-continue\r\nContent-Length: 400000\r\n\r\n")
        answer = read_one(sock)
        assert (answer.status, answer.headers["Connection"]) == (413, "close")
    with wires.connect() as sock:
        head, _, body = post("/api/v1/schedules", RATE, b"Expect: 100-continue\r\n").partition(b"\r\n\r\n")
        sock.sendall(head + b"\r\n\r\n")
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert read_one(sock).status == 201


def test_an_upgrade_that_is_not_offered_is_answered_as_if_it_had_not_been_asked(wires: Wires) -> None:
    for protocol in (b"h2c", b"websocket"):
        [answer] = wires.say(NOW + HEAD + b"Connection: upgrade\r\nUpgrade: " + protocol + b"\r\n\r\n")
        assert answer.status == 200
