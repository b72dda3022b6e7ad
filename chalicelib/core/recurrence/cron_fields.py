"""The fields of a cron expression, read as bit masks: bit v is set when v is allowed."""

from __future__ import annotations

from typing import Final

_MONTH_ORDER: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAY_ORDER: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
MONTH_NAMES: Final = {n: i + 1 for i, n in enumerate(_MONTH_ORDER)}
DAY_NAMES: Final = {n: i for i, n in enumerate(_DAY_ORDER)}
NO_NAMES: Final[dict[str, int]] = {}
_NUMBERS: Final = {str(n): n for n in range(60)}  # the usual numbers, read by one look-up


class CronError(ValueError):
    """Raised when a cron expression cannot be read, or can never match; the text says which field and why."""


def split_special(text: str, marks: str) -> tuple[str, str]:
    """The terms of a day field without and with the letters ``marks``, each joined by commas again."""
    terms = text.split(",")
    special = [term for term in terms if any(mark in term for mark in marks)]
    return ",".join(term for term in terms if term not in special), ",".join(special)


def special_day(term: str) -> int:
    """The n of ``nW``; 0 for LW and -1 for L. Raises CronError."""
    if term == "L":
        return -1
    if term == "LW":
        return 0
    if term[-1] == "W":
        return read_value("day-of-month", term[:-1], 1, 31, NO_NAMES)
    raise CronError(f"day-of-month: {term!r} is not understood")


def read_value(field: str, text: str, low: int, high: int, names: dict[str, int]) -> int:
    """One value of a field, a number or a name. Raises CronError."""
    number = _NUMBERS.get(text, -1)
    if number < 0 and text.isdigit() and text.isascii() and len(text) < 5:
        number = int(text)
    if low <= number <= high:
        return number
    if text in names:
        return names[text]
    raise CronError(
        f"{field}: {text!r} is not {'a name or ' if names else ''}a number from {low} to {high}{_hint(text)}"
    )


def _hint(text: str) -> str:
    """What other dialects of cron mean by it, and where that is said here."""
    if text == "?":
        return "; what other services write as ? is *"
    return "; a time zone goes into timezone" if text.startswith(("TZ=", "CRON_TZ=")) else ""


def read_field(field: str, text: str, low: int, high: int, names: dict[str, int]) -> int:
    """The mask of a whole field. Raises CronError."""
    number = _NUMBERS.get(text, -1)
    if low <= number <= high:
        return 1 << number
    mask = 0
    for term in text.split(","):
        number = _NUMBERS.get(term, -1)
        mask |= 1 << number if low <= number <= high else _term(field, term, low, high, names)
    return mask


def _term(field: str, term: str, low: int, high: int, names: dict[str, int]) -> int:
    body, slash, step_text = term.partition("/")
    if body == "*":
        start, stop = low, high
    elif "-" in body:
        first, _, last = body.partition("-")
        start, stop = read_value(field, first, low, high, names), read_value(field, last, low, high, names)
        if stop < start:
            raise CronError(f"{field}: the range {body!r} runs backwards")
    else:
        start = read_value(field, body, low, high, names)
        if not slash:
            return 1 << start
        stop = high  # n/step: from n to the end of the range
    if not slash:
        return (2 << stop) - (1 << start)
    if not (step_text.isdigit() and step_text.isascii() and len(step_text) < 10 and int(step_text) > 0):
        raise CronError(f"{field}: the step of {term!r} must be a positive number")
    step = int(step_text)
    if step > stop - start:
        return 1 << start
    # a run of bits `step` apart is a geometric series
    count = (stop - start) // step + 1
    return ((1 << step * count) - 1) // ((1 << step) - 1) << start
