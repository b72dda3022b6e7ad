"""What is left out: ranges, cron minutes and calendar events; and what the ledger hears of it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.core.errors import InvalidField
from chalicelib.core.instants import parse_rfc3339, to_rfc3339
from chalicelib.core.recurrence import exclusions, expressions, zones
from chalicelib.core.recurrence.exclusions import Exclusion
from chalicelib.core.recurrence.expressions import Spec

DAY_MS = 86_400_000
NOW = parse_rfc3339("2026-11-21T09:20:00Z")


def ms(text: str) -> int:
    return parse_rfc3339(text)


def runs(spec: Spec, count: int, after: int = NOW) -> list[str]:
    found = expressions.compile(spec).between(after + 1, after + 4000 * DAY_MS, count)
    return [to_rfc3339(at)[:16] for at in found]


def calendar(*lines: str) -> str:
    return "\r\n".join(["BEGIN:VCALENDAR", "VERSION:2.0", "BEGIN:VEVENT", *lines, "END:VEVENT", "END:VCALENDAR", ""])


def covered(text: str, zone: str = "UTC") -> exclusions.Exclusions:
    found = exclusions.read((text,), zones.zone(zone))
    assert found is not None
    return found


def test_ranges_include_both_ends() -> None:
    spec = Spec("RATE", "rate:1h", anchor_ms=NOW, exclude=((NOW + 3_600_000, NOW + 3 * 3_600_000),))
    assert runs(spec, 2) == ["2026-11-21T13:20", "2026-11-21T14:20"]
    short = Spec("RATE", "rate:1h", anchor_ms=NOW, exclude=((NOW + 3_600_001, NOW + 3 * 3_600_000 - 1),))
    assert runs(short, 2) == ["2026-11-21T10:20", "2026-11-21T12:20"]


def test_cron_minutes_are_left_out_of_every_kind() -> None:
    skip = ("* 10-12 * * *", "* * * * SAT")
    assert runs(Spec("CRON", "30 * * * *", exclude=skip), 2) == ["2026-11-22T00:30", "2026-11-22T01:30"]
    assert runs(Spec("RATE", "rate:1h", anchor_ms=NOW, exclude=skip), 1) == ["2026-11-22T00:20"]
    assert runs(Spec("ISO8601", "P1D", anchor_ms=NOW, exclude=skip), 2) == ["2026-11-22T09:20", "2026-11-23T09:20"]
    assert runs(Spec("RRULE", "FREQ=HOURLY", anchor_ms=NOW, exclude=skip), 1) == ["2026-11-22T00:20"]


def test_a_five_field_exclusion_covers_its_whole_minute_and_six_fields_a_second() -> None:
    spec = Spec("CRON", "*/15 20 9 * * *", exclude=("20 9 22 11 *",))
    assert runs(spec, 1) == ["2026-11-21T09:20"]
    assert runs(spec, 1, ms("2026-11-21T09:20:45Z")) == ["2026-11-23T09:20"]
    single = expressions.compile(Spec("CRON", "*/15 20 9 * * *", exclude=("15 20 9 * * *",)))
    assert [to_rfc3339(at)[17:19] for at in single.between(NOW, NOW + 59_000, 9)] == ["00", "30", "45"]


def test_an_exclusion_is_read_on_the_wall_clock_of_the_schedule() -> None:
    spec = Spec("CRON", "0 * * * *", "Europe/Berlin", exclude=("* 11-23 * * *",))
    assert runs(spec, 2) == ["2026-11-21T23:00", "2026-11-22T00:00"]


def test_a_run_moved_out_of_the_gap_goes_with_the_minute_it_was_meant_for() -> None:
    start = ms("2026-03-28T12:00:00Z")
    left = expressions.compile(Spec("CRON", "30 2,5 * * *", "Europe/Berlin", exclude=("30 2 * * *",)))
    assert [to_rfc3339(at)[11:16] for at in left.between(start, start + DAY_MS, 9)] == ["03:30"]
    gone = left.excluded_between(start, start + DAY_MS, 9)
    assert [to_rfc3339(at)[11:16] for at in gone] == ["01:00"]


def test_a_run_moved_onto_an_excluded_minute_is_left_out() -> None:
    start = ms("2026-03-28T12:00:00Z")
    made = expressions.compile(Spec("CRON", "30 2 * * *", "Europe/Berlin", exclude=("0 3 * * *",)))
    assert made.between(start, start + DAY_MS, 9) == []


@pytest.mark.parametrize(
    ("exclude", "field"),
    [
        (((5, 3),), "exclude.0.to_unix_ms"),
        (((3, 5), "61 * * * *"), "exclude.1"),
        (("x",), "exclude.0"),
        (("BEGIN:VCALENDAR",), "exclude.0"),
        (("BEGIN:VCALENDAR\nEND:VCALENDAR",), "exclude.0"),
        ((calendar("SUMMARY:no start"),), "exclude.0"),
        ((calendar("DTSTART:soon"),), "exclude.0"),
        ((calendar("DTSTART;TZID=Nowhere:20261126T090000"),), "exclude.0"),
        ((calendar("DTSTART:20261126T090000Z", "DTEND:20261126T080000Z"),), "exclude.0"),
        ((calendar("DTSTART:20261126T090000Z", "DTEND;VALUE=DATE:20261127"),), "exclude.0"),
        ((calendar("DTSTART:20261126T090000Z", "DURATION:P1M"),), "exclude.0"),
        ((calendar("DTSTART:20261126T090000Z", "RRULE:FREQ=SOMETIMES"),), "exclude.0"),
        ((calendar("no colon"),), "exclude.0"),
    ],
)
def test_what_cannot_be_read_names_its_place(exclude: tuple[Exclusion, ...], field: str) -> None:
    with pytest.raises(InvalidField) as caught:
        expressions.compile(Spec("CRON", "0 9 * * *", exclude=exclude))
    assert [e.field for e in caught.value.errors] == [field]


@pytest.mark.parametrize(
    "spec",
    [
        Spec("CRON", "0 2 * * *", exclude=("* 2 * * *",)),
        Spec("CRON", "* * * * *", exclude=("* * * * *",)),
        Spec("CRON", "0 * * * *", exclude=("* 0-11 * * *", "* 12-23 * * *")),
        Spec("RATE", "rate:1h", exclude=("0 * * * *",)),
        Spec("RATE", "rate:5s", exclude=((0, 1 << 50),)),
        Spec("AT", "at:2026-12-25T10:00:00Z", exclude=("* * 25 12 *",)),
        Spec("DELAY", "delay:5s", exclude=("* * * * *",)),
        Spec("RRULE", "FREQ=DAILY;COUNT=2", anchor_ms=NOW, exclude=((NOW, NOW + 5 * DAY_MS),)),
        Spec(
            "CRON", "0 9 * * *", anchor_ms=NOW, exclude=(calendar("DTSTART;VALUE=DATE:20200101", "RRULE:FREQ=DAILY"),)
        ),
    ],
)
def test_everything_excluded_is_refused(spec: Spec) -> None:
    began = time.process_time()
    with pytest.raises(InvalidField) as caught:
        expressions.compile(spec)
    assert [e.field for e in caught.value.errors] == ["expr"]
    assert time.process_time() - began < 2


def test_events_end_before_dtend() -> None:
    found = covered(calendar("DTSTART:20261126T090000Z", "DTEND:20261126T100000Z"))
    assert found.end_of(ms("2026-11-26T08:59:59.999Z")) is None
    assert found.end_of(ms("2026-11-26T09:00:00Z")) == ms("2026-11-26T10:00:00Z")
    assert found.end_of(ms("2026-11-26T10:00:00Z")) is None


@pytest.mark.parametrize(
    ("lines", "start", "end"),
    [
        (("DTSTART;VALUE=DATE:20261126",), "2026-11-25T23:00:00Z", "2026-11-26T23:00:00Z"),
        (("DTSTART;VALUE=DATE:20260329", "DTEND;VALUE=DATE:20260330"), "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
        (("DTSTART:20261126T090000", "DURATION:PT90M"), "2026-11-26T08:00:00Z", "2026-11-26T09:30:00Z"),
        (("DTSTART:20261126T090000Z", "DURATION:P1W"), "2026-11-26T09:00:00Z", "2026-12-03T09:00:00Z"),
        (
            ("DTSTART;TZID=America/New_York:20261126T090000", "DTEND;TZID=Asia/Tokyo:20261127T000000"),
            "2026-11-26T14:00:00Z",
            "2026-11-26T15:00:00Z",
        ),
        (
            ("DTSTART;TZID=Amer\r\n ica/New_York:20261126T0900\r\n\t00", "DURATION:PT1H"),
            "2026-11-26T14:00:00Z",
            "2026-11-26T15:00:00Z",
        ),
        (("DTSTART:20261126T090000Z",), "2026-11-26T09:00:00Z", "2026-11-26T09:00:00.001Z"),
    ],
)
def test_forms_of_events(lines: tuple[str, ...], start: str, end: str) -> None:
    found = covered(calendar(*lines), "Europe/Berlin")
    assert found.next_start(0) == ms(start)
    assert found.end_of(ms(start) - 1) is None
    assert found.end_of(ms(start)) == ms(end)
    assert found.end_of(ms(end)) is None


def test_recurring_events_with_exceptions() -> None:
    text = calendar(
        "UID:standup",
        "DTSTART;TZID=Europe/Berlin:20261102T090000",
        "DURATION:PT1H",
        "RRULE:FREQ=WEEKLY;BYDAY=MO",
        "EXDATE;TZID=Europe/Berlin:20261123T090000",
        "RDATE;TZID=Europe/Berlin:20261125T090000",
    ).replace(
        "END:VCALENDAR",
        "BEGIN:VEVENT\r\nUID:standup\r\nRECURRENCE-ID;TZID=Europe/Berlin:20261130T090000\r\n"
        "DTSTART;TZID=Europe/Berlin:20261201T150000\r\nDURATION:PT1H\r\nEND:VEVENT\r\nEND:VCALENDAR",
    )
    found, at, starts = covered(text), NOW, []
    for _ in range(4):
        at = found.next_start(at)
        starts.append(to_rfc3339(at)[:16])
        at = found.end_of(at) or at
    assert starts == ["2026-11-25T08:00", "2026-12-01T14:00", "2026-12-07T08:00", "2026-12-14T08:00"]


def test_cancelled_events_cover_nothing() -> None:
    assert covered(calendar("DTSTART:20261126T090000Z", "STATUS:CANCELLED")).end_of(ms("2026-11-26T09:00:00Z")) is None


def test_holidays_of_every_year_are_left_out() -> None:
    holidays = calendar("DTSTART;VALUE=DATE:20201225", "DTEND;VALUE=DATE:20201227", "RRULE:FREQ=YEARLY")
    spec = Spec("CRON", "0 9 24-27 12 *", "Europe/Berlin", exclude=(holidays,))
    assert runs(spec, 4) == ["2026-12-24T08:00", "2026-12-27T08:00", "2027-12-24T08:00", "2027-12-27T08:00"]


def test_a_thousand_exclusions_cost_less_than_five_ms() -> None:
    ranges = tuple((NOW + i * 7 * DAY_MS, NOW + i * 7 * DAY_MS + 6 * DAY_MS) for i in range(1000))
    crons = tuple(f"{i % 60} {i // 60} {1 + i % 28} 2 *" for i in range(1000))
    for exclude in (ranges, crons, ranges[:500] + crons[:500]):
        made = expressions.compile_uncached(Spec("CRON", "0 0 29 2 1", "Europe/Berlin", exclude=exclude))
        costs = []
        for i in range(25):
            began = time.process_time()
            made.next_after(NOW + i * 31 * DAY_MS)
            costs.append(time.process_time() - began)
        assert sorted(costs)[len(costs) // 2] < 0.005


specs = st.sampled_from(
    [
        ("CRON", "*/7 * * * *"),
        ("CRON", "0 2 * * *"),
        ("CRON", "30 1-3 * * *"),
        ("RATE", "rate:11m"),
        ("ISO8601", "PT45M"),
        ("ISO8601", "P1D"),
        ("RRULE", "FREQ=HOURLY;INTERVAL=5"),
    ]
)
ranges = st.tuples(st.integers(0, 20 * DAY_MS), st.integers(0, DAY_MS)).map(lambda r: (NOW + r[0], NOW + r[0] + r[1]))
leftovers = st.one_of(
    ranges, st.sampled_from(["* 2 * * *", "*/14 * * * *", "0-30 1-2 * * 0", "* * 25 * *", "30 15 2 * * *"])
)


@settings(max_examples=150, deadline=None)
@given(specs, st.lists(leftovers, max_size=5), st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe"]))
def test_kept_and_excluded_together_are_the_grid(kind: tuple[str, str], exclude: list[Exclusion], zone: str) -> None:
    plain = expressions.compile(Spec(*kind, zone, anchor_ms=NOW))
    try:
        made = expressions.compile(Spec(*kind, zone, anchor_ms=NOW, exclude=tuple(exclude)))
    except InvalidField:
        return
    upto = NOW + 8 * DAY_MS
    kept, gone = made.between(NOW, upto, 5000), made.excluded_between(NOW, upto, 5000)
    assert sorted(kept + gone) == plain.between(NOW, upto, 5000)
    judge = exclusions.read(tuple(exclude), zones.zone(zone))
    assert all(judge is None or judge.end_of(at) is None for at in kept)
    assert all(judge is not None and judge.end_of(at) is not None for at in gone)
