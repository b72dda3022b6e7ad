"""Calendars: read as RFC 5545 says, or refused by name; never half."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.core.errors import InvalidField
from chalicelib.core.instants import parse_rfc3339, to_rfc3339
from chalicelib.core.recurrence import calendars, exclusions, expressions, zones
from chalicelib.core.recurrence.expressions import Spec
from chalicelib.core.recurrence.icalendar_text import CalendarError, read_events

FROM = parse_rfc3339("2026-12-20T00:00:00Z")
UPTO = parse_rfc3339("2027-01-10T00:00:00Z")
TIMED = ("DTSTART:20261224T110000Z", "DTEND:20261224T130000Z")
DAILY = "RRULE:FREQ=DAILY;COUNT=3"


def vevent(*lines: str) -> str:
    return "".join(f"{line}\r\n" for line in ("BEGIN:VEVENT", *lines, "END:VEVENT"))


def vcal(*events: str, head: str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\n") -> str:
    return f"{head}{''.join(events)}END:VCALENDAR\r\n"


def one(*lines: str) -> str:
    return vcal(vevent("UID:a", "DTSTAMP:20260101T000000Z", *lines))


def series(*moved: str, repeats: tuple[str, ...] = (DAILY,)) -> str:
    """A series of two hours at 11:00 from 24 December, and one event more of the same UID."""
    return vcal(vevent("UID:a", *TIMED, *repeats), vevent("UID:a", *moved))


def covered(text: str, zone: str = "UTC") -> list[str]:
    """The stretches covered around the end of 2026, as ``12-24T11:00/13:00``."""
    found = exclusions.read((text,), zones.zone(zone))
    assert found is not None
    stretches, at = [], FROM
    while (start := found.next_start(at)) < UPTO:
        at = start
        while (end := found.end_of(at)) is not None:
            at = end
        stretches.append(f"{to_rfc3339(start)[5:16]}/{to_rfc3339(at)[11:16]}")
    return stretches


def days(text: str, zone: str = "UTC") -> list[int]:
    return [int(stretch[3:5]) for stretch in covered(text, zone)]


def refusal(text: str) -> str:
    with pytest.raises(InvalidField) as refused:
        expressions.compile_uncached(Spec("CRON", "0 12 * * *", exclude=(text,)))
    [error] = refused.value.errors
    assert error.field == "exclude.0"
    return error.message


# -- lines


@pytest.mark.parametrize(
    "line",
    [
        'ATTENDEE;MEMBER="mailto:a@example.com","mailto:b@example.com":mailto:c@example.com',
        'ATTENDEE;CN="Smith; John: ops";RSVP=TRUE:mailto:a@example.com',
        'X-APPLE-STRUCTURED-LOCATION;VALUE=URI;X-TITLE="a;b:c",d:geo:1,2',
        "DESCRIPTION:say \\nRRULE:FREQ=DAILY\\n\r\n  and on",
        "ORGANIZER;CN=broken \"quotes\" here:mailto:a@example.com",
        "X-NOTHING:",
        "X_UNDER.SCORE;A=b:c",
        "COMMENT;LANGUAGE=:x",
        "SUMMARY;LANGUAGE=de:Wartung – Halle",
    ],
)  # fmt: skip
def test_a_property_that_says_nothing_of_coverage_is_skipped(line: str) -> None:
    assert covered(one(line, "DTSTART;VALUE=DATE:20261225")) == ["12-25T00:00/00:00"]


@pytest.mark.parametrize("blank", ["\ufeff", "\ufeff\r\n", " \n", "\n\n\ufeff"])
def test_what_stands_before_a_calendar_is_no_part_of_it(blank: str) -> None:
    assert days(blank + one("DTSTART;VALUE=DATE:20261225")) == [25]


def test_a_byte_order_mark_is_no_part_of_a_cron_expression() -> None:
    assert expressions.compile_uncached(Spec("CRON", "0 * * * *", exclude=("\ufeff* 2 * * *",)))


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r", "\n\n"])
def test_lines_end_in_any_way(newline: str) -> None:
    folded = one("SUMMARY:long\r\n er", "DTSTART;VALUE=DA\r\n TE:202612\r\n\t25", 'DTEND;VALUE="DATE":20261227')
    assert covered(folded.replace("\r\n", newline)) == ["12-25T00:00/00:00"]


@pytest.mark.parametrize(
    "line",
    [
        'X-FOO;BAR="quoted\r\nparams";FOO=baz:real',
        "no content line",
        "RRULE:FREQ=DAILY;\r\nCOUNT=2",
        "DTSTART;VALUE=DATE",
        "DTEND;TZID=Europe/Berlin,Asia/Tokyo:20261225T120000",
        'DTEND;TZID="Europe/Berlin:20261225T120000',
        "DTEND;:20261226",
        ":20261226",
    ],
)
def test_what_is_no_content_line_is_refused(line: str) -> None:
    assert refusal(one("DTSTART;VALUE=DATE:20261225", line))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("BEGIN:VCALENDAR\r\nEND:VCALENDAR", "holds no VEVENT"),
        ("BEGIN:VCALENDAR", "VCALENDAR is not closed"),
        (vcal("BEGIN:VEVENT\r\n"), "END:VCALENDAR closes nothing"),
        (one(*TIMED).replace("VERSION:2.0", "METHOD:CANCEL"), "METHOD:CANCEL"),
        (one(*TIMED).replace("VERSION:2.0", "METHOD:counter"), "METHOD:counter"),
    ],
)
def test_what_is_no_whole_calendar_is_refused(text: str, why: str) -> None:
    assert why in refusal(text)


def test_what_other_components_say_is_not_read() -> None:
    alarm = "BEGIN:VALARM\r\nTRIGGER:-PT15M\r\nDURATION:PT5M\r\nREPEAT:2\r\nEND:VALARM"
    todo = "BEGIN:VTODO\r\nDTSTART:20261221T000000Z\r\nRRULE:FREQ=OFTEN\r\nEND:VTODO\r\n"
    zone = "BEGIN:VTIMEZONE\r\nTZID:x\r\nBEGIN:STANDARD\r\nDTSTART:16010101T000000\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n"
    assert covered(vcal(zone, todo, vevent(*TIMED, alarm))) == ["12-24T11:00/13:00"]


# -- times


@pytest.mark.parametrize(
    "lines",
    [
        ("DTSTART:20261225T1130",),
        ("DTSTART:20261225T11300",),
        ("DTSTART:2026122",),
        ("DTSTART:\uff12\uff10261225T113000",),
        ("DTSTART:20261225T113060Z",),
        ("DTSTART:",),
        ("DTSTART;VALUE=DATE:20261225T113000",),
        ("DTSTART;VALUE=DATE-TIME:20261225",),
        ("DTSTART;VALUE=PERIOD:20261225T113000Z/PT1H",),
        (*TIMED[:1], "DTEND:20261224T1230"),
        (*TIMED[:1], "DTEND:"),
        (*TIMED[:1], "DURATION:90"),
        (*TIMED, DAILY, "EXDATE:20261225T1100Z"),
        (*TIMED, DAILY, "RDATE:20261225T11Z"),
        (*TIMED, "RRULE:FREQ=DAILY;UNTIL=20261226T11Z"),
        (*TIMED, "RECURRENCE-ID:20261225T11"),
        ("DTSTART;TZID=W. Europe Standard Time:20261225T100000",),
    ],
)
def test_a_time_that_is_none_of_the_standard_is_refused(lines: tuple[str, ...]) -> None:
    assert refusal(one("SUMMARY:lunch", *lines)).startswith("event 'lunch': ")


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        ("DTEND;VALUE=DATE:20261225", ["12-25T00:00/00:00"]),
        ("DTEND;VALUE=DATE:20261226", ["12-25T00:00/00:00"]),
        ("DTEND:20261225", ["12-25T00:00/00:00"]),
        ("DURATION:P1D", ["12-25T00:00/00:00"]),
        ("DURATION:PT6H", ["12-25T00:00/06:00"]),
    ],
)
def test_ends_of_all_day_events(end: str, expected: list[str]) -> None:
    assert covered(one("DTSTART;VALUE=DATE:20261225", end)) == expected


def test_an_end_and_a_duration_must_agree() -> None:
    assert covered(one(*TIMED, "DURATION:PT2H")) == ["12-24T11:00/13:00"]
    assert "say two things" in refusal(one(*TIMED, "DURATION:PT1H"))


def test_an_end_lasts_the_same_elapsed_time_and_days_the_same_dates() -> None:
    """RFC 5545, 3.8.5.3: DTEND means an exact duration for all instances, DURATION a nominal one. Over the night of
    25 October 2026 the clock of Berlin goes back."""
    night = ("DTSTART;TZID=Europe/Berlin:20261023T220000", "RRULE:FREQ=DAILY;COUNT=3")
    for length in ("DTEND;TZID=Europe/Berlin:20261024T060000", "DURATION:PT8H"):
        [found] = calendars.read(one(*night, length), zones.zone("UTC")).events
        assert found.end_of(parse_rfc3339("2026-10-25T00:00:00Z")) == parse_rfc3339("2026-10-25T04:00:00Z")
    [found] = calendars.read(one(*night, "DURATION:P1D"), zones.zone("UTC")).events
    assert found.end_of(parse_rfc3339("2026-10-24T21:00:00Z")) == parse_rfc3339("2026-10-25T21:00:00Z")


# -- what is left out, added and moved


def test_exdate_as_a_date_leaves_out_that_days_instances() -> None:
    assert days(one(*TIMED, "RRULE:FREQ=DAILY;COUNT=2", "EXDATE;VALUE=DATE:20261224")) == [25]
    assert days(one(*TIMED, "RRULE:FREQ=HOURLY;INTERVAL=6;COUNT=9", "EXDATE;VALUE=DATE:20261225")) == [
        24,
        24,
        24,
        26,
        26,
    ]


@pytest.mark.parametrize(
    "exdate",
    [
        "EXDATE;VALUE=DATE:20261225",
        "EXDATE:20261225",
        "EXDATE:20261225T000000",
        "EXDATE;TZID=Asia/Tokyo:20261225T000000",
        "EXDATE:20261225T000000Z",
        "EXDATE:20261224T230000Z",
    ],
)
def test_exdate_of_an_all_day_series_names_a_day(exdate: str) -> None:
    """Midnight as it is written, or in the zone of the schedule: programs write both."""
    series = one("DTSTART;VALUE=DATE:20261224", DAILY, exdate)
    assert covered(series, "Europe/Berlin") == ["12-23T23:00/23:00", "12-25T23:00/23:00"]


def test_exdate_of_an_all_day_series_that_names_no_day_is_refused() -> None:
    assert "DTSTART is a date" in refusal(one("DTSTART;VALUE=DATE:20261224", DAILY, "EXDATE:20261225T093000Z"))


def test_several_rules_add_up_and_are_left_out_of_alike() -> None:
    rules = (*TIMED, "RRULE:FREQ=DAILY;COUNT=2", "RRULE:FREQ=WEEKLY;COUNT=2")
    assert days(one(*rules)) == [24, 25, 31]
    assert days(one(*rules, "EXDATE:20261224T110000Z")) == [25, 31]


@pytest.mark.parametrize(
    "empty", ["RRULE:", "EXDATE:", "RDATE:", "EXRULE:", "RRULE;X-A=b:", "EXDATE:,", "STATUS:", "SEQUENCE:"]
)
def test_an_empty_property_of_a_publisher_says_nothing(empty: str) -> None:
    """Public holiday files hold an empty RRULE in every event."""
    assert days(one("DTSTART:20261225", "DTEND:20261225", empty, "TRANSP:TRANSPARENT")) == [25]


MOVED = ("DTSTART:20261228T110000Z", "DTEND:20261228T150000Z")


@pytest.mark.parametrize(
    "instance",
    [
        "RECURRENCE-ID:20261225T110000Z",
        "RECURRENCE-ID;VALUE=DATE:20261225",
        "RECURRENCE-ID;TZID=Asia/Tokyo:20261225T200000",
    ],
)
def test_a_moved_instance_is_no_longer_where_it_was(instance: str) -> None:
    assert covered(series(instance, *MOVED)) == ["12-24T11:00/13:00", "12-26T11:00/13:00", "12-28T11:00/15:00"]
    cancelled = series(instance, *MOVED, "STATUS:CANCELLED")
    assert covered(cancelled) == ["12-24T11:00/13:00", "12-26T11:00/13:00"]


def test_a_moved_instance_of_an_rdate_is_no_longer_where_it_was() -> None:
    rdate = ("RDATE:20261226T110000Z",)
    assert days(series("RECURRENCE-ID:20261226T110000Z", *MOVED, repeats=rdate)) == [24, 28]
    assert days(series("RECURRENCE-ID:20261224T110000Z", *MOVED, repeats=rdate)) == [26, 28]
    assert days(series("RECURRENCE-ID:20261224T110000Z", *MOVED, repeats=())) == [28]


def test_a_moved_instance_without_its_series_covers_its_time() -> None:
    assert days(one("RECURRENCE-ID:20261225T110000Z", *MOVED)) == [28]


def test_of_several_revisions_the_latest_counts() -> None:
    first = vevent("UID:a", "SEQUENCE:2", *TIMED)
    second = vevent("UID:a", "SEQUENCE:10", *MOVED)
    assert days(vcal(first, second)) == days(vcal(second, first)) == [28]
    edits = [
        vevent("UID:b", "RECURRENCE-ID:20261225T110000Z", f"SEQUENCE:{n}", f"DTSTART:2026122{n}T110000Z")
        for n in (6, 7)
    ]
    assert days(vcal(vevent("UID:b", *TIMED, "RRULE:FREQ=DAILY;COUNT=2"), *edits)) == [24, 27]
    assert days(vcal(vevent(*TIMED), vevent(*MOVED, "SEQUENCE:1"))) == [24, 28], "without a UID they are two events"
    assert days(vcal(vevent("UID:a", *TIMED), vevent("UID:a", *MOVED))) == [24, 28], "and where no revision is later"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (series("RECURRENCE-ID;RANGE=THISANDFUTURE:20261225T110000Z", *MOVED), "RANGE"),
        (series("RECURRENCE-ID;RANGE=THISANDPRIOR:20261225T110000Z", *MOVED), "RANGE"),
        (series("RECURRENCE-ID:20261225T110000Z", *MOVED, DAILY), "recurs itself"),
        (one(*TIMED, DAILY, "EXRULE:FREQ=DAILY;INTERVAL=2"), "EXRULE"),
        (one(*TIMED, "RDATE;VALUE=PERIOD:20261225T110000Z/PT1H"), "periods"),
        (one(*TIMED, "RDATE;VALUE=DATE:20261225"), "RDATE"),
        (one(*TIMED, "RRULE:RSCALE=CHINESE;FREQ=YEARLY"), "RSCALE"),
        (one(*TIMED, "RRULE:FREQ=DAILY;SKIP=OMIT"), "SKIP"),
        (one(*TIMED, "DTSTART:20261225T110000Z"), "DTSTART is given twice"),
        (one(*TIMED, "DTEND:20261225T110000Z"), "DTEND is given twice"),
        (one(*TIMED, "STATUS:CONFIRMED", "STATUS:CANCELLED"), "STATUS is given twice"),
        (vcal(vevent("UID:a", *TIMED, "SEQUENCE:x"), vevent("UID:a", *MOVED)), "SEQUENCE"),
    ],
)
def test_what_changes_coverage_and_is_not_understood_is_refused(text: str, named: str) -> None:
    assert named in refusal(text)


def test_a_line_that_is_merely_repeated_is_taken() -> None:
    assert days(one(*TIMED, *TIMED, "STATUS:CONFIRMED", "STATUS:CONFIRMED")) == [24]


# -- cost


def test_only_calendars_load_the_library() -> None:
    program = f"""
