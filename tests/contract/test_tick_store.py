"""Every sentence of ``TickStore``, on every adapter. There is one book, so each test goes on from what it finds."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from chalicelib.core.ticks.frequencies import FREQUENCIES
from chalicelib.core.ticks.numbering import Gap, TickCursor
from chalicelib.core.ticks.tick_book import Book, Maker, Page, Skipped, Stream, TickRun
from chalicelib.ports.services import Stores
from chalicelib.ports.stores.ticks import TickStore
from tests.kit.records import START_MS
from tests.kit.threads import run_together

NANOS = 1_000_000_000
START_S = START_MS // 1000
_bases = itertools.count(1000, 1000)


@pytest.fixture
def ticks(stores: Stores) -> TickStore:
    return stores.ticks


@pytest.fixture
def base() -> int:
    """A number behind all that other tests use."""
    return next(_bases)


def run(first: int, count: int = 10, maker: str = "a", late: bool = False) -> TickRun:
    return TickRun(first, START_S + first, 1 if count > 1 else 0, count, late, Maker("0.1.0", maker))


def book_of(sequence: int) -> Book:
    stream = Stream(
        enabled=True,
        cursor=TickCursor((START_S + sequence) * NANOS + 5, sequence),
        queued_sequence=sequence - 1,
        reserved_ms=START_MS,
        runs=(run(sequence - 9), run(sequence + 1, 1, "ä", late=True)),
        gaps=(Skipped(sequence, Gap(START_S * NANOS, (START_S + 9) * NANOS, 10)),),
        target='{"type":"webhook","url":"http://é/"}',
    )
    return Book({"second": stream, "day": Stream(enabled=False)})


def test_the_book_comes_back_as_it_was_saved(ticks: TickStore, base: int) -> None:
    rev = ticks.load().rev
    assert ticks.save(book_of(base), (), rev)
    assert ticks.load() == (book_of(base), rev + 1)


@pytest.mark.parametrize("wrong", [-1, 1])
def test_a_moved_revision_writes_nothing(ticks: TickStore, base: int, wrong: int) -> None:
    ticks.save(book_of(base), (), ticks.load().rev)
    kept = ticks.load()
    page = Page("second", (run(base),))
    assert not ticks.save(book_of(base + 1), (), kept.rev + wrong)
    assert not ticks.save(book_of(base + 1), (page,), kept.rev + wrong)
    assert ticks.load() == kept
    assert page not in ticks.pages("second", base - 1, 100)


def test_pages_are_saved_with_the_book_or_not_at_all(ticks: TickStore, base: int) -> None:
    pages = [Page(f, (run(base), run(base + 10, 5, "b")), (Skipped(base, Gap(0, NANOS, 2)),)) for f in FREQUENCIES]
    rev = ticks.load().rev
    assert ticks.save(book_of(base), pages, rev)
    assert ticks.load() == (book_of(base), rev + 1)
    for frequency, page in zip(FREQUENCIES, pages, strict=True):
        assert ticks.pages(frequency, base - 1, 1) == [page]


def test_pages_are_found_by_the_number_after_which_they_end(ticks: TickStore, base: int) -> None:
    pages = [Page("hour", (run(base + 10 * n),)) for n in range(5)]
    for page in pages:
        assert ticks.save(book_of(base), (page,), ticks.load().rev)
    assert ticks.pages("hour", base - 1, 10)[:5] == pages
    assert ticks.pages("hour", base + 8, 10)[0] == pages[0]
    assert ticks.pages("hour", base + 9, 10)[0] == pages[1]
    assert ticks.pages("hour", base + 9, 2) == pages[1:3]
    assert ticks.pages("hour", 10**14, 2) == []
    assert pages[0] not in ticks.pages("minute", base - 1, 10)


def test_of_many_producers_one_wins_every_revision(ticks: TickStore, base: int) -> None:
    first = ticks.load().rev
    won: list[int] = []

    def work(number: int) -> Callable[[], None]:
        def save() -> None:
            for turn in range(8):
                kept = ticks.load()
                pages = (Page("day", (run(base + 100 * number + 10 * turn, maker=str(number)),)),) if turn % 2 else ()
                if ticks.save(book_of(base + len(won)), pages, kept.rev):
                    won.append(kept.rev)

        return save

    run_together([work(n) for n in range(4)])
    assert sorted(won) == list(range(first, ticks.load().rev))
