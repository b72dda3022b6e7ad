"""``TickStore`` in DynamoDB: the book is one item of the registry table, each page another; see docs/storage.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from chalicelib.adapters.dynamodb.database import Database, Value, key, number, text
from chalicelib.core.executions.limits import HISTORY_RETENTION_S
from chalicelib.core.ticks import tick_document
from chalicelib.core.ticks.frequencies import Frequency
from chalicelib.core.ticks.tick_book import Book, Page
from chalicelib.ports.stores.ticks import KeptBook

_BOOK_KEY: Final = key("#ticks", "book")
_SEQUENCE_DIGITS: Final = 15


class DynamoTickStore:
    """``TickStore``: a page expires ``retention_s`` after its last tick."""

    def __init__(self, database: Database, retention_s: int = HISTORY_RETENTION_S) -> None:
        self._db = database
        self._table = database.names.registry
        self._retention_s = retention_s

    def load(self) -> KeptBook:
        """The book; an empty one at rev 0 when there is none."""
        answer = self._db.read("get_item", TableName=self._table, Key=_BOOK_KEY, ConsistentRead=True)
        item = answer.get("Item")
        if item is None:
            return KeptBook(Book(), 0)
        return KeptBook(tick_document.read_book(item["doc"]["S"]), int(item["rev"]["N"]))

    def save(self, book: Book, pages: Sequence[Page], expected_rev: int) -> bool:
        """Replace the book under the next rev if its stored rev still is the given one, and add ``pages`` with it."""
        put = self._put_book(book, expected_rev)
        if not pages:
            return self._db.write("put_item", **put)
        items = [{"Put": put}, *({"Put": self._put_page(page)} for page in pages)]
        return self._db.write_together(items)

    def pages(self, frequency: Frequency, after_sequence: int, limit: int) -> list[Page]:
        """At most ``limit`` pages of a stream that end after a number, ascending."""
        answer = self._db.read(
            "query",
            TableName=self._table,
            KeyConditionExpression="pk = :p AND sk > :a",
            ExpressionAttributeValues={":p": text(_pages(frequency)), ":a": text(_digits(after_sequence))},
            ConsistentRead=True,
            Limit=limit,
        )
        return [tick_document.read_page(frequency, item["doc"]["S"]) for item in answer["Items"]]

    def _put_book(self, book: Book, expected_rev: int) -> dict[str, Any]:
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"}
        if expected_rev:
            values = {":r": number(expected_rev)}
            condition = {"ConditionExpression": "rev = :r", "ExpressionAttributeValues": values}
        item = {**_BOOK_KEY, "doc": text(tick_document.write_book(book)), "rev": number(expected_rev + 1)}
        return {"TableName": self._table, "Item": item, **condition}

    def _put_page(self, page: Page) -> dict[str, Any]:
        last = page.runs[-1]
        expires_s = last.first_s + (last.count - 1) * last.step_s + self._retention_s
        item: dict[str, Value] = {
            **key(_pages(page.frequency), _digits(page.last_sequence)),
            "doc": text(tick_document.write_page(page)),
            "ttl": number(expires_s),
        }
        return {"TableName": self._table, "Item": item}


def _pages(frequency: Frequency) -> str:
    return f"#ticks#{frequency}"


def _digits(sequence: int) -> str:
    """A number as text that sorts as it does."""
    return f"{sequence:0{_SEQUENCE_DIGITS}d}"
