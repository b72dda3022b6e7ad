"""Recurrence rules against python-dateutil, and their bounds."""

from __future__ import annotations

import time
import warnings
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from chalicelib.core.recurrence import zones
from chalicelib.core.recurrence.cron import NEVER
from chalicelib.core.recurrence.rrule import RuleError, RuleGrid

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # dateutil 2.9 still calls utcfromtimestamp on import
    from dateutil.rrule import rrulestr  # type: ignore[import-untyped]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def wall(moment: datetime) -> int:
    return int((moment.replace(tzinfo=UTC) - EPOCH).total_seconds())


def ours(rule: str, start: datetime, count: int) -> list[datetime]:
    grid = RuleGrid(rule, wall(start), zones.zone("UTC"))
    found: list[datetime] = []
    at = wall(start) - 1
    while len(found) < count and (at := grid.next_wall(at + 1)) != NEVER:
        found.append((EPOCH + timedelta(seconds=at)).replace(tzinfo=None))
    return found


RFC_5545 = [  # the examples of section 3.8.5.3
    "FREQ=DAILY;COUNT=10",
    "FREQ=DAILY;UNTIL=19971224T000000Z",
    "FREQ=DAILY;INTERVAL=2",
    "FREQ=DAILY;INTERVAL=10;COUNT=5",
    "FREQ=YEARLY;UNTIL=20000131T140000Z;BYMONTH=1;BYDAY=SU,MO,TU,WE,TH,FR,SA",
    "FREQ=WEEKLY;COUNT=10",
    "FREQ=WEEKLY;INTERVAL=2;WKST=SU",
    "FREQ=WEEKLY;UNTIL=19971007T000000Z;WKST=SU;BYDAY=TU,TH",
    "FREQ=WEEKLY;INTERVAL=2;UNTIL=19971224T000000Z;WKST=SU;BYDAY=MO,WE,FR",
    "FREQ=WEEKLY;INTERVAL=2;COUNT=8;WKST=SU;BYDAY=TU,TH",
    "FREQ=MONTHLY;COUNT=10;BYDAY=1FR",
    "FREQ=MONTHLY;INTERVAL=2;COUNT=10;BYDAY=1SU,-1SU",
    "FREQ=MONTHLY;COUNT=6;BYDAY=-2MO",
    "FREQ=MONTHLY;BYMONTHDAY=-3",
    "FREQ=MONTHLY;COUNT=10;BYMONTHDAY=2,15",
    "FREQ=MONTHLY;COUNT=10;BYMONTHDAY=1,-1",
    "FREQ=MONTHLY;INTERVAL=18;COUNT=10;BYMONTHDAY=10,11,12,13,14,15",
    "FREQ=MONTHLY;INTERVAL=2;BYDAY=TU",
    "FREQ=YEARLY;COUNT=10;BYMONTH=6,7",
    "FREQ=YEARLY;INTERVAL=2;COUNT=10;BYMONTH=1,2,3",
    "FREQ=YEARLY;INTERVAL=3;COUNT=10;BYYEARDAY=1,100,200",
    "FREQ=YEARLY;BYDAY=20MO",
    "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO",
    "FREQ=YEARLY;BYMONTH=3;BYDAY=TH",
    "FREQ=YEARLY;BYDAY=TH;BYMONTH=6,7,8",
    "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13",
    "FREQ=MONTHLY;BYDAY=SA;BYMONTHDAY=7,8,9,10,11,12,13",
    "FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8",
    "FREQ=MONTHLY;COUNT=3;BYDAY=TU,WE,TH;BYSETPOS=3",
    "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2",
    "FREQ=HOURLY;INTERVAL=3;UNTIL=19970902T170000Z",
    "FREQ=MINUTELY;INTERVAL=15;COUNT=6",
    "FREQ=MINUTELY;INTERVAL=90;COUNT=4",
    "FREQ=DAILY;BYHOUR=9,10,11,12,13,14,15,16;BYMINUTE=0,20,40",
    "FREQ=MINUTELY;INTERVAL=20;BYHOUR=9,10,11,12,13,14,15,16",
    "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO",
    "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU",
    "FREQ=MONTHLY;BYMONTHDAY=15,30;COUNT=5",
]


@pytest.mark.parametrize("rule", RFC_5545)
def test_the_examples_of_the_standard(rule: str) -> None:
    start = datetime(1997, 9, 2, 9, 0, 0)  # noqa: DTZ001 - wall time
    expected = list(islice(rrulestr(rule.replace("Z", ""), dtstart=start), 40))
    assert ours(rule, start, 40) == expected


