"""People who sign in with a browser: with a token or key, and at an issuer that listens on a real socket."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from msgspec.structs import replace

from chalicelib import bootstrap, settings
from chalicelib.adapters.identity import sessions
from tests.kit import issuer as issuers
from tests.kit.conformance import conforms
from tests.kit.house import RATE, Answer, House
from tests.kit.issuer import AUDIENCE, Issuer

SESSION = "/api/session"
ORIGIN = "https://chronowatch.example"
HERE = {"host": "chronowatch.example", "origin": ORIGIN}
SECRET = "0123456789abcdef0123456789abcdef"
DOCUMENT = House().call("GET", "/api/v1/openapi.json").json


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuers.running() as found:
        yield found


def guarded(house: House, issuer: Issuer, **more: str) -> House:
    """A house that takes the issuer's tokens and API keys, and where people can sign in."""
    env = {
        "CHRONO_AUTH": "jwt,apikey",
        "CHRONO_JWT_ISSUER": issuer.url,
        "CHRONO_JWT_AUDIENCE": AUDIENCE,
        "CHRONO_CONSOLE_ORIGIN": ORIGIN,
        "CHRONO_OIDC_CLIENT_ID": "console",
        "CHRONO_OIDC_CLIENT_SECRET": "of-the-client",
        **more,
    }
    chosen = settings.load(env)
    house.authenticator = bootstrap.identity(chosen, house.services)
    made = sessions.make(chosen.sessions, chosen.jwt, SECRET, lambda: house.authenticator, house.clock)
    house.services = replace(house.services, sessions=made)
    return house


@pytest.fixture
def door(house: House, issuer: Issuer) -> House:
    return guarded(house, issuer)


def cookie(answer: Answer) -> str:
    """What the browser sends from then on."""
    return answer.headers["Set-Cookie"].partition(";")[0]


def sign_in(door: House, issuer: Issuer, **claims: Any) -> str:
    token = issuer.token(door.clock.now_ms(), **claims)
    answer = door.call("POST", SESSION, {"token": token}, headers=HERE)
    conforms(DOCUMENT, SESSION, "post", answer)
    assert answer.status == 200, answer.body
    return cookie(answer)


def test_a_token_becomes_a_session(door: House, issuer: Issuer) -> None:
    nobody = door.call("GET", SESSION)
    assert nobody.json == {"signed_in": False, "sign_in": ["token", "issuer"]}
    conforms(DOCUMENT, SESSION, "get", nobody)
    token = issuer.token(door.clock.now_ms(), sub="ann")
    answer = door.call("POST", SESSION, {"token": token}, headers=HERE)
    assert (answer.json["subject"], answer.json["roles"]) == ("ann", ["user"])
    given = answer.headers["Set-Cookie"]
    assert given.startswith("__Host-chrono_session=")
    assert {"Path=/", "HttpOnly", "SameSite=Strict", "Secure", "Max-Age=600"} <= set(given.split("; "))
    assert token not in given
    mine = {"cookie": "other=1; " + cookie(answer)}
    assert door.call("GET", SESSION, headers=mine).json["subject"] == "ann"
    assert door.call("GET", "/api/tasks", headers=mine).status == 200
    assert door.call("POST", "/api/v1/schedules", RATE, headers={**mine, **HERE}).json["owner"] == "ann"


def test_it_ends_with_its_credential(door: House, issuer: Issuer) -> None:
    mine = {"cookie": sign_in(door, issuer)}
    door.clock.advance(700_000)
    assert door.call("GET", "/api/tasks", headers=mine).status == 401
    assert door.call("GET", SESSION, headers=mine).json["signed_in"] is False


def test_a_key_becomes_a_session_and_ends_when_it_is_revoked(door: House, issuer: Issuer) -> None:
    admin = {"authorization": f"Bearer {issuer.token(door.clock.now_ms(), sub='ada', roles=['admin'])}"}
    made = door.call("POST", "/api/v1/keys", {"name": "k", "owner": "ann", "roles": ["user"]}, headers=admin).json
    mine = {"cookie": cookie(door.call("POST", SESSION, {"token": made["key"]}, headers=HERE))}
    assert door.call("GET", SESSION, headers=mine).json["subject"] == "ann"
    door.call("DELETE", f"/api/v1/keys/{made['id']}", headers=admin)
    door.clock.advance(31_000)
    assert door.call("GET", "/api/tasks", headers=mine).status == 401


def test_a_wrong_token_opens_nothing(door: House) -> None:
    answer = door.call("POST", SESSION, {"token": "cw_nothing"}, headers=HERE)
    assert answer.status == 401
    assert "Set-Cookie" not in answer.headers


def test_signing_out_takes_the_cookie_away(door: House, issuer: Issuer) -> None:
    answer = door.call("DELETE", SESSION, headers={"cookie": sign_in(door, issuer), **HERE})
    assert answer.status == 204
    assert answer.headers["Set-Cookie"].startswith("__Host-chrono_session=; Max-Age=0;")


