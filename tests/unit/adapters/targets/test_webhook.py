"""The webhook target against real sockets on loopback, and real TLS with certificates made here."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import ipaddress
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from queue import SimpleQueue

import pytest
from msgspec.structs import replace

from chalicelib.adapters.http.connection import HttpCall, Peer, Pool, connect
from chalicelib.adapters.http.resolver import LOOKUPS_MAX, resolve_within
from chalicelib.adapters.targets.webhook import WebhookSender
from chalicelib.core.executions.limits import ERROR_MAX_CHARS
from chalicelib.core.targets import target_answer
from chalicelib.core.targets.target_answer import TargetAnswer
from chalicelib.ports.secrets import SecretMissing
from chalicelib.ports.target import ERROR_TYPES, Delivery, Outcome
from tests.kit.receivers import GUARD_S, OK, Answer, Certificates, Receiver, hang_up, say, serve_tls, status

NOW_MS = 1_795_252_805_002
LOOPBACK = ("127.0.0.1", "::1", "localhost")
SECRET = b"a key of twenty-four byt"
TEXT = "whsec_" + base64.b64encode(SECRET).decode()


class Keys:
    """Secrets from a dictionary; counts the readings."""

    def __init__(self, known: Mapping[str, tuple[str, ...]]) -> None:
        self.known = known
        self.read = 0

    def values(self, ref: str) -> tuple[str, ...]:
        self.read += 1
        if ref not in self.known:
            raise SecretMissing("no such secret")
        return self.known[ref]

    def refused(self, ref: str, values: tuple[str, ...]) -> bool:
        return False


class Names:
    """A resolver that answers from a script, the last line for ever."""

    def __init__(self, *answers: list[str] | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def make_target() -> Iterator[Callable[..., WebhookSender]]:
    with contextlib.ExitStack() as stack:

        def make(**options: object) -> WebhookSender:
            given = {"now_ms": lambda: NOW_MS, "monotonic_s": time.monotonic, "allow": LOOPBACK}
            given["prepare_timeout_s"] = GUARD_S  # what is prepared in vain is not told from what was too slow
            target = WebhookSender(**{**given, **options})
            stack.callback(target.close)
            return target

        yield make


@pytest.fixture
def target(make_target) -> WebhookSender:
    return make_target(secrets=Keys({"ssm:/hook": (TEXT,)}))


def delivery(url: str, *, timeout_ms: int = GUARD_S * 1000, execution_id: str = "01KB-1", **fields: object) -> Delivery:
    return Delivery(
        execution_id=execution_id,
        tenant="default",
        schedule_id="01KB",
        firing_unix_ms=1_795_252_805_000,
        attempt=1,
        fencing_token=1,
        target={"type": "webhook", "url": url, "method": "POST", "timeout_ms": 30000, **fields},
        event=b'{"specversion":"1.0","data":"\xc3\xa9"}',
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        timeout_ms=timeout_ms,
    )


def send(target: WebhookSender, url: str, **fields: object) -> Outcome:
    """The outcome without what is kept of the answer, which has tests of its own."""
    return replace(send_whole(target, url, **fields), answer=None)


def send_whole(target: WebhookSender, url: str, **fields: object) -> Outcome:
    (outcome,) = target.dispatch([delivery(url, **fields)])
    assert outcome.error_type is None or outcome.error_type in ERROR_TYPES
    assert len(outcome.error or "") <= ERROR_MAX_CHARS
    return outcome


def url_of(receiver: Receiver, host: str = "127.0.0.1", scheme: str = "http") -> str:
    return f"{scheme}://{host}:{receiver.port}/hook?x=1"


# -- what is sent


def test_a_firing_arrives_as_the_contract_says(target: WebhookSender, receiver: Receiver):
    outcome = send(target, url_of(receiver), headers={"X-Own": "mine", "authorization": "Bearer x"})
    assert outcome == Outcome("completed", 200)
    (request,) = receiver.requests
    assert request.line == "POST /hook?x=1 HTTP/1.1"
    assert request.body == delivery("").event
    assert request.headers == {
        "host": f"127.0.0.1:{receiver.port}",
        "x-own": "mine",
        "authorization": "Bearer x",
        "user-agent": "ChronoWatch/1",
        "content-type": "application/cloudevents+json",
        "content-length": str(len(request.body)),
        "idempotency-key": "01KB-1",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "x-chrono-depth": "1",
        "webhook-id": "01KB-1",
        "webhook-timestamp": str(NOW_MS // 1000),
    }
    assert len(request.names) == len(set(request.names))


def test_a_signature_holds_for_an_independent_reader(target: WebhookSender, receiver: Receiver):
    assert send(target, url_of(receiver), secret_ref="ssm:/hook").kind == "completed"
    (request,) = receiver.requests
    signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    expected = base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
    assert request.headers["webhook-signature"] == f"v1,{expected}"


def test_without_its_secret_nothing_is_sent(target: WebhookSender, make_target, receiver: Receiver):
    outcome = send(target, url_of(receiver), secret_ref="ssm:/other")
    assert (outcome.error_type, outcome.error, outcome.permanent) == ("rejected", "no such secret", True)
    assert send(make_target(), url_of(receiver), secret_ref="ssm:/hook").error_type == "rejected"
    assert receiver.connections == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"headers": {"Webhook-Id": "forged"}},
        {"headers": {"X": "a\r\nY: b"}},
        {"headers": ["X"]},
        {"method": "CONNECT"},
        {"method": "GET / HTTP/1.1\r\nX: y\r\n\r\nPOST"},
    ],
)
def test_what_should_not_have_been_stored_is_not_sent(target: WebhookSender, receiver: Receiver, fields: dict):
    outcome = send(target, url_of(receiver), **fields)
    assert (outcome.kind, outcome.error_type, outcome.permanent) == ("failed", "rejected", True)
    assert receiver.connections == 0


# -- what the answers mean


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (status(204), Outcome("completed", 204)),
        (status(202), Outcome("completed", 202)),
        (status(202, "X-Chrono-Async: true"), Outcome("accepted", 202)),
        (status(202, "x-chrono-async: TRUE"), Outcome("accepted", 202)),
        (status(202, "X-Chrono-Async: false"), Outcome("completed", 202)),
        (status(200, "X-Chrono-Async: true"), Outcome("completed", 200)),
        (status(500), Outcome("failed", 500, "http_error", "HTTP 500 Because")),
        (status(404), Outcome("failed", 404, "http_error", "HTTP 404 Because")),
        (status(429, "Retry-After: 7"), Outcome("failed", 429, "http_error", "HTTP 429 Because", 7000)),
        (
            status(503, "Retry-After: Sat, 21 Nov 2026 09:20:35 GMT"),
            Outcome("failed", 503, "http_error", "HTTP 503 Because", 29_998),
        ),
        (
            status(410),
            Outcome("failed", 410, "http_error", "HTTP 410 Because", permanent=True, pause_schedule=True),
        ),
    ],
)
def test_answers(target: WebhookSender, receiver: Receiver, answer: Answer, outcome: Outcome):
    receiver.answers = [answer]
    assert send(target, url_of(receiver)) == outcome


def test_a_redirect_is_not_followed(target: WebhookSender, receiver: Receiver):
    receiver.answers = [status(302, f"Location: http://127.0.0.1:{receiver.port}/latest/meta-data/")]
    outcome = send(target, url_of(receiver))
    assert outcome == Outcome("failed", 302, "http_error", "HTTP 302 Because (redirects are not followed)")
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x00" * 70_000])
def test_what_is_not_http_is_a_connection_error(target: WebhookSender, receiver: Receiver, answer: bytes):
    receiver.answers = [lambda sock: (sock.sendall(answer), hang_up(sock))]
    assert send(target, url_of(receiver)).error_type == "connection_error"


def test_a_huge_body_is_not_read_to_its_end(target: WebhookSender, receiver: Receiver):
    sent = []

    def flood(sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            sent.append(sock.send(b"x" * 65536))

    receiver.answers = [flood]
    assert send(target, url_of(receiver)) == Outcome("completed", 200)
    receiver.closed.get(timeout=GUARD_S)
    assert sum(sent) < 50_000_000
    assert send(target, url_of(receiver)).kind == "completed"
    assert receiver.connections == 2


def test_endless_headers_end(target: WebhookSender, receiver: Receiver):
    def flood(sock: socket.socket) -> None:
        while True:
            sock.sendall(b"HTTP/1.1 100 Continue\r\nX-Pad: " + b"x" * 1000 + b"\r\n\r\n")

    receiver.answers = [flood]
    assert send(target, url_of(receiver)).error_type == "connection_error"


def test_a_body_cut_short_does_not_take_back_its_status(target: WebhookSender, receiver: Receiver):
    receiver.answers = [
        lambda sock: (sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"), hang_up(sock)),
        lambda sock: (sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"), hang_up(sock)),
    ]
    for _ in range(3):
        assert send(target, url_of(receiver)) == Outcome("completed", 200)
    assert receiver.connections == 3


# -- time


def test_silence_is_a_timeout(target: WebhookSender, receiver: Receiver):
    receiver.answers = [lambda _sock: None]
    began_s = time.monotonic()
    outcome = send(target, url_of(receiver), timeout_ms=150)
    assert outcome == Outcome("failed", None, "timeout", "no complete answer within 150 ms")
    assert 0.14 < time.monotonic() - began_s < GUARD_S


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n", b"HTTP/1.1 200 O"]
)
def test_a_trickle_does_not_move_the_deadline(target: WebhookSender, receiver: Receiver, head: bytes):
    def trickle(sock: socket.socket) -> None:
        sock.sendall(head)
        while not gone.wait(0.02):
            sock.sendall(b"H")

    gone = threading.Event()
    receiver.answers = [trickle]
    began_s = time.monotonic()
    outcome = send(target, url_of(receiver), timeout_ms=250)
    took_s = time.monotonic() - began_s
    gone.set()
    assert outcome.error_type == "timeout"
    assert 0.24 < took_s < GUARD_S


def test_it_tells_when_only_the_answer_is_still_to_come(target: WebhookSender, receiver: Receiver):
    told, heard = threading.Semaphore(0), list[bool]()

    def late(sock: socket.socket) -> None:
        heard.append(told.acquire(timeout=GUARD_S))
        sock.sendall(OK)

    receiver.answers.append(late)
    asked = replace(delivery(url_of(receiver), timeout_ms=3 * GUARD_S * 1000), sent=told.release)
    [outcome] = target.dispatch([asked])
    assert outcome.kind == "completed"
    assert heard == [True], "before there was an answer"
    assert not told.acquire(blocking=False), "once"


def test_a_deadline_that_has_passed_sends_nothing(target: WebhookSender, receiver: Receiver):
    assert send(target, url_of(receiver), timeout_ms=0).error_type == "timeout"
    assert receiver.requests == []


def test_a_cancel_closes_the_running_delivery(target: WebhookSender, receiver: Receiver):
    receiver.answers = [lambda _sock: None]
    outcomes: SimpleQueue[Outcome] = SimpleQueue()
    thread = threading.Thread(target=lambda: outcomes.put(send(target, url_of(receiver), timeout_ms=60_000)))
    thread.start()
    receiver.arrived.get(timeout=GUARD_S)
    assert target.cancel("01KB-1", 1) is True
    outcome = outcomes.get(timeout=GUARD_S)
    thread.join()
    assert outcome == Outcome(
        "failed", None, "connection_error", "the delivery was cancelled", permanent=True, closed=True
    )
    receiver.closed.get(timeout=GUARD_S)
    assert target.cancel("01KB-1", 1) is False
    assert send(target, url_of(receiver)).kind == "completed"


# -- connections


def test_a_connection_serves_one_delivery_after_another(target: WebhookSender, receiver: Receiver):
    receiver.answers = [status(200), status(500), say(OK), say(b"HTTP/1.1 204 No Content\r\n\r\n")]
    receiver.answers.append(say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"))
    for _ in range(6):
        send(target, url_of(receiver))
    assert [request.connection for request in receiver.requests] == [1] * 6


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"HTTP/1.1 503 Busy\nRetry-After: 1\nContent-Length: 0\n\n", 503),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", 201),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", 101),
    ],
)
def test_answers_that_are_rare(target: WebhookSender, receiver: Receiver, answer: bytes, code: int):
    receiver.answers = [say(answer)]
    outcome = send(target, url_of(receiver))
    assert outcome.http_status == code
    assert outcome.retry_after_ms == (1000 if code == 503 else None)
    assert send(target, url_of(receiver)).kind == "completed"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
)
def test_a_connection_that_the_answer_ends_is_not_used_again(target, receiver: Receiver, answer: bytes):
    receiver.answers = [say(answer)]
    send(target, url_of(receiver))
    receiver.closed.get(timeout=GUARD_S)
    send(target, url_of(receiver))
    assert [request.connection for request in receiver.requests] == [1, 2]


def test_an_idle_connection_that_was_closed_is_replaced(target: WebhookSender, receiver: Receiver):
    receiver.answers = [lambda sock: (sock.sendall(OK), hang_up(sock))]
    assert send(target, url_of(receiver)).kind == "completed"
    receiver.closed.get(timeout=GUARD_S)
    assert send(target, url_of(receiver)).kind == "completed"
    assert receiver.connections == 2


def test_bytes_nobody_asked_for_end_a_connection(target: WebhookSender, receiver: Receiver):
    receiver.answers = [say(OK + b"HTTP/1.1 500 Smuggled\r\nContent-Length: 0\r\n\r\n")]
    for _ in range(2):
        assert send(target, url_of(receiver)) == Outcome("completed", 200)


def test_a_request_lost_in_the_closing_of_an_idle_connection_is_sent_once_more(target, receiver: Receiver):
    receiver.answers = [say(OK), hang_up, say(OK)]
    assert send(target, url_of(receiver)).kind == "completed"
    assert send(target, url_of(receiver)).kind == "completed"
    assert [request.connection for request in receiver.requests] == [1, 1, 2]


def test_a_new_connection_closed_without_an_answer_is_an_error(target: WebhookSender, receiver: Receiver):
    receiver.answers = [hang_up]
    outcome = send(target, url_of(receiver))
    assert (outcome.error_type, outcome.error) == ("connection_error", "the connection was closed without an answer")
    assert len(receiver.requests) == 1


def test_nobody_listening_is_a_connection_error(target: WebhookSender):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    outcome = send(target, f"http://127.0.0.1:{port}/")
    assert (outcome.error_type, outcome.permanent) == ("connection_error", False)
    assert "refused" in (outcome.error or "")


def test_a_batch_has_one_outcome_each_in_order(target: WebhookSender, receiver: Receiver):
    receiver.answers = [status(500), status(204)]
    both = target.dispatch([delivery(url_of(receiver)), delivery(url_of(receiver), execution_id="01KB-2")])
    assert [outcome.http_status for outcome in both] == [500, 204]


@dataclass(eq=False)
class Idle:
    """A connection as the pool sees it."""

    open: bool = True
    closed: bool = False

    def is_open(self) -> bool:
        return self.open

    def close(self) -> None:
        self.closed = True


def test_the_pool_is_bounded_and_forgets():
    now_s = 0.0
    pool = Pool(lambda: now_s, max_idle=3, max_idle_per_peer=2, idle_s=10)
    peers = [Peer("http", f"h{n}", ipaddress.ip_address("127.0.0.1"), 80) for n in range(3)]
    first, second, third, other, last = (Idle() for _ in range(5))
    for connection in (first, second, third):
        pool.put(peers[0], connection)  # type: ignore[arg-type]
    assert [first.closed, second.closed, third.closed] == [False, False, True]
    pool.put(peers[1], other)  # type: ignore[arg-type]
    now_s = 5.0
    pool.put(peers[2], last)  # type: ignore[arg-type]
    assert first.closed  # the oldest makes room
    second.open = False
    assert pool.take(peers[0]) is None
    assert second.closed
    now_s = 11.0
    assert pool.take(peers[1]) is None
    assert other.closed
    assert pool.take(peers[2]) is last
    assert pool.take(peers[2]) is None


# -- names and addresses


def test_an_unknown_name_is_a_dns_error(make_target):
    names = Names(socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
    outcome = send(make_target(resolver=names), "http://nowhere.invalid/")
    assert (outcome.error_type, outcome.permanent) == ("dns_error", False)
    assert "not known" in (outcome.error or "")
    assert send(make_target(resolver=Names([])), "http://nowhere.invalid/").error_type == "dns_error"


def test_a_resolver_that_hangs_is_a_timeout(make_target):
    released = threading.Event()

    def hang(host: str, port: int) -> list[str]:
        released.wait(GUARD_S)
        return ["127.0.0.1"]

    outcome = send(make_target(resolver=hang), "http://slow.test/", timeout_ms=100)
    released.set()
    assert outcome.error_type == "timeout"


def test_the_systems_resolver_knows_localhost(target: WebhookSender, receiver: Receiver):
    # The receiver listens on 127.0.0.1 only: where localhost is ::1 first, the second address is tried.
    assert send(target, url_of(receiver, "localhost")).kind == "completed"
    assert receiver.requests[0].headers["host"] == f"localhost:{receiver.port}"


def test_an_address_that_refuses_gives_way_to_the_next(make_target, receiver: Receiver):
    target = make_target(resolver=Names(["::1", "127.0.0.1"]))
    assert send(target, url_of(receiver, "hook.test")).kind == "completed"


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "10.0.0.1", "::ffff:127.0.0.1", "fd00:ec2::254"])
def test_a_name_that_leads_inside_is_rejected(make_target, receiver: Receiver, address: str):
    outcome = send(make_target(allow=(), resolver=Names([address])), url_of(receiver, "hook.test"))
    assert (outcome.kind, outcome.error_type, outcome.permanent) == ("failed", "rejected", True)
    assert "CHRONO_WEBHOOK_ALLOW" in (outcome.error or "")
    assert receiver.connections == 0


def test_a_forbidden_literal_is_rejected(make_target, receiver: Receiver):
    for host in ("127.0.0.1", "127.1", "2130706433", "[::ffff:127.0.0.1]"):
        assert send(make_target(allow=()), url_of(receiver, host)).error_type == "rejected"
    assert receiver.connections == 0


@pytest.mark.parametrize("answer", [["10.0.0.1", "127.0.0.1"], ["127.0.0.1", "169.254.169.254"]])
def test_one_bad_address_of_a_name_is_enough(make_target, receiver: Receiver, answer: list[str]):
    outcome = send(make_target(allow=("127.0.0.1",), resolver=Names(answer)), url_of(receiver, "hook.test"))
    assert (outcome.error_type, outcome.permanent) == ("rejected", True)
    assert next(each for each in answer if each != "127.0.0.1") in (outcome.error or "")
    assert receiver.connections == 0


def test_a_kept_connection_is_not_used_when_the_name_has_moved(make_target, receiver: Receiver):
    elsewhere = Receiver(socket.create_server(("127.0.0.2", receiver.port)))
    elsewhere.start()
    try:
        target = make_target(allow=("127.0.0.0/8",), resolver=Names(["127.0.0.1"], ["127.0.0.2"], ["127.0.0.1"]))
        for _ in range(3):
            assert send(target, url_of(receiver, "hook.test")).kind == "completed"
    finally:
        elsewhere.stop()
    assert [len(elsewhere.requests), elsewhere.connections] == [1, 1]
    assert [request.connection for request in receiver.requests] == [1, 1]


def test_a_name_is_asked_once_a_delivery_so_it_cannot_be_rebound(make_target, receiver: Receiver):
    names = Names(["127.0.0.1"], ["169.254.169.254"])
    target = make_target(allow=("127.0.0.1",), resolver=names)
    assert send(target, url_of(receiver, "hook.test")).kind == "completed"
    assert names.asked == ["hook.test"]
    # The next delivery asks anew, and an open connection to the old address does not hide the new one.
    assert send(target, url_of(receiver, "hook.test")).error_type == "rejected"
    assert len(receiver.requests) == 1


def test_preparing_asks_the_name_and_dispatching_does_not_ask_again(make_target, receiver: Receiver):
    names = Names(["127.0.0.1"], ["169.254.169.254"])
    target = make_target(allow=("127.0.0.1",), resolver=names)
    target.prepare(delivery(url_of(receiver, "hook.test")))
    assert receiver.requests == []
    assert send(target, url_of(receiver, "hook.test")).kind == "completed"
    assert names.asked == ["hook.test"]


def test_a_forbidden_answer_is_remembered_too(make_target, receiver: Receiver):
    names = Names(["169.254.169.254"], ["127.0.0.1"])
    target = make_target(allow=("127.0.0.1",), resolver=names)
    target.prepare(delivery(url_of(receiver, "hook.test")))
    assert send(target, url_of(receiver, "hook.test")).error_type == "rejected"
    assert names.asked == ["hook.test"]


def test_preparing_never_raises(make_target):
    target = make_target(resolver=Names(RuntimeError("broken")), secrets=Keys({}))
    for url in ("nonsense", "http://hook.test/", "http://127.0.0.1:1/", "http://[::1"):
        target.prepare(delivery(url, secret_ref="ssm:/x"))
    target.prepare(replace(delivery(""), target={}))
    assert send(target, "http://hook.test/") == Outcome("failed", None, "internal_error", "RuntimeError: broken")
    assert send(target, "nonsense").error_type == "rejected"


def test_preparing_reads_the_secret(make_target, receiver: Receiver):
    keys = Keys({"ssm:/hook": (TEXT,)})
    make_target(secrets=keys).prepare(delivery(url_of(receiver), secret_ref="ssm:/hook"))
    assert keys.read == 1


def test_what_was_prepared_long_ago_is_asked_again(make_target, receiver: Receiver):
    now_s = time.monotonic()
    names = Names(["127.0.0.1"])
    target = make_target(resolver=names, monotonic_s=lambda: now_s)
    target.prepare(delivery(url_of(receiver, "hook.test")))
    now_s += 60
    assert send(target, url_of(receiver, "hook.test")).kind == "completed"
    assert len(names.asked) == 2


def test_when_every_look_up_hangs_the_next_one_waits_no_longer_than_its_time():
    released, deadline_s = threading.Event(), 0.05

    def hang(_host: str, _port: int) -> list[str]:
        released.wait(GUARD_S)
        return []

    threads = threading.active_count()
    for _ in range(LOOKUPS_MAX + 1):
        with pytest.raises(TimeoutError):
            resolve_within(hang, "slow.test", 80, deadline_s / LOOKUPS_MAX)
    assert threading.active_count() - threads <= LOOKUPS_MAX
    released.set()
    assert resolve_within(lambda _host, _port: ["127.0.0.1"], "fast.test", 80, GUARD_S)


# -- TLS


def test_https_with_a_good_certificate(make_target, receiver: Receiver, certificates: Certificates):
    serve_tls(receiver, certificates.good)
    target = make_target(ca_file=str(certificates.ca_file), resolver=Names(["127.0.0.1"]))
    for _ in range(3):
        assert send(target, url_of(receiver, "hook.test", "https")) == Outcome("completed", 200)
    assert receiver.connections == 1
    assert receiver.requests[0].headers["host"] == f"hook.test:{receiver.port}"


def test_https_connects_before_the_instant(make_target, receiver: Receiver, certificates: Certificates):
    serve_tls(receiver, certificates.good)
    target = make_target(ca_file=str(certificates.ca_file), resolver=Names(["127.0.0.1"]))
    target.prepare(delivery(url_of(receiver, "hook.test", "https")))
    assert (receiver.connections, receiver.requests) == (1, [])
    assert send(target, url_of(receiver, "hook.test", "https")).kind == "completed"
    assert receiver.connections == 1


def test_a_prepared_connection_that_was_closed_is_replaced(make_target, receiver: Receiver, certificates: Certificates):
    serve_tls(receiver, certificates.good)
    target = make_target(ca_file=str(certificates.ca_file), resolver=Names(["127.0.0.1"]))
    target.prepare(delivery(url_of(receiver, "hook.test", "https")))
    receiver.ready.get(timeout=GUARD_S)
    receiver.close_connections()
    receiver.closed.get(timeout=GUARD_S)
    assert send(target, url_of(receiver, "hook.test", "https")).kind == "completed"
    assert receiver.connections == 2


@pytest.mark.parametrize("kind", ["expired", "stranger", "wrong name", "no CA file"])
def test_https_with_a_bad_certificate(make_target, receiver: Receiver, certificates: Certificates, kind: str):
    serve_tls(
        receiver, {"expired": certificates.expired, "stranger": certificates.stranger}.get(kind, certificates.good)
    )
    ca_file = None if kind == "no CA file" else str(certificates.ca_file)
    host = "other.test" if kind == "wrong name" else "hook.test"
    target = make_target(ca_file=ca_file, resolver=Names(["127.0.0.1"]))
    outcome = send(target, url_of(receiver, host, "https"))
    assert outcome.error_type == "connection_error"
    assert "certificate is not trusted" in (outcome.error or "")
    assert receiver.requests == []


def test_a_certificate_that_strict_checks_refuse_is_named(make_target, receiver: Receiver, certificates: Certificates):
    serve_tls(receiver, certificates.unlinked)
    target = make_target(ca_file=str(certificates.ca_file), resolver=Names(["127.0.0.1"]))
    outcome = send(target, url_of(receiver, "hook.test", "https"))
    if sys.version_info < (3, 13):
        assert outcome == Outcome("completed", 200)
    else:
        said = "not trusted: Missing Authority Key Identifier (RFC 5280 asks for it, and Python 3.13 and later insist)"
        assert said in (outcome.error or "")


def test_https_trickle_and_cancel(make_target, receiver: Receiver, certificates: Certificates):
    serve_tls(receiver, certificates.good)
    target = make_target(ca_file=str(certificates.ca_file), resolver=Names(["127.0.0.1"]))
    receiver.answers = [lambda _sock: None, lambda _sock: None]
    url = url_of(receiver, "hook.test", "https")
    target.prepare(delivery(url))  # the handshake is done before the time runs
    assert send(target, url, timeout_ms=3_000).error_type == "timeout"
    receiver.arrived.get(timeout=GUARD_S)
    outcomes: SimpleQueue[Outcome] = SimpleQueue()
    thread = threading.Thread(target=lambda: outcomes.put(send(target, url, timeout_ms=60_000)))
    thread.start()
    receiver.arrived.get(timeout=GUARD_S)
    assert target.cancel("01KB-1", 1)
    assert outcomes.get(timeout=GUARD_S).error == "the delivery was cancelled"
    thread.join()


def test_plain_http_where_tls_is_spoken_is_a_connection_error(make_target, receiver: Receiver):
    target = make_target(resolver=Names(["127.0.0.1"]))
    receiver.answers = [hang_up]
    outcome = send(target, url_of(receiver, "hook.test", "https"), timeout_ms=2000)
    assert outcome.error_type in {"connection_error", "timeout"}


def test_an_idle_connection_counts_as_open_until_it_holds_unread_bytes(receiver: Receiver):
    receiver.answers = [lambda sock: (sock.sendall(OK), sock.shutdown(socket.SHUT_WR))]
    call = HttpCall(time.monotonic() + GUARD_S, time.monotonic)
    peer = Peer("http", "127.0.0.1", ipaddress.ip_address("127.0.0.1"), receiver.port)
    connection = connect(peer, call, None, GUARD_S)
    with contextlib.closing(connection):
        assert connection.is_open()
        connection.begin(call)
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        received = b""
        while data := connection.receive():  # to the end, which may come after the last byte
            received += data
        assert received == OK
        assert not connection.is_open()


# -- what is kept of its answer


def test_what_it_answered_is_kept_when_it_failed_and_never_else(target: WebhookSender, receiver: Receiver):
    head = b"HTTP/1.1 500 Because\r\nContent-Type: text/plain\r\nSet-Cookie: a=b\r\nContent-Length: 28\r\n\r\n"
    receiver.answers = [say(head + b"no: planted-value, plain-key"), status(200, "X-A: b")]
    headers = {"X-Token": "planted-value", "X-Api-Key": "plain-key"}
    failed = send_whole(target, url_of(receiver), headers=headers)
    assert failed.answer is not None
    assert target_answer.read(failed.answer) == TargetAnswer(
        {"content-type": "text/plain", "content-length": "28"}, "no: [hidden], [hidden]", truncated=False
    )
    assert send_whole(target, url_of(receiver), headers=headers) == Outcome("completed", 200)
