"""The lines of an RRULE expression: each is honoured as RFC 5545 says, or refused by name."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.core.errors import InvalidField
from chalicelib.core.instants import parse_rfc3339, to_rfc3339
from chalicelib.core.recurrence import expressions
from chalicelib.core.recurrence.expressions import Spec
from chalicelib.core.recurrence.rrule_parts import RuleError, wall_seconds

START = "DTSTART:20261201T090000Z"
RULE = "RRULE:FREQ=DAILY;COUNT=4"
AFTER = parse_rfc3339("2026-11-30T00:00:00Z")
UPTO = parse_rfc3339("2036-01-01T00:00:00Z")


def runs(*lines: str, zone: str = "UTC", end: str = "\n") -> list[str]:
    """The runs to the minute, the year and the seconds left out."""
    found = expressions.compile_uncached(Spec("RRULE", end.join(lines), zone, anchor_ms=AFTER))
    return [to_rfc3339(at)[5:16] for at in found.between(AFTER, UPTO, 9)]


def days(*lines: str, **options: str) -> list[str]:
    return [run[:5] for run in runs(*lines, **options)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n", "\n  "])
def test_lines_come_in_any_order_and_spacing(end: str) -> None:
    exdate = "EXDATE:20261202T090000Z"
    left = ["12-01", "12-03", "12-04"]
    assert days(START, RULE, exdate, end=end) == left
    assert days(START, exdate, RULE, end=end) == left
    assert days(exdate, RULE, START, end=end) == left


def test_exdate_takes_an_instance_away_and_count_still_counts_it() -> None:
    assert days(START, "RRULE:FREQ=DAILY;COUNT=3", "EXDATE:20261202T090000Z") == ["12-01", "12-03"]
    assert days(START, RULE, "EXDATE:20261202T090000Z,20261203T090000Z", "EXDATE:20261204T090000Z") == ["12-01"]
    assert days(START, RULE, "EXDATE:20261202T090001Z") == ["12-01", "12-02", "12-03", "12-04"]


def test_exdate_as_a_date_takes_that_days_instances_away() -> None:
    assert days(START, RULE, "EXDATE;VALUE=DATE:20261202") == ["12-01", "12-03", "12-04"]
    often = ("DTSTART:20261201T000000Z", "RRULE:FREQ=SECONDLY;COUNT=9000", "EXDATE;VALUE=DATE:20261201")
    assert runs(*often, "RDATE:20261205T000000Z") == ["12-05T00:00"]


def test_exdate_in_another_zone_names_the_same_instant() -> None:
    berlin = ("DTSTART;TZID=Europe/Berlin:20261201T100000", RULE)
    assert days(*berlin, "EXDATE:20261202T090000Z") == ["12-01", "12-03", "12-04"]
    assert days(*berlin, "EXDATE;TZID=America/New_York:20261202T040000") == ["12-01", "12-03", "12-04"]
    assert days(*berlin, 'EXDATE;TZID="Europe/Berlin":20261202T100000') == ["12-01", "12-03", "12-04"]
    assert days(*berlin, "EXDATE:20261202T100000") == ["12-01", "12-03", "12-04"]


def test_rdate_adds_instances_in_their_order() -> None:
    assert days(START, RULE, "RDATE:20261225T090000Z") == ["12-01", "12-02", "12-03", "12-04", "12-25"]
    both = runs(START, "RRULE:FREQ=DAILY;COUNT=2", "RDATE:20261201T120000Z,20261202T090000Z")
    assert both == ["12-01T09:00", "12-01T12:00", "12-02T09:00"]
    early = runs(START, "RRULE:FREQ=DAILY;COUNT=1", "RDATE:20261130T120000Z")
    assert early == ["11-30T12:00", "12-01T09:00"]
    assert days(START, "RRULE:FREQ=DAILY;COUNT=1", "RDATE:20261225T090000Z", "EXDATE:20261225T090000Z") == ["12-01"]
    assert days("DTSTART:20261201", "RRULE:FREQ=DAILY;COUNT=1", "RDATE;VALUE=DATE:20261225") == ["12-01", "12-25"]


def test_a_line_that_is_folded_is_joined() -> None:
    folded = "DTSTART;TZID=Europe/\n Berlin:20261201T090000\nRRULE:FREQ=DAILY;\r\n\tCOUNT=2"
    assert runs(folded) == ["12-01T08:00", "12-02T08:00"]


def test_a_byte_order_mark_is_no_part_of_the_rule() -> None:
    assert days("\ufeff" + START, RULE) == ["12-01", "12-02", "12-03", "12-04"]


def test_a_rule_stands_alone() -> None:
    assert runs("FREQ=DAILY;COUNT=1", START) == runs(START, "FREQ=DAILY;COUNT=1") == ["12-01T09:00"]
    assert runs("rrule:freq=daily;count=1", "dtstart:20261201t090000z") == ["12-01T09:00"]


@pytest.mark.parametrize(
    "line",
    [
        "EXRULE:FREQ=DAILY;INTERVAL=2",
        "RRULE:FREQ=YEARLY;COUNT=4",
        "FREQ=YEARLY;COUNT=4",
        "DTSTART:20261205T090000Z",
        "DSTART:20200101T090000Z",
        "hello world",
        "# a comment",
        "DTEND:20261201T100000Z",
        "BEGIN:VEVENT",
        "X-NOTE:x",
        "RRULE;X=1:FREQ=DAILY",
        "EXDATE;TZDI=Asia/Tokyo:20261201T090000",
        "EXDATE;TZID=Asia/Tokyo;TZID=UTC:20261201T090000",
        "EXDATE;VALUE=DATE:20261201T090000",
        "EXDATE;VALUE=DATE-TIME:20261201",
        "EXDATE:",
        "EXDATE:20261201T090000Z,",
        "EXDATE:20261201T09Z",
        "EXDATE:20261201Z",
        "RDATE;VALUE=PERIOD:20261201T090000Z/PT1H",
        "RDATE:20261201T090000Z/PT1H",
        "RDATE;VALUE=DATE:20261225",
        "RDATE;TZID=Nowhere/City:20261225T090000",
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_line_that_is_not_understood_is_refused_by_name(line: str, place: int) -> None:
    lines = [START, RULE]
    lines.insert(place, line)
    with pytest.raises(InvalidField) as refused:
        runs(*lines)
    [error] = refused.value.errors
    assert error.field == "expr"
    named = ("RRULE", "DTSTART") if line.startswith(("RRULE", "FREQ", "DTSTART")) else (line[:5],)
    assert any(name in error.message for name in named), error.message


@pytest.mark.parametrize(
    "start",
    [
        "DTSTART:20261201T0930",
        "DTSTART:20261201T93000",
        "DTSTART:2026121",
        "DTSTART:\uff12\uff10261201T090000",
        "DTSTART:20261201T240000",
        "DTSTART:20261301T090000",
        "DTSTART:00001201T090000",
        "DTSTART:20261201T090060",
        "DTSTART:2026-12-01T09:00:00",
        "DTSTART;TZDI=Asia/Tokyo:20261201T090000",
        "DTSTART;VALUE=DATE:20261201T090000",
        "DTSTART:",
    ],
)
def test_a_start_that_is_no_time_of_the_standard_is_refused(start: str) -> None:
    with pytest.raises(InvalidField) as refused:
        runs(start, RULE)
    assert "DTSTART" in str(refused.value) or "TZDI" in str(refused.value)


@pytest.mark.parametrize("until", ["20261205T1530Z", "20261205T15Z", "2026125", "20261205T", "20261205Z"])
def test_an_end_that_is_no_time_of_the_standard_is_refused(until: str) -> None:
    with pytest.raises(InvalidField):
        runs(START, f"RRULE:FREQ=HOURLY;UNTIL={until}")


def test_a_rule_without_a_rule_or_without_instances_is_refused() -> None:
    for lines in ([START], [START, "RDATE:20261225T090000Z"], [""]):
        with pytest.raises(InvalidField, match="must hold a rule"):
            runs(*lines)
    with pytest.raises(InvalidField, match="can never fire"):
        runs(START, "RRULE:FREQ=DAILY;COUNT=1", "EXDATE:20261201T090000Z")


@given(st.text("0123456789TZ-: \uff11\u0661", max_size=18))
def test_only_eight_and_six_digits_are_a_time(text: str) -> None:
    try:
        wall_seconds(text)
    except RuleError:
        return
    assert text.isascii()
    assert len(text) in (8, 15)


@settings(max_examples=60, deadline=None)
@given(st.sets(st.integers(1, 28)), st.sets(st.integers(1, 28)))
def test_added_and_taken_days_are_sets(added: set[int], taken: set[int]) -> None:
    lines = [START, "RRULE:FREQ=DAILY;INTERVAL=3;UNTIL=20261228T090000Z"]
    lines += [f"RDATE:202612{day:02d}T090000Z" for day in added]
    lines += [f"EXDATE:202612{day:02d}T090000Z" for day in taken]
    expected = sorted((set(range(1, 29, 3)) | added) - taken)
    if expected:
        found = expressions.compile_uncached(Spec("RRULE", "\n".join(lines), anchor_ms=AFTER)).between(AFTER, UPTO, 99)
        assert [int(to_rfc3339(at)[8:10]) for at in found] == expected
