"""Cron expressions: what is read, what is refused, and the next match against engines that walk instead of shifting."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime, timedelta

import pytest
from croniter import croniter
from cronsim import CronSim, CronSimError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chalicelib.core.recurrence.cron import NEVER, Cron, CronError, parse
from chalicelib.core.recurrence.cron_without import CronWithout

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def wall(text: str) -> int:
    return int((datetime.fromisoformat(text).replace(tzinfo=UTC) - EPOCH).total_seconds())


def shown(wall_s: int) -> str:
    return f"{EPOCH + timedelta(seconds=wall_s):%Y-%m-%dT%H:%M:%S}"


def runs(expr: str, after: str, count: int = 3) -> list[str]:
    cron, at, found = parse(expr), wall(after), []
    for _ in range(count):
        at = cron.next_wall(at + 1)
        found.append(shown(at))
    return found


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        ("*/20 * * * *", ["2026-11-21T09:40:00", "2026-11-21T10:00:00", "2026-11-21T10:20:00"]),
        ("5/20 * * * *", ["2026-11-21T09:25:00", "2026-11-21T09:45:00", "2026-11-21T10:05:00"]),
        ("59/5 * * * *", ["2026-11-21T09:59:00", "2026-11-21T10:59:00", "2026-11-21T11:59:00"]),
        ("0 0 1-10/4 * *", ["2026-12-01T00:00:00", "2026-12-05T00:00:00", "2026-12-09T00:00:00"]),
        ("0 9 * * mon-fri", ["2026-11-23T09:00:00", "2026-11-24T09:00:00", "2026-11-25T09:00:00"]),
        ("0 9 * feb sun", ["2027-02-07T09:00:00", "2027-02-14T09:00:00", "2027-02-21T09:00:00"]),
        ("0 9 * * 7", ["2026-11-22T09:00:00", "2026-11-29T09:00:00", "2026-12-06T09:00:00"]),
        ("0 9 * * 5-7", ["2026-11-22T09:00:00", "2026-11-27T09:00:00", "2026-11-28T09:00:00"]),
        ("0 0 L * *", ["2026-11-30T00:00:00", "2026-12-31T00:00:00", "2027-01-31T00:00:00"]),
        ("0 0 L 2 *", ["2027-02-28T00:00:00", "2028-02-29T00:00:00", "2029-02-28T00:00:00"]),
        ("0 0 LW * *", ["2026-11-30T00:00:00", "2026-12-31T00:00:00", "2027-01-29T00:00:00"]),
        ("0 0 15W * *", ["2026-12-15T00:00:00", "2027-01-15T00:00:00", "2027-02-15T00:00:00"]),
        ("0 0 1W * *", ["2026-12-01T00:00:00", "2027-01-01T00:00:00", "2027-02-01T00:00:00"]),
        ("0 0 1W 5 *", ["2027-05-03T00:00:00", "2028-05-01T00:00:00", "2029-05-01T00:00:00"]),  # 1 May 2027: Saturday
        ("0 0 31W * *", ["2026-12-31T00:00:00", "2027-01-29T00:00:00", "2027-03-31T00:00:00"]),
        ("0 0 10,L * *", ["2026-11-30T00:00:00", "2026-12-10T00:00:00", "2026-12-31T00:00:00"]),
        ("0 0 * * 5L", ["2026-11-27T00:00:00", "2026-12-25T00:00:00", "2027-01-29T00:00:00"]),
        ("0 0 * * FRIL", ["2026-11-27T00:00:00", "2026-12-25T00:00:00", "2027-01-29T00:00:00"]),
        ("0 0 * * 1#2", ["2026-12-14T00:00:00", "2027-01-11T00:00:00", "2027-02-08T00:00:00"]),
        ("0 0 * * 7#5", ["2026-11-29T00:00:00", "2027-01-31T00:00:00", "2027-05-30T00:00:00"]),
        ("0 0 * 2 MON#5", ["2044-02-29T00:00:00", "2072-02-29T00:00:00", "2112-02-29T00:00:00"]),
        ("0 0 29 2 *", ["2028-02-29T00:00:00", "2032-02-29T00:00:00", "2036-02-29T00:00:00"]),
        ("0 0 29 2 1", ["2027-02-01T00:00:00", "2027-02-08T00:00:00", "2027-02-15T00:00:00"]),  # either day matches
        ("0 0 */10 * 1", ["2026-12-21T00:00:00", "2027-01-11T00:00:00", "2027-02-01T00:00:00"]),  # a star: both must
        ("30 15 10 * * *", ["2026-11-21T10:15:30", "2026-11-22T10:15:30", "2026-11-23T10:15:30"]),
        ("*/30 0 10 * * *", ["2026-11-21T10:00:00", "2026-11-21T10:00:30", "2026-11-22T10:00:00"]),
        ("@hourly", ["2026-11-21T10:00:00", "2026-11-21T11:00:00", "2026-11-21T12:00:00"]),
        ("@weekly", ["2026-11-22T00:00:00", "2026-11-29T00:00:00", "2026-12-06T00:00:00"]),
        ("@Yearly", ["2027-01-01T00:00:00", "2028-01-01T00:00:00", "2029-01-01T00:00:00"]),
    ],
)
def test_the_next_matches(expr: str, expected: list[str]) -> None:
    assert runs(expr, "2026-11-21T09:20:05") == expected


@pytest.mark.parametrize(
    "expr",
    [
        "", "*", "* * * *", "* * * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 0 *",
        "* * * 13 *", "* * * * 8", "60 * * * * *", "*/0 * * * *", "*/-1 * * * *", "*/x * * * *", "5-1 * * * *",
        "1-2-3 * * * *", ", * * * *", "1,,2 * * * *", "- * * * *", "/ * * * *", "*-5 * * * *", "** * * * *",
        "* * W * *", "* * 0W * *", "* * 32W * *", "* * WL * *", "* * L-3 * *", "* * L/2 * *", "* * * * L",
        "* * * * 1#0", "* * * * 1#6", "* * * * #1", "* * * * 1-5#2", "* * * * XL", "* * * FOO *", "* * * * FOO",
        "FEB * * * *", "١ * * * *", "1.5 * * * *", "@reboot", "@never", "? * * * *", "0 0 ? * 1",
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(expr: str) -> None:
    with pytest.raises(CronError):
        parse(expr)


@pytest.mark.parametrize(
    ("expr", "says"),
    [
        ("@reboot", "is none of @yearly, @annually, @monthly"),
        ("0 2 * * ?", "what other services write as ? is *"),
        ("CRON_TZ=Europe/Paris 0 2 * * *", "a time zone goes into timezone"),
        ("TZ=UTC 0 2 * * *", "a time zone goes into timezone"),
    ],
)
def test_what_other_dialects_write_is_refused_with_what_takes_its_place(expr: str, says: str) -> None:
    with pytest.raises(CronError) as refused:
        parse(expr)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    "expr", ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 31W 2 *", "0 0 30-31 FEB *", "0 0 30 2 */2", "0 0 */30,30 2 8-9"]
)
def test_dates_that_never_come_are_refused(expr: str) -> None:
    with pytest.raises(CronError):
        parse(expr)


def test_an_exclusion_may_name_dates_that_never_come() -> None:
    assert Cron("0 0 30 2 *", excludes=True).next_wall(0) == NEVER


@pytest.mark.parametrize("expr", ["0 0 30 2 1", "0 0 29 2 */2", "0 0 L 2 *", "0 0 31 1,4 *", "0 0 29W 2 *"])
def test_dates_that_come_rarely_are_accepted(expr: str) -> None:
    assert parse(expr).next_wall(0) < NEVER


def test_the_first_field_of_six_is_seconds() -> None:
    assert runs("15 * * * * *", "2026-11-21T09:20:15", 2) == ["2026-11-21T09:21:15", "2026-11-21T09:22:15"]


@pytest.mark.parametrize(
    ("expr", "elapsed"),
    [
        ("* 2 * * *", True),
        ("0 * * * *", True),
        ("0 */2 * * *", True),
        ("0 0-23/2 * * *", False),
        ("* 0 2 * * *", False),
    ],
)
def test_a_star_in_minute_or_hour_follows_elapsed_time(expr: str, elapsed: bool) -> None:
    assert parse(expr).elapsed is elapsed


FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


@st.composite
def expressions(draw: st.DrawFn) -> str:
    """Five-field expressions of every plain form."""

    def term(low: int, high: int) -> str:
        first = draw(st.integers(low, high - 1))
        last = draw(st.integers(first + 1, high))
        return draw(
            st.sampled_from([str(first), f"{first}-{last}", f"{first}-{last}/{last % 7 + 1}", f"{first}/{last}"])
        )

    def one(low: int, high: int) -> str:
        if draw(st.booleans()):
            return draw(st.sampled_from(["*", "*/2", "*/7", "*/30"]))
        return ",".join(term(low, high) for _ in range(draw(st.integers(1, 3))))

    return " ".join(one(low, high) for low, high in FIELDS)


@settings(max_examples=300, deadline=None)
@example("0 0 30 2 *", wall("1999-01-01"))
@given(expressions(), st.integers(wall("1999-01-01"), wall("2060-01-01")))
def test_equal_to_cronsim_in_utc(expr: str, after: int) -> None:
    try:
        theirs = [int(m.timestamp()) for m, _ in zip(CronSim(expr, EPOCH + timedelta(seconds=after)), range(3))]  # noqa: B905
    except CronSimError:  # it refuses some of the days that never come, and is silent about the others
        theirs = []
    try:
        cron = parse(expr)
    except CronError:
        assert not theirs
        return
    for expected in theirs:
        after = cron.next_wall(after + 1)
        assert after == expected


@pytest.mark.parametrize(
    "expr", ["0 0 L * *", "0 0 1W * *", "0 0 15W * *", "0 0 28W * *", "5 4 * * L5", "5 4 * * 1#3", "5 4 * * 0#1"]
)
def test_equal_to_croniter_on_special_days(expr: str) -> None:
    peer = croniter(expr, datetime(2026, 1, 1))  # noqa: DTZ001 - wall time on both sides
    at = wall("2026-01-01")
    cron = parse(expr)
    for _ in range(120):
        at = cron.next_wall(at + 1)
        assert shown(at) == f"{peer.get_next(datetime):%Y-%m-%dT%H:%M:%S}"


@pytest.mark.parametrize(
    "expr", ["0 0 L * *", "0 0 LW * *", "5 4 * * 5L", "5 4 * * 7L", "5 4 * * 1#3", "0 0 L,10 * 2L"]
)
def test_equal_to_cronsim_on_special_days(expr: str) -> None:
    peer = CronSim(expr, datetime(2026, 1, 1))  # noqa: DTZ001 - wall time on both sides
    at = wall("2026-01-01")
    cron = parse(expr)
    for _ in range(120):
        at = cron.next_wall(at + 1)
        assert shown(at) == f"{next(peer):%Y-%m-%dT%H:%M:%S}"


@settings(max_examples=200, deadline=None)
@given(expressions(), st.integers(0, wall("2060-01-01")), st.booleans())
def test_unmatched_from_ends_the_run_of_matches(expr: str, start: int, six: bool) -> None:
    cron = Cron(f"*/2,1-30 {expr}" if six else expr, excludes=True)
    at = cron.next_wall(start)
    if at == NEVER:
        return
    free = cron.unmatched_from(at)
    assert free > at
    if free == NEVER:
        return
    assert not cron.matches_wall(free)
    probes = range(at, min(free, at + 200))
    assert all(cron.matches_wall(p) for p in probes)
    assert cron.matches_wall(free - 1)


@settings(max_examples=200, deadline=None)
@given(expressions(), st.lists(expressions(), max_size=3), st.integers(wall("2020-01-01"), wall("2030-01-01")))
def test_without_gives_what_filtering_gives(expr: str, removed: list[str], start: int) -> None:
    try:
        cron = parse(expr)
    except CronError:
        return
    others = [Cron(r, excludes=True) for r in removed]
    left = CronWithout(cron, others)
    at, steps = cron.next_wall(start), 0
    while at != NEVER and any(o.matches_wall(at) for o in others) and steps < 3_000:
        at, steps = cron.next_wall(at + 1), steps + 1
    if steps < 3_000:
        assert left.next_wall(start) == at


def test_an_exclusion_that_meets_every_hour_but_not_every_minute() -> None:
    left = CronWithout(parse("0,30 9 * * *"), [Cron("30 * * * *", excludes=True)])
    assert shown(left.next_wall(wall("2026-11-21T09:20:00"))) == "2026-11-22T09:00:00"


def test_nothing_left_is_found_out_quickly() -> None:
    began = time.process_time()
    cron = parse("0 * * * *")
    left = CronWithout(cron, [Cron("* 0-11 * * *", excludes=True), Cron("* 12-23 * * *", excludes=True)])
    assert left.next_wall(0) == NEVER
    assert CronWithout(cron, [Cron("* * * * *", excludes=True)]).next_wall(0) == NEVER
    assert time.process_time() - began < 2


def test_the_end_of_time_is_year_9999() -> None:
    assert shown(parse("0 0 31 12 *").next_wall(wall("9999-12-30"))) == "9999-12-31T00:00:00"
    assert parse("0 0 31 12 *").next_wall(wall("9999-12-31T00:00:01")) == NEVER
    assert parse("* * * * *").next_wall(wall("9999-12-31T23:59:30")) == NEVER


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="0123456789*,-/LW#? @MONfeb", max_size=40))
def test_garbage_is_refused_or_read_and_never_hangs(text: str) -> None:
    try:
        found = parse(text).next_wall(random.Random(len(text)).randrange(1 << 31))
    except CronError:
        return
    assert found < NEVER
