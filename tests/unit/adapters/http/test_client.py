"""Calls to services that the operator named, against real sockets."""

from __future__ import annotations

import socket
import time

import pytest

from chalicelib.adapters.http.client import HttpClient, NoAnswer
from tests.kit.receivers import GUARD_S, Certificates, Receiver, hang_up, say, serve_tls, status


def client(receiver: Receiver, scheme: str = "http", host: str = "127.0.0.1", **options: object) -> HttpClient:
    given = {"monotonic_s": time.monotonic, "timeout_s": GUARD_S, "resolver": lambda *_: ["127.0.0.1"], **options}
    return HttpClient(f"{scheme}://{host}:{receiver.port}", **given)  # type: ignore[arg-type]


def test_a_call_and_its_answer(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    receiver.answers = [say(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody")]
    answer = client(receiver).call("POST", "/v1/x?y=1", {"X-A": "b"}, b"asked")
    assert (answer.status, answer.body) == (200, b"body")
    (request,) = receiver.requests
    assert (request.line, request.body, request.headers["x-a"]) == ("POST /v1/x?y=1 HTTP/1.1", b"asked", "b")


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    receiver.answers = [status(307, f"Location: http://127.0.0.1:{receiver.port}/other")]
    assert client(receiver).call("GET", "/", {}).status == 307
    assert len(receiver.requests) == 1


def test_a_header_cannot_split_the_request(receiver: Receiver) -> None:
    with pytest.raises(NoAnswer) as caught:
        client(receiver).call("GET", "/", {"X-Token": "a\r\nX-B: the-token"})
    assert "the-token" not in str(caught.value)
    assert receiver.requests == []


@pytest.mark.parametrize("answer", [hang_up, say(b"SSH-2.0-x\r\n"), lambda _sock: None])
def test_what_is_no_answer(receiver: Receiver, answer: object) -> None:
    receiver.answers = [answer]  # type: ignore[list-item]
    with pytest.raises(NoAnswer, match=f":{receiver.port}"):
        client(receiver, timeout_s=0.3).call("GET", "/", {})


def test_an_endless_answer_ends(receiver: Receiver) -> None:
    def flood(sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            sock.sendall(b"x" * 65536)

    receiver.answers = [flood]
    with pytest.raises(NoAnswer, match="too large"):
        client(receiver).call("GET", "/", {})


def test_tls_is_verified_by_the_name(receiver: Receiver, certificates: Certificates) -> None:
    serve_tls(receiver, certificates.good)
    trusted = {"ca_file": str(certificates.ca_file)}
    assert client(receiver, "https", "hook.test", **trusted).call("GET", "/", {}).status == 200
    for host, options in (("other.test", trusted), ("hook.test", {})):
        with pytest.raises(NoAnswer, match=r"CERTIFICATE_VERIFY_FAILED"):
            client(receiver, "https", host, **options).call("GET", "/", {})