@st.composite
def rules(draw: st.DrawFn) -> str:
    """Rules that the standard allows and dateutil reads the same way (no mix of numbered and plain BYDAY)."""
    frequency = draw(st.sampled_from(["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY"]))
    parts = [f"FREQ={frequency}", f"INTERVAL={draw(st.integers(1, 4))}", f"WKST={draw(st.sampled_from(['MO', 'SU']))}"]

    def numbers(low: int, high: int, signed: bool = False) -> str:
        found = draw(st.lists(st.integers(low, high), min_size=1, max_size=3))
        return ",".join(str(-n if signed and draw(st.booleans()) else n) for n in found)

    day = False
    if draw(st.integers(0, 3)) == 0:
        parts.append("BYMONTH=" + numbers(1, 12))
    if frequency != "WEEKLY" and draw(st.integers(0, 3)) == 0:
        parts.append("BYMONTHDAY=" + numbers(1, 28, True))
        day = True
    if frequency == "YEARLY" and draw(st.integers(0, 5)) == 0:
        parts.append("BYYEARDAY=" + numbers(1, 300, True))
        day = True
    weeks = frequency == "YEARLY" and draw(st.integers(0, 5)) == 0
    if weeks:
        parts.append("BYWEEKNO=" + numbers(1, 53, True))
    if draw(st.integers(0, 2)) == 0 or weeks:
        days = draw(
            st.lists(st.sampled_from(["MO", "TU", "WE", "TH", "FR", "SA", "SU"]), min_size=1, max_size=4, unique=True)
        )
        numbered = frequency in ("YEARLY", "MONTHLY") and not weeks and draw(st.booleans())
        parts.append(
            "BYDAY=" + ",".join((draw(st.sampled_from(["1", "-1", "2", "4"])) if numbered else "") + d for d in days)
        )
        day = True
    if draw(st.integers(0, 3)) == 0:
        parts.append("BYHOUR=" + numbers(0, 23))
    if draw(st.integers(0, 3)) == 0:
        parts.append("BYMINUTE=" + numbers(0, 59))
    if day and frequency in ("YEARLY", "MONTHLY", "WEEKLY") and draw(st.integers(0, 3)) == 0:
        parts.append("BYSETPOS=" + draw(st.sampled_from(["1", "-1", "2", "1,-1", "3"])))
    return ";".join(parts)


@settings(max_examples=150, deadline=None)
@given(rules(), st.datetimes(datetime(1999, 1, 1), datetime(2030, 1, 1)).map(lambda d: d.replace(microsecond=0)))  # noqa: DTZ001
def test_equal_to_dateutil(rule: str, start: datetime) -> None:
    # dateutil counts BYSETPOS of a first week from its start day on; RFC 5545 counts over the whole week.
    assume(not ("FREQ=WEEKLY" in rule and "BYSETPOS" in rule))
    horizon = start + timedelta(days=365 * 8)
    try:
        expected = list(islice(rrulestr(rule + f";UNTIL={horizon:%Y%m%dT%H%M%S}", dtstart=start), 12))
    except ValueError:  # an hour or minute that the interval never meets: dateutil refuses it too
        expected = []
    try:
        found = [moment for moment in ours(rule, start, 12) if moment <= horizon]
    except RuleError:
        found = []
    assert found == expected, rule


def test_plain_and_numbered_weekdays_add_up() -> None:
    start = datetime(2026, 11, 1, 9)  # noqa: DTZ001 - wall time
    assert [d.day for d in ours("FREQ=MONTHLY;BYDAY=1MO,FR", start, 5)] == [2, 6, 13, 20, 27]


def test_until_as_a_date_includes_that_day() -> None:
    start = datetime(2026, 11, 1, 9)  # noqa: DTZ001 - wall time
    assert len(ours("FREQ=DAILY;UNTIL=20261103", start, 9)) == 3


@pytest.mark.parametrize(
    "rule",
    [
        "", "FREQ=OFTEN", "INTERVAL=2", "FREQ=DAILY;INTERVAL=0", "FREQ=DAILY;COUNT=0", "FREQ=DAILY;COUNT=10001",
        "FREQ=DAILY;X=1", "FREQ=DAILY;COUNT=1;UNTIL=20270101", "FREQ=DAILY;FREQ=DAILY", "FREQ=DAILY;BYHOUR=24",
        "FREQ=DAILY;BYMONTHDAY=0", "FREQ=DAILY;BYMONTH=-1", "FREQ=DAILY;BYWEEKNO=1", "FREQ=MONTHLY;BYYEARDAY=1",
        "FREQ=WEEKLY;BYMONTHDAY=1", "FREQ=DAILY;BYDAY=1MO", "FREQ=MONTHLY;BYDAY=XX", "FREQ=MONTHLY;BYDAY=0MO",
        "FREQ=MONTHLY;BYSETPOS=1", "FREQ=DAILY;WKST=XX", "FREQ=DAILY;UNTIL=soon", "FREQ=DAILY;UNTIL=20200101",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=HOURLY;INTERVAL=24;BYHOUR=3", "FREQ=MINUTELY;INTERVAL=1440;BYHOUR=3", "FREQ=WEEKLY;BYMONTH=2;BYDAY=",
    ],
)  # fmt: skip
def test_refused_and_quickly(rule: str) -> None:
    began = time.process_time()
    with pytest.raises(RuleError):
        RuleGrid(rule, wall(datetime(2026, 11, 21, 9, 20)), zones.zone("UTC"))  # noqa: DTZ001 - wall time
    assert time.process_time() - began < 2
