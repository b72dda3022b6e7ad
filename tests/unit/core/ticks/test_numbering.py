"""Boundaries against the calendar of zoneinfo, minute by minute; numbering through outages and wandering clocks."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from chalicelib.core.recurrence.zones import zone
from chalicelib.core.ticks.frequencies import FREQUENCIES, Frequency
from chalicelib.core.ticks.numbering import (
    Gap,
    Policy,
    Reservation,
    Reserved,
    TickCursor,
    boundaries,
    build,
    count_boundaries,
    next_boundary,
    reserve,
    skip_to,
)

S = 1_000_000_000
MS = 1_000_000
UTC_ZONE = zone("UTC")


def nanos(text: str, tz: str = "UTC", fold: int = 0) -> int:
    """Unix nanoseconds of a local time."""
    moment = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(tz), fold=fold)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


# -- the tick


def test_a_tick_says_where_it_came_from() -> None:
    tick = build("minute", 1_795_252_800_000_000_000, 7, "0.1.0", "i-1")
    assert tick.as_json() == {
        "id": "minute-1795252800000000000-7",
        "timestamp": 1_795_252_800_000_000_000,
        "frequency": "minute",
        "sequence": 7,
        "seed": 1_795_252_800_000_000_000 ^ 7,
        "schema_version": 1,
        "producer_version": "0.1.0",
        "instance_id": "i-1",
    }
    assert build("minute", 60 * S, 7, "0.1.0", "i-1", caught_up=True).as_json()["caught_up"] is True


# -- boundaries


@pytest.mark.parametrize("tz", ["UTC", "Europe/Berlin", "Asia/Kolkata", "America/New_York"])
@pytest.mark.parametrize(
    ("frequency", "expected"),
    [
        ("second", "2026-11-21T10:15:43"),
        ("minute", "2026-11-21T10:16:00"),
        ("hour", "2026-11-21T11:00:00"),
        ("day", "2026-11-22T00:00:00"),
    ],
)
def test_the_next_boundary_of_a_morning(frequency: Frequency, expected: str, tz: str) -> None:
    now = nanos("2026-11-21T10:15:42.800", tz)
    assert next_boundary(now, frequency, zone(tz)) == nanos(expected, tz)


@pytest.mark.parametrize("frequency", FREQUENCIES)
def test_at_a_boundary_the_next_is_another_and_a_nanosecond_before_it_is_this(frequency: Frequency) -> None:
    midnight = nanos("2026-11-21T00:00:00")
    assert next_boundary(midnight - 1, frequency, UTC_ZONE) == midnight
    assert next_boundary(midnight, frequency, UTC_ZONE) > midnight


@pytest.mark.parametrize(
    ("tz", "day", "hours"),
    [
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("America/New_York", "2026-03-08", 23),
        ("America/New_York", "2026-11-01", 25),
        ("Australia/Lord_Howe", "2026-04-05", 24),  # 24.5 hours long
        ("Australia/Lord_Howe", "2026-10-04", 24),  # 23.5 hours long; the hour that begins at the jump counts
        ("America/Havana", "2026-11-01", 25),  # midnight is repeated
        ("America/Sao_Paulo", "2018-11-04", 23),  # midnight is skipped
        ("Africa/Cairo", "2026-04-24", 23),
        ("Asia/Kathmandu", "2026-04-24", 24),
    ],
)
def test_a_day_has_the_hours_that_its_clock_shows(tz: str, day: str, hours: int) -> None:
    z = zone(tz)
    noon = nanos(f"{day}T12:00:00", tz)
    end = next_boundary(noon, "day", z)
    start = max(boundaries(noon - 30 * 3600 * S, noon, "day", z))
    assert len(list(boundaries(start - 1, end - 1, "hour", z))) == hours
    assert count_boundaries(start - 1, end - 1, "hour", z) == hours
    assert count_boundaries(start - 1, end - 1, "second", z) * S == end - start


def test_hours_in_a_half_hour_zone_begin_at_half_past_utc() -> None:
    assert next_boundary(nanos("2026-11-21T10:00:00"), "hour", zone("Asia/Kolkata")) == nanos("2026-11-21T10:30:00")


def test_a_skipped_midnight_is_the_end_of_the_gap() -> None:
    z = zone("America/Sao_Paulo")
    assert next_boundary(nanos("2018-11-03T12:00", z.name), "day", z) == nanos("2018-11-04T01:00", z.name)


def test_a_repeated_midnight_begins_its_date_once() -> None:
    z = zone("America/Havana")
    first = nanos("2026-11-01T00:00", z.name)
    assert next_boundary(nanos("2026-10-31T12:00", z.name), "day", z) == first
    assert next_boundary(first, "day", z) == nanos("2026-11-02T00:00", z.name)


def test_a_date_that_does_not_exist_has_no_tick() -> None:
    z = zone("Pacific/Apia")
    assert next_boundary(nanos("2011-12-29T12:00", z.name), "day", z) == nanos("2011-12-31T00:00", z.name)
    assert next_boundary(nanos("2011-12-31T00:00", z.name), "day", z) == nanos("2012-01-01T00:00", z.name)


def by_the_calendar(tz: str, start: datetime, days: int, frequency: Frequency) -> list[int]:
    """The boundaries as one finds them by looking at the clock on the wall every minute."""
    info, step, found = ZoneInfo(tz), timedelta(minutes=1), []
    before = (start - step).astimezone(info).replace(tzinfo=None)
    dates: set[date] = {before.date()}
    for i in range(days * 1440):
        at = start + i * step
        wall = at.astimezone(info).replace(tzinfo=None)
        expected = before + step
        if frequency == "day":
            new = wall.date() not in dates
        else:
            new = frequency == "minute" or wall.minute == 0 or full_hour_jumped_over(expected, wall)
        if new:
            found.append(int(at.timestamp()) * S)
        dates.add(wall.date())
        before = wall
    return found


def full_hour_jumped_over(expected: datetime, wall: datetime) -> bool:
    hour = expected.replace(minute=0)
    full = hour if hour == expected else hour + timedelta(hours=1)
    return expected <= full < wall


@pytest.mark.parametrize("frequency", ["minute", "hour", "day"])
@pytest.mark.parametrize(
    ("tz", "start"),
    [
        ("UTC", "2026-03-01"),
        ("Europe/Berlin", "2026-03-27"),
        ("Europe/Berlin", "2026-10-23"),
        ("America/New_York", "2026-10-30"),
        ("Australia/Lord_Howe", "2026-04-03"),
        ("Australia/Lord_Howe", "2026-10-02"),
        ("America/Havana", "2026-03-06"),
        ("America/Havana", "2026-10-30"),
        ("America/Sao_Paulo", "2018-02-16"),  # at midnight back to 23:00 of the day before
        ("America/Sao_Paulo", "2018-11-02"),
        ("Pacific/Apia", "2011-12-28"),
        ("America/Caracas", "2016-04-29"),  # from UTC-4:30 to UTC-4 at 02:30
        ("Asia/Pyongyang", "2018-05-03"),  # at 23:30 to midnight
        ("America/St_Johns", "2010-11-05"),  # at 00:01 back to 23:01 of the day before
        ("America/St_Johns", "2011-03-11"),  # at 00:01 to 01:01
        ("Antarctica/Troll", "2026-03-27"),  # by two hours
    ],
)
def test_boundaries_are_those_on_the_wall(tz: str, start: str, frequency: Frequency) -> None:
    begin = datetime.fromisoformat(start).replace(tzinfo=UTC)
    end = begin + timedelta(days=4)
    after, until = int(begin.timestamp()) * S - 1, int(end.timestamp()) * S - 1
    found = list(boundaries(after, until, frequency, zone(tz)))
    assert found == by_the_calendar(tz, begin, 4, frequency)
    assert count_boundaries(after, until, frequency, zone(tz)) == len(found)


@pytest.mark.parametrize("tz", ["UTC", "Europe/Berlin", "Australia/Lord_Howe"])
@pytest.mark.parametrize("frequency", FREQUENCIES)
def test_counting_is_listing(tz: str, frequency: Frequency) -> None:
    r = random.Random(tz + frequency)
    size = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}[frequency]
    for _ in range(40):
        after = r.randint(1_700_000_000, 1_800_000_000) * S + r.randint(0, S - 1)
        until = after + r.randint(0, 200 * size) * S
        listed = list(boundaries(after, until, frequency, zone(tz)))
        assert count_boundaries(after, until, frequency, zone(tz)) == len(listed)
        assert listed == sorted(set(listed))


# -- numbering

NOON = nanos("2026-11-21T12:00:00")
MINUTE_AHEAD = Policy(ahead_nanos=60 * S)


def second(cursor: TickCursor, now: int, policy: Policy | None = None, limit: int = 1000) -> Reservation:
    return reserve(cursor, now, "second", UTC_ZONE, limit, policy or MINUTE_AHEAD)


def test_seconds_are_numbered_a_minute_ahead_from_one() -> None:
    got = second(TickCursor(), NOON + 300 * MS)
    assert [(t.boundary_nanos, t.sequence) for t in got.ticks] == [(NOON + i * S, i) for i in range(1, 61)]
    assert not any(t.caught_up for t in got.ticks)
    assert got.gap is None
    assert got.new_cursor == TickCursor(NOON + 60 * S, 60)


def test_a_fresh_hour_stream_remembers_where_it_began() -> None:
    got = reserve(TickCursor(), NOON + S, "hour", UTC_ZONE, 10, Policy())
    assert got == Reservation((), None, TickCursor(NOON + S, 0))
    late = reserve(got.new_cursor, NOON + 3600 * S + 30 * S, "hour", UTC_ZONE, 10, Policy())
    assert late.ticks == (Reserved(NOON + 3600 * S, 1, caught_up=True),)


def test_going_on_repeats_and_skips_nothing() -> None:
    cursor = TickCursor()
    seen: list[Reserved] = []
    r = random.Random(5)
    now = NOON
    for _ in range(200):
        got = second(cursor, now, limit=r.choice((7, 30, 100)))
        assert got.gap is None
        seen += got.ticks
        cursor = got.new_cursor
        now += r.randint(0, 20) * S
    assert [t.sequence for t in seen] == list(range(1, len(seen) + 1))
    assert [t.boundary_nanos for t in seen] == [NOON + i * S for i in range(1, len(seen) + 1)]


def test_the_same_reservation_can_be_made_again() -> None:
    cursor = second(TickCursor(), NOON).new_cursor
    assert second(cursor, NOON + 90 * S) == second(cursor, NOON + 90 * S)


def test_a_clock_that_steps_back_gets_nothing_until_it_is_past_the_cursor() -> None:
    cursor = second(TickCursor(), NOON).new_cursor
    for back in (S, 59 * S, 3600 * S):
        assert second(cursor, NOON - back) == Reservation((), None, cursor)
    assert second(cursor, NOON + S).ticks == (Reserved(NOON + 61 * S, 61, caught_up=False),)


def test_an_outage_is_caught_up_and_says_so() -> None:
    cursor = TickCursor(NOON, 100)
    got = second(cursor, NOON + 30 * S)
    late = [t for t in got.ticks if t.caught_up]
    assert got.gap is None
    assert [t.boundary_nanos for t in late] == [NOON + i * S for i in range(1, 30)]  # one more is in time
    assert [t.sequence for t in got.ticks] == list(range(101, 191))


def test_after_a_long_outage_the_newest_are_caught_up_and_the_older_are_one_gap() -> None:
    got = second(TickCursor(NOON, 100), NOON + 3601 * S)
    assert got.gap == Gap(NOON + S, NOON + 3540 * S, 3540)
    assert [(t.boundary_nanos, t.sequence) for t in got.ticks if t.caught_up] == [
        (NOON + (3540 + i) * S, 100 + i) for i in range(1, 61)
    ]
    assert got.ticks[-1].sequence == 100 + 121  # and a second of grace, and a minute ahead


def test_without_catching_up_all_missed_are_one_gap_and_numbers_go_on() -> None:
    got = second(TickCursor(NOON, 100), NOON + 31 * S, Policy(catch_up_max=0))
    assert got.gap == Gap(NOON + S, NOON + 30 * S, 30)
    assert got.ticks[0] == Reserved(NOON + 31 * S, 101, caught_up=False)
    nothing_ahead = second(TickCursor(NOON, 100), NOON + 31 * S, Policy(catch_up_max=0, grace_nanos=0, ahead_nanos=0))
    assert nothing_ahead == Reservation((), Gap(NOON + S, NOON + 31 * S, 31), TickCursor(NOON + 31 * S, 100))


def test_a_gap_of_a_decade_of_minutes_is_counted_not_walked() -> None:
    start, now = nanos("2016-01-01T00:00:00"), nanos("2026-01-01T00:00:30")
    got = reserve(TickCursor(start, 1), now, "minute", zone("Europe/Berlin"), 100, Policy())
    assert got.gap is not None
    assert got.gap.count == (now // S - start // S) // 60 - 60
    assert len([t for t in got.ticks if t.caught_up]) == 60


@pytest.mark.parametrize("frequency", FREQUENCIES)
@pytest.mark.parametrize("catch_up_max", [0, 3, 60])
def test_every_boundary_is_a_tick_or_in_a_gap_exactly_once(frequency: Frequency, catch_up_max: int) -> None:
    """Whatever the clock does: forward jumps, steps back, outages, small batches."""
    r = random.Random(f"{frequency}{catch_up_max}")
    size = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}[frequency]
    z, policy = zone("Australia/Lord_Howe"), Policy(catch_up_max=catch_up_max, ahead_nanos=max(60, size) * S)
    begin = NOON - 20 * 86_400 * S
    now, cursor = begin, skip_to(TickCursor(), begin)
    accounted, sequences = 0, []
    for _ in range(300):
        now += r.choice((1, 1, 1, 30, 300, -5, -100)) * r.randint(0, size) * S + r.randint(0, S)
        got = reserve(cursor, now, frequency, z, r.choice((1, 5, 200)), policy)
        assert got.new_cursor.boundary_nanos >= cursor.boundary_nanos
        accounted += len(got.ticks) + (got.gap.count if got.gap else 0)
        sequences += [t.sequence for t in got.ticks]
        cursor = got.new_cursor
        assert count_boundaries(begin, cursor.boundary_nanos, frequency, z) == accounted
    assert sequences == list(range(1, len(sequences) + 1))
    assert sequences


def test_after_a_pause_nothing_is_owed() -> None:
    cursor = skip_to(TickCursor(NOON, 9), NOON + 3600 * S)
    got = second(cursor, NOON + 3600 * S)
    assert got.gap is None
    assert got.ticks[0] == Reserved(NOON + 3601 * S, 10, caught_up=False)
    assert skip_to(TickCursor(NOON, 9), NOON - S) == TickCursor(NOON, 9)
