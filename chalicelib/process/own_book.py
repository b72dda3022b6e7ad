"""The book of ticks as this process wrote it last: a conditional write shows at once whether it still stands."""

from __future__ import annotations

from chalicelib.core.ticks.tick_book import Book


class OwnBook:
    """One book and its revision. Who takes it has it alone, so that of two threads one tries it. Safe to share between
    threads: what is kept is replaced in one step."""

    def __init__(self) -> None:
        self._kept: list[tuple[Book, int]] = []

    def take(self) -> tuple[Book, int] | None:
        """The book and its revision, which are forgotten; None when there is none."""
        try:
            return self._kept.pop()
        except IndexError:
            return None

    def keep(self, book: Book, rev: int) -> None:
        """``book`` was just written, or read, under ``rev``."""
        self._kept = [(book, rev)]
