"""The gate before publication: a tick goes out only when the book holds just this tick, and a write has opened it.

Open first, send second. A stream that is stopped takes back what is not open, in the same kind of conditional write: of
the two, one comes first. When it is the stop, the number is gone and the tick is dropped. When it is the opening, the
number stays. So a worker may stand still between its check and its send, and messages may come twice or years late.

It costs one write of the book each time, of one unit. Opening a tick opens what is due a second later too. So a stream
of seconds makes a write every two seconds, the others one a tick. The book that this process wrote last is tried first:
the write itself shows whether it still stands. What has no write to show it is judged by a consistent read.
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
from chalicelib.ports.stores.ticks import KeptBook

log = logging.getLogger(__name__)

ROUNDS = 8


def open_ticks(s: Services, due: Sequence[Tick], later: Sequence[Tick]) -> frozenset[Tick]:
    """Open those of ``due`` that the book holds. The answer is what may be published, of ``later`` what is open too.

    Raises Unavailable when the tables are away, or when others wrote the book first again and again.
    """
    kept = _own_book(s, due)
    for _ in range(ROUNDS):
        kept = kept or s.stores.ticks.load()
        held = [tick for tick in due if _is_held(s, kept.book, tick)]
        book = _opened(kept.book, held)
        if book == kept.book or s.stores.ticks.save(book, (), kept.rev):
            s.process.own_book.keep(book, kept.rev + (book != kept.book))
            for tick in set(due) - set(held):
                log.info("%s was taken back and is not published", tick.id)
            ahead = [t for t in later if _is_open(book, t) and _is_held(s, book, t)]
            return frozenset([*held, *ahead])
        kept = None
    raise Unavailable("too many workers change the book of ticks at once")


def _own_book(s: Services, due: Sequence[Tick]) -> KeptBook | None:
    """The book as this process knows it, if that holds all of ``due``. Those of them that it has open stay open,
    however old it is. For the others it has to be written, which fails if it is."""
    own = s.process.own_book.take()
    return KeptBook(*own) if own is not None and all(_is_held(s, own[0], tick) for tick in due) else None


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
