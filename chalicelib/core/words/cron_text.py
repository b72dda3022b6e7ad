"""The fields of a cron expression as they are written, term by term.

They come in one spelling: no names, no macros. Every expression here was taken before, so nothing is refused.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from chalicelib.core.recurrence.cron_fields import DAY_NAMES, MONTH_NAMES

FieldName = Literal["s", "m", "h", "day", "month", "week"]
FIELDS: Final[tuple[FieldName, ...]] = ("s", "m", "h", "day", "month", "week")
_LEAST: Final = {"s": 0, "m": 0, "h": 0, "day": 1, "month": 1, "week": 0}
_MOST: Final = {"s": 59, "m": 59, "h": 23, "day": 31, "month": 12, "week": 7}
_NAMES: Final = {"month": MONTH_NAMES, "week": DAY_NAMES}
_MACROS: Final = {
    "@YEARLY": "0 0 1 1 *",
    "@ANNUALLY": "0 0 1 1 *",
    "@MONTHLY": "0 0 1 * *",
    "@WEEKLY": "0 0 * * 0",
    "@DAILY": "0 0 * * *",
    "@MIDNIGHT": "0 0 * * *",
    "@HOURLY": "0 * * * *",
}


class Term(Struct, frozen=True):
    """One term of a field. ``a`` and ``b`` are -1 where they are not written.

    Kinds: one ``a``, span ``a-b``, star, step ``*/s`` or ``a/s`` or ``a-b/s``; last ``L``, workday ``LW``, near
    ``aW``, nth ``a#b``, lastweek ``aL``.
    """

    kind: str
    a: int = -1
    b: int = -1
    s: int = 0

    def text(self) -> str:
        """The term as cron writes it."""
        match self.kind:
            case "star":
                return "*"
            case "span":
                return f"{self.a}-{self.b}"
            case "step":
                span = "*" if self.a < 0 else f"{self.a}" if self.b < 0 else f"{self.a}-{self.b}"
                return f"{span}/{self.s}"
            case "last":
                return "L"
            case "workday":
                return "LW"
            case "near":
                return f"{self.a}W"
            case "nth":
                return f"{self.a}#{self.b}"
            case "lastweek":
                return f"{self.a}L"
            case _:
                return str(self.a)


Terms = tuple[Term, ...]
STAR: Final[Terms] = (Term("star"),)


def read_terms(expr: str) -> dict[str, Terms]:
    """The fields of an expression; ``s`` is there only when it has six."""
    fields = expr.removeprefix("\ufeff").upper().split()
    if len(fields) == 1:
        fields = _MACROS[fields[0]].split()
    names = FIELDS[6 - len(fields) :]
    return {name: _field(name, text) for name, text in zip(names, fields, strict=True)}


def write_terms(fields: dict[str, Terms]) -> str:
    """The expression of fields; those that are left out are ``*``, and the seconds are not written."""
    names = FIELDS if "s" in fields else FIELDS[1:]
    return " ".join(",".join(term.text() for term in fields.get(name, STAR)) for name in names)


def canonical(expr: str) -> str:
    """The one spelling of an expression."""
    return write_terms(read_terms(expr))


def _field(name: str, text: str) -> Terms:
    terms = tuple(_term(name, part) for part in text.split(","))
    if terms[0].kind == "star":
        return STAR
    # A star that does not come first is a plain range: only what comes first makes a field one of all values.
    whole = Term("span", _LEAST[name], _MOST[name])
    terms = tuple(whole if term.kind == "star" else term for term in terms)
    if all(term.kind == "one" for term in terms):  # in any order they mean the same
        return tuple(Term("one", a) for a in sorted({term.a for term in terms}))
    return terms


def _term(name: str, text: str) -> Term:
    if name == "day" and text in ("L", "LW"):
        return Term("last" if text == "L" else "workday")
    if name == "day" and text.endswith("W"):
        return Term("near", int(text[:-1]))
    if name == "week" and "#" in text:
        weekday, _, number = text.partition("#")
        return Term("nth", _value(name, weekday) % 7, int(number))
    if name == "week" and (text.startswith("L") or text.endswith("L")) and text not in DAY_NAMES:
        return Term("lastweek", _value(name, text[1:] if text.startswith("L") else text[:-1]) % 7)
    span, slash, step = text.partition("/")
    s = int(step) if slash else 0
    first, dash, last = span.partition("-")
    if span == "*":
        return Term("step", -1, -1, s) if s > 1 else Term("star")
    a = _value(name, first)
    b = _value(name, last) if dash else -1
    if slash:
        return _stepped(name, a, b, s)
    if dash and b > a:
        return Term("span", a, b)
    return Term("one", a % 7 if name == "week" else a)


def _stepped(name: str, a: int, b: int, s: int) -> Term:
    end = _MOST[name] if b < 0 else b
    if s > end - a:
        return Term("one", a % 7 if name == "week" else a)
    if s == 1:
        return Term("span", a, end)
    return Term("step", a, b, s)


def _value(name: str, text: str) -> int:
    names = _NAMES.get(name, {})
    return names[text] if text in names else int(text)


def least(name: str) -> int:
    """The least value of a field."""
    return _LEAST[name]


def most(name: str) -> int:
    """The greatest value of a field."""
    return _MOST[name]
