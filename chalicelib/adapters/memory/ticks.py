"""``TickStore`` in memory."""

from __future__ import annotations

import threading
from bisect import insort
from collections import defaultdict
from collections.abc import Sequence

from chalicelib.core.ticks.frequencies import Frequency
from chalicelib.core.ticks.tick_book import Book, Page
from chalicelib.ports.stores.ticks import KeptBook


class MemoryTickStore:
    """``TickStore`` in memory: nothing expires."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._book, self._rev = Book(), 0
        self._pages: dict[Frequency, list[Page]] = defaultdict(list)

    def load(self) -> KeptBook:
        """The book; an empty one at rev 0 when there is none."""
        with self._lock:
            return KeptBook(self._book, self._rev)

    def save(self, book: Book, pages: Sequence[Page], expected_rev: int) -> bool:
        """Replace the book under the next rev if its stored rev still is the given one, and add ``pages`` with it."""
        with self._lock:
            if self._rev != expected_rev:
                return False
            self._book, self._rev = book, expected_rev + 1
            for page in pages:
                insort(self._pages[page.frequency], page, key=lambda p: p.last_sequence)
            return True

    def pages(self, frequency: Frequency, after_sequence: int, limit: int) -> list[Page]:
        """At most ``limit`` pages of a stream that end after a number, ascending."""
        with self._lock:
            return [p for p in self._pages[frequency] if p.last_sequence > after_sequence][:limit]
