"""What a page of Markdown says in sentences, and what is hard to read in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

LINE_MAX_CHARS = 120
SENTENCE_MAX_WORDS = 25
# Words that hide the subject of a sentence. Name it instead, and say what it emits, records, rejects or notifies.
RIDDLES = re.compile(r"\b(?:nobody|somebody|anybody|everybody|whoever|whomever|tells?|told)\b", re.IGNORECASE)

_FENCE = re.compile(r"^\s*(?:```|~~~)")
_TABLE = re.compile(r"^\s*\|")
_HEADING = re.compile(r"^#{1,6} ")
_ITEM = re.compile(r"^\s*(?:[-*+]|\d+\.)\s+")
_CODE_SPAN = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)")
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_ABBREVIATION = re.compile(r"\b(e\.g|i\.e|etc|vs|cf)\.", re.IGNORECASE)
# A full stop inside a number or a name has no space behind it; one that ends a sentence has, and a beginning follows.
_END = re.compile(r"(?<=[.!?])[\"')\]*_]*\s+(?=[\"'(\[*_]*[A-Z0-9])")


class Finding(NamedTuple):
    """One thing to mend: the line it begins on, and what is wrong."""

    line: int
    problem: str


def findings(text: str) -> list[Finding]:
    """Everything in a page that is hard to read."""
    return sorted([*_long_lines(text), *_riddles(text), *_long_sentences(text)])


def _long_lines(text: str) -> Iterator[Finding]:
    for number, line in _outside_code(text):
        if len(line) > LINE_MAX_CHARS and not _TABLE.match(line):
            yield Finding(number, f"{len(line)} characters, at most {LINE_MAX_CHARS}")


def _riddles(text: str) -> Iterator[Finding]:
    for number, line in _outside_code(text):
        for found in RIDDLES.findall(_CODE_SPAN.sub("", line)):
            yield Finding(number, f"the word {found!r}: name the subject")


def _long_sentences(text: str) -> Iterator[Finding]:
    for number, paragraph in _paragraphs(text):
        for sentence in sentences(paragraph):
            words = [word for word in sentence.split() if any(char.isalnum() for char in word)]
            if len(words) > SENTENCE_MAX_WORDS:
                yield Finding(number, f"{len(words)} words, at most {SENTENCE_MAX_WORDS}: {sentence[:60]} …")


def sentences(paragraph: str) -> list[str]:
    """The sentences of a paragraph. A code span counts as one word, a link as its text."""
    plain = _LINK.sub(r"\1", _CODE_SPAN.sub("CODE", paragraph))
    plain = _ABBREVIATION.sub(lambda found: found[1].replace(".", ""), plain)
    return [sentence for sentence in _END.split(plain) if sentence]


def _paragraphs(text: str) -> Iterator[tuple[int, str]]:
    """Each paragraph and each item of a list as one line, with the number of its first line."""
    begun, lines = 0, list[str]()
    numbered = [*_outside_code(text), (0, "")]
    for number, line in numbered:
        apart = not line.strip() or _TABLE.match(line) or _HEADING.match(line)
        if lines and (apart or _ITEM.match(line)):
            yield begun, " ".join(lines)
            lines = []
        if not apart:
            begun = begun if lines else number
            lines.append(_ITEM.sub("", line).strip())


def _outside_code(text: str) -> Iterator[tuple[int, str]]:
    """The numbered lines of a page; a block of code is one blank line."""
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        fence = _FENCE.match(line)
        inside = inside != bool(fence)
        yield number, "" if inside or fence else line
