"""Daylight saving: the default against cronsim, the other policies against walks over every minute with zoneinfo."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.core.errors import InvalidField
from chalicelib.core.instants import parse_rfc3339, to_rfc3339
from chalicelib.core.recurrence import expressions
from chalicelib.core.recurrence.expressions import Spec
from tests.unit.core.recurrence import dst_differential

SLICE = 2_500
SLICE_SEED = 20261121


def test_default_equals_cronsim_around_changes(capsys: pytest.CaptureFixture[str]) -> None:
    tally = dst_differential.run(SLICE, SLICE_SEED)
    with capsys.disabled():
        print(f"\ncronsim differential: {tally.summary()}")
    assert tally.different == []
    assert tally.equal >= SLICE * 0.995


def test_the_differential_notices_a_wrong_answer() -> None:
    def wrong(expr: str, start: int, zone: str) -> list[int]:
        return [at + 60 for at in dst_differential.our_runs(expr, start, zone)]

    assert len(dst_differential.run(50, 1, wrong).different) > 40


# -- the policies, minute by minute


def exists(wall: datetime, info: ZoneInfo) -> bool:
    """Whether some instant shows this naive wall time."""
    return wall.replace(tzinfo=info).astimezone(UTC).astimezone(info).replace(tzinfo=None) == wall


def instants(wall: datetime, info: ZoneInfo, gap: str, overlap: str) -> set[int]:
    """The instants of a fixed job's wall time, by PEP 495: fold tells the passes, and in a gap fold 0 shifts."""
    if exists(wall, info):
        both = {int(wall.replace(tzinfo=info, fold=fold).timestamp()) for fold in (0, 1)}
        return both if overlap == "twice" else {min(both)}
    if gap == "skip":
        return set()
    if gap == "shift":
        return {int(wall.replace(tzinfo=info, fold=0).timestamp())}
    while not exists(wall, info):
        wall += timedelta(minutes=1)
    return {int(wall.replace(tzinfo=info).timestamp())}


def matching(fields: CronSim, moment: datetime) -> bool:
    """Whether a wall time's minute is named, by cronsim's field sets."""
    named = moment.minute in fields.minutes and moment.hour in fields.hours and moment.month in fields.months
    return named and fields.match_day(moment.date())