import sys
import app, chalicelib.functions.deliver, chalicelib.functions.feed, chalicelib.functions.reconcile
import chalicelib.functions.sweep
from chalicelib.core.recurrence import expressions
from chalicelib.core.recurrence.expressions import Spec
app.app.http_api
expressions.compile(Spec("CRON", "0 9 * * *", exclude=("* * 25 12 *", (0, 1))))
expressions.compile(Spec("RRULE", "DTSTART:20261201T090000Z\\nFREQ=DAILY\\nEXDATE:20261202T090000Z"))
assert not [name for name in sys.modules if name.partition(".")[0] in ("icalendar", "idna", "dateutil")]
assert "chalicelib.core.recurrence.calendars" not in sys.modules
expressions.compile(Spec("CRON", "0 9 * * *", exclude=({one(*TIMED)!r},)))
assert "icalendar" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_hundred_events_are_read_in_milliseconds() -> None:
    events = [
        vevent(f"UID:{n}", f"DTSTART;VALUE=DATE:2026{1 + n % 12:02d}{1 + n % 28:02d}", "DESCRIPTION:" + "long, " * 40)
        for n in range(100)
    ]
    text, spent = vcal(*events), []
    for _ in range(5):
        began = time.process_time()
        calendars.read(text, zones.zone("Europe/Berlin"))
        spent.append(time.process_time() - began)
    assert min(spent) < 0.025, "5 ms on an idle machine"


