"""Days of the proleptic Gregorian calendar, counted from 1970, and the search for the next one that a rule names."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Final

NEVER: Final = 1 << 62  # a wall time or instant after every other
EPOCH_DAY: Final = 719_163  # date(1970, 1, 1).toordinal()
LAST_DAY: Final = date.max.toordinal()
_SEARCH_MONTHS: Final = 4_800  # the Gregorian calendar repeats after 400 years: what did not match by then never will
_LENGTHS: Final = (0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

MonthDays = Callable[[int, int, int], int]
"""``month_days(year, month, first_weekday)``: a month's matching days as bits, bit 0 being the first."""


def month_length(year: int, month: int) -> int:
    """Days of a month of the proleptic Gregorian calendar."""
    if month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0):
        return 29
    return _LENGTHS[month]


def find_day(day: int, months: int, month_days: MonthDays) -> int:
    """The first day at or after ``day`` (ordinals since 1970-01-01) that ``month_days`` names, or -1.

    It is asked for the ``months`` (bits 1 to 12) of at most 400 years.
    """
    ordinal = max(day + EPOCH_DAY, 1)
    if ordinal > LAST_DAY:
        return -1
    civil = date.fromordinal(ordinal)
    month, at = civil.month, civil.day - 1
    if months >> month & 1:
        found = month_days(civil.year, month, (ordinal - at) % 7) >> at
        if found:
            return ordinal + (found & -found).bit_length() - 1 - EPOCH_DAY
    return find_from_month(civil.year, month + 1, months, month_days)


def find_from_month(year: int, month: int, months: int, month_days: MonthDays) -> int:
    """As ``find_day``, from the first of a month on; month 13 is the next year's January."""
    for _ in range(_SEARCH_MONTHS):
        left = months >> month
        if left:
            month += (left & -left).bit_length() - 1
        else:
            year, month = year + 1, (months & -months).bit_length() - 1
        if year > 9999:
            return -1
        first = date(year, month, 1).toordinal()
        found = month_days(year, month, first % 7)
        if found:
            return first + (found & -found).bit_length() - 1 - EPOCH_DAY
        month += 1
    return -1
