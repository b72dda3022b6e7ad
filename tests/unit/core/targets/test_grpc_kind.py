"""What a target of the kind grpc may say."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.core.secrets.secret_policy import SecretPolicy
from chalicelib.core.targets import registry
from chalicelib.core.targets.kinds.grpc import METADATA_MAX_COUNT, METADATA_VALUE_MAX_CHARS

GOOD: dict[str, Any] = {"type": "grpc", "address": "orders.example.com:443", "method": "/shop.v1.OrderService/Due"}
OPEN = SecretPolicy(header_refs=("*",))


def wrong(policy: SecretPolicy = OPEN, **fields: object) -> dict[str, str]:
    return {error.field: error.message for error in registry.problems({**GOOD, **fields}, (), policy)}


@pytest.mark.parametrize(
    "fields",
    [
        {"address": "[2606:4700::1]:50051"},
        {"method": "/Bare/Method_2"},
        {"tls": True},
        {"tls": {}},
        {"tls": {"secret_ref": "ssm:/certificates", "server_name": "orders.internal"}},
        {"metadata": {"authorization": {"secret_ref": "ssm:/token"}, "x-tenant": "a b", "x.y_z-1": ""}},
        {"timeout_ms": 900_000},
    ],
)
def test_what_is_right_is_taken(fields: dict[str, object]) -> None:
    assert wrong(**fields) == {}


@pytest.mark.parametrize(
    "address",
    ["orders.example.com", "https://orders.example.com:443", "a:b", "a:99999", "a:443/x", "u@a:443", ":443", "a b:443"],
)
def test_an_address_is_a_host_with_its_port(address: str) -> None:
    assert set(wrong(address=address)) == {"target.address"}


@pytest.mark.parametrize("address", ["127.0.0.1:50051", "[::1]:50051", "169.254.169.254:80", "0x7f.1:443"])
def test_an_address_that_the_guard_forbids_is_refused_when_it_is_written(address: str) -> None:
    assert "CHRONO_WEBHOOK_ALLOW" in wrong(address=address)["target.address"]


@pytest.mark.parametrize("method", ["shop.v1.OrderService/Due", "/Due", "/a.B/C/D", "/a..B/C", "/a.B/", "/a.B/C?x"])
def test_a_method_is_a_path_of_service_and_method(method: str) -> None:
    assert wrong(method=method) == {"target.method": "must be a text such as /package.Service/Method"}


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"Authorization": "x"}, "is not a name of metadata"),
        ({"grpc-timeout": "1S"}, "is set by the service"),
        ({"idempotency-key": "x"}, "is set by the service"),
        ({"trace-bin": "AA=="}, "is a name of binary metadata"),
        ({"a": "é"}, "printable characters of ASCII"),
        ({"a": "x\ny"}, "printable characters of ASCII"),
        ({"a": "x" * (METADATA_VALUE_MAX_CHARS + 1)}, "at most 4096"),
        ({f"n{number}": "x" for number in range(METADATA_MAX_COUNT + 1)}, "at most 50 entries"),
    ],
)
def test_metadata_that_is_not_taken_is_named(metadata: dict[str, str], said: str) -> None:
    assert said in wrong(metadata=metadata)["target.metadata"]


@pytest.mark.parametrize("name", ["-a", "a\n", "a b", "a/b"])
def test_a_server_name_is_one(name: str) -> None:
    assert "server_name of letters" in wrong(tls={"server_name": name})["target.tls"]


@pytest.mark.parametrize("tls", ["true", {"ca": "x"}, {"secret_ref": ""}, {"server_name": ""}])
def test_tls_is_yes_or_no_or_what_it_takes(tls: object) -> None:
    assert wrong(tls=tls)["target.tls"] == "must be true, false, or an object of secret_ref and server_name"


def test_secrets_that_a_deployment_does_not_send_are_refused_by_their_field() -> None:
    refs = {"metadata": {"authorization": {"secret_ref": "ssm:/a"}}, "tls": {"secret_ref": "env:CERTIFICATES"}}
    found = wrong(SecretPolicy(), **refs)
    assert set(found) == {"target.metadata.authorization", "target.tls.secret_ref"}
    assert "CHRONO_HEADER_SECRETS" in found["target.metadata.authorization"]
