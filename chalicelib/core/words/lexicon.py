"""What a language's words mean, as marks that are the same in all languages, and how a language says things.

A text is read in two steps. The lexer turns words into marks by the lexicon of one language. One grammar, which knows
no language, reads the marks. What describes a schedule makes sentences of the words that the lexicon knows.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from chalicelib.core.words.languages import WordsLanguage

Names = Sequence[str]


class WordMark(Struct, frozen=True):
    """A word's meaning: its kind, and a value where the kind has one; [start, end) are its code points."""

    kind: str
    value: str = ""
    start: int = 0
    end: int = 0


class Field(Struct, frozen=True):
    """How one field of a cron expression is said: ``{n}``, ``{list}``, ``{a}``, ``{b}`` and ``{s}`` are filled in."""

    one: str
    many: str
    span: str
    step: str
    each: str
    since: str  # behind a step: where it begins
    until: str  # behind that: where it ends


class Phrases(Struct, frozen=True, kw_only=True):
    """How a language says what a schedule does. Names of weekdays begin with Sunday, of months with January."""

    every: Mapping[str, str]  # one unit: "every minute"
    every_many: str
    amount: Callable[[str, str], str]  # "5", "m": "5 minutes"
    after_run: str
    steps: str
    times: Callable[[int], str]
    starting: str
    rule: str
    once: str
    once_at: str
    date: str
    month_of_date: Names
    yearly: str
    conjunction: str
    every_day: str
    at_time: str
    fields: Mapping[str, Field]  # by "at second", "of minute" and so on
    day: Field
    last_day: str
    last_workday: str
    near_workday: str
    of_month: str
    month: Field
    months: Names
    months_from: Names
    months_to: Names
    workdays: str
    weekly: Names
    week_span: str
    week_from: Names
    week_to: Names
    week_step: Field
    nth: Names  # each with {n}
    last: Names
    either: str
    both: str


class Language(Struct, frozen=True):
    """One language: its words, and its phrases."""

    code: WordsLanguage
    words: Mapping[str, tuple[WordMark, ...]]
    phrases: Phrases
    longest: int  # words of the longest phrase


def folded(text: str) -> str:
    """Lower case without accents, letter for letter, so that places stay what they were."""
    return "".join(unicodedata.normalize("NFD", char.lower())[0] for char in text)


def read_words(*tables: str) -> dict[str, tuple[WordMark, ...]]:
    """A lexicon of lines ``word other_words = kind:value kind``; an underscore stands for a blank."""
    words: dict[str, tuple[WordMark, ...]] = {}
    for line in "\n".join(tables).strip().splitlines():
        left, _, right = line.partition(" = ")
        marks = tuple(WordMark(kind, value) for kind, _, value in (part.partition(":") for part in right.split()))
        for word in left.split():
            words[folded(word.replace("_", " "))] = marks
    return words


def language_of(code: WordsLanguage, words: dict[str, tuple[WordMark, ...]], phrases: Phrases) -> Language:
    """A language, complete."""
    return Language(code, words, phrases, max(word.count(" ") + 1 for word in words))


def load(code: WordsLanguage) -> Language:
    """The language of a code; its tables are read at first use."""
    match code:
        case "ru":
            from chalicelib.core.words.russian import RUSSIAN as found
        case "es":
            from chalicelib.core.words.spanish import SPANISH as found
        case "pt":
            from chalicelib.core.words.portuguese import PORTUGUESE as found
        case _:
            from chalicelib.core.words.english import ENGLISH as found
    return found
