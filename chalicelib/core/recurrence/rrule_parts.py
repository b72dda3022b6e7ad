"""The parts of an RFC 5545 recurrence rule (``FREQ=MONTHLY;BYDAY=-1FR``), and its dates and times, as values."""

from __future__ import annotations

import contextlib
import re
from datetime import date
from typing import Final

from chalicelib.core.recurrence.calendar_days import EPOCH_DAY
from chalicelib.core.recurrence.zones import Zone

WEEKDAYS: Final = {name: i for i, name in enumerate(("SU", "MO", "TU", "WE", "TH", "FR", "SA"))}
LISTS: Final = {
    "BYMONTH": (1, 12, False),
    "BYMONTHDAY": (1, 31, True),
    "BYYEARDAY": (1, 366, True),
    "BYWEEKNO": (1, 53, True),
    "BYHOUR": (0, 23, False),
    "BYMINUTE": (0, 59, False),
    "BYSECOND": (0, 59, False),
    "BYSETPOS": (1, 366, True),
}
_BYDAY: Final = re.compile(r"([+-]?\d{1,2})?(SU|MO|TU|WE|TH|FR|SA)", re.ASCII)
_WALL: Final = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d))?", re.ASCII | re.IGNORECASE)


class RuleError(ValueError):
    """Raised when a recurrence rule cannot be read, or can never match."""


def read_parts(text: str) -> dict[str, str]:
    """``FREQ=DAILY;COUNT=3`` as a dict. Raises RuleError."""
    parts: dict[str, str] = {}
    if not text.isascii():
        raise RuleError(f"{text!r} holds letters that no rule has")
    for part in text.strip().rstrip(";").upper().split(";"):
        name, equals, value = part.partition("=")
        if not equals or not value:
            raise RuleError(f"{part!r} is not NAME=value")
        if name in parts:
            raise RuleError(f"{name} is given twice")
        parts[name] = value
    return parts


def wall_seconds(text: str) -> int:
    """Wall-clock seconds of ``20261225`` or ``20261225T100000`` (any ``Z`` already removed). Raises RuleError.

    Eight digits and six digits (RFC 5545, sections 3.3.4 and 3.3.5): what is shorter names no time.
    """
    found = _WALL.fullmatch(text)
    if found is not None:
        hour, minute, second = int(found[4] or 0), int(found[5] or 0), int(found[6] or 0)
        with contextlib.suppress(ValueError):
            day = date(int(found[1]), int(found[2]), int(found[3])).toordinal() - EPOCH_DAY
            if hour < 24 and minute < 60 and second < 60:
                return day * 86_400 + hour * 3600 + minute * 60 + second
    raise RuleError(f"{text!r} is not a date or date-time such as 20261225T100000")


def read_byday(text: str) -> tuple[int, tuple[tuple[int, int], ...]]:
    """The plain weekdays as bits (bit 0 is Sunday), and the numbered ones. Raises RuleError."""
    week, nth = 0, []
    for term in text.split(",") if text else ():
        found = _BYDAY.fullmatch(term)
        if found is None or (found[1] and not 1 <= abs(int(found[1])) <= 53):
            raise RuleError(f"BYDAY: {term!r} is not a weekday such as MO or -1FR")
        if found[1]:
            nth.append((int(found[1]), WEEKDAYS[found[2]]))
        else:
            week |= 1 << WEEKDAYS[found[2]]
    return week, tuple(nth)


def read_numbers(text: str, name: str) -> tuple[int, ...]:
    """The values of the list ``name``. Raises RuleError."""
    low, high, signed = LISTS[name]
    found = []
    for term in text.split(",") if text else ():
        digits = term[1:] if signed and term[:1] in ("+", "-") else term
        if not (digits.isascii() and digits.isdigit() and len(digits) < 5 and low <= int(digits) <= high):
            raise RuleError(f"{name}: {term!r} is not a number from {low} to {high}")
        found.append(int(term))
    return tuple(found)


def read_positive(text: str, name: str, most: int) -> int:
    """A number from 1 to ``most``. Raises RuleError."""
    if text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most:
        return int(text)
    raise RuleError(f"{name} must be a number from 1 to {most}")


def until_wall(text: str, zone: Zone) -> int:
    """UNTIL includes its end: a date means the whole of that day."""
    if text.endswith("Z") and "T" in text:
        instant = wall_seconds(text[:-1])
        return instant + zone.offset(instant)
    return wall_seconds(text) + (86_399 if "T" not in text else 0)
