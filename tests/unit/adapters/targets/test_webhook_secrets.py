"""Webhooks and their secrets: rotation, a store that is away, refusals, headers, the service's own key."""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chalicelib.adapters.secrets.kept_secrets import KeptSecrets
from chalicelib.adapters.targets.webhook import WebhookSender
from chalicelib.core.secrets.limits import FRESH_S, REFUSED_GAP_S, STALE_S
from chalicelib.core.secrets.secret_policy import SecretPolicy
from chalicelib.core.secrets.secret_ref import SecretRef
from chalicelib.core.targets import target_answer
from chalicelib.ports.secrets import SecretAway, SecretMissing
from chalicelib.ports.target import Delivery, Outcome
from tests.kit.receivers import OK, Receiver, Request, say, status
from tests.tidy.sources import ROOT

REF = "secretsmanager:hook"
NOW_MS = 1_795_252_805_002


def text_of(key: bytes) -> str:
    return "whsec_" + base64.b64encode(key).decode()


OLD, NEW = b"the old key, as was", b"the new key, as is"


class Store:
    """Secrets that a test sets, and a store that it takes away."""

    def __init__(self, **values: tuple[str, ...]) -> None:
        self.values: dict[str, tuple[str, ...]] = values
        self.away = False
        self.times = 0

    def read(self, ref: SecretRef) -> tuple[str, ...]:
        self.times += 1
        if self.away:
            raise SecretAway("the store does not answer")
        if ref.name not in self.values:
            raise SecretMissing(f"{ref.name} is not there")
        return self.values[ref.name]


class Clock:
    def __init__(self) -> None:
        self.passed_s = 0.0

    def __call__(self) -> float:
        return self.passed_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


Make = Callable[..., WebhookSender]


@pytest.fixture
def make(clock: Clock) -> Iterator[Make]:
    made: list[WebhookSender] = []

    def make(store: Store, policy: SecretPolicy | None = None, service_key: str | None = None) -> WebhookSender:
        stores = dict.fromkeys(("secretsmanager", "vault"), lambda: store)
        sender = WebhookSender(
            now_ms=lambda: NOW_MS,
            monotonic_s=time.monotonic,
            allow=("127.0.0.1",),
            secrets=KeptSecrets(stores, monotonic_s=clock),
            secret_policy=policy or SecretPolicy(header_refs=("*",)),
            service_key=service_key,
        )
        made.append(sender)
        return sender

    yield make
    for sender in made:
        sender.close()


def delivery(receiver: Receiver, number: int = 1, **fields: object) -> Delivery:
    return Delivery(
        execution_id=f"01KB-{number}",
        tenant="a",
        schedule_id="01KB",
        firing_unix_ms=NOW_MS,
        attempt=1,
        fencing_token=1,
        target={"type": "webhook", "url": f"http://127.0.0.1:{receiver.port}/", **fields},
        event=b'{"data":1}',
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        timeout_ms=10_000,
    )


def send(sender: WebhookSender, *deliveries: Delivery) -> list[Outcome]:
    return sender.dispatch(deliveries)


def is_signed(request: Request, key: bytes) -> bool:
    """Whether one signature of the request is of ``key``, by an independent reader."""
    text = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    wanted = "v1," + base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
    return wanted in request.headers["webhook-signature"].split(" ")


def test_a_rotation_in_the_midst_of_a_thousand_deliveries(make: Make, clock: Clock, receiver: Receiver) -> None:
    """A receiver that has the old key until it is rotated, and the new one from then on, accepts every delivery."""
    store = Store(hook=(text_of(OLD),))
    sender = make(store)
    accepted = 0
    for number in range(1000):
        if number == 400:
            store.values["hook"] = (text_of(NEW), text_of(OLD))  # AWSCURRENT, AWSPREVIOUS
        if number == 500:
            clock.passed_s += FRESH_S
        [outcome] = send(sender, delivery(receiver, number, secret_ref=REF))
        accepted += outcome.kind == "completed" and is_signed(receiver.requests[-1], NEW if number >= 500 else OLD)
        assert number < 500 or is_signed(receiver.requests[-1], OLD), "while it rotates both sign"
    assert accepted == 1000
    assert store.times == 2


