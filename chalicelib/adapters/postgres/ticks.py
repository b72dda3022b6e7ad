"""``TickStore`` in PostgreSQL: the book is one document, each page another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from chalicelib.adapters.postgres.database import PostgresDatabase
from chalicelib.adapters.postgres.document_rows import LAST, DocumentRows
from chalicelib.core.executions.limits import HISTORY_RETENTION_S
from chalicelib.core.ticks import tick_document
from chalicelib.core.ticks.frequencies import Frequency
from chalicelib.core.ticks.tick_book import Book, Page
from chalicelib.ports.stores.ticks import KeptBook

_BOOK: Final = "tick book"
_PAGES: Final = "tick page"
_SEQUENCE_DIGITS: Final = 15
SAVE_NEW: Final = """
WITH saved AS (
    INSERT INTO documents (kind, tenant, name, rev, doc) VALUES (%s, '', '', %s, %s)
    ON CONFLICT DO NOTHING RETURNING 1)"""
SAVE_AGAIN: Final = """
WITH saved AS (
    UPDATE documents SET rev = %s, doc = %s WHERE kind = %s AND tenant = '' AND name = '' AND rev = %s RETURNING 1)"""
PAGES: Final = """,
paged AS (
    INSERT INTO documents (kind, tenant, name, rev, doc, expires_s)
    SELECT %s, g.frequency, g.name, 1, g.doc, g.expires_s
    FROM saved, unnest(%s::text[], %s::text[], %s::text[], %s::int8[]) AS g(frequency, name, doc, expires_s)
    ON CONFLICT (kind, tenant, name) DO UPDATE SET doc = excluded.doc, expires_s = excluded.expires_s)
SELECT count(*) FROM saved"""


class PostgresTickStore:
    """``TickStore``: a page expires ``retention_s`` after its last tick."""

    def __init__(self, database: PostgresDatabase, retention_s: int = HISTORY_RETENTION_S) -> None:
        self._db = database
        self._book = DocumentRows(database, _BOOK)
        self._pages = DocumentRows(database, _PAGES)
        self._retention_s = retention_s

    def load(self) -> KeptBook:
        """The book; an empty one at rev 0 when there is none."""
        found = self._book.load("", "")
        return KeptBook(Book(), 0) if found is None else KeptBook(tick_document.read_book(found[0]), found[1])

    def save(self, book: Book, pages: Sequence[Page], expected_rev: int) -> bool:
        """Replace the book under the next rev if its stored rev still is the given one, and add ``pages`` with it."""
        doc, rev = tick_document.write_book(book), expected_rev + 1
        part = SAVE_AGAIN if expected_rev else SAVE_NEW
        values = (rev, doc, _BOOK, expected_rev) if expected_rev else (_BOOK, rev, doc)
        columns = (
            [str(page.frequency) for page in pages],
            [_digits(page.last_sequence) for page in pages],
            [tick_document.write_page(page) for page in pages],
            [self._expiry_s(page) for page in pages],
        )
        return bool(self._db.write(part + PAGES, (*values, _PAGES, *columns))[0][0])

    def pages(self, frequency: Frequency, after_sequence: int, limit: int) -> list[Page]:
        """At most ``limit`` pages of a stream that end after a number, ascending."""
        found = self._pages.between(str(frequency), _digits(after_sequence), LAST, limit)
        return [tick_document.read_page(frequency, kept.doc) for kept in found]

    def _expiry_s(self, page: Page) -> int:
        last = page.runs[-1]
        return last.first_s + (last.count - 1) * last.step_s + self._retention_s


def _digits(sequence: int) -> str:
    """A number as text that sorts as it does."""
    return f"{max(0, sequence):0{_SEQUENCE_DIGITS}d}"
