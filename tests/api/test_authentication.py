"""Requests with tokens, through the whole door: what is answered to whom, and when what is held open ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib import bootstrap, settings
from chalicelib.api.http import connection
from chalicelib.core.errors import Unavailable
from chalicelib.core.security.permissions import ROLES
from chalicelib.ports.identity import Credentials
from tests.kit import issuer as issuers
from tests.kit.callers import Everybody, who
from tests.kit.forgeries import forgeries
from tests.kit.house import RATE, House
from tests.kit.issuer import AUDIENCE, Issuer
from tests.kit.services import with_stores


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuers.running() as found:
        yield found


@pytest.fixture
def guarded(house: House, issuer: Issuer) -> House:
    """A house that takes the issuer's tokens, made as a deployment makes it."""
    env = {"CHRONO_AUTH": "jwt", "CHRONO_JWT_ISSUER": issuer.url, "CHRONO_JWT_AUDIENCE": AUDIENCE}
    house.authenticator = bootstrap.identity(settings.load(env), house.services)
    return house


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_a_token_says_who_asks(guarded: House, issuer: Issuer) -> None:
    now_ms = guarded.clock.now_ms()
    ann = _bearer(issuer.token(now_ms, sub="ann", tenant="acme"))
    made = guarded.call("POST", "/api/v1/schedules", RATE, headers=ann)
    assert (made.status, made.json["owner"], made.json["tenant"]) == (201, "ann", "acme")
    path = f"/api/v1/schedules/{made.json['id']}"
    assert guarded.call("GET", path, headers=ann).status == 200
    assert guarded.call("GET", path, headers=_bearer(issuer.token(now_ms, sub="bob", tenant="acme"))).status == 404
    viewer = _bearer(issuer.token(now_ms, sub="vera", tenant="acme", roles=["viewer"]))
    assert guarded.call("GET", path, headers=viewer).status == 200
    assert guarded.call("DELETE", path, headers=viewer).code == "forbidden"
    stranger = _bearer(issuer.token(now_ms, sub="ann", tenant="other", roles=["admin"]))
    assert guarded.call("GET", path, headers=stranger).status == 404


def test_a_role_of_the_tenants_own_holds_for_tokens(guarded: House, issuer: Issuer) -> None:
    now_ms = guarded.clock.now_ms()
    admin = _bearer(issuer.token(now_ms, sub="ada", roles=["admin"]))
    clock_reader = _bearer(issuer.token(now_ms, sub="cleo", roles=["clock"]))
    assert guarded.call("GET", "/api/v1/time/now", headers=clock_reader).status == 403
    assert guarded.call("PUT", "/api/v1/roles/clock", {"permissions": ["time:read"]}, headers=admin).status == 201
    assert guarded.call("GET", "/api/v1/time/now", headers=clock_reader).status == 200
    assert guarded.call("GET", "/api/v1/schedules", headers=clock_reader).status == 403


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "HEAD", "PURGE"])
@pytest.mark.parametrize("path", ["/api/v1/schedules", "/api/v1/nowhere", "/health", "/docs", "/api/v1/openapi.json"])
def test_without_a_token_nothing_is_answered(guarded: House, issuer: Issuer, method: str, path: str) -> None:
    answer = guarded.call(method, path, RATE)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="chronowatch"'
    if method != "HEAD":
        assert answer.code == "unauthorized"
    assert issuer.asked == []


def test_a_wrong_token_is_said_to_be_one_and_never_repeated(guarded: House, issuer: Issuer) -> None:
    for kind, token in forgeries(issuer, guarded.clock.now_ms()).items():
        answer = guarded.call("GET", "/api/v1/schedules", headers=_bearer(token))
        assert (answer.status, answer.code) == (401, "unauthorized"), kind
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="chronowatch", error="invalid_token"'
        assert token not in answer.body.decode()
        assert (token.rpartition(".")[2] or token) not in answer.body.decode()