def test_a_receiver_that_was_rotated_first_has_the_secret_read_anew(make: Make, receiver: Receiver) -> None:
    store = Store(hook=(text_of(OLD),))
    sender = make(store)
    send(sender, delivery(receiver, secret_ref=REF))
    store.values["hook"] = (text_of(NEW), text_of(OLD))

    def judge(sock: socket.socket) -> None:
        sock.sendall(OK if is_signed(receiver.requests[-1], NEW) else OK.replace(b"200 OK", b"401 No"))

    receiver.answers = [judge, judge]
    [outcome] = send(sender, delivery(receiver, secret_ref=REF))
    assert outcome == Outcome("completed", 200)
    assert len(receiver.requests) == 3
    assert store.times == 2


def test_a_receiver_that_always_refuses_is_asked_once_a_delivery(make: Make, clock: Clock, receiver: Receiver) -> None:
    store = Store(hook=(text_of(OLD),))
    sender = make(store)
    for _ in range(4):
        receiver.answers = [status(401)]
        [outcome] = send(sender, delivery(receiver, secret_ref=REF))
        assert (outcome.error_type, outcome.http_status) == ("http_error", 401)
    assert len(receiver.requests) == 4
    assert store.times == 2
    clock.passed_s += REFUSED_GAP_S
    receiver.answers = [status(401)]
    send(sender, delivery(receiver, secret_ref=REF))
    assert store.times == 3


def test_a_401_without_a_secret_is_an_answer_as_any(make: Make, receiver: Receiver) -> None:
    receiver.answers = [status(401)]
    [outcome] = send(make(Store()), delivery(receiver))
    assert outcome.http_status == 401
    assert len(receiver.requests) == 1


def test_while_the_store_is_away_deliveries_go_on_and_later_fail_to_be_retried(
    make: Make, clock: Clock, receiver: Receiver
) -> None:
    store = Store(hook=(text_of(OLD),))
    sender = make(store)
    send(sender, delivery(receiver, secret_ref=REF))
    store.away = True
    for _ in range(24):  # two minutes
        clock.passed_s += 5
        [outcome] = send(sender, delivery(receiver, secret_ref=REF))
        assert outcome.kind == "completed"
        assert is_signed(receiver.requests[-1], OLD)
    clock.passed_s += FRESH_S + STALE_S
    [outcome] = send(sender, delivery(receiver, secret_ref=REF))
    assert (outcome.kind, outcome.error_type, outcome.permanent) == ("failed", "internal_error", False)
    assert "the store does not answer" in (outcome.error or "")
    assert len(receiver.requests) == 25
    store.away = False
    clock.passed_s += 5
    [outcome] = send(sender, delivery(receiver, secret_ref=REF))
    assert outcome.kind == "completed"


# -- headers


def test_a_header_may_be_a_secret(make: Make, receiver: Receiver) -> None:
    store = Store(**{"kv/data/x": ("Bearer the-token", "Bearer the-old-token")})
    headers = {"Authorization": {"secret_ref": "vault:kv/data/x#token"}, "X-Plain": "y"}
    [outcome] = send(make(store), delivery(receiver, headers=headers))
    assert outcome.kind == "completed"
    assert receiver.requests[0].headers["authorization"] == "Bearer the-token"
    assert receiver.requests[0].headers["x-plain"] == "y"


def test_a_secret_that_comes_back_is_not_kept(make: Make, receiver: Receiver) -> None:
    store = Store(**{"kv/data/x": ("Bearer the-token",)})
    receiver.answers.append(say(b"HTTP/1.1 400 No\r\nContent-Length: 23\r\n\r\nsent: Bearer the-token."))
    headers = {"Authorization": {"secret_ref": "vault:kv/data/x#token"}}
    [outcome] = send(make(store), delivery(receiver, headers=headers))
    assert target_answer.read(outcome.answer or "").body == "sent: [hidden]."


def test_a_header_that_was_refused_is_read_anew(make: Make, receiver: Receiver) -> None:
    store = Store(**{"kv/data/x": ("old",)})
    sender = make(store)
    target = delivery(receiver, headers={"Authorization": {"secret_ref": "vault:kv/data/x"}})
    send(sender, target)
    store.values["kv/data/x"] = ("new",)
    receiver.answers = [status(401)]
    [outcome] = send(sender, target)
    assert outcome.kind == "completed"
    assert [request.headers["authorization"] for request in receiver.requests] == ["old", "old", "new"]


