"""The six kinds: first runs, bounds, grids that depend on nothing but the spec, and what is refused."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.core.errors import InvalidField
from chalicelib.core.instants import parse_rfc3339, to_rfc3339
from chalicelib.core.limits import INSTANT_MAX_MS
from chalicelib.core.recurrence import expressions
from chalicelib.core.recurrence.exclusions import Exclusion
from chalicelib.core.recurrence.expressions import Spec, parse_duration

DAY_MS = 86_400_000
NOW = parse_rfc3339("2026-11-21T09:20:00Z")


def ms(text: str) -> int:
    return parse_rfc3339(text)


def runs(spec: Spec, count: int = 3, after: int = NOW) -> list[str]:
    made, at = expressions.compile(spec), after
    found: list[str] = []
    while len(found) < count and (following := made.next_after(at)) is not None:
        at = following
        found.append(to_rfc3339(at).removesuffix(":00.000Z").removesuffix(".000Z"))
    return found


# -- RATE, DELAY, AT


def test_a_rate_counts_from_its_creation_and_never_drifts() -> None:
    spec = Spec("RATE", "rate:5s", anchor_ms=NOW + 437)
    assert runs(spec, 2) == ["2026-11-21T09:20:05.437Z", "2026-11-21T09:20:10.437Z"]
    assert expressions.compile(spec).next_after(NOW + 437 + 5_000 * 10**6 - 1) == NOW + 437 + 5_000 * 10**6


def test_a_rate_with_a_start_begins_at_it() -> None:
    assert runs(Spec("RATE", "rate:90m", start_at_ms=NOW + 1)) == [
        "2026-11-21T09:20:00.001Z", "2026-11-21T10:50:00.001Z", "2026-11-21T12:20:00.001Z",
    ]  # fmt: skip


def test_a_rate_enumerates_in_bulk() -> None:
    made = expressions.compile(Spec("RATE", "rate:1s", anchor_ms=NOW))
    assert made.between(NOW, NOW + 120_000, 500) == [NOW + k * 1000 for k in range(1, 121)]
    assert made.between(NOW + 1, NOW + DAY_MS, 3) == [NOW + 1000, NOW + 2000, NOW + 3000]
    assert made.between(NOW + 5000, NOW + 5000, 3) == [NOW + 5000]
    assert made.between(NOW + 5001, NOW + 5999, 3) == []
    assert made.between(NOW, NOW + 9000, 0) == []


def test_a_backfill_may_go_behind_the_creation_but_not_behind_a_start() -> None:
    created = expressions.compile(Spec("RATE", "rate:1m", anchor_ms=NOW))
    assert created.between(NOW - 180_000, NOW, 9) == []
    assert created.backwards_between(NOW - 180_000, NOW, 9) == [NOW - k * 60_000 for k in (3, 2, 1, 0)]
    started = expressions.compile(Spec("RATE", "rate:1m", anchor_ms=NOW, start_at_ms=NOW))
    assert started.backwards_between(NOW - 180_000, NOW, 9) == [NOW]
    daily = expressions.compile(Spec("ISO8601", "P1D", anchor_ms=NOW))
    assert daily.backwards_between(NOW - 2 * DAY_MS, NOW, 9) == [NOW - 2 * DAY_MS, NOW - DAY_MS, NOW]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("500ms", 500), ("5s", 5000), ("10m", 600_000), ("2h", 7_200_000), ("1d", DAY_MS), (" 5s ", 5000)],
)
def test_durations(text: str, expected: int) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["", "5", "s", "-5s", "1.5s", "5 s", "5S", "5w", "٥s", "1s1s"])
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="unit"):
        parse_duration(text)


def test_a_delay_has_no_grid() -> None:
    made = expressions.compile(Spec("DELAY", "delay:30s", anchor_ms=NOW, end_at_ms=NOW + 60_000))
    assert made.delay_ms == 30_000
    assert made.first_ms == NOW + 30_000
    assert made.next_after(NOW) is None
    assert made.between(NOW, NOW + DAY_MS, 9) == []
    assert made.after_end(NOW + 30_000) == NOW + 60_000
    assert made.after_end(NOW + 30_001) is None


def test_a_delay_steps_over_what_is_excluded() -> None:
    made = expressions.compile(Spec("DELAY", "delay:30s", anchor_ms=NOW, exclude=((NOW, NOW + 60_000), "21 9 * * *")))
    assert made.first_ms == NOW + 120_000


def test_an_at_fires_once() -> None:
    spec = Spec("AT", "at:2026-12-25T11:00:00.250+01:00")
    assert runs(spec, 3) == ["2026-12-25T10:00:00.250Z"]
    assert expressions.compile(spec).first_ms == ms("2026-12-25T10:00:00.250Z")
    assert expressions.compile(spec).next_after(ms("2026-12-25T10:00:00.250Z")) is None


# -- ISO8601


def test_months_are_counted_from_the_anchor() -> None:
    spec = Spec("ISO8601", "P1M", anchor_ms=ms("2027-01-31T10:00:00Z"))
    assert runs(spec, 4, 0) == ["2027-02-28T10:00", "2027-03-31T10:00", "2027-04-30T10:00", "2027-05-31T10:00"]
    leap = Spec("ISO8601", "P1Y", start_at_ms=ms("2028-02-29T10:00:00Z"))
    assert runs(leap, 5, 0)[-2:] == ["2031-02-28T10:00", "2032-02-29T10:00"]


def test_days_keep_the_wall_clock_and_hours_the_elapsed_time() -> None:
    anchor = ms("2026-03-28T08:00:00Z")
    assert runs(Spec("ISO8601", "P1D", "Europe/Berlin", anchor), 2, anchor) == ["2026-03-29T07:00", "2026-03-30T07:00"]
    assert runs(Spec("ISO8601", "PT24H", "Europe/Berlin", anchor), 2, anchor) == [
        "2026-03-29T08:00",
        "2026-03-30T08:00",
    ]
    assert runs(Spec("ISO8601", "P1DT1H", "Europe/Berlin", anchor), 2, anchor) == [
        "2026-03-29T08:00",
        "2026-03-30T09:00",
    ]


@pytest.mark.parametrize("period", ["P1M", "P1Y", "P7M", "P1M1D", "P1W", "P1DT5H"])
@pytest.mark.parametrize("anchor", ["2024-01-31T10:00:00Z", "2024-02-29T23:30:00Z", "2023-12-01T00:00:00Z"])
def test_whoever_asks_from_anywhere_gets_the_next_step(period: str, anchor: str) -> None:
    made = expressions.compile(Spec("ISO8601", period, "Europe/Berlin", start_at_ms=ms(anchor)))
    steps = made.between(0, ms("2060-01-01T00:00:00Z"), 500)
    assert len(steps) >= 30
    for earlier, later in pairwise(steps):
        assert made.next_after(earlier) == made.next_after(later - 1) == later


def test_repetitions() -> None:
    five = [f"2026-12-01T10:{m:02}" for m in (0, 5, 10, 15, 20)]
    assert runs(Spec("ISO8601", "R5/2026-12-01T10:00:00Z/PT5M"), 9) == five
    assert runs(Spec("ISO8601", "R/2026-12-01T10:00:00Z/PT5M"), 5) == five
    assert runs(Spec("ISO8601", "R2/P1D", anchor_ms=NOW), 9) == ["2026-11-22T09:20", "2026-11-23T09:20"]
    assert runs(Spec("ISO8601", "R2/P1D", start_at_ms=NOW), 9, NOW - 1) == ["2026-11-21T09:20", "2026-11-22T09:20"]
    local = Spec("ISO8601", "R2/2026-12-01T10:00:00/P1D", "Europe/Berlin")
    assert runs(local, 9) == ["2026-12-01T09:00", "2026-12-02T09:00"]
    cut = Spec("ISO8601", "R5/2026-12-01T10:00:00Z/PT5M", start_at_ms=ms("2026-12-01T10:06:00Z"))
    assert runs(cut, 9) == five[2:]


@pytest.mark.parametrize("kind", ["CRON", "RATE", "DELAY", "ISO8601", "AT", "RRULE"])
def test_a_byte_order_mark_is_no_part_of_an_expression(kind: str) -> None:
    expr = {"CRON": "0 9 * * *", "RATE": "rate:1h", "DELAY": "delay:1h", "ISO8601": "PT1H"}.get(kind, "FREQ=HOURLY")
    expr = "at:2026-12-25T10:00:00Z" if kind == "AT" else expr
    plain, marked = (expressions.compile(Spec(kind, mark + expr, anchor_ms=NOW)) for mark in ("", "\ufeff"))
    assert marked.first_ms == plain.first_ms


# -- CRON, RRULE


def test_cron_and_rules_fire_on_whole_seconds_after_any_instant() -> None:
    assert runs(Spec("CRON", "* * * * *"), 1, NOW - 1) == ["2026-11-21T09:20"]
    assert runs(Spec("CRON", "* * * * *"), 1, NOW) == ["2026-11-21T09:21"]
    assert runs(Spec("CRON", "* * * * * *"), 2, NOW + 999) == ["2026-11-21T09:20:01", "2026-11-21T09:20:02"]
    assert runs(Spec("RRULE", "RRULE:FREQ=DAILY;BYHOUR=9;BYMINUTE=0;BYSECOND=0", "Europe/Berlin", NOW), 1) == [
        "2026-11-22T08:00"
    ]


def test_all_of_a_count_come_after_the_creation() -> None:
    spec = Spec("RRULE", "FREQ=MINUTELY;COUNT=3", anchor_ms=NOW + 437)
    assert runs(spec, 9, NOW + 437) == ["2026-11-21T09:20:01", "2026-11-21T09:21:01", "2026-11-21T09:22:01"]
    started = Spec("RRULE", "FREQ=MINUTELY;COUNT=3", anchor_ms=0, start_at_ms=NOW)
    assert runs(started, 9, 0) == ["2026-11-21T09:20", "2026-11-21T09:21", "2026-11-21T09:22"]


def test_a_dtstart_line_anchors_the_rule_and_its_zone() -> None:
    named = Spec("RRULE", "DTSTART;TZID=America/New_York:20261101T090000\nRRULE:FREQ=MONTHLY;BYDAY=-1FR")
    assert runs(named, 2) == ["2026-11-27T14:00", "2026-12-25T14:00"]
    assert runs(Spec("RRULE", "DTSTART:20261101T090000Z\nFREQ=MONTHLY", "Europe/Berlin"), 1) == ["2026-12-01T09:00"]


def test_rules_follow_daylight_saving_as_cron_does() -> None:
    start = ms("2026-03-28T12:00:00Z")
    rule = "DTSTART:20260101T023000\nRRULE:FREQ=DAILY"
    assert runs(Spec("RRULE", rule, "Europe/Berlin"), 2, start) == ["2026-03-29T01:00", "2026-03-30T00:30"]
    assert runs(Spec("RRULE", rule, "Europe/Berlin", dst_gap="shift"), 1, start) == ["2026-03-29T01:30"]
    assert runs(Spec("RRULE", rule, "Europe/Berlin", dst_gap="skip"), 1, start) == ["2026-03-30T00:30"]


# -- bounds


def test_start_and_end_are_included() -> None:
    spec = Spec("CRON", "0 * * * *", start_at_ms=ms("2026-11-21T12:00:00Z"), end_at_ms=ms("2026-11-21T14:00:00Z"))
    assert runs(spec, 9, 0) == ["2026-11-21T12:00", "2026-11-21T13:00", "2026-11-21T14:00"]
    assert expressions.compile(spec).first_ms == ms("2026-11-21T12:00:00Z")


def test_nothing_comes_after_year_9999() -> None:
    for spec in (
        Spec("RATE", "rate:300d"),
        Spec("CRON", "0 0 1 1 *"),
        Spec("ISO8601", "P9000Y"),
        Spec("RRULE", "FREQ=YEARLY"),
    ):
        assert expressions.compile(spec).next_after(INSTANT_MAX_MS - 1) is None


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (Spec("CRON", "nonsense"), "expr"),
        (Spec("CRON", "0 0 30 2 *"), "expr"),
        (Spec("RATE", "rate:999ms"), "expr"),
        (Spec("RATE", "5s"), "expr"),
        (Spec("RATE", "delay:5s"), "expr"),
        (Spec("RATE", "rate:99999999d"), "expr"),
        (Spec("DELAY", "delay:0s"), "expr"),
        (Spec("DELAY", "delay:soon"), "expr"),
        (Spec("AT", "2026-12-25T10:00:00Z"), "expr"),
        (Spec("AT", "at:2026-12-25T10:00:00"), "expr"),
        (Spec("AT", "at:2026-13-25T10:00:00Z"), "expr"),
        (Spec("AT", "at:2026-W52-5T10:00:00Z"), "expr"),
        (Spec("AT", "at:2026-12-25T10:00:00+0100"), "expr"),
        (Spec("AT", "at:2026-12-25T10:00:00,5Z"), "expr"),
        (Spec("ISO8601", "R5/2026-12-25T10:00:00+0100/P1D"), "expr"),
        (Spec("ISO8601", "R5/20261225T100000Z/P1D"), "expr"),
        (Spec("ISO8601", "P"), "expr"),
        (Spec("ISO8601", "PT"), "expr"),
        (Spec("ISO8601", "P1H"), "expr"),
        (Spec("ISO8601", "PT0S"), "expr"),
        (Spec("ISO8601", "PT0.5S"), "expr"),
        (Spec("ISO8601", "-P1D"), "expr"),
        (Spec("ISO8601", "R0/2026-12-01T10:00:00Z/PT5M"), "expr"),
        (Spec("ISO8601", "R5/soon/PT5M"), "expr"),
        (Spec("ISO8601", "2026-12-01T10:00:00Z/PT5M"), "expr"),
        (Spec("ISO8601", "R5/2026-12-01T10:00:00Z/2026-12-01T11:00:00Z"), "expr"),
        (Spec("RRULE", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"), "expr"),
        (Spec("RRULE", "DTSTART;TZID=Nowhere:20260101T000000\nRRULE:FREQ=DAILY"), "expr"),
        (Spec("CRON", "* * * * *", "Europe/Nowhere"), "timezone"),
        (Spec("CRON", "* * * * *", dst_gap="jump"), "dst_gap"),
        (Spec("CRON", "* * * * *", dst_overlap="thrice"), "dst_overlap"),
        (Spec("WHEN", "* * * * *"), "type"),
        (Spec("CRON", "* * * * *", start_at_ms=2, end_at_ms=1), "end_at_unix_ms"),
        (Spec("CRON", "0 0 1 1 *", start_at_ms=NOW, end_at_ms=NOW + DAY_MS), "expr"),
    ],
)
def test_what_is_refused_names_its_field(spec: Spec, field: str) -> None:
    with pytest.raises(InvalidField) as caught:
        expressions.compile(spec)
    assert [e.field for e in caught.value.errors] == [field]
    assert caught.value.status == 422


def test_compiling_again_is_a_look_up() -> None:
    spec = Spec("CRON", "1 2 3 * *")
    assert expressions.compile(spec) is expressions.compile(Spec("CRON", "1 2 3 * *"))


# -- properties

EXPRESSIONS = st.sampled_from(
    [
        ("CRON", "*/7 * * * *"),
        ("CRON", "30 2 * * *"),
        ("CRON", "15,45 1-3 * * *"),
        ("CRON", "0 0 L * 5"),
        ("CRON", "*/20 */3 2 * * *"),
        ("CRON", "0 */2 * * *"),
        ("RATE", "rate:1s"),
        ("RATE", "rate:7h"),
        ("ISO8601", "P1M"),
        ("ISO8601", "PT5M"),
        ("ISO8601", "P1DT1H"),
        ("ISO8601", "R9/2026-10-24T00:30:00Z/P1D"),
        ("AT", "at:2026-10-25T00:30:00Z"),
        ("RRULE", "FREQ=DAILY;BYHOUR=2;BYMINUTE=30"),
        ("RRULE", "FREQ=HOURLY;INTERVAL=3;COUNT=99"),
    ]
)
ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "Pacific/Apia"]
)
AFTERS = st.one_of(
    st.integers(ms("2026-03-01T00:00:00Z"), ms("2026-12-01T00:00:00Z")),
    st.sampled_from(["2026-03-29", "2026-10-25", "2026-11-01", "2026-04-24"]).flatmap(
        lambda day: st.integers(ms(f"{day}T00:00:00Z") - DAY_MS, ms(f"{day}T00:00:00Z") + DAY_MS)
    ),
)
POLICIES = st.tuples(st.sampled_from(["run_after", "skip", "shift"]), st.sampled_from(["once", "twice"]))


@st.composite
def schedules(draw: st.DrawFn) -> Spec:
    kind, expr = draw(EXPRESSIONS)
    gap, overlap = draw(POLICIES)
    exclude: list[Exclusion] = draw(
        st.lists(st.sampled_from([(NOW, NOW + DAY_MS), "* 1 * * *", "*/30 2-3 * * 0"]), max_size=2)
    )
    anchor = ms("2026-02-28T23:30:00.250Z")
    start = draw(st.none() | AFTERS)
    zone = draw(ZONES)
    return Spec(kind, expr, zone, anchor, start, dst_gap=gap, dst_overlap=overlap, exclude=tuple(exclude))


def compiled(spec: Spec) -> expressions.Recurrence | None:
    try:
        return expressions.compile(spec)
    except InvalidField:
        return None


@settings(max_examples=300, deadline=None)
@given(schedules(), AFTERS)
def test_next_run_strictly_increases_and_equals_between(spec: Spec, after: int) -> None:
    made = compiled(spec)
    if made is None:
        return
    upto = after + 40 * DAY_MS
    at, found = made.next_after(after), list[int]()
    while at is not None and at <= upto and len(found) < 60:
        assert at > (found[-1] if found else after)
        found.append(at)
        at = made.next_after(at)
    assert made.between(after + 1, upto, 60) == found
    # whatever instant in between is asked from, the answer is the same grid: nothing depends on the way there
    for earlier, later in zip([after, *found], found, strict=False):
        assert made.next_after((earlier + later) // 2) == later
        assert made.next_after(later - 1) == later


@settings(max_examples=100, deadline=None)
@given(schedules(), AFTERS, AFTERS)
def test_a_pause_leaves_the_grid_as_it_was(spec: Spec, paused: int, resumed: int) -> None:
    made = compiled(spec)
    if made is None:
        return
    paused, resumed = sorted((paused, resumed))
    whole = made.between(paused + 1, resumed + 10 * DAY_MS, 400_000 if spec.type == "RATE" else 5_000)
    following = made.next_after(resumed)
    rest = [at for at in whole if at > resumed]
    if rest:
        assert following == rest[0]


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(expressions.KINDS),
    st.text(alphabet="0123456789*,-/LW#: PTRFEQ=DAILYMONSUratedelyhsm.;Z\n", max_size=50),
    st.integers(0, INSTANT_MAX_MS),
)
def test_no_expression_hangs(kind: str, expr: str, after: int) -> None:
    began = time.process_time()
    made = compiled(Spec(kind, expr, "Europe/Berlin", NOW))
    if made is not None:
        found = made.next_after(after)
        assert found is None or found > after
    assert time.process_time() - began < 3
