"""Where the tick streams are kept. The contract that all stores share is in ``ports.services``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from chalicelib.core.ticks.frequencies import Frequency
from chalicelib.core.ticks.tick_book import Book, Page


class KeptBook(NamedTuple):
    """The book and its revision, 0 when there is none yet."""

    book: Book
    rev: int


class TickStore(Protocol):
    """One book for the whole deployment, and the pages of each stream, which expire."""

    def load(self) -> KeptBook:
        """The book; an empty one at rev 0 when there is none."""
        ...

    def save(self, book: Book, pages: Sequence[Page], expected_rev: int) -> bool:
        """Replace the book under the next rev if its stored rev still is the given one. ``pages`` (at most one a
        stream) are added with it: all or nothing. False, and nothing written, when the rev moved on."""
        ...

    def pages(self, frequency: Frequency, after_sequence: int, limit: int) -> list[Page]:
        """At most ``limit`` pages of a stream that end after a number, ascending; those that have expired are gone."""
        ...
