"""The guard against forged requests, from the URL to the socket: what a schedule's owner may try, on real sockets."""

from __future__ import annotations

import gzip
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from chalicelib.adapters.targets.webhook import BODY_MAX_BYTES, WebhookSender
from chalicelib.core.targets import ssrf
from chalicelib.ports.target import Delivery, Outcome
from tests.kit.receivers import GUARD_S, Certificates, Receiver, hang_up, serve_tls, status

NOW_MS = 1_795_252_805_002

# Each would reach 127.0.0.1, the metadata address or another host inside, if one of the parsers on its way let it.
FORMS = [
    "http://127.0.0.1:{port}/",
    "http://127.1:{port}/",
    "http://127.0.1:{port}/",
    "http://127.0.0.1.:{port}/",
    "http://0:{port}/",
    "http://0.0.0.0:{port}/",
    "http://0x0:{port}/",
    "http://0x7f000001:{port}/",
    "http://0x7f.0x0.0x0.0x1:{port}/",
    "http://0X7F.1:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://0177.0.0.01:{port}/",
    "http://017700000001:{port}/",
    "http://2130706433:{port}/",
    "http://127.0.0.1%2e:{port}/",
    "http://\u2460\u2461\u2466.0.0.1:{port}/",
    "http://\uff11\uff12\uff17.\uff10.\uff10.\uff11:{port}/",
    "http://127\u30020\u30020\u30021:{port}/",
    "http://127\uff0e0\uff0e0\uff0e1:{port}/",
    "http://\U0001d7cf\U0001d7d0\U0001d7d5.0.0.1:{port}/",
    "http://localhost:{port}/",
    "http://LOCALHOST.:{port}/",
    "http://\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3:{port}/",
    "http://[::1]:{port}/",
    "http://[::]:{port}/",
    "http://[0:0:0:0:0:0:0:1]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/",
    "http://[::127.0.0.1]:{port}/",
    "http://[64:ff9b::127.0.0.1]:{port}/",
    "http://[64:ff9b:1::127.0.0.1]:{port}/",
    "http://[2002:7f00:1::]:{port}/",
    "http://[2606:2800:220:1:0:5efe:127.0.0.1]:{port}/",
    "http://[fe80::1%25lo]:{port}/",
    "http://[::1]@example.com:{port}/",
    "http://example.com@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}@example.com/",
    "http://example.com\\@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}\\@example.com/",
    "http://example.com#@127.0.0.1:{port}/",
    "http://127.0.0.1 :{port}/",
    "http://127.0.0.1\t:{port}/",
    "http://127.0.0.1:{port}/\r\nHost: other",
    "http:127.0.0.1:{port}/",
    "http:///127.0.0.1:{port}/",
    "//127.0.0.1:{port}/",
    "gopher://127.0.0.1:{port}/",
    "file:///etc/passwd?{port}",
    "http://169.254.169.254/latest/meta-data/?{port}",
    "http://[fd00:ec2::254]/?{port}",
    "http://metadata.internal/?{port}",
]

KNOWN = {
    "localhost": ["127.0.0.1"],
    "localhost.": ["127.0.0.1"],
    "metadata.internal": ["169.254.169.254"],
    "example.com": ["203.0.113.1"],  # never dialled: it is reserved
    "moved.test": ["127.0.0.1"],
    "hook.test": ["127.0.0.1"],
}


class Resolver:
    """Names from a list; what a script says of a name comes first, its last line for ever."""

    def __init__(self, **scripts: list[list[str]]) -> None:
        self.scripts = {name.replace("_", "."): answers for name, answers in scripts.items()}

    def __call__(self, host: str, port: int) -> list[str]:
        script = self.scripts.get(host)
        if script:
            return script.pop(0) if len(script) > 1 else script[0]
        if host not in KNOWN:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return KNOWN[host]


