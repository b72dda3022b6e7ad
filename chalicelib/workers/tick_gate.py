"""The gate before publication: a tick goes out only when the book holds just this tick, and a write has opened it.

Open first, send second. A stream that is stopped takes back what is not open, in the same kind of conditional write: of
the two, one comes first. When it is the stop, the number is gone and the tick is dropped. When it is the opening, the
number stays. So a worker may stand still between its check and its send, and messages may come twice or years late.

It costs one consistent read and one write of the book each time, both of one unit. Opening a tick opens what is due a
second later too. So a stream of seconds makes a read and a write every two seconds, the others one each a tick.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence

from chalicelib.core.errors import Unavailable
from chalicelib.core.ticks import tick_book
from chalicelib.core.ticks.frequencies import Frequency
from chalicelib.core.ticks.numbering import Tick
from chalicelib.core.ticks.tick_book import Book
from chalicelib.ports.services import Services

log = logging.getLogger(__name__)

ROUNDS = 8


def open_ticks(s: Services, due: Sequence[Tick], later: Sequence[Tick]) -> frozenset[Tick]:
    """Open those of ``due`` that the book holds. The answer is what may be published, of ``later`` what is open too.

    Raises Unavailable when the tables are away, or when others wrote the book first again and again.
    """
    for _ in range(ROUNDS):
        kept = s.stores.ticks.load()
        held = [tick for tick in due if _is_held(s, kept.book, tick)]
        book = _opened(kept.book, held)
        if book == kept.book or s.stores.ticks.save(book, (), kept.rev):
            for tick in set(due) - set(held):
                log.info("%s was taken back and is not published", tick.id)
            ahead = [t for t in later if _is_open(book, t) and _is_held(s, book, t)]
            return frozenset([*held, *ahead])
    raise Unavailable("too many workers change the book of ticks at once")


def _opened(book: Book, ticks: Sequence[Tick]) -> Book:
    """The book with these open."""
    by_frequency: dict[Frequency, list[Tick]] = defaultdict(list)
    for tick in ticks:
        by_frequency[tick.frequency].append(tick)
    for frequency, several in by_frequency.items():
        book = book.with_stream(frequency, tick_book.opened(book.stream(frequency), several))
    return book


def _is_open(book: Book, tick: Tick) -> bool:
    return tick.sequence <= book.stream(tick.frequency).opened_sequence


def _is_held(s: Services, book: Book, tick: Tick) -> bool:
    """Whether its number is this tick's. One that comes minutes late may be on a page, which is one read more."""
    runs = book.stream(tick.frequency).runs
    if runs and tick.sequence >= runs[0].first_sequence:
        return tick_book.holds(runs, tick)
    return any(tick_book.holds(page.runs, tick) for page in s.stores.ticks.pages(tick.frequency, tick.sequence - 1, 1))
