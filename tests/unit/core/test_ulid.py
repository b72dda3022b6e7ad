from __future__ import annotations

import pytest

from chalicelib.core.ulid import derived, encode, is_ulid

LARGEST = "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"


def test_begins_with_its_time() -> None:
    """The example of the specification: 1469918176385 is 01ARYZ6S41."""
    assert encode(1469918176385, 0) == "01ARYZ6S41" + "0" * 16
    assert encode((1 << 48) - 1, (1 << 80) - 1) == LARGEST


def test_what_follows_from_another_is_the_same_every_time_and_of_its_millisecond() -> None:
    seed = encode(1469918176385, 1 << 79)
    made = [derived(seed, number) for number in range(100)]
    assert made == [derived(seed, number) for number in range(100)]
    assert len(set(made)) == 100
    assert all(is_ulid(text) and text.startswith("01ARYZ6S41") for text in made)


@pytest.mark.parametrize(
    "text",
    [
        "",
        LARGEST[:-1],
        LARGEST + "0",
        "8" + "0" * 25,
        "0" * 25 + "U",
        "0" * 25 + "a",
        "0" * 25 + "\u0660",
        LARGEST + "\n",
    ],
)
def test_knows_what_is_none(text: str) -> None:
    assert not is_ulid(text)
