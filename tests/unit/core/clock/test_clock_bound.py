"""The bound on the wall clock's error: proven against brute force and against a simulated truth."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.clock.clock_bound import (
    Agreement,
    ClockReading,
    Interval,
    Observation,
    WallStep,
    drift_of,
    estimate,
    from_bound,
    from_chrony,
    from_date_header,
    keep,
    marzullo,
    remember,
    shared_by,
)
from chalicelib.core.clock.limits import DRIFT_SAMPLES_MAX, OBSERVATIONS_MAX

S = 1_000_000_000
MS = 1_000_000

small = st.integers(min_value=-20, max_value=20)
intervals = st.builds(lambda a, b: Interval(min(a, b), max(a, b)), small, small)
many = st.lists(intervals, min_size=1, max_size=7)


def votes(found: list[Interval], at: float) -> int:
    return sum(i.low <= at <= i.high for i in found)


POINTS = [p / 2 for p in range(-44, 45)]  # every end, and a point between any two


@given(many)
def test_marzullo_agrees_with_counting_every_point(found: list[Interval]) -> None:
    most = max(votes(found, p) for p in POINTS)
    best = marzullo(found)
    assert best is not None
    assert best.count == most
    first = min(p for p in POINTS if votes(found, p) == most)
    assert best.interval.low == first
    assert all(votes(found, p) == most for p in POINTS if best.interval.low <= p <= best.interval.high)
    assert votes(found, best.interval.high + 0.5) < most


@given(many, st.integers(min_value=1, max_value=8))
def test_shared_by_agrees_with_counting_every_point(found: list[Interval], quorum: int) -> None:
    holding = [p for p in POINTS if votes(found, p) >= quorum]
    shared = shared_by(found, quorum)
    assert (shared is None) == (not holding)
    if shared is not None:
        assert (shared.low, shared.high) == (min(holding), max(holding))


@given(small, st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=5), st.data())
def test_a_true_majority_holds_the_truth(truth: int, radii: list[tuple[int, int]], data: st.DataObject) -> None:
    true = [Interval(truth - a, truth + b) for a, b in radii]
    false = data.draw(st.lists(intervals, max_size=len(true) - 1))
    everyone = data.draw(st.permutations(true + false))
    shared = shared_by(everyone, len(everyone) // 2 + 1)
    assert shared is not None
    assert shared.low <= truth <= shared.high


def test_marzullos_own_examples() -> None:
    assert marzullo([Interval(8, 12), Interval(11, 13), Interval(10, 12)]) == Agreement(Interval(11, 12), 3)
    assert marzullo([Interval(8, 12), Interval(11, 13), Interval(14, 15)]) == Agreement(Interval(11, 12), 2)
    assert marzullo([Interval(8, 9), Interval(8, 12), Interval(10, 12)]) == Agreement(Interval(8, 9), 2)
    assert marzullo([Interval(1, 2), Interval(2, 3)]) == Agreement(Interval(2, 2), 2)
    assert marzullo([]) is None


def test_an_empty_interval_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        Interval(2, 1)
    with pytest.raises(ValueError, match="empty"):
        from_date_header("s3", 10, sent_monotonic=5, received_monotonic=4)


# -- drift


def reading(wall: int, monotonic: int, took: int = 0) -> ClockReading:
    return ClockReading(wall, monotonic, monotonic + took)


def test_steady_clocks_show_no_drift() -> None:
    drift = drift_of([reading(1000 * S + i * S, i * S) for i in range(10)], step_nanos=MS)
    assert (drift.nanos, drift.samples, drift.steps) == (0, 10, ())
    assert drift_of([], MS).samples == 0


@pytest.mark.parametrize("jump", [5 * S, -5 * S, MS])
def test_a_step_is_seen_with_its_size_and_sign(jump: int) -> None:
    readings = [reading(0, 0), reading(S, S), reading(2 * S + jump, 2 * S), reading(3 * S + jump, 3 * S)]
    drift = drift_of(readings, step_nanos=MS)
    assert drift.nanos == jump
    assert drift.steps == (WallStep(2 * S + jump, jump),)


def test_slow_slewing_is_drift_and_no_step() -> None:
    drift = drift_of([reading(i * S + i * 1000, i * S) for i in range(101)], step_nanos=MS)
    assert drift.nanos == 100_000
    assert drift.steps == ()


def test_a_reading_that_was_interrupted_proves_nothing() -> None:
    # the process slept 3 s between reading the wall and reading the monotonic clock after it
    assert drift_of([reading(0, 0), reading(S, S, took=3 * S)], step_nanos=MS).nanos == 0
    assert drift_of([reading(0, 0), reading(9 * S, S, took=3 * S)], step_nanos=MS).nanos == 5 * S  # at least


def test_memory_is_bounded() -> None:
    readings: tuple[ClockReading, ...] = ()
    seen: tuple[Observation, ...] = ()
    for i in range(DRIFT_SAMPLES_MAX + 5):
        readings = remember(readings, reading(i, i))
        seen = keep(seen, Observation("a", Interval(0, 0), i))
    assert (len(readings), readings[0].wall_nanos) == (DRIFT_SAMPLES_MAX, 5)
    assert (len(seen), seen[-1].monotonic_nanos) == (OBSERVATIONS_MAX, DRIFT_SAMPLES_MAX + 4)


# -- observations


def test_a_date_header_bounds_by_its_second_and_the_round_trip() -> None:
    seen = from_date_header("s3", 1000, sent_monotonic=50 * S, received_monotonic=50 * S + 40 * MS)
    assert seen.interval == Interval(950 * S - 40 * MS, 951 * S)


def test_clockbound_and_chrony_become_intervals() -> None:
    now = reading(1000 * S, 10 * S)
    assert from_bound("clockbound", 1000 * S - 7, 1000 * S + 9, now).interval == Interval(990 * S - 7, 990 * S + 9)
    chrony = from_chrony("chrony", slow_nanos=100, root_delay_nanos=31, root_dispersion_nanos=4, reading=now)
    assert chrony.interval == Interval(990 * S + 80, 990 * S + 120)
    assert from_chrony("chrony", -100, 0, 0, now).interval == Interval(990 * S - 100, 990 * S - 100)


def test_no_source_no_bound() -> None:
    assert estimate([], reading(0, 0), 50) is None


def test_the_bound_and_the_provable_drift() -> None:
    now = reading(1000 * S, 0)
    slow = estimate([Observation("a", Interval(1000 * S + 3, 1000 * S + 8), 0)], now, 0)
    assert slow is not None
    assert (slow.error_bound_nanos, slow.drift_nanos) == (8, -3)
    sure = estimate([Observation("a", Interval(1000 * S - 3, 1000 * S + 8), 0)], now, 0)
    assert sure is not None
    assert (sure.error_bound_nanos, sure.drift_nanos) == (8, 0)


def test_a_bound_grows_with_age() -> None:
    seen = [Observation("a", Interval(0, 0), 0)]
    old = estimate(seen, reading(1000 * S, 1000 * S), drift_ppm=50)
    assert old is not None
    assert old.error_bound_nanos == 50 * MS


def test_one_false_source_of_three_is_outvoted_and_of_two_widens_the_bound() -> None:
    now = reading(0, 0)
    good, better, false = (
        Observation("a", Interval(-5, 5), 0),
        Observation("b", Interval(-2, 3), 0),
        Observation("c", Interval(900, 901), 0),
    )
    three = estimate([good, better, false], now, 0)
    two = estimate([good, false], now, 0)
    assert three is not None
    assert two is not None
    assert (three.offset, three.agreeing, three.sources) == (Interval(-2, 3), 2, 3)
    assert (two.offset, two.agreeing, two.sources) == (Interval(-5, 901), 1, 2)


def test_several_answers_of_one_source_narrow_each_other_and_a_contradiction_drops_the_old() -> None:
    now = reading(0, 0)
    narrowed = estimate([Observation("a", Interval(-9, 1), 0), Observation("a", Interval(-1, 9), 0)], now, 0)
    assert narrowed is not None
    assert (narrowed.offset, narrowed.sources) == (Interval(-1, 1), 1)
    corrected = estimate([Observation("a", Interval(50, 60), 0), Observation("a", Interval(-1, 9), 0)], now, 0)
    assert corrected is not None
    assert corrected.offset == Interval(-1, 9)


@pytest.mark.parametrize("seed", range(20))
def test_the_bound_holds_the_truth_whatever_wall_and_quartz_do(seed: int) -> None:
    """Three servers' Date headers, a monotonic clock off by up to 50 ppm, a wall that steps: the truth stays inside."""
    r = random.Random(seed)
    rate_ppm = r.randint(-50, 50)
    true, wall_offset = 1_700_000_000 * S, r.randint(-2 * S, 2 * S)
    start = true
    seen: tuple[Observation, ...] = ()

    def monotonic() -> int:
        return 7 * S + (true - start) + (true - start) * rate_ppm // 1_000_000

    for _ in range(100):
        true += r.randint(0, 30 * S)
        if r.random() < 0.05:
            wall_offset += r.randint(-60 * S, 60 * S)
        sent = monotonic()
        true += r.randint(0, 300 * MS)
        date = true // S
        true += r.randint(0, 300 * MS)
        seen = keep(seen, from_date_header(r.choice(("dynamodb", "sqs", "events")), date, sent, monotonic()))
        before = monotonic()
        wall = true + wall_offset
        truth = true - wall
        true += r.randint(0, MS)
        # one nanosecond of slack each way: the simulated quartz rounds
        found = estimate(seen, ClockReading(wall, before, monotonic()), drift_ppm=51)
        assert found is not None
        assert found.offset.low - 1 <= truth <= found.offset.high + 1
        assert found.error_bound_nanos + 1 >= abs(truth)
        assert found.agreeing == found.sources
