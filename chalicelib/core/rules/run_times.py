"""What rules ask of a recurrence: how close its runs come, and whether they keep to a part of the day.

Both are judged by the recurrence's first runs after a fixed instant, so that an answer never depends on when it was
asked for.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from chalicelib.core.errors import InvalidField
from chalicelib.core.limits import INSTANT_MAX_MS
from chalicelib.core.recurrence import expressions, zones
from chalicelib.core.recurrence.expressions import RecurrenceType, Spec
from chalicelib.core.rules.limits import GAPS_MAX_RUNS

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

FROM_MS: Final = 1_767_225_600_000  # 2026-01-01, a Thursday
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES: Final = 24 * 60
_TIME: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class DayWindow(NamedTuple):
    """A part of the day, from ``begin`` until before ``end`` in minutes, on ``days`` (0: Monday). ``timezone`` None:
    the schedule's own. One that ends before it begins goes on past midnight; its day is the one it began on."""

    begin: int
    end: int
    days: frozenset[int]
    timezone: str | None


def read_window(value: object) -> DayWindow | str:
    """The window that ``{"from", "to", "days"?, "timezone"?}`` names, or what is wrong with it."""
    if not isinstance(value, dict) or not {"from", "to"} <= value.keys() <= {"from", "to", "days", "timezone"}:
        return 'must be {"from": "08:00", "to": "18:00"}, with "days" and "timezone" if need be'
    begin, end = _minutes(value["from"]), _minutes(value["to"])
    if begin is None or end is None or begin in (DAY_MINUTES, end):
        return "needs two different times such as 08:00 and 18:00"
    days = value.get("days", list(DAYS))
    if not isinstance(days, list) or not days or not set(map(str, days)) <= set(DAYS):
        return "days must list some of " + ", ".join(DAYS)
    zone = value.get("timezone")
    if zone is not None and (not isinstance(zone, str) or not _is_zone(zone)):
        return "timezone must be an IANA name"
    return DayWindow(begin, end, frozenset(number for number, day in enumerate(DAYS) if day in days), zone)


def _minutes(value: object) -> int | None:
    if not isinstance(value, str) or _TIME.fullmatch(value) is None:
        return None
    return int(value[:2]) * 60 + int(value[3:])


def _is_zone(name: str) -> bool:
    try:
        zones.zone(name)
    except ValueError:
        return False
    return True


def shortest_gap_ms(spec: Spec) -> int | None:
    """The least time between two runs, as if clocks never changed; None: it runs once, or cannot be read."""
    return _gap(spec.type, spec.expr)


@lru_cache(maxsize=4096)
def _gap(kind: RecurrenceType, expr: str) -> int | None:
    try:
        compiled = expressions.compile(Spec(kind, expr, "UTC", FROM_MS))
    except InvalidField:
        return None
    if compiled.delay_ms is not None:
        return compiled.delay_ms
    runs = compiled.between(0 if kind == "AT" else FROM_MS, INSTANT_MAX_MS, GAPS_MAX_RUNS)
    return min((after - before for before, after in pairwise(runs)), default=None)


def keeps_to(spec: Spec, window: DayWindow) -> bool:
    """Whether every run lies in a window. Not for a DELAY, whose runs follow the ends of others, nor for what cannot be
    read."""
    anchored = spec.type in ("RATE", "ISO8601", "RRULE")
    return _keeps(spec if anchored else Spec(spec.type, spec.expr, spec.timezone, FROM_MS), window)


@lru_cache(maxsize=4096)
def _keeps(spec: Spec, window: DayWindow) -> bool:
    try:
        compiled = expressions.compile(spec)
    except InvalidField:
        return False
    if compiled.delay_ms is not None:
        return False
    from zoneinfo import ZoneInfo  # loaded with the first window: each function pays for its imports

    zone = ZoneInfo(window.timezone or spec.timezone)
    begin_ms = 0 if spec.type == "AT" else spec.anchor_ms
    return all(_inside(at_ms, zone, window) for at_ms in compiled.between(begin_ms, INSTANT_MAX_MS, GAPS_MAX_RUNS))


zones.when_forgotten(_keeps.cache_clear)


def _inside(at_ms: int, zone: ZoneInfo, window: DayWindow) -> bool:
    at = (_EPOCH + timedelta(milliseconds=at_ms)).astimezone(zone)
    minute, day = at.hour * 60 + at.minute, at.weekday()
    if window.begin < window.end:
        return window.begin <= minute < window.end and day in window.days
    if minute >= window.begin:
        return day in window.days
    return minute < window.end and (day - 1) % len(DAYS) in window.days


def read_duration(value: Any) -> int | None:
    """Milliseconds of ``300000`` or ``5m``; None: it is neither."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if value > 0 else None
    if not isinstance(value, str):
        return None
    found = re.fullmatch(r"([0-9]{1,9})(ms|s|m|h|d)", value)
    units = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
    return None if found is None or not int(found[1]) else int(found[1]) * units[found[2]]
