"""A text as marks: every code point of it belongs to a mark, or to a blank between two."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from chalicelib.core.words import zone_words
from chalicelib.core.words.lexicon import Language, WordMark, folded


class NotUnderstood(Exception):
    """Raised when a text is no schedule; [start, end) are the code points at fault."""

    def __init__(self, message: str, start: int, end: int) -> None:
        super().__init__(message)
        self.message = message
        self.start = start
        self.end = end


_BLANK: Final = re.compile(r"[\s\u00a0]+")
_WORD: Final = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*\.?", re.UNICODE)
_CLOCK: Final = r"\d{1,2}:\d\d(?::\d\d(?:\.\d{1,3})?)?"
_PATTERNS: Final = (
    ("quoted", re.compile(r'"([^"]*)"|“([^”]*)”')),
    ("zoned", re.compile(r"\(([A-Za-z][\w+\-/ ]*)\)", re.ASCII)),
    (
        "instant",
        re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:[Zz]|[+-]\d\d:\d\d)?(?![\d:])", re.ASCII),
    ),
    ("date", re.compile(r"\d{4}-\d\d-\d\d(?!\d)", re.ASCII)),
    ("dotted", re.compile(r"\d{1,2}\.\d{1,2}\.\d{4}(?!\d)", re.ASCII)),
    ("slashed", re.compile(r"\d{1,2}/\d{1,2}(?:/\d{4})?(?![\d/])", re.ASCII)),
    ("clock", re.compile(_CLOCK + r"(?![\d:])", re.ASCII)),
    ("halfday", re.compile(r"(\d{1,2})\s?(am|pm|a\.m\.|p\.m\.)(?!\w)", re.ASCII)),
    ("hclock", re.compile(r"(\d{1,2})h(\d\d)(?!\w)", re.ASCII)),
    ("amount", re.compile(r"(\d+)(ms|s|m|h|d)(?!\w)", re.ASCII)),
    (
        "ordinal",
        re.compile(r"(\d+)(?:st|nd|rd|th|-?(?:го|ю|му|м|ои|ыи|ая|ое|и|я|е)|\.?[ºª°]|\.?[oa](?!\w))(?!\w)"),
    ),
    ("number", re.compile(r"\d+(?:[.,]\d+)?", re.ASCII)),
    ("place", re.compile(r"[A-Za-z][A-Za-z_]*(?:/[A-Za-z0-9_+\-]+)+|(?:utc|gmt)[+-]\d{1,2}(?!\d)", re.ASCII)),
    ("comma", re.compile(r"[,;]")),
    ("dash", re.compile(r"[-–—]")),
    ("stop", re.compile(r"[.!]\s*$")),
)


def read_marks(text: str, language: Language) -> list[WordMark]:
    """The marks of a text. Raises NotUnderstood with the first word that the language has not."""
    low = folded(text)
    marks: list[WordMark] = []
    at = 0
    while at < len(text):
        blank = _BLANK.match(text, at)
        if blank is not None:
            at = blank.end()
            continue
        found, at = _next(text, low, at, language)
        marks += found
    return [mark for mark in marks if mark.kind != "noise"]


def _next(text: str, low: str, at: int, language: Language) -> tuple[list[WordMark], int]:
    phrase = _phrase(low, at, language)
    if phrase is not None:
        return phrase
    for name, pattern in _PATTERNS:
        # Letters are read folded; a name or a rule keeps its case.
        source = text if name in ("quoted", "zoned", "instant") else low
        found = pattern.match(source, at)
        if found is not None:
            marks = _MAKERS[name](found, text)
            if marks is not None:
                return [replace(mark, start=at, end=found.end()) for mark in marks], found.end()
    return _place(text, low, at)


def _phrase(low: str, at: int, language: Language) -> tuple[list[WordMark], int] | None:
    """The longest phrase of the language that begins here."""
    ends = []
    end = at
    for _ in range(language.longest):
        word = _WORD.match(low, end) if end < len(low) else None
        if word is None:
            break
        ends += [word.end(), word.end() - 1] if word.group().endswith(".") else [word.end()]
        blank = _BLANK.match(low, word.end())
        if blank is None:
            break
        end = blank.end()
    if not ends and low[at] in "@&":
        ends = [at + 1]
    for stop in sorted(ends, reverse=True):
        spelled = _BLANK.sub(" ", low[at:stop]).replace("’", "'")
        marks = language.words.get(spelled)
        if marks is not None and not low[stop : stop + 1].isalnum() and low[stop : stop + 1] not in ("/", "_"):
            return [replace(mark, start=at, end=stop) for mark in marks], stop
    return None


def _place(text: str, low: str, at: int) -> tuple[list[WordMark], int]:
    """A zone by its letters or its city, of up to three words."""
    ends, end = [], at
    for _ in range(3):
        word = _WORD.match(low, end) if end < len(low) else None
        if word is None:
            break
        ends += [word.end(), word.end() - 1] if word.group().endswith(".") else [word.end()]
        end = word.end() + 1
    for stop in sorted(ends, reverse=True):
        found = zone_words.read(text[at:stop])
        if found:
            return [WordMark("zone", "|".join(found), at, stop)], stop
    stop = ends[0] if ends else at + 1
    raise NotUnderstood(f"{text[at:stop]!r} is not understood", at, stop)


def _zone(name: str, exact: bool = False) -> list[WordMark] | None:
    found = (exact and zone_words.known(name.strip())) or zone_words.read(name)
    return [WordMark("zone", "|".join(found))] if found else None


def _clock(hour: int, rest: str) -> list[WordMark] | None:
    return [WordMark("time", f"{hour:02d}:{rest}")]


def _halfday(found: re.Match[str], _text: str) -> list[WordMark] | None:
    hour = int(found[1])
    if not 1 <= hour <= 12:
        return None
    return _clock(hour % 12 + (12 if found[2].startswith("p") else 0), "00")


def _slashed(found: re.Match[str], _text: str) -> list[WordMark] | None:
    return [WordMark("slash", found[0])]


def _dotted(found: re.Match[str], _text: str) -> list[WordMark] | None:
    day, month, year = found[0].split(".")
    return [WordMark("date", f"{year}-{int(month):02d}-{int(day):02d}")]


def _number(found: re.Match[str], _text: str) -> list[WordMark] | None:
    return [WordMark("num", found[0].replace(",", "."))]


def _of_kind(kind: str) -> Callable[[re.Match[str], str], list[WordMark] | None]:
    return lambda found, _text: [WordMark(kind, found[0])]


_MAKERS: Final[dict[str, Callable[[re.Match[str], str], list[WordMark] | None]]] = {
    "quoted": lambda found, _text: [WordMark("quoted", found[1] if found[1] is not None else found[2])],
    "zoned": lambda found, _text: _zone(found[1], exact=True),
    "instant": _of_kind("instant"),
    "date": _of_kind("date"),
    "dotted": _dotted,
    "slashed": _slashed,
    "clock": lambda found, _text: _clock(int(found[0].split(":")[0]), found[0].partition(":")[2]),
    "halfday": _halfday,
    "hclock": lambda found, _text: _clock(int(found[1]), found[2]),
    "amount": lambda found, _text: [WordMark("num", found[1]), WordMark("unit", found[2])],
    "ordinal": lambda found, _text: [WordMark("ord", found[1])],
    "number": _number,
    "place": lambda found, text: _zone(text[found.start() : found.end()]),
    "comma": _of_kind("comma"),
    "dash": lambda _found, _text: [WordMark("to")],
    "stop": lambda _found, _text: [WordMark("noise")],
}
