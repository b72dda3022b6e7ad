"""Dates and date-times of RFC 5545 with their parameters, and the grid of a rule with times added and taken away."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from chalicelib.core.recurrence import zones
from chalicelib.core.recurrence.calendar_days import NEVER
from chalicelib.core.recurrence.rrule import RuleGrid
from chalicelib.core.recurrence.rrule_parts import RuleError, wall_seconds
from chalicelib.core.recurrence.zones import Zone

_DAY_S: Final = 86_400


class When(Struct, frozen=True):
    """A date or date-time: seconds on the wall clock of ``zone``."""

    wall_s: int
    zone: Zone
    is_date: bool

    @property
    def unix_s(self) -> int:
        """Its instant."""
        return self.zone.resolve(self.wall_s)

    def wall_in(self, zone: Zone) -> int:
        """The wall time in ``zone`` at its instant; a date is the same date everywhere."""
        if self.is_date or self.zone.name == zone.name:
            return self.wall_s
        instant = self.unix_s
        return instant + zone.offset(instant)


def read_when(text: str, parameters: Mapping[str, str], zone: Zone) -> When:
    """A value such as ``20261225T100000`` under TZID and VALUE; ``zone`` is that of floating times.

    Raises ValueError, also when VALUE names another kind than the value is.
    """
    text = text.strip()
    if text[-1:] in ("Z", "z"):
        found = When(wall_seconds(text[:-1]), zones.zone("UTC"), False)
        if len(text) < len("20261225T100000Z"):
            raise RuleError(f"{text!r} is not a date or date-time such as 20261225T100000Z")
    else:
        found = When(wall_seconds(text), named_zone(parameters, zone), len(text) == len("20261225"))
    kind = parameters.get("VALUE", "").upper()
    if kind not in ("", "DATE" if found.is_date else "DATE-TIME"):
        raise RuleError(f"{text!r} is not what VALUE={kind} says")
    return found


def named_zone(parameters: Mapping[str, str], zone: Zone) -> Zone:
    """The zone of TZID by its IANA name, or ``zone`` where there is none. Raises ValueError."""
    return zones.zone(parameters["TZID"].removeprefix("/")) if "TZID" in parameters else zone


class Removed(Struct, frozen=True):
    """What EXDATE and moved instances take away: times, and whole days where a date names one of a timed series."""

    walls: frozenset[int]
    days: frozenset[int]

    def has(self, wall_s: int) -> bool:
        """Whether an occurrence is taken away."""
        return wall_s in self.walls or wall_s // _DAY_S in self.days


def removed(times: Iterable[When], start: When) -> Removed:
    """What ``times`` take away of the series that begins at ``start``. Raises ValueError for a time that names no day
    where all instances are days."""
    walls, days = set(), set()
    for when in times:
        if when.is_date and not start.is_date:
            days.add(when.wall_s // _DAY_S)
        elif start.is_date and not when.is_date:
            walls.add(_day_of(when, start.zone))
        else:
            walls.add(when.wall_in(start.zone))
    return Removed(frozenset(walls), frozenset(days))


def _day_of(when: When, zone: Zone) -> int:
    """The day that begins at a time: as the time is written, or else in ``zone``."""
    for wall_s in (when.wall_s, when.wall_in(zone)):
        if wall_s % _DAY_S == 0:
            return wall_s
    raise RuleError("a time cannot name an instance where DTSTART is a date")


class RuleSet:
    """A rule's grid with RDATEs added and EXDATEs taken away (RFC 5545, sections 3.8.5.1 and 3.8.5.2)."""

    __slots__ = ("_added", "_grid", "_removed", "elapsed")

    def __init__(self, grid: RuleGrid, taken: Removed, added: Iterable[int] = ()) -> None:
        self._grid = grid
        self._removed = taken
        self._added = sorted(wall for wall in added if not taken.has(wall))
        self.elapsed = grid.elapsed

    def next_wall(self, wall_s: int) -> int:
        """The first time left at or after ``wall_s``, or NEVER."""
        found = self._grid.next_wall(wall_s)
        while found != NEVER and self._removed.has(found):
            whole_day = found // _DAY_S in self._removed.days
            found = self._grid.next_wall((found // _DAY_S + 1) * _DAY_S if whole_day else found + 1)
        at = bisect_left(self._added, wall_s)
        return min(found, self._added[at]) if at < len(self._added) else found
