"""The book of ticks as one process last read it, shared by all that follow its streams."""

from __future__ import annotations

from collections.abc import Callable

from chalicelib.core.ticks.tick_book import Book

BOOK_AGE_MAX_MS = 2_000  # how soon a follower learns of a stream that was switched on, or of ticks that were caught up


class BookMemory:
    """A thousand followers read the table once. Safe to share between threads: what is kept is replaced in one step,
    and no lock is held while a table is read. Followers that find it stale together may each read it."""

    def __init__(self) -> None:
        self._kept: tuple[Book, int] | None = None

    def read(self, now_ms: int, is_behind: Callable[[Book], bool], load: Callable[[], Book]) -> Book:
        """The book, not older than BOOK_AGE_MAX_MS, and not one that ``is_behind``."""
        kept = self._kept
        if kept is not None and 0 <= now_ms - kept[1] < BOOK_AGE_MAX_MS and not is_behind(kept[0]):
            return kept[0]
        book = load()
        self._kept = (book, now_ms)
        return book
