"""An answer as its bytes come in, and what is left of it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from chalicelib.adapters.http.answer import BrokenOff, HttpAnswer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def collects_nothing() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("at", range(1, len(OK)))
def test_it_is_the_same_in_pieces(at: int) -> None:
    answer = HttpAnswer()
    answer.feed(OK[:at])
    assert not answer.is_complete
    answer.feed(OK[at:])
    assert (answer.status, answer.reason, answer.body, answer.is_kept) == (200, "OK", b"ok", True)
    assert answer.is_complete


@pytest.mark.parametrize("more", [b"x", b"HTTP/1.1 200 OK\r\n"])
def test_what_comes_after_it_ends_the_connections_use(more: bytes) -> None:
    answer = HttpAnswer()
    answer.feed(OK)
    answer.feed(more)
    assert (answer.status, answer.body, answer.is_kept) == (200, b"ok", False)


def test_an_interim_answer_is_not_the_one() -> None:
    answer = HttpAnswer()
    answer.feed(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert not answer.is_complete
    answer.feed(OK)
    assert (answer.status, answer.body) == (200, b"ok")


def test_a_connection_that_ends_before_it_has_no_answer() -> None:
    with pytest.raises(BrokenOff, match="without an answer"):
        HttpAnswer().feed(b"")
    answer = HttpAnswer()
    answer.feed(OK[:-1])
    with pytest.raises(BrokenOff, match="before the answer was complete"):
        answer.feed(b"")


@pytest.mark.parametrize("text", [OK, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"])
def test_nothing_of_it_waits_for_a_collection(collects_nothing: None, text: bytes) -> None:
    """Rings of a thousand answers a second made collections of all that held everything up for half a second."""
    answer = HttpAnswer()
    answer.feed(text)
    assert answer.is_complete
    left = weakref.ref(answer)
    del answer
    assert left() is None
