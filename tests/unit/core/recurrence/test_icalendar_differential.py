"""What calendars cover, against recurring-ical-events: files shaped like those of real programs, and made-up series.

The oracle differs from RFC 5545 where an event passes a change of the clock (it adds wall time, the standard elapsed
time), so no event here lies across one; ``test_icalendar.py`` holds those to the standard.
"""

from __future__ import annotations

import re
import warnings
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import icalendar
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.core.recurrence import exclusions, zones

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import recurring_ical_events

FILES = sorted((Path(__file__).parent / "calendars").glob("*.ics"))
Stretch = tuple[int, int]


def unix_ms(year: int, month: int = 1, day: int = 1) -> int:
    return round(datetime(year, month, day, tzinfo=UTC).timestamp() * 1000)


def ours(text: str, zone: str, from_ms: int, to_ms: int) -> list[Stretch]:
    covered = exclusions.read((text,), zones.zone(zone))
    assert covered is not None
    found: list[Stretch] = []
    at = from_ms
    while (start := covered.next_start(at)) < to_ms:
        at = start
        while (end := covered.end_of(at)) is not None:
            at = end
        found.append((start, min(at, to_ms)))
    return found


def oracles(text: str, zone: str, from_ms: int, to_ms: int) -> list[Stretch]:
    """The same by the oracle, which is given no byte order mark, no empty rules and no zone that RFC 5545 ignores."""
    known = re.sub(
        r"^(RRULE|EXDATE|RDATE|STATUS|X-WR-TIMEZONE):(UTC|Europe/Berlin)?\r?\n", "", text, flags=re.MULTILINE
    )
    calendar = icalendar.Calendar.from_ical(known.removeprefix("\ufeff"))
    first, last = (datetime.fromtimestamp(ms / 1000, UTC) for ms in (from_ms, to_ms))
    found: list[Stretch] = []
    for event in recurring_ical_events.of(calendar).between(first - timedelta(days=40), last + timedelta(days=2)):
        if str(event.get("STATUS", "")).upper() == "CANCELLED":
            continue
        start, end = event.start, event.end
        if not isinstance(start, datetime) and end <= start:
            end = start + timedelta(days=1)  # an end that is the start's own day, as publishers write it
        begins, ends = instant(start, zone), instant(end, zone)
        ends = max(ends, begins + 1)  # what lasts no time covers its millisecond
        if begins < to_ms and ends > from_ms:
            found.append((max(begins, from_ms), min(ends, to_ms)))
    return merged(found)


def instant(moment: date, zone: str) -> int:
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day, tzinfo=ZoneInfo(zone))
    return round((moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).timestamp() * 1000)


def merged(stretches: list[Stretch]) -> list[Stretch]:
    whole: list[Stretch] = []
    for start, end in sorted(stretches):
        if whole and start <= whole[-1][1]:
            whole[-1] = (whole[-1][0], max(whole[-1][1], end))
        else:
            whole.append((start, end))
    return whole


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_files_cover_what_the_oracle_says(path: Path, zone: str) -> None:
    text = path.read_bytes().decode()
    total = 0
    for year in range(2024, 2030):
        window = (unix_ms(year), unix_ms(year + 1))
        found = ours(text, zone, *window)
        assert found == oracles(text, zone, *window)
        total += len(found)
    assert total > 0, "a calendar that covers nothing shows nothing"


RULES = [
    "FREQ=DAILY;COUNT=12",
    "FREQ=DAILY;INTERVAL=3;COUNT=9",
    "FREQ=WEEKLY;COUNT=8",
    "FREQ=WEEKLY;BYDAY=MO,WE,FR;COUNT=11",
    "FREQ=WEEKLY;INTERVAL=2;WKST=SU;BYDAY=SU,TU;COUNT=7",
    "FREQ=MONTHLY;BYDAY=-1FR;COUNT=5",
    "FREQ=MONTHLY;BYMONTHDAY=1,15,-1;COUNT=7",
    "FREQ=YEARLY;COUNT=3",
]


@st.composite
def series(draw: st.DrawFn) -> str:
    """A series with instances left out, added and moved: all days, or an hour around noon in a zone."""
    is_date = draw(st.booleans())
    tzid = "" if is_date else draw(st.sampled_from(["", ";TZID=Europe/Berlin", ";TZID=Asia/Tokyo", "Z"]))
    begins = date(2026, 1, 1) + timedelta(days=draw(st.integers(0, 300)))

    def line(name: str, days: list[date], hour: int = 11) -> list[str]:
        if not days:
            return []
        values = [f"{day:%Y%m%d}" if is_date else f"{day:%Y%m%d}T{hour}0000" + "Z" * (tzid == "Z") for day in days]
        kind = ";VALUE=DATE" if is_date else tzid.removesuffix("Z")
        return [f"{name}{kind}:" + ",".join(values)]

    near = st.integers(0, 60).map(lambda days: begins + timedelta(days=days))
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:x", "BEGIN:VEVENT", "UID:s", "DTSTAMP:20260101T000000Z"]
    lines += line("DTSTART", [begins])
    lines += [f"DURATION:P{draw(st.integers(1, 3))}D"] if is_date else line("DTEND", [begins], 12)
    lines += [f"RRULE:{draw(st.sampled_from(RULES))}"]
    left_out, added = draw(st.lists(near, max_size=3)), draw(st.lists(near, max_size=2))
    lines += line("EXDATE", left_out) + line("RDATE", added) + ["END:VEVENT"]
    for moved in draw(st.lists(near.filter(lambda day: day not in left_out), max_size=2, unique=True)):
        lines += ["BEGIN:VEVENT", "UID:s", "DTSTAMP:20260101T000000Z", *line("RECURRENCE-ID", [moved])]
        lines += [*line("DTSTART", [moved + timedelta(days=draw(st.integers(-9, 9)))], 14), "END:VEVENT"]
    return "\r\n".join([*lines, "END:VCALENDAR", ""])


@settings(max_examples=120, deadline=None)
@given(series())
def test_series_cover_what_the_oracle_says(text: str) -> None:
    window = (unix_ms(2025, 12), unix_ms(2029, 6))
    assert ours(text, "Europe/Berlin", *window) == oracles(text, "Europe/Berlin", *window)
