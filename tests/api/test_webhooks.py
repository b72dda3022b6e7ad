"""What the API shows of webhooks' secrets, and calls that its own webhooks make."""

from __future__ import annotations

import base64

import pytest
from msgspec.structs import replace

from chalicelib.adapters.identity import chain
from chalicelib.adapters.secrets import ed25519
from chalicelib.core.secrets.secret_policy import SecretPolicy
from chalicelib.core.targets.loop_depth import DEPTH_MAX, HEADER
from chalicelib.ports.identity import Authenticator, TokenAuthenticator
from tests.kit.house import House

SEED = b"s" * 32
WEBHOOK = {"type": "webhook", "url": "https://example.com/"}


def _no_token() -> TokenAuthenticator:
    raise AssertionError("a call without a token asks no scheme")


class Keys:
    def public_keys(self) -> tuple[bytes, ...]:
        return (ed25519.public_key(SEED),)


@pytest.mark.parametrize("authenticator", [chain.Open(), chain.Bearers({chain.JWT: _no_token})])
def test_the_public_key_is_there_for_anyone(house: House, authenticator: Authenticator) -> None:
    house.services = replace(house.services, webhook_keys=Keys())
    house.authenticator = authenticator
    answer = house.call("GET", "/.well-known/jwks.json")
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    [key] = answer.json["keys"]
    assert (key["kty"], key["crv"], key["use"], key["alg"]) == ("OKP", "Ed25519", "sig", "EdDSA")
    assert base64.b64decode(key["whpk"].removeprefix("whpk_")) == ed25519.public_key(SEED)
    assert base64.b64encode(SEED).decode().rstrip("=") not in answer.body.decode()


def test_nothing_else_opens_with_it(house: House) -> None:
    house.authenticator = chain.Bearers({})
    assert house.call("POST", "/.well-known/jwks.json", {}).status in (401, 405)
    assert house.call("GET", "/.well-known/other").status == 401


def test_without_a_key_the_set_is_empty(house: House) -> None:
    assert house.call("GET", "/.well-known/jwks.json").json == {"keys": []}


# -- references


def with_policy(house: House, policy: SecretPolicy) -> None:
    house.services = replace(house.services, config=replace(house.services.config, secrets=policy))


def test_a_reference_is_shown_as_it_was_given(house: House) -> None:
    with_policy(house, SecretPolicy(environment=True, header_refs=("*",)))
    headers = {"Authorization": {"secret_ref": "vault:kv/data/x#token"}, "X-A": "b"}
    made = house.make(target={**WEBHOOK, "headers": headers, "secret_ref": "env:HOOK"})
    assert made["target"]["headers"] == headers
    assert made["target"]["secret_ref"] == "env:HOOK"
    shown = house.call("GET", f"/api/v1/schedules/{made['id']}").json
    assert shown["target"]["headers"] == headers


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"secret_ref": "env:HOOK"}, "target.secret_ref", "loopback"),
        ({"secret_ref": "vault:kv/x"}, "target.secret_ref", "MOUNT/data/NAME"),
        ({"secret_ref": "file:/etc/passwd"}, "target.secret_ref", "secretsmanager:NAME"),
        ({"headers": {"X-A": {"secret_ref": "ssm:/x"}}}, "target.headers.X-A", "CHRONO_HEADER_SECRETS"),
        ({"headers": {"X-A": {"secret_ref": "nonsense"}}}, "target.headers.X-A", "secretsmanager:NAME"),
        ({"headers": {"Host": {"secret_ref": "ssm:/x"}}}, "target.headers", "set by the service"),
    ],
)
def test_a_reference_that_is_not_taken_is_named(house: House, fields: dict, field: str, words: str) -> None:
    answer = house.call("POST", "/api/v1/schedules", {"type": "RATE", "expr": "rate:5s", "target": WEBHOOK | fields})
    assert field in answer.fields
    assert words in next(error["message"] for error in answer.json["errors"] if error["field"] == field)


def test_an_edit_is_judged_as_well(house: House) -> None:
    made = house.make(target=WEBHOOK)
    answer = house.call("PATCH", f"/api/v1/schedules/{made['id']}", {"target": {**WEBHOOK, "secret_ref": "env:HOOK"}})
    assert answer.fields == ["target.secret_ref"]


# -- the service as its own target


@pytest.mark.parametrize("depth", ["1", "9", "10", "-1", "x", "99999999999999"])
def test_a_webhook_of_the_service_may_not_call_it(house: House, depth: str) -> None:
    answer = house.call("GET", "/api/v1/schedules", headers={HEADER: depth})
    assert (answer.status, answer.code) == (403, "webhook_loop")


def test_a_chain_that_is_allowed_ends_at_its_tenth_webhook(house: House) -> None:
    house.settings.own_api = True
    schedule_id = house.make()["id"]
    trigger = f"/api/v1/schedules/{schedule_id}:trigger"
    depth = 0
    for _ in range(DEPTH_MAX - 1):
        answer = house.call("POST", trigger, headers={HEADER: str(depth)})
        assert answer.status == 202
        depth = house.execution(answer.json["execution_id"]).depth + 1  # what its webhook carries
    assert depth == DEPTH_MAX - 1
    answer = house.call("POST", trigger, headers={HEADER: str(depth)})
    assert house.execution(answer.json["execution_id"]).depth + 1 == DEPTH_MAX
    assert house.call("POST", trigger, headers={HEADER: str(DEPTH_MAX)}).code == "webhook_loop"


def test_what_a_webhook_creates_lies_as_deep(house: House) -> None:
    house.settings.own_api = True
    made = house.call("POST", "/api/v1/schedules", {"type": "RATE", "expr": "rate:5s"}, headers={HEADER: "4"})
    fired = house.call("POST", f"/api/v1/schedules/{made.json['id']}:trigger")
    assert house.execution(fired.json["execution_id"]).depth == 4
    assert "depth" not in made.json
