"""Errors that differ by what varies are one; errors that differ by words are not."""

from __future__ import annotations

import string
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.core.executions.error_fingerprint import FINGERPRINT_CHARS, fingerprint, normalised

# Without "t" no word is one before which a number is a status.
WORDS = st.lists(st.text(string.ascii_lowercase.replace("t", ""), min_size=1, max_size=9), min_size=1, max_size=6)
ULIDS = st.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ", min_size=25, max_size=25).map("0".__add__)
VARYING = {
    "number": st.integers(0, 10**18).map(str),
    "decimal": st.decimals(0, 10**6, places=3).map(str),
    "uuid": st.uuids().map(str),
    "ulid": ULIDS,
    "ipv4": st.ip_addresses(v=4).map(str),
    "ipv6": st.ip_addresses(v=6).map(str),
    "pointer": st.integers(0, 2**64 - 1).map(hex),
    "digest": st.binary(min_size=20, max_size=20).map(bytes.hex).filter(lambda text: not text.isalpha()),
    "mail": st.from_regex(r"[a-z]{1,20}@[a-z]{1,20}\.(com|example)", fullmatch=True),
}


@pytest.mark.parametrize("kind", VARYING)
@settings(deadline=None)
@given(data=st.data(), words=WORDS)
def test_what_varies_does_not_count(kind: str, data: st.DataObject, words: list[str]) -> None:
    one, other = data.draw(VARYING[kind]), data.draw(VARYING[kind])
    said = [" ".join([*words, each, "at", each]) for each in (one, other)]
    assert fingerprint(said[0]) == fingerprint(said[1]), [normalised(each) for each in said]


@settings(deadline=None)
@given(WORDS, WORDS)
def test_other_words_are_another_error(one: list[str], other: list[str]) -> None:
    assert (fingerprint(" ".join(one)) == fingerprint(" ".join(other))) is (one == other)


@settings(deadline=None)
@given(st.text(max_size=300))
def test_any_text_has_one_of_its_own_form(text: str) -> None:
    found = fingerprint(text)
    assert len(found) == FINGERPRINT_CHARS
    assert set(found) <= set(string.hexdigits.lower())
    assert fingerprint(f"  {text}\n") == found


def test_it_is_the_same_for_ever() -> None:
    assert normalised("HTTP 503 after 1,203 ms from 10.0.0.7:8443") == "HTTP 503 after # ms from #:#"
    assert fingerprint("Connection refused") == "df39f4ee76dfb73d"


def test_another_status_is_another_error() -> None:
    assert fingerprint("HTTP 503 after 7 ms") != fingerprint("HTTP 404 after 7 ms")
    assert fingerprint("POST answered 503") != fingerprint("POST answered 404")
    assert fingerprint("status code: 500") != fingerprint("status code: 502")


def test_marks_of_quotation_are_one() -> None:
    forms = ["no column 'a'", 'no column "a"', "no column `a`", "no column \u201ca\u201d", "no column \u2018a\u2019"]
    assert len({fingerprint(each) for each in forms}) == 1


def test_times_and_ids_of_executions_do_not_count() -> None:
    one = f"run 01KB0E5T0QJ8Z3V7M4N2X9YRSC-1795252805000 for {UUID(int=7)} at 12:30:45.123"
    other = f"run 01KB0E5T0QJ8Z3V7M4N2X9YRSD-1795252806000 for {UUID(int=8)} at 2:03:04.5"
    assert fingerprint(one) == fingerprint(other)
