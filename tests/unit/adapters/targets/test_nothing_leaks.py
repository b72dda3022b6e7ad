"""What the service logs, answers and keeps after a day with secrets: none of them is in it."""

from __future__ import annotations

import base64
import json
import logging
import time
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from chalicelib.adapters.secrets.kept_secrets import KeptSecrets
from chalicelib.adapters.targets.webhook import WebhookSender
from chalicelib.core.secrets import envelope
from chalicelib.core.secrets.secret_policy import SecretPolicy
from chalicelib.core.secrets.secret_ref import SecretRef
from chalicelib.ports.secrets import SecretAway
from tests.kit.house import House
from tests.kit.plant import Plant
from tests.kit.receivers import Receiver, hang_up, status

T0 = 1_795_252_800_000
TOKEN = "planted-bearer-token"
SIGNING = base64.b64encode(b"planted-signing-key-of-24").decode()
INVALID = "planted-invalid-key"
PAYLOAD = "planted-payload-marker"
POLICY = SecretPolicy(environment=True, header_refs=("*",))


class Store:
    def read(self, ref: SecretRef) -> tuple[str, ...]:
        if ref.name == "away":
            raise SecretAway("ssm does not answer")
        return {"token": (TOKEN,), "key": (f"whsec_{SIGNING}",), "invalid": (INVALID,)}[ref.name]


class Seal:
    """A seal that shows that it was used, and hides what it was given."""

    def seal(self, tenant: str, place: str, text: str) -> str:
        return f"{envelope.PREFIX}{len(text)}"

    def unseal(self, tenant: str, place: str, text: str) -> str:
        raise AssertionError("the memory stores seal nothing")


@pytest.fixture
def plant() -> Iterator[Plant]:
    made = Plant(T0, secrets=POLICY)
    clock = made.clock
    sender = WebhookSender(
        now_ms=clock.now_ms,
        monotonic_s=time.monotonic,
        allow=("127.0.0.1",),
        secrets=KeptSecrets({"ssm": Store}, monotonic_s=lambda: clock.now_ms() / 1000),
        secret_policy=POLICY,
    )
    made.services = replace(made.services, targets={**made.services.targets, "webhook": sender}, sealing=Seal())
    yield made
    sender.close()


def test_no_secret_leaves_but_to_its_receiver(
    plant: Plant, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    house = House()
    house.services = plant.services
    answers: list[bytes] = []

    def call(method: str, path: str, body: object = None, **options: object) -> object:
        answer = house.call(method, path, body, **options)  # type: ignore[arg-type]
        answers.append(answer.body + repr(answer.headers).encode())
        return answer.json if answer.body.startswith(b"{") else None

    def target(key: str, token: str = "ssm:token") -> dict[str, object]:
        headers = {"Authorization": {"secret_ref": token}}
        return {
            "type": "webhook",
            "url": f"http://127.0.0.1:{receiver.port}/",
            "secret_ref": f"ssm:{key}",
            "headers": headers,
        }

    receiver.answers = [status(401), status(500, "X-Echo: x"), hang_up, hang_up]
    with caplog.at_level(logging.DEBUG):
        for name, key in (("good", "key"), ("bad", "invalid"), ("gone", "away")):
            call(
                "POST",
                "/api/v1/schedules",
                {
                    "type": "AT",
                    "expr": "at:2026-11-21T09:20:30Z",
                    "name": name,
                    "target": target(key),
                    "payload": {"n": PAYLOAD},
                    "retry_policy": {"max_attempts": 3, "base_ms": 100},
                },
                headers={"Idempotency-Key": name},
            )
        plant.run_until(T0 + 120_000)
        call(
            "POST", "/api/v1/schedules", {"type": "AT", "expr": "nonsense", "target": target("key"), "payload": PAYLOAD}
        )
        call("POST", "/api/v1/schedules", {"type": "RATE", "expr": "rate:5s", "target": target(f"{TOKEN} x")})
        listed = call("GET", "/api/v1/schedules")
        executions = call("GET", "/api/v1/executions")
        call("GET", "/api/v1/schedules:export")
        for each in executions["items"]:  # type: ignore[index]
            call("GET", f"/api/v1/executions/{each['id']}")
            call("POST", f"/api/v1/executions/{each['id']}:retry")

    assert [request.headers["authorization"] for request in receiver.requests] == [TOKEN] * 4, "one was sent again"
    assert all(SIGNING not in repr(request) for request in receiver.requests)
    assert len(listed["items"]) == 3  # type: ignore[index]
    states = {each["delivery_state"] for each in executions["items"]}  # type: ignore[index]
    assert states == {"failed"}
    letters = repr(plant.queue.dead)
    assert len(plant.queue.dead) == 3
    assert all(json.loads(letter.event)["data"].keys() == {envelope.FIELD} for letter in plant.queue.dead)
    logged = caplog.text + "".join(repr(record.__dict__) for record in caplog.records)
    answered = b"".join(answers).decode()
    planted = (TOKEN, SIGNING, INVALID)
    for where, text in (("logs", logged), ("answers", answered.replace(f"{TOKEN} x", "")), ("dead letters", letters)):
        assert not [secret for secret in planted if secret in text], where
    assert PAYLOAD in answered, "its owner may read it"
    assert PAYLOAD not in logged
    assert PAYLOAD not in letters
