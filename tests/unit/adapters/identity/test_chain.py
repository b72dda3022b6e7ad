"""Which scheme judges a request, and what none of them sees."""

from __future__ import annotations

import pytest

from chalicelib.adapters.identity import chain
from chalicelib.core.errors import Unauthorized
from chalicelib.core.security.caller import ANONYMOUS_ADMIN, Caller
from chalicelib.ports.identity import Authenticator, Credentials
from tests.kit.callers import who

ANN, KEY = who("ann", "user"), who("robot", "user")


class Taking:
    """Takes every token, and remembers what it saw."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.seen: list[tuple[str, str | None]] = []

    def authenticate(self, token: str, source_ip: str | None) -> Caller:
        self.seen.append((token, source_ip))
        return self.caller

    def still_holds(self, caller: Caller) -> bool:
        return caller is self.caller


def _refused(authenticator: Authenticator, header: str | None) -> Unauthorized:
    with pytest.raises(Unauthorized) as refused:
        authenticator.authenticate(Credentials(header, "203.0.113.7"))
    return refused.value


def test_off_takes_everybody_for_an_administrator_and_looks_at_nothing() -> None:
    assert chain.choose("off", {}).authenticate(Credentials("Bearer rubbish", None)) is ANONYMOUS_ADMIN
    assert chain.choose("off", {}).still_holds(ANONYMOUS_ADMIN)


def test_deny_refuses_everybody() -> None:
    denying = chain.choose("deny", {"jwt": lambda: Taking(ANN)})
    assert not _refused(denying, "Bearer a.b.c").invalid_token
    assert not denying.still_holds(ANN)


def test_a_scheme_is_made_when_its_first_token_arrives() -> None:
    made: list[str] = []
    tokens, keys = Taking(ANN), Taking(KEY)

    def make(kind: str, scheme: Taking) -> Taking:
        made.append(kind)
        return scheme

    both = chain.choose("jwt,apikey", {"jwt": lambda: make("jwt", tokens), "apikey": lambda: make("apikey", keys)})
    assert made == []
    assert both.authenticate(Credentials("Bearer cw_12345678_x", "203.0.113.7")) is KEY
    assert made == ["apikey"]
    assert both.authenticate(Credentials("bearer  a.b.c", None)) is ANN
    assert both.authenticate(Credentials("Bearer d.e.f", None)) is ANN
    assert made == ["apikey", "jwt"]
    assert keys.seen == [("cw_12345678_x", "203.0.113.7")]
    assert tokens.seen == [("a.b.c", None), ("d.e.f", None)]


@pytest.mark.parametrize(
    ("auth", "header", "invalid", "said"),
    [
        ("jwt", None, False, "credentials are needed"),
        ("jwt", "", False, "credentials are needed"),
        ("jwt", "Basic YTpi", False, "not Bearer"),
        ("jwt", "Bearer", False, "not Bearer"),
        ("jwt", "Bearer a b", False, "not Bearer"),
        ("jwt", "Bearer a,b", False, "not Bearer"),
        ("jwt", "Bearer " + "a" * 8193, True, "8 KiB"),
        ("jwt", "Bearer cw_12345678_x", True, "JSON Web Tokens only"),
        ("apikey", "Bearer a.b.c", True, "API keys only"),
    ],
)
def test_what_no_scheme_can_take_is_refused_before_one_is_made(
    auth: str, header: str | None, invalid: bool, said: str
) -> None:
    def never() -> Taking:
        raise AssertionError("a scheme was made")

    refused = _refused(chain.choose(auth, {"jwt": never, "apikey": never}), header)
    assert (refused.invalid_token, said in refused.detail) == (invalid, True)


def test_credentials_never_print_their_header() -> None:
    assert "cw_secret" not in f"{Credentials('Bearer cw_secret', None)!r}{Credentials('Bearer cw_secret', None)}"