@pytest.mark.parametrize("broken", ["", "AAAA", "no base64!", "é"])
def test_what_was_not_sealed_here_is_no_session(door: House, broken: str) -> None:
    assert door.call("GET", "/api/tasks", headers={"cookie": f"__Host-chrono_session={broken}"}).status == 401


def test_an_altered_cookie_and_one_under_another_name_are_no_session(door: House, issuer: Issuer) -> None:
    whole = sign_in(door, issuer)
    altered = whole[:-2] + ("A" if whole[-2] != "A" else "B") + whole[-1]
    for wrong in (altered, whole.replace("__Host-", "")):
        assert door.call("GET", "/api/tasks", headers={"cookie": wrong}).status == 401


@pytest.mark.parametrize(
    ("said", "allowed"),
    [
        ({"origin": ORIGIN}, True),
        ({"origin": "https://elsewhere.example"}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://["}, False),
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "cross-site", "origin": ORIGIN}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({}, False),
    ],
)
def test_another_sites_page_changes_nothing(door: House, issuer: Issuer, said: dict[str, str], allowed: bool) -> None:
    mine = {"cookie": sign_in(door, issuer), "host": "10.0.0.7:8080", **said}
    answer = door.call("POST", "/api/v1/schedules", RATE, headers=mine)
    assert answer.status == (201 if allowed else 403)
    assert allowed or answer.code == "cross_origin"
    assert door.call("GET", "/api/v1/schedules", headers=mine).status == 200, "reading changes nothing"


def test_without_authentication_another_sites_page_changes_nothing_either(house: House) -> None:
    foreign = {"origin": "https://elsewhere.example", "host": "127.0.0.1:8080"}
    assert house.call("POST", "/api/v1/schedules", RATE, headers=foreign).code == "cross_origin"
    own = {"origin": "http://127.0.0.1:8080", "host": "127.0.0.1:8080"}
    assert house.call("POST", "/api/v1/schedules", RATE, headers=own).status == 201
    assert house.call("POST", "/api/v1/schedules", RATE).status == 201, "no browser"


def test_on_plain_http_the_cookie_has_a_plain_name(house: House, issuer: Issuer) -> None:
    door = guarded(house, issuer, CHRONO_CONSOLE_ORIGIN="http://127.0.0.1:8080")
    token = issuer.token(door.clock.now_ms())
    given = door.call("POST", SESSION, {"token": token}).headers["Set-Cookie"]
    assert given.startswith("chrono_session=")
    assert "Secure" not in given
    assert door.call("GET", "/api/tasks", headers={"cookie": given.partition(";")[0]}).status == 200


def test_a_token_that_no_cookie_holds_names_its_field(door: House, issuer: Issuer) -> None:
    noise = base64.b64encode(hashlib.shake_256(b"long").digest(3600)).decode()
    token = issuer.token(door.clock.now_ms(), noise=noise)
    assert door.call("POST", SESSION, {"token": token}, headers=HERE).fields == ["token"]


# -- at the issuer


