"""From the variables of a deployment to a signed webhook: the stores that settings name are the ones that are read."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator

import pytest

from chalicelib import bootstrap, settings
from chalicelib.adapters.secrets import ed25519
from chalicelib.adapters.targets.webhook import WebhookSender
from chalicelib.ports.target import Delivery, Outcome
from tests.kit.receivers import Receiver
from tests.kit.vault_server import VaultServer

HOOK, SEED = b"a key of the environment", b"s" * 32
BEYOND = {"AWS_ENDPOINT_URL": "http://192.0.2.1:4566", "CHRONO_STAGE": "prod", "CHRONO_WEBHOOK_ALLOW": "127.0.0.1"}


@pytest.fixture
def vault() -> Iterator[VaultServer]:
    made = VaultServer()
    made.vault.secrets["kv/data/x"] = [{"token": "Bearer the-token"}]
    made.vault.secrets["kv/data/own"] = [{"value": "whsk_" + base64.b64encode(SEED).decode()}]
    yield made
    made.stop()


def send(receiver: Receiver, env: dict[str, str], **fields: object) -> Outcome:
    services = bootstrap.build(settings.load(env))
    target = {"type": "webhook", "url": f"http://127.0.0.1:{receiver.port}/", **fields}
    delivery = Delivery("01KB-1", "a", "01KB", 1, 1, 1, target, b"{}", "00-1-2-01", 10_000)
    sender = services.targets["webhook"]
    assert isinstance(sender, WebhookSender)
    [outcome] = sender.dispatch([delivery])
    sender.close()
    return outcome


def vault_env(vault: VaultServer) -> dict[str, str]:
    return {"CHRONO_VAULT_ADDR": vault.url, "CHRONO_VAULT_TOKEN": "root"}


def test_a_deployment_reads_what_its_settings_name(
    vault: VaultServer, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_SECRET", "whsec_" + base64.b64encode(HOOK).decode())
    env = {**vault_env(vault), "CHRONO_WEBHOOK_SIGNING_KEY": "vault:kv/data/own"}
    headers = {"Authorization": {"secret_ref": "vault:kv/data/x#token"}}
    assert send(receiver, env, secret_ref="env:HOOK_SECRET", headers=headers) == Outcome("completed", 200)
    [request] = receiver.requests
    assert request.headers["authorization"] == "Bearer the-token"
    own, asymmetric = request.headers["webhook-signature"].split(" ")
    text = f"01KB-1.{request.headers['webhook-timestamp']}.{{}}".encode()
    assert own == "v1," + base64.b64encode(hmac.new(HOOK, text, hashlib.sha256).digest()).decode()
    assert asymmetric == "v1a," + base64.b64encode(ed25519.sign(SEED, text)).decode()
    services = bootstrap.build(settings.load(env))
    assert services.webhook_keys.public_keys() == (ed25519.public_key(SEED),)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"secret_ref": "env:HOOK_SECRET"}, "no env: secrets"),
        ({"secret_ref": "vault:kv/data/x"}, "no vault: secrets"),
        ({"headers": {"X-A": {"secret_ref": "ssm:/x"}}}, "CHRONO_HEADER_SECRETS"),
    ],
)
def test_beyond_loopback_nothing_opens_by_itself(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, fields: dict, words: str
) -> None:
    monkeypatch.setenv("HOOK_SECRET", "whsec_" + base64.b64encode(HOOK).decode())
    outcome = send(receiver, BEYOND, **fields)
    assert (outcome.error_type, outcome.permanent) == ("rejected", True)
    assert words in (outcome.error or "")
    assert receiver.connections == 0


@pytest.mark.parametrize("name", ["CHRONO_VAULT_TOKEN", "CHRONO_PAGE_TOKEN_SECRET", "AWS_SECRET_ACCESS_KEY"])
def test_the_services_own_variables_go_to_no_target(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "its-own-secret")
    outcome = send(receiver, {}, headers={"X-A": {"secret_ref": f"env:{name}"}})
    assert outcome.error_type == "rejected"
    assert receiver.connections == 0
