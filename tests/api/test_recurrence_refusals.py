"""What an expression or a calendar says is done, or refused by the field it stands in."""

from __future__ import annotations

import pytest

from tests.kit.house import Answer, House

PREVIEW = "/api/v1/schedules:preview"
AFTER = 1_796_083_200_000  # 2026-12-01T00:00:00Z
DAY_MS = 86_400_000


def preview(house: House, kind: str, expr: str, **more: object) -> Answer:
    return house.call("POST", PREVIEW, {"type": kind, "expr": expr, "after_unix_ms": AFTER - 1, "count": 4, **more})


def days(answer: Answer) -> list[int]:
    assert answer.status == 200, answer.body
    return [1 + (run - AFTER) // DAY_MS for run in answer.json["runs_unix_ms"]]


def calendar(*lines: str) -> str:
    event = ("BEGIN:VEVENT", "UID:a", "DTSTART:20261201T110000Z", "DTEND:20261201T130000Z", *lines, "END:VEVENT")
    return "\r\n".join(("BEGIN:VCALENDAR", "VERSION:2.0", *event, "END:VCALENDAR", ""))


def test_the_lines_beside_a_rule_are_honoured(shared: House) -> None:
    lines = ["DTSTART;TZID=Europe/\n Berlin:20261201T090000", "RRULE:FREQ=DAILY;COUNT=4", "EXDATE:20261202T080000Z"]
    assert days(preview(shared, "RRULE", "\n".join([*lines, "RDATE:20261209T080000Z"]))) == [1, 3, 4, 9]


@pytest.mark.parametrize(
    ("kind", "expr"),
    [
        ("RRULE", "DTSTART:20261201T090000Z\nRRULE:FREQ=DAILY\nEXRULE:FREQ=WEEKLY"),
        ("RRULE", "DSTART:20200101T090000Z\nRRULE:FREQ=DAILY"),
        ("RRULE", "DTSTART:20261201T0930\nRRULE:FREQ=DAILY"),
        ("RRULE", "DTSTART:20261201T090000Z\nRRULE:FREQ=HOURLY;UNTIL=20261205T1530Z"),
        ("AT", "at:2099-W52-5T10:00:00Z"),
        ("AT", "at:2099-12-25T10:00:00+0100"),
        ("ISO8601", "R2/2099-12-25T10:00:00,5Z/P1D"),
    ],
)
def test_an_expression_that_is_not_understood_is_refused(shared: House, kind: str, expr: str) -> None:
    for answer in (preview(shared, kind, expr), shared.call("POST", "/api/v1/schedules", {"type": kind, "expr": expr})):
        assert (answer.code, answer.fields) == ("invalid_field", ["expr"])


def test_a_calendar_covers_what_it_says(shared: House) -> None:
    exclude = "\ufeff" + calendar("RRULE:FREQ=DAILY;COUNT=3", "EXDATE;VALUE=DATE:20261202", "RRULE:FREQ=WEEKLY;COUNT=2")
    assert days(preview(shared, "CRON", "0 12 * * *", exclude=[exclude])) == [2, 4, 5, 6]


@pytest.mark.parametrize(
    "lines",
    [
        ("RRULE:FREQ=DAILY;COUNT=3", "EXRULE:FREQ=DAILY;INTERVAL=2"),
        ("RECURRENCE-ID;RANGE=THISANDFUTURE:20261202T110000Z",),
        ("RRULE:FREQ=DAILY;UNTIL=20261205T11Z",),
    ],
)
def test_a_calendar_that_is_not_understood_is_refused(shared: House, lines: tuple[str, ...]) -> None:
    answer = preview(shared, "CRON", "0 12 * * *", exclude=["* * 24 12 *", calendar(*lines)])
    assert (answer.code, answer.fields) == ("invalid_field", ["exclude.1"])


@pytest.mark.parametrize("host", ["local\u200dhost", "local\u200chost", "\u2603.example"])
def test_a_host_that_is_no_name_is_refused(shared: House, host: str) -> None:
    target = {"type": "webhook", "url": f"https://{host}/"}
    body = {"type": "AT", "expr": "at:2099-01-01T00:00:00Z", "target": target}
    answer = shared.call("POST", "/api/v1/schedules", body)
    assert (answer.code, answer.fields) == ("invalid_field", ["target.url"])


@pytest.mark.parametrize(
    ("kind", "expr", "start_ms"),
    [
        ("AT", "at:2099-12-25T10:00:00Z", 4_102_444_800_000),  # 2100-01-01
        ("ISO8601", "P99999Y", None),
        ("CRON", "0 0 1 1 *", 253_402_214_400_000),  # 9999-12-31
    ],
)
def test_what_its_start_leaves_no_instant_is_refused(house: House, kind: str, expr: str, start_ms: int | None) -> None:
    refused = house.call("POST", "/api/v1/schedules", {"type": kind, "expr": expr, "start_at_unix_ms": start_ms})
    assert refused.fields == ["expr"]
    past = {"type": "ISO8601", "expr": "R5/2020-01-01T00:00:00Z/P1D"}
    assert house.call("POST", "/api/v1/schedules", past).json["state"] == "completed"


@pytest.mark.parametrize("gap", ["run_after", "shift"])
@pytest.mark.parametrize(
    ("kind", "expr"),
    [
        ("CRON", "30 2 * * *"),
        ("ISO8601", "R/2026-03-28T02:30:00/P1D"),
        ("RRULE", "DTSTART;TZID=Europe/Berlin:20260328T023000\nRRULE:FREQ=DAILY"),
    ],
)
def test_what_a_gap_would_move_is_left_out_with_the_minute_it_was_meant_for(
    shared: House, kind: str, expr: str, gap: str
) -> None:
    asked = {"timezone": "Europe/Berlin", "dst_gap": gap, "after_unix_ms": 1_774_656_000_000}  # 2026-03-28T00:00Z
    runs = preview(shared, kind, expr, **asked, exclude=["30 2 29 3 *"]).json
    assert [run[:16] for run in runs["runs_iso8601"][:2]] == ["2026-03-28T02:30", "2026-03-30T02:30"]
    assert runs["dst"] == []
    other = preview(shared, kind, expr, **asked, exclude=["31 2 29 3 *"]).json
    assert [note["kind"] for note in other["dst"]] == ["gap"]
