"""The syntax of regular expressions that callers write: that of RE2 and Python where both agree, read into a tree.

What only backtracking can do is refused: back references, looking around and possessive repetitions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from chalicelib.core.rules.limits import PATTERN_MAX_DEPTH

REPEAT_MAX: Final = 1000
_LAST: Final = "\U0010ffff"
_DIGITS: Final = (("0", "9"),)
_WORD: Final = (("0", "9"), ("A", "Z"), ("_", "_"), ("a", "z"))
_SPACE: Final = (("\t", "\r"), (" ", " "))
_CLASSES: Final = {"d": _DIGITS, "w": _WORD, "s": _SPACE}
_CONTROLS: Final = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v"}

Ranges = tuple[tuple[str, str], ...]


class BadPattern(ValueError):
    """Raised for what is no pattern, or one that would not be linear; says where."""


class Chars(Struct, frozen=True):
    """One character out of ``ranges``, or (``negated``) one outside of them."""

    ranges: Ranges
    negated: bool = False

    def takes(self, char: str) -> bool:
        return any(low <= char <= high for low, high in self.ranges) != self.negated


class Seq(Struct, frozen=True):
    """One after the other."""

    parts: tuple[Node, ...]


class Alt(Struct, frozen=True):
    """One of several."""

    options: tuple[Node, ...]


class Repeat(Struct, frozen=True):
    """``inner`` from ``least`` to ``most`` times (None: without end)."""

    inner: Node
    least: int
    most: int | None


class Begin(Struct, frozen=True):
    """The beginning of the text."""


class End(Struct, frozen=True):
    """The end of the text."""


Node = Chars | Seq | Alt | Repeat | Begin | End


class PatternParser:
    """Reads a pattern by recursive descent."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self.ignore_case = False

    def read(self) -> Node:
        """The tree of the whole pattern. Raises BadPattern."""
        if self._text.startswith("(?i)"):
            self.ignore_case, self._at = True, 4
        found = self._alternatives()
        if self._at < len(self._text):
            raise self._wrong("has a ) that nothing opens")
        return found

    def _wrong(self, problem: str) -> BadPattern:
        return BadPattern(f"{problem}, at character {self._at + 1}")

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        char = self._peek()
        self._at += 1
        return char

    def _alternatives(self) -> Node:
        self._depth += 1
        if self._depth > PATTERN_MAX_DEPTH:
            raise self._wrong(f"is nested deeper than {PATTERN_MAX_DEPTH}")
        options = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            options.append(self._sequence())
        self._depth -= 1
        return options[0] if len(options) == 1 else Alt(tuple(options))

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._repeated(self._atom()))
        return Seq(tuple(parts))

    def _repeated(self, inner: Node) -> Node:
        bounds = self._quantifier()
        if bounds is None:
            return inner
        if self._peek() == "?":
            self._at += 1  # lazy or greedy says which match is found, not whether there is one
        elif self._peek() == "+":
            raise self._wrong("holds a possessive quantifier, which is not linear")
        if self._quantifier() is not None:
            raise self._wrong("repeats a repetition; put it in parentheses")
        return Repeat(inner, *bounds)

    def _quantifier(self) -> tuple[int, int | None] | None:
        simple: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        char = self._peek()
        if char in simple:
            self._at += 1
            return simple[char]
        return self._counted() if char == "{" else None

    def _counted(self) -> tuple[int, int | None]:
        end = self._text.find("}", self._at)
        low, comma, high = self._text[self._at + 1 : max(end, self._at + 1)].partition(",")
        numbers = [part for part in (low, high) if part]
        if end < 0 or not low or not all(part.isascii() and part.isdigit() and len(part) < 5 for part in numbers):
            raise self._wrong("holds a { that is no {n}, {n,} or {n,m}; write \\{ for the character")
        least = int(low)
        most = int(high) if high else None if comma else least
        if max(_numbers_of(least, most)) > REPEAT_MAX or (most is not None and most < least):
            raise self._wrong(f"holds a repetition that is not from 0 to {REPEAT_MAX} times")
        self._at = end + 1
        return least, most

    def _atom(self) -> Node:
        char = self._take()
        if char == "(":
            return self._group()
        if char == "[":
            return self._set()
        if char == ".":
            return Chars((("\n", "\n"),), negated=True)
        if char == "^":
            return Begin()
        if char == "$":
            return End()
        if char == "\\":
            return self._escape()
        if char in "*+?{":
            self._at -= 1
            raise self._wrong("repeats nothing")
        return Chars(((char, char),))

    def _group(self) -> Node:
        if self._peek() == "?":
            rest = self._text[self._at :]
            if rest.startswith("?:"):
                self._at += 2
            elif rest.startswith("?P<") and ">" in rest:
                self._at += len(rest.partition(">")[0]) + 1
            elif rest.startswith(("?=", "?!", "?<")):
                raise self._wrong("looks around, which is not linear")
            elif rest.startswith(("?P=", "?(")):
                raise self._wrong("refers back, which is not linear")
            else:
                raise self._wrong("holds a (? that is not offered; (?i) may stand at the beginning")
        found = self._alternatives()
        if self._take() != ")":
            self._at -= 1
            raise self._wrong("has a ( that nothing closes")
        return found

    def _escape(self) -> Node:
        char = self._take()
        if char.lower() in _CLASSES:
            return Chars(_CLASSES[char.lower()], negated=char.isupper())
        if char == "A":
            return Begin()
        if char in ("z", "Z"):
            return End()
        found = self._literal(char)
        return Chars(((found, found),))

    def _literal(self, char: str) -> str:
        if char == "x" and len(self._text) >= self._at + 2:
            digits = self._text[self._at : self._at + 2]
            if all(digit in "0123456789abcdefABCDEF" for digit in digits):
                self._at += 2
                return chr(int(digits, 16))
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char.isdigit() or char == "k":
            raise self._wrong("refers back, which is not linear")
        if not char or char.isalnum():
            self._at -= 1
            raise self._wrong(f"holds an escape that is not offered: \\{char}")
        return char

    def _set(self) -> Node:
        negated = self._peek() == "^"
        self._at += negated
        ranges: list[tuple[str, str]] = []
        while self._peek() != "]" or not ranges:
            low = self._set_member(ranges)
            if low is None:
                continue
            high: str | None = low
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                high = self._set_member(ranges)
            if high is None or high < low:
                raise self._wrong("holds a range that has no order")
            ranges.append((low, high))
        self._at += 1
        return Chars(tuple(ranges), negated)

    def _set_member(self, ranges: list[tuple[str, str]]) -> str | None:
        """A character of a set; None: it was a class, which went into ``ranges``."""
        char = self._take()
        if not char:
            raise self._wrong("has a [ that nothing closes")
        if char != "\\":
            return char
        char = self._take()
        if char in _CLASSES:
            ranges += _CLASSES[char]
            return None
        if char.lower() in _CLASSES:
            ranges += _outside(_CLASSES[char.lower()])
            return None
        return self._literal(char)


def _numbers_of(least: int, most: int | None) -> tuple[int, ...]:
    """The bounds of a repetition that are numbers."""
    return (least,) if most is None else (least, most)


def _outside(ranges: Ranges) -> Iterable[tuple[str, str]]:
    """The ranges between ordered ones."""
    begin = "\0"
    for low, high in ranges:
        if begin < low:
            yield begin, chr(ord(low) - 1)
        begin = chr(ord(high) + 1)
    yield begin, _LAST
