"""Tick books and pages as stored: compact JSON, since stores bill a write by its size.

Producers are named once and referred to by their place. What a newer release added is ignored (and lost when the book
is then written), what an older one lacks has its default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from chalicelib.core.ticks.frequencies import FREQUENCIES, Frequency
from chalicelib.core.ticks.numbering import Gap, TickCursor
from chalicelib.core.ticks.tick_book import NANOS_PER_S, Book, Maker, Page, Skipped, Stream, TickRun


def write_book(book: Book) -> str:
    """The document of a book; ``read_book`` gives back an equal one."""
    makers: dict[Maker, int] = {}
    streams = {f: _stream(s, makers) for f, s in book.streams.items()}
    return _json({"m": [list(m) for m in makers], "s": streams})


def read_book(document: str) -> Book:
    """The book of a document. Raises ValueError when the text is none."""
    try:
        stored: dict[str, Any] = msgspec.json.decode(document)
        makers = [Maker(*m) for m in stored["m"]]
        found = {f: stored["s"].get(f) for f in FREQUENCIES}
        return Book({f: _read_stream(s, makers) for f, s in found.items() if s is not None})
    except (msgspec.DecodeError, KeyError, TypeError, IndexError, AttributeError) as wrong:
        raise ValueError("not a book of ticks") from wrong


def write_page(page: Page) -> str:
    """The document of a page, without its frequency, which its key says."""
    makers: dict[Maker, int] = {}
    runs = _runs(page.runs, makers)
    return _json({"m": [list(m) for m in makers], "r": runs, "g": _gaps(page.gaps)})


def read_page(frequency: Frequency, document: str) -> Page:
    """The page of a document. Raises ValueError when the text is none."""
    try:
        stored: dict[str, Any] = msgspec.json.decode(document)
        makers = [Maker(*m) for m in stored["m"]]
        return Page(frequency, _read_runs(stored["r"], makers), _read_gaps(stored.get("g", ())))
    except (msgspec.DecodeError, KeyError, TypeError, IndexError, AttributeError) as wrong:
        raise ValueError("not a page of ticks") from wrong


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _stream(stream: Stream, makers: dict[Maker, int]) -> dict[str, Any]:
    written = {
        "c": [stream.cursor.boundary_nanos, stream.cursor.sequence],
        "q": stream.queued_sequence,
        "o": stream.opened_sequence,
        "t": stream.reserved_ms,
        "e": stream.enabled,
        "r": _runs(stream.runs, makers),
        "g": _gaps(stream.gaps),
        "x": stream.target,
    }
    return {name: value for name, value in written.items() if value is not None and value != []}


def _read_stream(stored: Mapping[str, Any], makers: Sequence[Maker]) -> Stream:
    return Stream(
        enabled=stored.get("e"),
        cursor=TickCursor(*stored["c"]),
        queued_sequence=stored["q"],
        # A release that did not open numbers published them all: none of its may be taken back.
        opened_sequence=stored.get("o", stored["c"][1]),
        reserved_ms=stored["t"],
        runs=_read_runs(stored.get("r", ()), makers),
        gaps=_read_gaps(stored.get("g", ())),
        target=stored.get("x"),
    )


def _runs(runs: Sequence[TickRun], makers: dict[Maker, int]) -> list[list[int]]:
    return [
        [r.first_sequence, r.first_s, r.step_s, r.count, int(r.caught_up), makers.setdefault(r.maker, len(makers))]
        for r in runs
    ]


def _read_runs(stored: Sequence[Sequence[int]], makers: Sequence[Maker]) -> tuple[TickRun, ...]:
    return tuple(
        TickRun(first, first_s, step_s, count, bool(late), makers[maker])
        for first, first_s, step_s, count, late, maker in stored
    )


def _gaps(gaps: Sequence[Skipped]) -> list[list[int]]:
    return [[after, g.from_nanos // NANOS_PER_S, g.to_nanos // NANOS_PER_S, g.count] for after, g in gaps]


def _read_gaps(stored: Sequence[Sequence[int]]) -> tuple[Skipped, ...]:
    return tuple(
        Skipped(after, Gap(from_s * NANOS_PER_S, to_s * NANOS_PER_S, count)) for after, from_s, to_s, count in stored
    )