class Browser:
    """A person's way to the issuer and back."""

    def __init__(self, door: House, issuer: Issuer) -> None:
        self.door, self.issuer = door, issuer
        begun = door.call("GET", SESSION + "/begin", query="return_to=/console")
        assert begun.status == 302, begun.body
        self.cookie = cookie(begun)
        assert "SameSite=Lax" in begun.headers["Set-Cookie"]
        self.at = urlsplit(begun.headers["Location"])
        self.asked = {name: values[0] for name, values in parse_qs(self.at.query).items()}
        self.access: dict[str, Any] = {"sub": "ann"}
        self.more: dict[str, Any] = {}
        self.nonce = self.asked["nonce"]
        issuer.gives = self._give

    def _give(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """As an issuer does: the code is good for who knows the verifier, once."""
        if (form["client_id"], form.get("client_secret")) != ("console", "of-the-client"):
            return 401, {"error": "invalid_client"}
        now_ms = self.door.clock.now_ms()
        if form["grant_type"] == "refresh_token":
            known = form["refresh_token"] == self.more.get("refresh_token")
            return (
                (200, {"access_token": self.issuer.token(now_ms, **self.access)}) if known else (400, {"error": "no"})
            )
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if (form["code"], form["redirect_uri"], challenge) != (
            "code-1", ORIGIN + SESSION + "/callback", self.asked["code_challenge"],
        ):  # fmt: skip
            return 400, {"error": "invalid_grant"}
        identity = self.issuer.token(now_ms, aud="console", sub="ann", nonce=self.nonce)
        return 200, {"access_token": self.issuer.token(now_ms, **self.access), "id_token": identity, **self.more}

    def back(self, **changed: str) -> Answer:
        said = {"state": self.asked["state"], "code": "code-1", **changed}
        query = "&".join(f"{name}={value}" for name, value in said.items())
        return self.door.call("GET", SESSION + "/callback", query=query, headers={"cookie": self.cookie})


def test_a_person_signs_in_at_the_issuer(door: House, issuer: Issuer) -> None:
    browser = Browser(door, issuer)
    assert f"{browser.at.scheme}://{browser.at.netloc}{browser.at.path}" == issuer.url + "/authorize"
    assert browser.asked["redirect_uri"] == ORIGIN + SESSION + "/callback"
    assert (browser.asked["response_type"], browser.asked["code_challenge_method"]) == ("code", "S256")
    answer = browser.back()
    assert (answer.status, answer.headers["Location"]) == (302, "/console")
    mine = {"cookie": cookie(answer)}
    assert door.call("GET", SESSION, headers=mine).json["subject"] == "ann"


@pytest.mark.parametrize(
    ("changed", "code"), [({"state": "other"}, "wrong_state"), ({"code": "other"}, "issuer_refused")]
)
def test_what_is_of_another_sign_in_opens_nothing(
    door: House, issuer: Issuer, changed: dict[str, str], code: str
) -> None:
    answer = Browser(door, issuer).back(**changed)
    assert (answer.status, answer.code) == (401, code)
    assert "Set-Cookie" not in answer.headers


def test_a_nonce_of_another_sign_in_opens_nothing(door: House, issuer: Issuer) -> None:
    browser = Browser(door, issuer)
    browser.nonce = "other"
    assert browser.back().code == "wrong_nonce"


def test_another_browser_and_a_late_one_are_refused(door: House, issuer: Issuer) -> None:
    browser = Browser(door, issuer)
    assert door.call("GET", SESSION + "/callback", query="state=s&code=c").status == 401
    door.clock.advance(601_000)
    assert browser.back().status == 401


def test_what_the_issuer_says_no_to_is_told(door: House, issuer: Issuer) -> None:
    answer = Browser(door, issuer).back(error="access_denied")
    assert (answer.status, "access_denied" in answer.json["detail"]) == (401, True)


def test_a_token_that_this_service_does_not_take_opens_nothing(door: House, issuer: Issuer) -> None:
    browser = Browser(door, issuer)
    browser.access = {"sub": "ann", "aud": "another-service"}
    assert browser.back().status == 401


def test_a_session_is_refreshed(door: House, issuer: Issuer) -> None:
    browser = Browser(door, issuer)
    browser.more = {"refresh_token": "again"}
    first = cookie(browser.back())
    door.clock.advance(700_000)
    assert door.call("GET", "/api/tasks", headers={"cookie": first}).status == 401
    answer = door.call("POST", SESSION + "/refresh", headers={"cookie": first, **HERE})
    conforms(DOCUMENT, SESSION + "/refresh", "post", answer)
    assert answer.json["subject"] == "ann"
    assert door.call("GET", "/api/tasks", headers={"cookie": cookie(answer)}).status == 200


def test_a_session_of_a_key_is_not_refreshed(door: House, issuer: Issuer) -> None:
    mine = {"cookie": sign_in(door, issuer), **HERE}
    assert door.call("POST", SESSION + "/refresh", headers=mine).status == 401


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example", "console"])
def test_a_browser_is_sent_back_here_only(door: House, elsewhere: str) -> None:
    answer = door.call("GET", SESSION + "/begin", query=f"return_to={elsewhere}")
    assert answer.fields == ["return_to"]


def test_without_a_client_there_is_no_way_to_the_issuer(house: House, issuer: Issuer) -> None:
    door = guarded(house, issuer, CHRONO_OIDC_CLIENT_ID="", CHRONO_OIDC_CLIENT_SECRET="")
    assert door.call("GET", SESSION).json["sign_in"] == ["token"]
    assert door.call("GET", SESSION + "/begin").code == "not_supported"


@pytest.mark.parametrize(
    ("variable", "env"),
    [
        ("CHRONO_CONSOLE_ORIGIN", {"CHRONO_CONSOLE_ORIGIN": "https://a.example/path"}),
        ("CHRONO_CONSOLE_ORIGIN", {"CHRONO_CONSOLE_ORIGIN": "http://a.example"}),
        ("CHRONO_OIDC_CLIENT_ID", {"CHRONO_CONSOLE_ORIGIN": ""}),
        ("CHRONO_OIDC_CLIENT_ID", {"CHRONO_AUTH": "apikey"}),
        ("CHRONO_OIDC_CLIENT_SECRET", {"CHRONO_OIDC_CLIENT_ID": ""}),
        ("CHRONO_OIDC_SCOPES", {"CHRONO_OIDC_SCOPES": "profile"}),
    ],
)
def test_a_wrong_setting_is_named(house: House, issuer: Issuer, variable: str, env: dict[str, str]) -> None:
    with pytest.raises(settings.SettingsError, match=variable):
        guarded(house, issuer, **env)