def test_an_issuer_that_is_away_is_no_fault_of_the_token(guarded: House, issuer: Issuer) -> None:
    issuer.status = 500
    answer = guarded.call("GET", "/api/v1/schedules", headers=_bearer(issuer.token(guarded.clock.now_ms())))
    assert (answer.status, answer.code) == (503, "issuer_unavailable")
    assert int(answer.headers["Retry-After"]) >= 1


def test_a_request_is_identified_once(house: House) -> None:
    class Counting(Everybody):
        calls: list[Credentials] = []  # noqa: RUF012 -- of this test alone

        def authenticate(self, credentials: Credentials) -> Any:
            self.calls.append(credentials)
            return super().authenticate(credentials)

    house.authenticator = Counting(who("ann", "user"))
    house.call("GET", "/api/v1/schedules", headers={"Authorization": "Bearer x"})
    assert [c.authorization for c in Counting.calls] == ["Bearer x"]


class TestPublicOps:
    def test_health_is_closed_unless_it_is_opened(self, guarded: House) -> None:
        assert guarded.call("GET", "/health").status == 401
        guarded.settings.public_ops = True
        assert guarded.call("GET", "/health").status in (200, 503)
        assert guarded.call("GET", "/health", headers=_bearer("rubbish")).status in (200, 503)

    def test_nothing_else_is_opened_by_it(self, guarded: House) -> None:
        guarded.settings.public_ops = True
        for path in ("/api/v1/schedules", "/debug/cluster", "/docs", "/nowhere", "/health/x"):
            assert guarded.call("GET", path).status == 401
        assert guarded.call("POST", "/health", {}).status == 401

    def test_a_caller_whose_role_lacks_it_is_still_refused(self, guarded: House, issuer: Issuer) -> None:
        guarded.settings.public_ops = True
        nobody = _bearer(issuer.token(guarded.clock.now_ms(), roles=[]))
        assert "health:read" in ROLES["viewer"].permissions
        assert guarded.call("GET", "/health", headers=nobody).status == 403


class TestEnds:
    def test_a_held_call_ends_with_the_callers_credential(self, house: House) -> None:
        held = {"name": "n", "holder_id": "a", "ttl_ms": 60_000}
        ann, bob = Everybody(who("ann", "user")), Everybody(who("bob", "user"))
        house.authenticator = ann
        assert house.call("POST", "/api/v1/leases:acquire", held).json["acquired"]
        house.authenticator = bob
        bob.good = False  # it is over the moment after it was shown
        answer = house.call("POST", "/api/v1/leases:acquire", {**held, "holder_id": "b", "wait_ms": 25_000})
        assert answer.json["acquired"] is False

    def test_a_caller_is_gone_when_either_the_connection_or_the_credential_has_ended(self) -> None:
        hung_up, ended = threading.Event(), threading.Event()
        caller = connection.CallerConnection(hung_up.is_set, "203.0.113.7")
        with connection.serving(caller):
            connection.end_when(ended.is_set)
            gone = connection.caller_is_gone()
            assert not gone()
            ended.set()
            assert gone()
            with connection.serving(caller):
                assert not connection.caller_is_gone()(), "the next request has a credential of its own"


def test_roles_that_cannot_be_read_are_no_reason_to_say_no(guarded: House, issuer: Issuer) -> None:
    class Away:
        def load(self, tenant: str) -> tuple[str, int] | None:
            raise Unavailable("no answer from DynamoDB")

        def save(self, tenant: str, document: str, rev: int, expected_rev: int) -> bool:
            raise Unavailable("no answer from DynamoDB")

    house = guarded
    env = {"CHRONO_AUTH": "jwt", "CHRONO_JWT_ISSUER": issuer.url, "CHRONO_JWT_AUDIENCE": AUDIENCE}
    house.authenticator = bootstrap.identity(settings.load(env), with_stores(house.services, roles=Away()))
    now_ms = house.clock.now_ms()
    own = house.call("GET", "/api/v1/time/now", headers=_bearer(issuer.token(now_ms, roles=["clock"])))
    assert (own.status, own.code) == (503, "unavailable")
    built_in = house.call("GET", "/api/v1/time/now", headers=_bearer(issuer.token(now_ms, roles=["user"])))
    assert built_in.status == 200, "built-in roles need no read"
