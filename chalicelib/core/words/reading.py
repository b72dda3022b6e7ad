"""What a text may mean: one reading, or several that its words leave open."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

from msgspec import Struct

from chalicelib.core.recurrence.expressions import RecurrenceType
from chalicelib.core.recurrence.zones import Zone
from chalicelib.core.words.cron_text import Terms
from chalicelib.core.words.lexer import NotUnderstood
from chalicelib.core.words.lexicon import WordMark

EPOCH: Final = date(1970, 1, 1)
_DAY_S: Final = 86_400


class Meaning(Struct, frozen=True):
    """One schedule that a text may mean."""

    type: RecurrenceType
    expr: str
    timezone: str


class Doubt(Struct, frozen=True):
    """Words that leave a choice, and what is to be chosen."""

    message: str
    start: int
    end: int


class TimeOfDay(Struct, frozen=True, order=True):
    """A time of day. ``second`` is None where it was not said."""

    hour: int
    minute: int
    second: int | None = None
    ms: int = 0
    offset: str = ""  # of a time that says how far it is from UTC

    @property
    def tod_s(self) -> int:
        return self.hour * 3600 + self.minute * 60 + (self.second or 0)


class EveryPeriod(Struct, frozen=True):
    """``every n units`` beside other clauses; ``mark`` is where it stands."""

    n: int
    unit: str
    mark: WordMark


class Found(Struct):
    """The clauses of a sentence as they were found, before they are put together."""

    period: EveryPeriod | None = None
    times: tuple[TimeOfDay, ...] = ()
    times_mark: WordMark | None = None
    fields: dict[str, Terms] = {}
    day: Terms | None = None
    week: Terms | None = None
    month: Terms | None = None
    joiner: str = ""
    joiner_mark: WordMark | None = None
    every_day: bool = False
    once: bool = False
    is_weekly: bool = False
    is_next: bool = False
    dates: tuple[date, ...] = ()
    date_mark: WordMark | None = None
    biweekly: tuple[int, int, WordMark] | None = None
    week_mark: WordMark | None = None


class ReadingTime(Struct, frozen=True):
    """Now, as the zone of a reading shows it."""

    zone: Zone
    now_ms: int

    @property
    def wall_s(self) -> int:
        now_s = self.now_ms // 1000
        return now_s + self.zone.offset(now_s)

    @property
    def today(self) -> date:
        return EPOCH + timedelta(days=self.wall_s // _DAY_S)

    def instants(self, day: date, time: TimeOfDay) -> tuple[int, ...]:
        """The instants of a wall time in unix milliseconds: none in a gap, two where it comes twice."""
        wall_s = (day - EPOCH).days * _DAY_S + time.tod_s
        return tuple(at_s * 1000 + time.ms for at_s in self.zone.instants_of(wall_s))

    def first_after(self, day: date, time: TimeOfDay, step_days: int) -> date:
        """``day``, or as many steps later as it takes to be ahead of now."""
        while (day - EPOCH).days * _DAY_S + time.tod_s <= self.wall_s:
            day += timedelta(days=step_days)
        return day


def refuse(message: str, mark: WordMark | None, whole: int) -> NotUnderstood:
    """What to raise for the words of a mark, or for the whole text where there is none."""
    return NotUnderstood(message, *((mark.start, mark.end) if mark is not None else (0, whole)))
