"""JSON Web Tokens: real keys, and an issuer that is a real HTTP server."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

from chalicelib.adapters.http.fetch import Fetcher
from chalicelib.adapters.identity import jwks
from chalicelib.adapters.identity.jwt_tokens import JwtAuthenticator
from chalicelib.core.errors import Unauthorized, Unavailable
from chalicelib.core.security.caller import Caller
from chalicelib.core.security.json_web_token import ALGORITHMS, LEEWAY_S
from chalicelib.core.security.jwt_settings import JwtSettings
from chalicelib.core.security.permissions import ROLES, Role
from tests.kit import issuer as issuers
from tests.kit.issuer import Issuer, encode, key, public, signed

NOW_MS = 1_795_252_800_000
NOW_S = NOW_MS // 1000


ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def _bytes_of(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


@dataclass
class Door:
    """The scheme, its issuer, and the clocks of both."""

    issuer: Issuer
    monotonic_s: float = 1000.0
    now_ms: int = NOW_MS
    custom: dict[str, dict[str, Role]] = field(default_factory=dict)
    tenants_read: list[str] = field(default_factory=list)
    timeout_s: float = 30.0

    def scheme(self, jwks_url: str | None = None, **settings: Any) -> JwtAuthenticator:
        chosen = JwtSettings(self.issuer.url, (issuers.AUDIENCE,), jwks_url, "tenant", "sub", "roles")
        chosen = chosen._replace(**settings)
        # The deadline of a fetch runs on a clock that stands still here: what hangs is another test's.
        fetcher = Fetcher(lambda: self.monotonic_s, timeout_s=self.timeout_s, max_bytes=jwks.DOCUMENT_MAX_BYTES)
        keys = jwks.KeySet(chosen.issuer, chosen.jwks_url, fetcher.get, lambda: self.monotonic_s)
        return JwtAuthenticator(chosen, keys, lambda: self.now_ms, self.roles_of)

    def roles_of(self, tenant: str) -> dict[str, Role]:
        self.tenants_read.append(tenant)
        return self.custom.get(tenant, {})

    def token(self, **changes: Any) -> str:
        return self.issuer.token(self.now_ms, **changes)


@pytest.fixture
def door() -> Iterator[Door]:
    with issuers.running() as issuer:
        yield Door(issuer)


def _refused(scheme: JwtAuthenticator, token: str) -> str:
    with pytest.raises(Unauthorized) as caught:
        scheme.authenticate(token, None)
    assert caught.value.invalid_token
    return caught.value.detail


def _taken(scheme: JwtAuthenticator, token: str) -> Caller:
    return scheme.authenticate(token, None)


class TestTaken:
    @pytest.mark.parametrize("alg", ALGORITHMS)
    def test_every_algorithm_that_is_offered(self, door: Door, alg: str) -> None:
        door.issuer.keys = [public(key(alg), "k")]
        caller = _taken(door.scheme(), door.token(alg=alg, kid="k"))
        assert (caller.tenant, caller.subject, caller.roles) == ("default", "ann", {"user"})
        assert caller.permissions == ROLES["user"].permissions
        assert (caller.credential, caller.expires_at_ms) == ("jwt", NOW_MS + 600_000)

    @pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "application/at+jwt", None])
    def test_types_of_tokens_for_access(self, door: Door, typ: str | None) -> None:
        assert _taken(door.scheme(), door.token(header={"typ": typ})).subject == "ann"

    def test_the_key_set_may_be_named_without_discovery(self, door: Door) -> None:
        scheme = door.scheme(jwks_url=f"{door.issuer.url}/keys", issuer="urn:any:issuer")
        assert _taken(scheme, door.token(iss="urn:any:issuer")).subject == "ann"
        assert door.issuer.asked == ["/keys"]

    def test_one_of_several_audiences_is_enough(self, door: Door) -> None:
        scheme = door.scheme(audiences=("first", "second"))
        assert _taken(scheme, door.token(aud=["other", "second"])).subject == "ann"
        assert _taken(scheme, door.token(aud="first")).subject == "ann"

    def test_claims_have_the_names_that_the_deployment_says(self, door: Door) -> None:
        scheme = door.scheme(
            tenant_claim="org.id", subject_claim="https://example.com/user", roles_claim="realm_access.roles"
        )
        token = door.token(
            org={"id": "acme"}, realm_access={"roles": ["viewer"]}, **{"https://example.com/user": "auth0|7"}
        )
        caller = _taken(scheme, token)
        assert (caller.tenant, caller.subject, caller.roles) == ("acme", "auth0|7", {"viewer"})

    def test_roles_may_be_written_as_scopes_are(self, door: Door) -> None:
        assert _taken(door.scheme(), door.token(roles="viewer user")).roles == {"viewer", "user"}

    def test_a_token_without_roles_is_somebody_who_may_do_nothing(self, door: Door) -> None:
        caller = _taken(door.scheme(), door.token(roles=None))
        assert (caller.subject, caller.permissions) == ("ann", frozenset())

    def test_roles_of_the_tenants_own_are_read_when_a_token_names_one(self, door: Door) -> None:
        door.custom["acme"] = {"retrier": Role(frozenset({"executions:retry"}), every_owner=True)}
        scheme = door.scheme()
        assert _taken(scheme, door.token(tenant="acme", roles=["retrier"])).permissions == {"executions:retry"}
        assert not _taken(scheme, door.token(tenant="other", roles=["retrier"])).permissions
        assert door.tenants_read == ["acme", "other"]
        _taken(scheme, door.token(tenant="acme", roles=["admin"]))
        assert door.tenants_read == ["acme", "other"], "built-in roles need no read"

    def test_clocks_may_differ_by_the_leeway(self, door: Door) -> None:
        scheme = door.scheme()
        assert _taken(scheme, door.token(exp=NOW_S - LEEWAY_S + 1)).subject == "ann"
        assert _taken(scheme, door.token(nbf=NOW_S + LEEWAY_S)).subject == "ann"

    def test_what_is_kept_open_ends_when_the_token_expires(self, door: Door) -> None:
        scheme = door.scheme()
        caller = _taken(scheme, door.token(exp=NOW_S + 5))
        door.now_ms = NOW_MS + 4_999
        assert scheme.still_holds(caller)
        door.now_ms += 1
        assert not scheme.still_holds(caller)

    def test_what_is_kept_open_ends_when_a_role_grants_less(self, door: Door) -> None:
        retry, read = frozenset({"executions:retry", "executions:read"}), frozenset({"executions:read"})
        door.custom["acme"] = {"ops": Role(read, every_owner=True)}
        scheme = door.scheme()
        caller = _taken(scheme, door.token(tenant="acme", roles=["ops", "user"]))
        for role, holds in ((Role(retry, True), True), (Role(read, False), False), (Role(frozenset(), True), False)):
            door.custom["acme"] = {"ops": role}
            assert scheme.still_holds(caller) is holds
        door.custom["acme"] = {}
        assert not scheme.still_holds(caller)

    def test_a_token_that_names_no_key_is_tried_against_all_that_fit(self, door: Door) -> None:
        door.issuer.keys = [public(key("RS256"), "r"), public(key("ES256", 1), "a"), public(key("ES256"), "b")]
        assert _taken(door.scheme(), door.token(kid=None)).subject == "ann"

    def test_a_key_that_cannot_be_used_does_not_stop_the_others(self, door: Door) -> None:
        broken = {**public(key("ES256", 1), "first"), "x": "AAAA"}
        door.issuer.keys = [broken, public(key("ES256"), "first")]
        assert _taken(door.scheme(), door.token()).subject == "ann"


class TestRefused:
    def test_none_in_any_spelling(self, door: Door) -> None:
        scheme = door.scheme()
        _, claims, signature = door.token().split(".")
        for alg in ("none", "None", "NONE", "nOnE"):
            header = encode({"alg": alg, "typ": "JWT", "kid": "first"})
            assert "not signed" in _refused(scheme, f"{header}.{claims}.")
            assert "alg is not taken" in _refused(scheme, f"{header}.{claims}.{signature}")

    def test_a_stripped_signature(self, door: Door) -> None:
        header, claims, _ = door.token().split(".")
        assert "not signed" in _refused(door.scheme(), f"{header}.{claims}.")
        assert "three parts" in _refused(door.scheme(), f"{header}.{claims}")

    @pytest.mark.parametrize("form", ["pem", "jwk"])
    def test_hmac_with_the_public_key_as_its_secret(self, door: Door, form: str) -> None:
        signing = key("RS256")
        door.issuer.keys = [public(signing, "first")]
        secret = signing.as_pem(private=False) if form == "pem" else json.dumps(public(signing, "first")).encode()
        text = f"{encode({'alg': 'HS256', 'typ': 'JWT', 'kid': 'first'})}.{door.token().split('.')[1]}"
        mac = hmac.new(secret, text.encode(), hashlib.sha256).digest()
        assert "alg is not taken" in _refused(door.scheme(), f"{text}.{encode(mac)}")

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"exp": NOW_S - LEEWAY_S}, "expired"),
            ({"exp": None}, "no exp"),
            ({"exp": "soon"}, "exp is no instant"),
            ({"exp": True}, "exp is no instant"),
            ({"exp": 10**30}, "exp is no instant"),
            ({"exp": -1}, "exp is no instant"),
            ({"nbf": NOW_S + LEEWAY_S + 1}, "not valid yet"),
            ({"nbf": "now"}, "nbf is no instant"),
            ({"iss": "https://evil.example"}, "iss"),
            ({"iss": None}, "iss"),
            ({"iss": ["x"]}, "iss"),
            ({"aud": "another service"}, "aud"),
            ({"aud": None}, "aud"),
            ({"aud": ["a", 7]}, "aud"),
            ({"tenant": "a b"}, "tenant"),
            ({"tenant": ""}, "tenant"),
            ({"tenant": "#joined"}, "tenant"),
            ({"tenant": "a" * 65}, "tenant"),
            ({"tenant": 7}, "tenant"),
            ({"tenant": "a/../b"}, "tenant"),
            ({"tenant": "default\n"}, "tenant"),
            ({"sub": None}, "sub"),
            ({"sub": ""}, "sub"),
            ({"sub": " ann"}, "sub"),
            ({"sub": "a\nb"}, "sub"),
            ({"sub": "\ud800"}, "sub"),
            ({"sub": "a" * 129}, "sub"),
            ({"sub": 7}, "sub"),
            ({"roles": 7}, "roles"),
            ({"roles": ["admin", 7]}, "roles"),
            ({"roles": {"admin": True}}, "roles"),
            ({"roles": [str(n) for n in range(257)]}, "roles"),
        ],
    )
    def test_claims(self, door: Door, changes: dict[str, Any], said: str) -> None:
        assert said in _refused(door.scheme(), door.token(**changes))

    @pytest.mark.parametrize("name", ["crit", "jku", "x5u", "jwk", "b64"])
    def test_headers_that_would_choose_the_key(self, door: Door, name: str) -> None:
        value = public(key("ES256", 1), "first") if name == "jwk" else f"{door.issuer.url}/evil"
        asked = _refused(door.scheme(), door.token(header={name: value}, signing=key("ES256", 1)))
        assert name in asked
        assert door.issuer.asked == [], "nothing is fetched for such a token"

    @pytest.mark.parametrize("typ", ["dpop+jwt", "logout+jwt", "JWS", "id+jwt", 7, ""])
    def test_types_of_tokens_for_something_else(self, door: Door, typ: object) -> None:
        assert "typ" in _refused(door.scheme(), door.token(header={"typ": typ}))

    @pytest.mark.parametrize(
        "token", ["", "a", "a.b", "a.b.c.d", "a.b.c", "!.!.!", "é.é.é", "e30.e30.e30", "W10.e30.AA", "e30=.e30.AA"]
    )
    def test_what_is_no_token(self, door: Door, token: str) -> None:
        _refused(door.scheme(), token)

    def test_names_that_stand_twice(self, door: Door) -> None:
        scheme, good = door.scheme(), door.token()
        header, claims, _ = (base64.urlsafe_b64decode(part + "==") for part in good.split("."))
        double_header = b'{"alg":"none",' + header[1:]
        double_claims = b'{"roles":["admin"],' + claims[1:]
        nested = claims[:-1] + b',"act":{"sub":"a","sub":"b"}}'
        assert "doubled names" in _refused(scheme, signed(double_header, claims, key("ES256"), "ES256"))
        assert "doubled names" in _refused(scheme, signed(header, double_claims, key("ES256"), "ES256"))
        assert "doubled names" in _refused(scheme, signed(header, nested, key("ES256"), "ES256"))

    @pytest.mark.parametrize("raw", [b"[" * 4000, b'{"exp":NaN}', b"\xff", b"[]", b'"x"', b'{"exp":1e999}'])
    def test_claims_that_are_no_object(self, door: Door, raw: bytes) -> None:
        header = {"alg": "ES256", "kid": "first"}
        _refused(door.scheme(), signed(header, raw, key("ES256"), "ES256"))

    def test_one_that_is_too_long_is_not_even_taken_apart(self, door: Door) -> None:
        assert "8 KiB" in _refused(door.scheme(), door.token(padding="x" * 8192))
        assert door.issuer.asked == []

    def test_another_spelling_of_the_same_signature(self, door: Door) -> None:
        """Base64 leaves bits over: a log of tokens would take the two for different ones."""
        token, scheme = door.token(), door.scheme()
        signature = token.rpartition(".")[2]
        same = [c for c in ALPHABET if _bytes_of(signature[:-1] + c) == _bytes_of(signature)]
        assert len(same) > 1, "the last character of 64 bytes leaves bits over"
        for char in ALPHABET:
            if char == signature[-1]:
                assert _taken(scheme, token[:-1] + char).subject == "ann"
            else:
                _refused(scheme, token[:-1] + char)

    def test_a_changed_claim(self, door: Door) -> None:
        header, claims, signature = door.token().split(".")
        changed = json.loads(base64.urlsafe_b64decode(claims + "==")) | {"roles": ["admin"]}
        assert "signature is wrong" in _refused(door.scheme(), f"{header}.{encode(changed)}.{signature}")

    def test_another_key_under_the_name_of_a_good_one(self, door: Door) -> None:
        assert "signature is wrong" in _refused(door.scheme(), door.token(signing=key("ES256", 1)))

    @pytest.mark.parametrize(
        ("alg", "published"),
        [
            ("RS256", public(key("RS256"), "k", use="enc")),
            ("RS256", public(key("RS256"), "k", key_ops=["encrypt"])),
            ("RS256", public(key("RS256"), "k", alg="RS512")),
            ("RS256", public(key("RS256"), "k", alg="PS256")),
            ("RS256", public(key("RS256"), "k", alg=["RS256"])),
            ("RS256", public(key("RS256", 0, 1024), "k")),
            ("ES256", public(key("ES384"), "k")),
            ("ES256", public(key("RS256"), "k")),
            ("ES256", {"kty": "oct", "k": "AAAA", "kid": "k"}),
            ("Ed25519", public(key("Ed25519"), "k", crv="X25519")),
        ],
    )
    def test_a_key_that_does_not_fit(self, door: Door, alg: str, published: dict[str, Any]) -> None:
        door.issuer.keys = [published]
        signing = key(alg, 0, 1024) if published.get("kty") == "RSA" and len(published["n"]) < 200 else key(alg)
        assert "not one of the issuer's" in _refused(door.scheme(), door.token(alg=alg, kid="k", signing=signing))

    def test_a_key_that_says_it_is_for_the_old_name_of_the_same_algorithm_fits(self, door: Door) -> None:
        door.issuer.keys = [public(key("Ed25519"), "k", alg="EdDSA")]
        assert _taken(door.scheme(), door.token(alg="Ed25519", kid="k")).subject == "ann"


class TestKeys:
    def test_a_flood_of_unknown_keys_costs_one_fetch_in_half_a_minute(self, door: Door) -> None:
        scheme = door.scheme()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: _refused(scheme, door.token(kid=f"k{n}")), range(100)))
        assert door.issuer.key_fetches == 1
        door.monotonic_s += jwks.UNKNOWN_S
        for n in range(100):
            _refused(scheme, door.token(kid=f"k{n}"))
        assert door.issuer.key_fetches == 2

    def test_a_flood_does_not_keep_known_keys_from_being_taken(self, door: Door) -> None:
        scheme = door.scheme()
        _refused(scheme, door.token(kid="unknown"))
        assert _taken(scheme, door.token()).subject == "ann"
        assert door.issuer.key_fetches == 1

    def test_a_new_key_is_taken_at_once(self, door: Door) -> None:
        scheme = door.scheme()
        assert _taken(scheme, door.token()).subject == "ann"
        door.issuer.keys = [public(key("ES256", 1), "second")]
        assert _taken(scheme, door.token(kid="second", signing=key("ES256", 1))).subject == "ann"
        assert door.issuer.key_fetches == 2
        assert "not one of" in _refused(scheme, door.token()), "what the issuer took back is taken no longer"

    def test_a_new_key_is_taken_from_tokens_that_name_none(self, door: Door) -> None:
        scheme = door.scheme()
        assert _taken(scheme, door.token(kid=None)).subject == "ann"
        door.issuer.keys = [public(key("ES256", 1), "second")]
        assert _taken(scheme, door.token(kid=None, signing=key("ES256", 1))).subject == "ann"

    def test_a_key_that_is_taken_back_ends_when_the_keys_are_fetched_again(self, door: Door) -> None:
        scheme = door.scheme()
        assert _taken(scheme, door.token()).subject == "ann"
        door.issuer.keys = []
        assert _taken(scheme, door.token()).subject == "ann"
        door.monotonic_s += jwks.FRESH_S
        _refused(scheme, door.token())

    def test_many_first_tokens_at_once_cost_one_fetch(self, door: Door) -> None:
        scheme = door.scheme()
        with ThreadPoolExecutor(8) as pool:
            callers = list(pool.map(lambda _: _taken(scheme, door.token()), range(32)))
        assert len(callers) == 32
        assert door.issuer.asked == ["/.well-known/openid-configuration", "/keys"]

    def test_while_the_issuer_is_away_known_keys_serve_for_an_hour(self, door: Door) -> None:
        scheme = door.scheme()
        _taken(scheme, door.token())
        door.issuer.status = 500
        door.monotonic_s += jwks.FRESH_S + jwks.STALE_S - 1
        assert _taken(scheme, door.token()).subject == "ann"
        tried = door.issuer.key_fetches
        assert _taken(scheme, door.token()).subject == "ann"
        assert door.issuer.key_fetches == tried, "an issuer that is away is not asked by every request"
        door.monotonic_s += 1
        with pytest.raises(Unavailable) as away:
            scheme.authenticate(door.token(), None)
        assert away.value.code == "issuer_unavailable"
        door.issuer.status = 200
        door.monotonic_s += jwks.UNKNOWN_S
        assert _taken(scheme, door.token()).subject == "ann"

    def test_an_issuer_that_was_never_there_is_asked_now_and_then(self, door: Door) -> None:
        scheme = door.scheme()
        door.issuer.status = 503
        for _ in range(10):
            with pytest.raises(Unavailable):
                scheme.authenticate(door.token(), None)
        assert len(door.issuer.asked) == 1
        door.issuer.status = 200
        door.monotonic_s += jwks.RETRY_S
        assert _taken(scheme, door.token()).subject == "ann"

    def test_keys_that_moved_are_discovered_anew(self, door: Door) -> None:
        scheme = door.scheme(jwks_url=None)
        door.issuer.described["jwks_uri"] = f"{door.issuer.url}/old"
        with pytest.raises(Unavailable):
            scheme.authenticate(door.token(), None)
        door.issuer.described["jwks_uri"] = f"{door.issuer.url}/keys"
        door.monotonic_s += jwks.RETRY_S
        assert _taken(scheme, door.token()).subject == "ann"

    @pytest.mark.parametrize(
        "described",
        [
            {"issuer": "https://evil.example"},
            {"jwks_uri": None},
            {"jwks_uri": "http://keys.example/jwks"},
            {"jwks_uri": "file:///etc/passwd"},
        ],
    )
    def test_a_discovery_document_that_cannot_be_trusted(self, door: Door, described: dict[str, Any]) -> None:
        door.issuer.described |= described
        with pytest.raises(Unavailable):
            door.scheme().authenticate(door.token(), None)
        assert door.issuer.key_fetches == 0

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<html>",
            b"[]",
            b'{"keys":{}}',
            b'{"keys":[' + b",".join([b"{}"] * 101) + b"]}",
            b" " * (jwks.DOCUMENT_MAX_BYTES + 1),
            b"[" * 100_000,
        ],
    )
    def test_a_document_that_is_no_set_of_keys(self, door: Door, body: bytes) -> None:
        door.issuer.body = body
        with pytest.raises(Unavailable):
            door.scheme(jwks_url=f"{door.issuer.url}/keys").authenticate(door.token(), None)

    def test_a_redirect_is_not_followed(self, door: Door) -> None:
        door.issuer.status = 302
        with pytest.raises(Unavailable):
            door.scheme().authenticate(door.token(), None)

    def test_while_one_thread_asks_others_use_the_keys_they_have(self, door: Door) -> None:
        """An issuer that takes its time holds up one request and no more."""
        entered, go_on = threading.Event(), threading.Event()
        documents = [json.dumps({"keys": door.issuer.keys}).encode()] * 2

        def get(_url: str, _accept: str) -> bytes:
            if len(documents) == 1:
                entered.set()
                assert go_on.wait(10)
            return documents.pop()

        keys = jwks.KeySet("issuer", "http://127.0.0.1/keys", get, lambda: door.monotonic_s)
        assert keys.find("ES256", "first")
        door.monotonic_s += jwks.FRESH_S
        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(keys.find, "ES256", "first")
            assert entered.wait(10)
            assert keys.find("ES256", "first"), "not held up"
            go_on.set()
            assert asking.result(10)
