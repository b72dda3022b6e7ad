"""What botocore sends with, against real sockets: what arrives, what comes back, and what is known when it fails."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from botocore import exceptions
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.httpsession import URLLib3Session

from chalicelib.adapters.aws import sending
from chalicelib.adapters.aws.clients import Clients, read
from chalicelib.adapters.aws.http_session import HttpSession
from chalicelib.core.errors import Unavailable
from tests.kit.receivers import GUARD_S, OK, Answer, Certificates, Receiver, hang_up, say, serve_tls

MakeSession = Callable[..., HttpSession]


def session_of(ca_file: str, read_timeout_s: float, max_idle: int) -> HttpSession:
    return HttpSession(
        URLLib3Session(),
        connect_timeout_s=GUARD_S,
        read_timeout_s=read_timeout_s,
        max_idle=max_idle,
        ca_file=ca_file,
    )


@pytest.fixture
def make_session() -> Iterator[MakeSession]:
    made: list[HttpSession] = []

    def make(ca_file: str = "/nowhere", read_timeout_s: float = GUARD_S, max_idle: int = 8) -> HttpSession:
        made.append(session_of(ca_file, read_timeout_s, max_idle))
        return made[-1]

    yield make
    for session in made:
        session.close()


@pytest.fixture
def session(make_session: MakeSession) -> HttpSession:
    return make_session()


def request(url: str, data: Any = b'{"a": 1}', method: str = "POST", **headers: str) -> Any:
    return AWSRequest(method=method, url=url, data=data, headers=headers).prepare()


def send(session: HttpSession, receiver: Receiver, **how: Any) -> AWSResponse:
    return session.send(request(f"http://127.0.0.1:{receiver.port}/", **how))


def in_pieces(*pieces: bytes) -> Answer:
    """An answer whose pieces come apart."""

    def answer(sock: socket.socket) -> None:
        for piece in pieces:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.sendall(piece)
            threading.Event().wait(0.01)

    return answer


def and_hang_up(data: bytes) -> Answer:
    def answer(sock: socket.socket) -> None:
        sock.sendall(data)
        hang_up(sock)

    return answer


def test_a_request_arrives_as_it_was_prepared(session: HttpSession, receiver: Receiver) -> None:
    url = f"http://127.0.0.1:{receiver.port}/a%20b?c=d&e"
    answer = session.send(request(url, **{"X-Amz-Target": "T.Op", "Content-Type": "application/x-amz-json-1.0"}))
    assert (answer.status_code, answer.content, answer.text) == (200, b"ok", "ok")
    assert answer.headers["content-length"] == answer.headers["Content-Length"] == "2"
    (arrived,) = receiver.requests
    assert arrived.line == "POST /a%20b?c=d&e HTTP/1.1"
    assert arrived.body == b'{"a": 1}'
    assert arrived.headers == {
        "x-amz-target": "T.Op",
        "content-type": "application/x-amz-json-1.0",
        "content-length": "8",
        "host": f"127.0.0.1:{receiver.port}",
    }
    assert len(arrived.names) == len(set(arrived.names))


@pytest.mark.parametrize(
    ("data", "method", "body", "length"),
    [("é", "POST", b"\xe9", "1"), (b"", "POST", b"", "0"), (None, "GET", b"", None), (b"x", "PUT", b"x", "1")],
)
def test_bodies(
    session: HttpSession, receiver: Receiver, data: Any, method: str, body: bytes, length: str | None
) -> None:
    assert send(session, receiver, data=data, method=method).status_code == 200
    assert receiver.requests[0].body == body
    assert receiver.requests[0].headers.get("content-length") == length


def test_a_session_that_is_dropped_closes_its_connections(receiver: Receiver) -> None:
    session = session_of("/nowhere", GUARD_S, 8)
    send(session, receiver)
    assert receiver.closed.empty()
    del session
    assert receiver.closed.get(timeout=GUARD_S) == 1


def test_connections_are_kept(session: HttpSession, receiver: Receiver) -> None:
    for _ in range(5):
        send(session, receiver)
    assert receiver.connections == 1


def test_threads_have_a_connection_each_and_no_more_are_kept_than_allowed(
    make_session: MakeSession, receiver: Receiver
) -> None:
    session, together = make_session(max_idle=2), threading.Barrier(4)

    def meet(sock: socket.socket) -> None:
        together.wait(GUARD_S)
        sock.sendall(OK)

    receiver.answers = [meet] * 4
    threads = [threading.Thread(target=send, args=(session, receiver)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(GUARD_S)
    assert receiver.connections == 4
    assert {receiver.closed.get(timeout=GUARD_S), receiver.closed.get(timeout=GUARD_S)} <= {1, 2, 3, 4}
    assert receiver.closed.empty()


@pytest.mark.parametrize(
    "answer",
    [
        say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"),
        in_pieces(b"HTTP/1.1 2", b"00 OK\r\nContent-Le", b"ngth: 5\r\n\r", b"\na", b"bcde"),
        say(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde"),
        in_pieces(
            b"HTTP/1.1 103 Early\r\nLink: x\r\nContent-Type: y\r\n\r\n",
            b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nabcde",
        ),
    ],
)
def test_answers_in_all_their_shapes(session: HttpSession, receiver: Receiver, answer: Answer) -> None:
    receiver.answers = [answer]
    for body in (b"abcde", b"ok"):
        got = send(session, receiver)
        assert (got.status_code, got.content) == (200, body)
        assert "link" not in got.headers
    assert receiver.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        and_hang_up(b"HTTP/1.1 200 OK\r\n\r\nabcde"),
        and_hang_up(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nabcde"),
        say(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nabcde"),
        say(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcdeHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"),
    ],
)
def test_connections_that_cannot_be_used_again(session: HttpSession, receiver: Receiver, answer: Answer) -> None:
    receiver.answers = [answer]
    assert send(session, receiver).content == b"abcde"
    assert send(session, receiver).content == b"ok"
    assert receiver.connections == 2


def test_a_connection_that_was_closed_while_idle_costs_no_call(session: HttpSession, receiver: Receiver) -> None:
    send(session, receiver)
    receiver.close_connections()
    receiver.closed.get(timeout=GUARD_S)
    assert send(session, receiver).content == b"ok"
    assert receiver.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        hang_up,
        and_hang_up(b"HTTP/1.1 200 OK\r\nContent-Le"),
        and_hang_up(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc"),
        and_hang_up(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nabc"),
        and_hang_up(b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
        and_hang_up(b"HTTP/1.1 100 Continue\r\n\r\n"),
        say(b"SSH-2.0-OpenSSH\r\n\r\n"),
        say(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde"),
    ],
)
def test_an_answer_that_breaks_off_leaves_the_outcome_open(
    session: HttpSession, receiver: Receiver, answer: Answer
) -> None:
    receiver.answers = [answer]
    with pytest.raises(exceptions.ConnectionClosedError):
        send(session, receiver)
    assert send(session, receiver).content == b"ok"


def test_silence_is_a_read_timeout(make_session: MakeSession, receiver: Receiver) -> None:
    session = make_session(read_timeout_s=0.1)
    receiver.answers = [lambda _sock: None]
    with pytest.raises(exceptions.ReadTimeoutError):
        send(session, receiver)
    for _ in range(50):  # an answer may be late on a busy machine
        with suppress(exceptions.ReadTimeoutError):
            assert send(session, receiver).content == b"ok"
            break
    else:
        pytest.fail("it is not used again")


def test_calls_are_broken_off(session: HttpSession, receiver: Receiver) -> None:
    session.allow_break_off()
    assert send(session, receiver).content == b"ok"
    asked, failed = threading.Event(), list[BaseException]()
    receiver.answers = [lambda _sock: asked.set()]

    def wait() -> None:
        with pytest.raises(exceptions.ConnectionClosedError) as raised:
            send(session, receiver)
        failed.append(raised.value)

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert asked.wait(GUARD_S)
    session.break_off()
    waiting.join(GUARD_S)
    assert len(failed) == 1
    with pytest.raises(exceptions.ConnectionClosedError):
        send(session, receiver)
    assert len(receiver.requests) == 2, "none is begun after it"


def test_nobody_listening_is_known_to_have_sent_nothing(session: HttpSession) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(exceptions.EndpointConnectionError):
            session.send(request(f"http://127.0.0.1:{unused.getsockname()[1]}/"))
    with pytest.raises(exceptions.EndpointConnectionError):
        session.send(request("http://no-such-host.invalid/"))


def test_a_header_cannot_break_the_lines(session: HttpSession, receiver: Receiver) -> None:
    prepared = request(f"http://127.0.0.1:{receiver.port}/")
    prepared.headers["X-Evil"] = "a\r\nX-More: b"
    with pytest.raises(ValueError, match="line break"):
        session.send(prepared)
    assert receiver.requests == []


def test_tls(make_session: MakeSession, receiver: Receiver, certificates: Certificates) -> None:
    serve_tls(receiver, certificates.good)
    session = make_session(ca_file=str(certificates.ca_file))
    for _ in range(3):
        assert session.send(request(f"https://127.0.0.1:{receiver.port}/")).content == b"ok"
    assert receiver.connections == 1


@pytest.mark.parametrize("kind", ["expired", "stranger"])
def test_tls_with_a_bad_certificate(
    make_session: MakeSession, receiver: Receiver, certificates: Certificates, kind: str
) -> None:
    serve_tls(receiver, getattr(certificates, kind))
    session = make_session(ca_file=str(certificates.ca_file))
    with pytest.raises(exceptions.SSLError, match="certificate verify failed"):
        session.send(request(f"https://127.0.0.1:{receiver.port}/"))
    assert receiver.requests == []


# -- under botocore's clients


def answering(body: dict[str, object], status: int = 200) -> Answer:
    data = json.dumps(body).encode()
    return say(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(data)) + data)


def test_clients_send_with_it(receiver: Receiver) -> None:
    receiver.answers = [answering({"TableNames": ["a"]}), answering({"__type": "x#ThrottlingException"}, 400)]
    receiver.answers += [answering({"TableNames": ["b"]})]
    client = Clients("us-east-1", f"http://127.0.0.1:{receiver.port}").get("dynamodb")
    assert isinstance(client._endpoint.http_session, HttpSession)
    assert client.list_tables()["TableNames"] == ["a"]
    assert read(client.list_tables)["TableNames"] == ["b"]
    assert receiver.connections == 1
    assert receiver.requests[0].headers["authorization"].startswith("AWS4-HMAC-SHA256 ")
    client._endpoint.http_session.close()


def test_streamed_payloads_are_read_as_ever(receiver: Receiver) -> None:
    receiver.answers = [answering({"done": True})]
    client = Clients("us-east-1", f"http://127.0.0.1:{receiver.port}").get("lambda")
    answer = client.invoke(FunctionName="f", Payload=b'{"x": 1}')
    assert json.loads(answer["Payload"].read()) == {"done": True}
    assert receiver.requests[0].body == b'{"x": 1}'
    client._endpoint.http_session.close()


def test_a_proxy_of_the_environment_is_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{receiver.port}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    receiver.answers = [answering({"TableNames": ["a"]}), answering({"TableNames": []})]
    proxied = Clients("us-east-1", "http://dynamodb.test").get("dynamodb")
    assert proxied.list_tables()["TableNames"] == ["a"]
    assert receiver.requests[0].line == "POST http://dynamodb.test/ HTTP/1.1"
    proxied._endpoint.http_session.close()
    direct = Clients("us-east-1", f"http://127.0.0.1:{receiver.port}").get("dynamodb")
    assert direct.meta.endpoint_url.startswith("http://127.0.0.1")
    direct.list_tables()
    assert receiver.requests[1].line == "POST / HTTP/1.1"
    direct._endpoint.http_session.close()


def test_nobody_listening_is_unavailable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        client = Clients("us-east-1", f"http://127.0.0.1:{unused.getsockname()[1]}").get("dynamodb")
        with pytest.raises(Unavailable):
            read(client.list_tables)


def test_who_listens_hears_once_that_a_request_is_written_and_before_its_answer(
    session: HttpSession, receiver: Receiver
) -> None:
    heard: list[str] = []

    def answer(sock: socket.socket) -> None:
        heard.append("answered")
        sock.sendall(OK)

    def when_sent() -> None:
        assert receiver.arrived.get(timeout=GUARD_S).body == b'{"a": 1}'
        heard.append("sent")
        may_answer.set()

    may_answer = threading.Event()
    receiver.answers = [lambda sock: (may_answer.wait(GUARD_S), answer(sock))[1]] * 2
    with sending.listening(when_sent):
        for _ in range(2):
            send(session, receiver)
    assert heard == ["sent", "answered", "answered"]
    receiver.answers = [answer]
    send(session, receiver)
    assert heard.count("sent") == 1


def test_who_listens_hears_nothing_of_a_request_that_reached_no_one(session: HttpSession) -> None:
    heard: list[str] = []
    with sending.listening(lambda: heard.append("sent")), pytest.raises(exceptions.EndpointConnectionError):
        session.send(request("http://127.0.0.1:1/"))
    sending.written()
    assert heard == []