Make = Callable[..., WebhookSender]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[WebhookSender] = []

    def make(allow: tuple[str, ...] = (), resolver: Resolver | None = None, **options: object) -> WebhookSender:
        sender = WebhookSender(
            now_ms=lambda: NOW_MS,
            monotonic_s=time.monotonic,
            allow=allow,
            resolver=resolver or Resolver(),
            prepare_timeout_s=GUARD_S,
            **options,  # type: ignore[arg-type]
        )
        made.append(sender)
        return sender

    yield make
    for sender in made:
        sender.close()


def send(sender: WebhookSender, url: str, timeout_ms: int = GUARD_S * 1000, **fields: object) -> Outcome:
    target = {"type": "webhook", "url": url, **fields}
    delivery = Delivery("01KB-1", "a", "01KB", NOW_MS, 1, 1, target, b"{}", "00-1-2-01", timeout_ms)
    sender.prepare(delivery)
    [outcome] = sender.dispatch([delivery])
    return outcome


@pytest.mark.parametrize("form", FORMS)
def test_no_form_of_an_inside_address_is_called(make: Make, receiver: Receiver, form: str) -> None:
    url = form.format(port=receiver.port)
    outcome = send(make(), url, timeout_ms=2000)
    assert (outcome.kind, outcome.error_type, outcome.permanent) == ("failed", "rejected", True), outcome
    assert receiver.connections == 0


def test_the_forms_are_told_from_what_may_be_called(make: Make, receiver: Receiver) -> None:
    outcome = send(make(allow=("127.0.0.1",)), FORMS[0].format(port=receiver.port))
    assert outcome.kind == "completed"


# -- names that move


def test_a_name_that_is_rebound_between_look_ups_gains_nothing(make: Make, receiver: Receiver) -> None:
    """The judged address is the dialled one: the name is asked once, and its second answer is of the next delivery."""
    resolver = Resolver(hook_test=[["127.0.0.1"], ["169.254.169.254"]])
    sender = make(("127.0.0.1",), resolver)
    url = f"http://hook.test:{receiver.port}/"
    assert send(sender, url).kind == "completed"
    outcome = send(sender, url)
    assert (outcome.error_type, len(receiver.requests)) == ("rejected", 1)


@pytest.mark.parametrize("order", [1, -1])
def test_a_name_with_a_public_and_a_private_address_is_refused(make: Make, receiver: Receiver, order: int) -> None:
    both = ["93.184.216.34", "127.0.0.1"][::order]
    outcome = send(make((), Resolver(hook_test=[both])), f"http://hook.test:{receiver.port}/", timeout_ms=2000)
    assert outcome.error_type == "rejected"
    assert "127.0.0.1 is loopback" in (outcome.error or "")


def test_an_idle_connection_does_not_outlive_the_names_move(make: Make, receiver: Receiver) -> None:
    moved = Receiver(socket.create_server(("127.0.0.2", receiver.port)))
    moved.start()
    try:
        sender = make(("127.0.0.0/8",), Resolver(hook_test=[["127.0.0.1"], ["127.0.0.1"], ["127.0.0.2"]]))
        for _ in range(3):
            assert send(sender, f"http://hook.test:{receiver.port}/").kind == "completed"
        assert (receiver.connections, len(receiver.requests), len(moved.requests)) == (1, 2, 1)
    finally:
        moved.stop()


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(make: Make, receiver: Receiver, code: int) -> None:
    receiver.answers = [status(code, f"Location: http://127.0.0.1:{receiver.port}/inside")]
    outcome = send(make(("127.0.0.1",)), f"http://127.0.0.1:{receiver.port}/")
    assert (outcome.kind, outcome.http_status, len(receiver.requests)) == ("failed", code, 1)


