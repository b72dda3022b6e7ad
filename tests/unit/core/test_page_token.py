"""Page tokens: what was sealed comes back, and nothing else is taken for one."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core import page_token
from chalicelib.core.errors import BadRequest

SECRET = "0123456789abcdef0123456789abcdef"


@given(st.text(), st.text())
def test_what_was_sealed_comes_back(scope: str, position: str) -> None:
    assert page_token.unseal(SECRET, scope, page_token.seal(SECRET, scope, position)) == position


@pytest.mark.parametrize("position", ["a", "ab", "abc", "abcd"])
def test_no_character_of_a_token_can_be_changed(position: str) -> None:
    token = page_token.seal(SECRET, "list", position)
    for at, old in enumerate(token):
        for new in "Ab0-_=":
            if new != old:
                with pytest.raises(BadRequest, match="page token"):
                    page_token.unseal(SECRET, "list", token[:at] + new + token[at + 1 :])


@given(st.text())
def test_what_nobody_sealed_is_refused(text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        page_token.unseal(SECRET, "list", text)
    assert caught.value.code == "bad_page_token"


def test_a_token_is_bound_to_its_list_and_its_secret() -> None:
    token = page_token.seal(SECRET, "a", "x")
    with pytest.raises(BadRequest):
        page_token.unseal(SECRET, "b", token)
    with pytest.raises(BadRequest):
        page_token.unseal(SECRET[::-1], "a", token)


@pytest.mark.parametrize("suffix", ["=", "==", "A", "\n", " "])
def test_nothing_can_be_added(suffix: str) -> None:
    with pytest.raises(BadRequest):
        page_token.unseal(SECRET, "a", page_token.seal(SECRET, "a", "x") + suffix)


def test_a_position_cannot_be_read_out_of_a_token() -> None:
    position = "the-name-of-what-another-owner-has-and-this-caller-may-not-see"
    token = page_token.seal(SECRET, "a", position)
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    assert len(raw) == 16 + len(position)
    assert not any(position[at : at + 4].encode() in raw for at in range(len(position) - 3))
    others = page_token.seal(SECRET, "b", position)
    assert token[22:] != others[22:], "each list has a mask of its own"


def test_tokens_that_are_under_way_at_an_upgrade_are_taken() -> None:
    plain = b"01KB0E5T0QJ8Z3V7M4N2X9YRSC"
    tag = hmac.digest(SECRET.encode(), hashlib.sha256(b"a").digest() + plain, "sha256")[:16]
    token = base64.urlsafe_b64encode(tag + plain).decode().rstrip("=")
    assert page_token.unseal(SECRET, "a", token) == plain.decode()
