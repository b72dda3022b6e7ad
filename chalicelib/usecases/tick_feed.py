"""Following a stream of ticks as they pass, for one subscriber.

Ticks have their numbers minutes before their instants, so a follower that has read the book pauses until the next one
is due. It needs no call and no wake-up. It says when to go on and holds no thread meanwhile, and all followers of a
process share one reading of the book. A slow subscriber holds up only itself. Its window is TICK_STREAM_LAG_MAX_COUNT
ticks. When ticks fall out of it, the follower reports their numbers to the subscriber.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import NamedTuple

from chalicelib.core.security.authorize import authorize
from chalicelib.core.security.caller import Caller
from chalicelib.core.ticks.frequencies import Frequency
from chalicelib.core.ticks.limits import TICK_KEEPALIVE_MS, TICK_STREAM_LAG_MAX_COUNT
from chalicelib.core.ticks.numbering import Tick
from chalicelib.core.ticks.tick_book import Book
from chalicelib.ports.services import Services
from chalicelib.usecases import ticks

READ_ITEMS = 100
GONE_CHECK_MS = 1_000  # how soon it notices that its subscriber has gone


class Dropped(NamedTuple):
    """The subscriber fell behind: it did not get the ticks after one number up to another."""

    after_sequence: int
    until_sequence: int


class Nothing(NamedTuple):
    """Nothing has passed for a while; the line stands."""


class Pause(NamedTuple):
    """There is nothing more until then; a caller that asks earlier gets another pause."""

    until_ms: int


Item = Tick | Dropped | Nothing | Pause


def follow(
    s: Services,
    caller: Caller,
    frequency: Frequency,
    after_sequence: int | None,
    until_ms: int,
    gone: Callable[[], bool],
) -> Generator[Item, None, None]:
    """Ticks after a number, each once and in order, as they pass, until ``until_ms`` or until the subscriber is gone.
    Between them come pauses: the caller goes on when one is over.

    With an ``until_ms`` in the past: those that have passed, READ_ITEMS at the most. Without a number it begins with
    the newest tick. Everything that is still kept is sent to a subscriber that comes back. Only one that was up to date
    and then reads too slowly loses ticks. Raises Forbidden, at the first item.
    """
    authorize(caller, "ticks:read")
    reader = _Reader(s, frequency)
    if after_sequence is None:
        newest = ticks.newest(s, frequency, reader.book())
        after_sequence = 0 if newest is None else newest.sequence - 1
    position, live, spoke_ms = after_sequence, False, s.clock.now_ms()
    while True:
        found = reader.after(position, live)
        for item in found:
            position = item.until_sequence if isinstance(item, Dropped) else item.sequence
            yield item
        now_ms = s.clock.now_ms()
        if now_ms >= until_ms or gone():
            return
        if found:
            live, spoke_ms = live or len(found) < READ_ITEMS, now_ms
            continue
        live = True
        if now_ms - spoke_ms >= TICK_KEEPALIVE_MS:
            spoke_ms = now_ms
            yield Nothing()
        yield Pause(min(reader.wakes_at_ms(), now_ms + GONE_CHECK_MS, until_ms))


class _Reader:
    """Reads for one follower, from the book that this process keeps for a moment."""

    def __init__(self, s: Services, frequency: Frequency) -> None:
        self._s = s
        self._frequency = frequency

    def book(self) -> Book:
        """The book, not much older than now, nor than the last tick that may be shown by now."""
        s = self._s
        return s.process.tick_book.read(
            s.clock.now_ms(), lambda book: ticks.lags(s, self._frequency, book), lambda: s.stores.ticks.load().book
        )

    def after(self, position: int, live: bool) -> list[Tick | Dropped]:
        """What has passed since a number; where a live follower lies too far behind, what it lost first."""
        newest = ticks.newest(self._s, self._frequency, self.book()) if live else None
        lost: list[Tick | Dropped] = []
        if newest is not None and newest.sequence - position > TICK_STREAM_LAG_MAX_COUNT:
            lost.append(Dropped(position, newest.sequence - TICK_STREAM_LAG_MAX_COUNT))
            position = newest.sequence - TICK_STREAM_LAG_MAX_COUNT
        return [*lost, *ticks.read_history(self._s, self._frequency, position, READ_ITEMS, self.book()).ticks]

    def wakes_at_ms(self) -> int:
        """When the next tick is due; far away when none has a number."""
        due_ms = ticks.wakes_at_ms(self._s, self._frequency, self.book())
        return 1 << 62 if due_ms is None else due_ms