def test_proxies_of_the_environment_are_not_used(
    make: Make, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
        monkeypatch.setenv(name.lower(), "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert send(make(("127.0.0.1",)), f"http://127.0.0.1:{receiver.port}/").kind == "completed"


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "inside"},
        {"hOST": "inside"},
        {"X-A": "b\r\nHost: inside"},
        {"X-A: b\r\nHost": "inside"},
        {"X-A\n": "b"},
        {"Transfer-Encoding": "chunked"},
        {"Content-Length": "0"},
        {"Connection": "upgrade"},
        {"Proxy-Authorization": "x"},
        {"X-Chrono-Depth": "0"},
    ],
)
def test_no_header_forges_a_request(make: Make, receiver: Receiver, headers: dict[str, str]) -> None:
    outcome = send(make(("127.0.0.1",)), f"http://127.0.0.1:{receiver.port}/", headers=headers)
    assert (outcome.error_type, receiver.connections) == ("rejected", 0)


# -- receivers that want to hold or to fill the worker


@pytest.mark.parametrize("drip", [b"H", b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_a_drip_ends_at_the_deadline(make: Make, receiver: Receiver, drip: bytes) -> None:
    gone = threading.Event()

    def drop(sock: socket.socket) -> None:
        sock.sendall(drip)
        while not gone.wait(0.02):
            sock.sendall(b"x" if not drip.endswith(b"\r\n\r\n") else drip)

    receiver.answers = [drop]
    began_s = time.monotonic()
    outcome = send(make(("127.0.0.1",)), f"http://127.0.0.1:{receiver.port}/", timeout_ms=300)
    took_s = time.monotonic() - began_s
    gone.set()
    assert outcome.error_type in ("timeout", "connection_error")
    assert took_s < GUARD_S


def test_a_gzip_bomb_is_never_unpacked(make: Make, receiver: Receiver) -> None:
    bomb = gzip.compress(bytes(64 * 1024 * 1024))
    assert len(bomb) > BODY_MAX_BYTES // 2
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    receiver.answers = [lambda sock: (sock.sendall(head + bomb), hang_up(sock))]  # type: ignore[list-item, func-returns-value]
    sender = make(("127.0.0.1",))
    tracemalloc.start()
    outcome = send(sender, f"http://127.0.0.1:{receiver.port}/")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert outcome == Outcome("completed", 200)
    assert peak < 4 * 1024 * 1024


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1;" + b"x" * 65536 + b"\r\nx\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"X-Pad: " + b"x" * 1000 + b"\r\n"),
    ],
)
def test_an_endless_answer_is_left(make: Make, receiver: Receiver, head: bytes, piece: bytes) -> None:
    sent: list[int] = []

    def flood(sock: socket.socket) -> None:
        sock.sendall(head)
        while True:
            sent.append(sock.send(piece))

    receiver.answers = [flood]
    tracemalloc.start()
    outcome = send(make(("127.0.0.1",)), f"http://127.0.0.1:{receiver.port}/")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert outcome.http_status == 200 or outcome.error_type == "connection_error"
    receiver.closed.get(timeout=GUARD_S)
    assert peak < 8 * 1024 * 1024
    assert sum(sent) < 100 * 1024 * 1024


# -- TLS


@pytest.mark.parametrize(("host", "kind"), [("hook.test", "completed"), ("moved.test", "failed")])
def test_the_dialled_address_must_show_a_certificate_of_the_name(
    make: Make, receiver: Receiver, certificates: Certificates, host: str, kind: str
) -> None:
    serve_tls(receiver, certificates.good)
    sender = make(("127.0.0.1",), ca_file=str(certificates.ca_file))
    outcome = send(sender, f"https://{host}:{receiver.port}/")
    assert outcome.kind == kind
    assert len(receiver.requests) == (kind == "completed")


def test_every_form_that_holds_an_address_is_refused_when_it_is_written() -> None:
    names = ("localhost", "LOCALHOST", "\u24db", "metadata.internal", "example.com#")
    written = [form.format(port=1) for form in FORMS if not any(name in form for name in names)]
    assert len(written) > 30
    assert [url for url in written if ssrf.check_url(url, ()) is None] == []