def test_counts_are_bounded_over_all_calendars_of_a_schedule() -> None:
    """Each is counted out once: a small body must not cost minutes."""
    many = vcal(*(vevent(f"UID:{n}", *TIMED, "RRULE:FREQ=DAILY;COUNT=9999") for n in range(6)))
    few = vcal(*(vevent(f"UID:{n}", *TIMED, "RRULE:FREQ=DAILY;COUNT=9999") for n in range(3)))
    assert "COUNTs" in refusal(many)
    assert exclusions.read((few,), zones.zone("UTC"))
    began = time.process_time()
    with pytest.raises(InvalidField) as refused:
        exclusions.read((few, few, *(many for _ in range(300))), zones.zone("UTC"))
    assert refused.value.errors[0].field == "exclude.1"
    assert time.process_time() - began < 5


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                *TIMED,
                DAILY,
                "RRULE:",
                "EXDATE:20261225T110000Z",
                'X;A="',
                ":",
                ";",
                "\ufeff",
                " ",
                "END:VEVENT",
                "BEGIN:X",
                "é",
                "UID;A=b,c:d",
            ]
        ),
        max_size=8,
    )
)
def test_no_text_breaks_it(lines: list[str]) -> None:
    text = one(*lines)
    with contextlib.suppress(CalendarError):
        assert read_events(text)
        calendars.read(text, zones.zone("UTC"))
