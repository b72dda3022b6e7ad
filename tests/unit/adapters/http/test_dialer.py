"""What is prepared before its instant: how many connections are held, and what becomes of them."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.adapters.http import dialer as dialing
from chalicelib.adapters.http.connection import HttpCall
from chalicelib.adapters.http.dialer import PREPARED_CONNECTIONS_MAX, PREPARED_MAX_COUNT, PREPARED_S, Dialer
from chalicelib.core.targets.ssrf import parse_url

URL = parse_url("https://192.0.2.1/hook")  # TEST-NET-1 of RFC 5737: nobody is there


class Opened:
    """A connection that was made."""

    def __init__(self) -> None:
        self.is_closed = False

    def is_open(self) -> bool:
        return not self.is_closed

    def close(self) -> None:
        self.is_closed = True


class Prepares:
    """A dialer, the connections it makes, and the time it goes by."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 0.0
        self.opened: list[Opened] = []
        monkeypatch.setattr(dialing, "connect", self._open)
        self.dialer = Dialer(lambda: self.now_s, ["192.0.2.0/24"], lambda host, port: [])

    def _open(self, *_: Any) -> Opened:
        self.opened.append(Opened())
        return self.opened[-1]

    def prepare(self, key: int) -> None:
        call = HttpCall(self.now_s + 9, lambda: self.now_s)
        self.dialer.prepare(key, URL, call)
        self.dialer.prepare_connection(key, URL, call)

    @property
    def held(self) -> int:
        return sum(not each.is_closed for each in self.opened)


@pytest.fixture
def prepares(monkeypatch: pytest.MonkeyPatch) -> Prepares:
    return Prepares(monkeypatch)


def test_no_more_connections_than_the_most_are_made_ahead(prepares: Prepares) -> None:
    for key in range(PREPARED_CONNECTIONS_MAX + 5):
        prepares.prepare(key)
    assert len(prepares.opened) == PREPARED_CONNECTIONS_MAX
    found = [prepares.dialer.take(key) for key in range(PREPARED_CONNECTIONS_MAX + 5)]
    assert sum(each is not None and each.connection is not None for each in found) == PREPARED_CONNECTIONS_MAX


def test_one_that_is_taken_leaves_its_place_to_another(prepares: Prepares) -> None:
    for key in range(PREPARED_CONNECTIONS_MAX):
        prepares.prepare(key)
    prepares.dialer.take(7)
    prepares.dialer.take(7)
    for key in range(1000, 1005):
        prepares.prepare(key)
    assert len(prepares.opened) == PREPARED_CONNECTIONS_MAX + 1


def test_what_is_prepared_anew_holds_one_place(prepares: Prepares) -> None:
    for _ in range(PREPARED_CONNECTIONS_MAX + 5):
        prepares.prepare(1)
    assert prepares.held == 1


def test_what_is_given_up_leaves_its_place(prepares: Prepares) -> None:
    for key in range(PREPARED_CONNECTIONS_MAX):
        prepares.prepare(key)
    prepares.now_s = PREPARED_S + 1
    prepares.prepare(1000)
    assert prepares.held == 1, "the thirty seconds of all others are over"


def test_the_oldest_make_room(prepares: Prepares) -> None:
    for key in range(PREPARED_MAX_COUNT + 3):
        prepares.prepare(key)
    assert prepares.dialer.take(2) is None
    assert prepares.dialer.take(3) is not None
    assert prepares.held == PREPARED_CONNECTIONS_MAX, "three were closed, and three made since"


def test_a_close_closes_all(prepares: Prepares) -> None:
    for key in range(3):
        prepares.prepare(key)
    prepares.dialer.close()
    assert prepares.held == 0
