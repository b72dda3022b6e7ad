"""The text of keys: its form, its checksum, its hash."""

from __future__ import annotations

import re
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.keys import key_text

IDS = st.from_regex(re.compile(r"[0-9A-Za-z]{8}", re.ASCII), fullmatch=True)
BITS = st.integers(0, (1 << 256) - 1)
KEY = key_text.compose("0aB1cD2e", 1 << 200)


@given(IDS, BITS)
def test_has_the_form_that_scanners_know_and_gives_its_id_back(key_id: str, bits: int) -> None:
    text = key_text.compose(key_id, bits)
    assert re.fullmatch(rf"cw_{key_id}_[0-9A-Za-z]{{36}}", text)
    assert key_text.id_in(text) == key_id
    assert text.startswith(key_text.prefix(key_id))


def test_the_checksum_is_the_crc_32_of_what_stands_before_it_in_base_62() -> None:
    value, digits = zlib.crc32(KEY[:-6].encode()), ""
    for _ in range(6):
        value, digit = divmod(value, 62)
        digits = key_text.ALPHABET[digit] + digits
    assert KEY[-6:] == digits


@pytest.mark.parametrize("place", [*range(3, 11), *range(12, len(KEY))])
def test_one_wrong_character_is_noticed(place: int) -> None:
    other = "x" if KEY[place] != "x" else "y"
    assert key_text.id_in(KEY[:place] + other + KEY[place + 1 :]) is None


@pytest.mark.parametrize(
    "text",
    ["", "cw_", KEY[:-1], KEY + "0", KEY + "\n", " " + KEY, "CW" + KEY[2:], KEY.replace("_", "-"), KEY[:-1] + "é"],
)
def test_what_has_another_form_is_no_key(text: str) -> None:
    assert key_text.id_in(text) is None


@given(BITS, BITS)
def test_other_bits_are_another_secret(one: int, other: int) -> None:
    assert (key_text.compose("a" * 8, one) == key_text.compose("a" * 8, other)) == (one % 62**30 == other % 62**30)


def test_a_secret_holds_more_than_anybody_can_try() -> None:
    assert 62**key_text.SECRET_CHARS > 1 << 178
    assert 1 << key_text.SECRET_BITS > 62**key_text.SECRET_CHARS << 64, "so that no secret is likelier than another"


def test_an_id_follows_from_its_seed_and_looks_like_one() -> None:
    ids = {key_text.derived_id(seed, number) for seed in ("a", "b") for number in range(50)}
    assert len(ids) == 100
    assert all(key_text.is_id(key_id) for key_id in ids)
    assert key_text.derived_id("a", 0) == key_text.derived_id("a", 0)
    assert not key_text.is_id("0aB1cD2")
    assert not key_text.is_id("0aB1cD2\n")


def test_only_the_hash_of_the_very_text_is_the_same() -> None:
    stored = key_text.sha256(KEY)
    assert KEY not in stored
    assert key_text.is_same(KEY, stored)
    assert not key_text.is_same(KEY[:-1], stored)
    assert not key_text.is_same(KEY, "0" * 64)