@pytest.mark.parametrize("value", ["a\r\nX-Injected: the-token", "the-token\x00", "the-token\u20ac", "the-token" * 999])
def test_a_secret_cannot_split_a_request_and_is_not_quoted(make: Make, receiver: Receiver, value: str) -> None:
    [outcome] = send(make(Store(x=(value,))), delivery(receiver, headers={"X-A": {"secret_ref": "secretsmanager:x"}}))
    assert (outcome.error_type, outcome.permanent) == ("rejected", True)
    assert "target.headers.X-A" in (outcome.error or "")
    assert "the-token" not in (outcome.error or "")
    assert receiver.connections == 0


@pytest.mark.parametrize(("tenant_path", "kind"), [("a", "completed"), ("b", "failed")])
def test_a_tenant_sends_its_own_secrets_only(make: Make, receiver: Receiver, tenant_path: str, kind: str) -> None:
    policy = SecretPolicy(header_refs=("vault:kv/data/{tenant}/",))
    store = Store(**{f"kv/data/{tenant_path}/x": ("token",)})
    headers = {"X-A": {"secret_ref": f"vault:kv/data/{tenant_path}/x"}}
    [outcome] = send(make(store, policy), delivery(receiver, headers=headers))
    assert outcome.kind == kind
    assert kind == "completed" or "CHRONO_HEADER_SECRETS" in (outcome.error or "")


# -- the service's own key


def test_the_services_key_signs_every_webhook(make: Make, receiver: Receiver) -> None:
    private = Ed25519PrivateKey.generate()
    store = Store(own=("whsk_" + base64.b64encode(private.private_bytes_raw()).decode(),), hook=(text_of(OLD),))
    sender = make(store, service_key="secretsmanager:own")
    send(sender, delivery(receiver), delivery(receiver, secret_ref=REF))
    plain, both = receiver.requests
    for request in (plain, both):
        text = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
        signed = [each for each in request.headers["webhook-signature"].split(" ") if each.startswith("v1a,")]
        private.public_key().verify(base64.b64decode(signed[0].removeprefix("v1a,")), text)
    assert is_signed(both, OLD)


WITHOUT_A_KEY = """
import sys
from chalicelib import bootstrap, settings
services = bootstrap.build(settings.load({}))
sender = services.targets["webhook"]
import chalicelib.functions.deliver
print(*[name for name in ("cryptography", "chalicelib.adapters.secrets.vault", "botocore") if name in sys.modules])
"""


def test_a_deployment_without_such_a_key_loads_nothing_for_it() -> None:
    ran = subprocess.run([sys.executable, "-c", WITHOUT_A_KEY], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []


# -- nothing secret leaks


def test_no_secret_is_in_an_outcome_or_a_log(
    make: Make, clock: Clock, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    planted = ("planted-header-token", base64.b64encode(b"planted-signing-key!").decode())
    store = Store(hook=(f"whsec_{planted[1]}",), x=(planted[0],), bad=(planted[0],))
    sender = make(store)
    target = {"secret_ref": REF, "headers": {"Authorization": {"secret_ref": "secretsmanager:x"}}}
    outcomes: list[Outcome] = []
    with caplog.at_level(logging.DEBUG):
        for answer in (status(401), status(500), status(200)):
            receiver.answers = [answer]
            outcomes += send(sender, delivery(receiver, **target))
        outcomes += send(sender, delivery(receiver, secret_ref="secretsmanager:bad"))
        store.away = True
        clock.passed_s += FRESH_S
        outcomes += send(sender, delivery(receiver, **target))
        clock.passed_s += STALE_S + FRESH_S
        outcomes += send(sender, delivery(receiver, **target))
    assert {outcome.kind for outcome in outcomes} == {"completed", "failed"}
    assert receiver.requests[0].headers["authorization"] == planted[0], "it was planted where it could leak"
    said = repr(outcomes) + caplog.text + "".join(str(record.__dict__) for record in caplog.records)
    assert not [secret for secret in planted if secret in said]