def walked(expr: str, info: ZoneInfo, start: int, stop: int, gap: str, overlap: str) -> list[int]:
    """All runs in [start, stop], by looking at every minute."""
    fields = CronSim(expr, datetime(2020, 1, 1, tzinfo=UTC))
    minute, hour, *_ = expr.split()
    if minute.startswith("*") or hour.startswith("*"):
        first = -(-start // 60) * 60
        return [at for at in range(first, stop + 1, 60) if matching(fields, datetime.fromtimestamp(at, info))]
    found: set[int] = set()
    wall = datetime.fromtimestamp(start, UTC).replace(tzinfo=None, second=0) - timedelta(days=2)
    while wall < datetime.fromtimestamp(stop, UTC).replace(tzinfo=None) + timedelta(days=2):
        if matching(fields, wall):
            found |= instants(wall, info, gap, overlap)
        wall += timedelta(minutes=1)
    return sorted(at for at in found if start <= at <= stop)


GAPS = ("run_after", "skip", "shift")
ZONES = (
    "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "America/Santiago", "America/Havana",
    "Antarctica/Troll", "Asia/Gaza", "Africa/Casablanca", "Pacific/Apia",
)  # fmt: skip


@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("overlap", ["once", "twice"])
def test_policies_equal_a_walk_over_every_minute(gap: str, overlap: str) -> None:
    rng = random.Random(f"{gap} {overlap}")
    for _ in range(40):
        name = rng.choice(ZONES)
        start = rng.choice(dst_differential.transitions(name)) - rng.randint(0, 86_400)
        stop = start + 2 * 86_400
        expr = dst_differential.random_expression(rng)
        try:
            made = expressions.compile(Spec("CRON", expr, name, dst_gap=gap, dst_overlap=overlap))
        except InvalidField:
            continue
        expected = walked(expr, ZoneInfo(name), start, stop, gap, overlap)
        found = [at // 1000 for at in made.between(start * 1000, stop * 1000, 10_000)]
        assert found == expected, (expr, name, start)


BERLIN_GAP = "2026-03-29T00:00:00Z"
BERLIN_OVERLAP = "2026-10-24T22:00:00Z"


@pytest.mark.parametrize(
    ("expr", "gap", "expected"),
    [
        ("30 2 * * *", "run_after", ["01:00"]),
        ("30 2 * * *", "skip", []),
        ("30 2 * * *", "shift", ["01:30"]),
        ("0,30 2,3 * * *", "run_after", ["01:00", "01:30"]),
        ("0,30 2,3 * * *", "skip", ["01:00", "01:30"]),
        ("15,45 2,3 * * *", "shift", ["01:15", "01:45"]),
        ("45 2,3 * * *", "shift", ["01:45"]),
        ("30 30 2 * * *", "run_after", ["01:00"]),
        ("30 30 2 * * *", "shift", ["01:30:30"]),
        ("*/30 2 * * *", "run_after", []),
        ("*/30 2 * * *", "shift", []),
        ("30 * * * *", "run_after", ["00:30", "01:30", "02:30"]),
    ],
)
def test_in_the_gap(expr: str, gap: str, expected: list[str]) -> None:
    made = expressions.compile(Spec("CRON", expr, "Europe/Berlin", dst_gap=gap))
    start = parse_rfc3339(BERLIN_GAP)
    found = [to_rfc3339(at)[11:19].removesuffix(":00") for at in made.between(start, start + 3 * 3_600_000 - 1, 99)]
    assert found == expected


@pytest.mark.parametrize(
    ("expr", "overlap", "expected"),
    [
        ("30 2 * * *", "once", ["00:30"]),
        ("30 2 * * *", "twice", ["00:30", "01:30"]),
        ("0 2,3 * * *", "once", ["00:00", "02:00"]),
        ("0 2,3 * * *", "twice", ["00:00", "01:00", "02:00"]),
        ("*/30 2 * * *", "once", ["00:00", "00:30", "01:00", "01:30"]),
        ("0 */2 * * *", "once", ["22:00", "00:00", "01:00"]),
    ],
)
def test_in_the_overlap(expr: str, overlap: str, expected: list[str]) -> None:
    made = expressions.compile(Spec("CRON", expr, "Europe/Berlin", dst_overlap=overlap))
    start = parse_rfc3339(BERLIN_OVERLAP)
    assert [to_rfc3339(at)[11:16] for at in made.between(start, start + 5 * 3_600_000 - 1, 99)] == expected


@pytest.mark.parametrize(("expr", "overlap"), [("*/30 2 25 10 *", "once"), ("0,30 2 25 10 *", "twice")])
def test_the_second_pass_is_not_jumped_over_when_the_next_date_is_far(expr: str, overlap: str) -> None:
    made = expressions.compile(Spec("CRON", expr, "Europe/Berlin", dst_overlap=overlap))
    assert made.next_after(parse_rfc3339("2026-10-25T00:45:00Z")) == parse_rfc3339("2026-10-25T01:00:00Z")


def test_not_twice_at_fall_back_as_croniter_does() -> None:
    made = expressions.compile(Spec("CRON", "30 1 * * *", "America/New_York"))
    start = parse_rfc3339("2026-11-01T00:00:00Z")
    assert [to_rfc3339(at) for at in made.between(start, start + 86_400_000, 9)] == ["2026-11-01T05:30:00.000Z"]


def test_notes_name_what_was_moved_or_is_ambiguous() -> None:
    def noted(expr: str, start: str, **policies: str) -> list[str]:
        made = expressions.compile(Spec("CRON", expr, "Europe/Berlin", **policies))  # type: ignore[arg-type]
        at = parse_rfc3339(start)
        return [
            f"{to_rfc3339(run)[11:16]} {kind}" for run, kind in made.dst_notes(made.between(at, at + 10_800_000, 99))
        ]

    assert noted("30 2 * * *", BERLIN_GAP) == ["01:00 gap"]
    assert noted("30 2 * * *", BERLIN_GAP, dst_gap="shift") == ["01:30 gap"]
    assert noted("30 2 * * *", BERLIN_GAP, dst_gap="skip") == []
    assert noted("30 3 * * *", BERLIN_GAP) == []
    assert noted("*/30 * * * *", BERLIN_GAP) == []
    assert noted("30 2 * * *", BERLIN_OVERLAP) == ["00:30 overlap"]
    assert noted("30 2 * * *", "2026-10-25T00:00:00Z", dst_overlap="twice") == ["00:30 overlap", "01:30 overlap"]
    assert noted("30 1,3 * * *", "2026-10-25T00:00:00Z") == []


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(ZONES), st.integers(0, 200), st.integers(-100_000, 100_000), st.sampled_from(GAPS))
def test_calendar_periods_follow_the_same_policies(name: str, which: int, near: int, gap: str) -> None:
    changes = dst_differential.transitions(name)
    info = ZoneInfo(name)
    anchor = changes[which % len(changes)] + near - 20 * 86_400
    first = datetime.fromtimestamp(anchor, info).replace(tzinfo=None)
    for overlap in ("once", "twice"):
        made = expressions.compile(
            Spec("ISO8601", "P1D", name, start_at_ms=anchor * 1000, dst_gap=gap, dst_overlap=overlap)
        )
        expected = {anchor}
        for k in range(1, 40):
            wall = first + timedelta(days=k)
            if gap == "run_after" and not exists(wall, info):
                wall = wall.replace(second=0)  # the walk goes by minutes; the gap ends on one
            expected |= instants(wall, info, gap, overlap)
        ordered = sorted(expected)
        assert [at // 1000 for at in made.between(anchor * 1000, ordered[-1] * 1000, 99)] == ordered
