from __future__ import annotations

import pytest

from chalicelib.core.secrets import envelope
from chalicelib.core.secrets.envelope import Envelope


def test_an_envelope_is_read_as_it_was_written() -> None:
    found = Envelope("arn:aws:kms:eu-west-1:123456789012:key/1234-ab", b"wrapped\x00\xff", bytes(range(256)))
    assert envelope.is_sealed(found.text())
    assert envelope.parse(found.text()) == found


@pytest.mark.parametrize("text", ["", "null", '{"a":1}', "cws1", "cws1.", "cws1.a.b", "cws1.a.b.c.d", "cws1.a.b.abcde"])
def test_what_is_no_envelope(text: str) -> None:
    with pytest.raises(ValueError, match="not a sealed text"):
        envelope.parse(text)


def test_no_two_places_are_bound_alike() -> None:
    assert envelope.bound_to("a", "bc") != envelope.bound_to("ab", "c")
