"""The hybrid logical clock only grows, respects causality, and refuses what lies too far ahead."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.adapters.machine.hlc_clock import HlcClock
from chalicelib.core.clock import hlc
from chalicelib.core.clock.hlc import Stamp
from chalicelib.core.clock.limits import HLC_LOGICAL_MAX
from chalicelib.core.errors import InvalidField

MS = 1_000_000
NOW = 1_795_252_800_000_000_000
BOUND = hlc.bound_nanos(20)

walls = st.integers(min_value=0, max_value=2 * NOW)
counts = st.integers(min_value=0, max_value=HLC_LOGICAL_MAX) | st.integers(min_value=0, max_value=(1 << 63) - 1)
stamps = st.builds(Stamp, walls, counts)
near = st.builds(Stamp, st.integers(min_value=0, max_value=1 << 18), st.integers(min_value=0, max_value=3))


def test_the_bound_is_the_drift_and_half_a_second() -> None:
    assert BOUND == 520 * MS


@given(stamps, walls)
def test_a_tick_is_above_the_last_and_not_below_the_wall(last: Stamp, wall: int) -> None:
    new = hlc.tick(last, wall)
    assert new > last
    assert new.physical_nanos >= wall
    assert new == Stamp(wall, 0) or wall <= last.physical_nanos


@given(stamps, stamps, walls)
def test_a_merge_is_above_both_or_refused(last: Stamp, remote: Stamp, wall: int) -> None:
    if remote.physical_nanos - wall > BOUND:
        with pytest.raises(InvalidField) as refused:
            hlc.merge(last, remote, wall, BOUND)
        assert refused.value.code == "clock_skew"
        assert [e.field for e in refused.value.errors] == ["X-Chrono-HLC"]
    else:
        assert hlc.merge(last, remote, wall, BOUND) > max(last, remote)


@pytest.mark.parametrize(
    ("last", "remote", "wall", "expected"),
    [
        ((10, 0), (10, 5), 3, (10, 6)),  # the same physical time: one above the larger counter
        ((10, 4), (7, 9), 3, (10, 5)),  # the local one leads
        ((10, 4), (12, 9), 3, (12, 10)),  # the remote one leads
        ((10, 4), (12, 9), 13, (13, 0)),  # the wall leads: the counter starts again
    ],
)
def test_the_papers_four_cases(
    last: tuple[int, int], remote: tuple[int, int], wall: int, expected: tuple[int, int]
) -> None:
    assert hlc.merge(Stamp(*last), Stamp(*remote), wall, BOUND) == Stamp(*expected)


def test_exactly_at_the_bound_is_taken_and_a_nanosecond_more_is_not() -> None:
    assert hlc.merge(hlc.ZERO, Stamp(NOW + BOUND, 7), NOW, BOUND) == Stamp(NOW + BOUND, 8)
    with pytest.raises(InvalidField, match="ahead of this clock"):
        hlc.merge(hlc.ZERO, Stamp(NOW + BOUND + 1, 0), NOW, BOUND)


def test_a_full_counter_borrows_a_nanosecond() -> None:
    assert hlc.tick(Stamp(5, HLC_LOGICAL_MAX), 0) == Stamp(6, 0)


@pytest.mark.parametrize("logical", [HLC_LOGICAL_MAX + 1, 1 << 32, (1 << 63) - 1])
def test_a_stamp_of_who_counts_further_is_merged(logical: int) -> None:
    past = hlc.parse(f"{NOW - MS}.{logical}")
    assert hlc.merge(hlc.ZERO, past, NOW, BOUND) == Stamp(NOW, 0)
    ahead = hlc.parse(f"{NOW + MS}.{logical}")
    assert hlc.merge(hlc.ZERO, ahead, NOW, BOUND) == Stamp(NOW + MS + 1, 0)
    with pytest.raises(InvalidField, match="ahead of this clock"):
        hlc.merge(hlc.ZERO, hlc.parse(f"{NOW + BOUND + 1}.{logical}"), NOW, BOUND)


@given(stamps)
def test_text_goes_there_and_back(stamp: Stamp) -> None:
    assert hlc.parse(stamp.encode()) == stamp


@pytest.mark.parametrize(
    "text",
    ["", "1", "1.", ".1", "1.2.3", "-1.0", "1.-1", "+1.0", " 1.0", "1.0 ", "1.0\n", "1e3.0", "1_0.0", "٣.٠", "a.b"],
)
def test_text_that_is_no_stamp(text: str) -> None:
    with pytest.raises(ValueError, match="must be <physical_nanos>"):
        hlc.parse(text)


@pytest.mark.parametrize("text", [f"{1 << 63}.0", f"1.{1 << 63}", "9" * 5000 + ".0", "0." + "9" * 5000])
def test_text_that_is_too_large(text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        hlc.parse(text)


@given(st.one_of(stamps, near), st.one_of(stamps, near))
def test_packing_is_monotone_and_never_below(a: Stamp, b: Stamp) -> None:
    low, high = sorted([a, b])
    assert low.pack() <= high.pack()
    assert hlc.unpack(low.pack()) >= low
    assert hlc.unpack(low.pack()).physical_nanos - low.physical_nanos <= 1 << 16


@given(st.integers(min_value=0, max_value=(1 << 64) - 1), st.integers(min_value=0, max_value=(1 << 64) - 1))
def test_unpacking_is_exact_and_strictly_monotone(a: int, b: int) -> None:
    assert hlc.unpack(a).pack() == a
    assert (a < b) == (hlc.unpack(a) < hlc.unpack(b))


@pytest.mark.parametrize("packed", [-1, 1 << 64])
def test_unpacking_refuses_what_is_no_64_bit_number(packed: int) -> None:
    with pytest.raises(ValueError, match="64 bits"):
        hlc.unpack(packed)


class SteppingWall:
    """A wall clock that creeps forward and steps a second back on every hundredth reading."""

    def __init__(self) -> None:
        self._readings = 0
        self._nanos = NOW

    def __call__(self) -> int:
        self._readings += 1
        self._nanos += 1000 if self._readings % 100 else -1000 * MS
        return self._nanos


def stamps_of_threads(threads: int, each: int, stamp: Callable[[], Stamp]) -> list[list[Stamp]]:
    """What ``threads`` threads got, started together."""
    start = threading.Barrier(threads)
    taken: list[list[Stamp]] = [[] for _ in range(threads)]

    def work(mine: list[Stamp]) -> None:
        start.wait()
        mine.extend(stamp() for _ in range(each))

    workers = [threading.Thread(target=work, args=(mine,)) for mine in taken]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return taken


def check_threads(each: int) -> None:
    taken = stamps_of_threads(8, each, HlcClock(SteppingWall(), max_drift_ms=20).now)
    for mine in taken:
        assert all(a < b for a, b in itertools.pairwise(mine))
    assert len({s for mine in taken for s in mine}) == 8 * each


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Threads change places as often as they can, so that a missing lock shows."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("eager_threads")
def test_eight_threads_get_only_growing_stamps_while_the_wall_steps_back() -> None:
    check_threads(2_000)


@pytest.mark.slow
def test_a_million_stamps_over_eight_threads() -> None:
    check_threads(125_000)


def test_the_clock_observes_what_is_near_and_forgets_what_is_refused() -> None:
    clock = HlcClock(lambda: NOW, max_drift_ms=20)
    assert clock.observe(Stamp(NOW + 5, 3)) == Stamp(NOW + 5, 4)
    with pytest.raises(InvalidField):
        clock.observe(Stamp(NOW + 600 * MS, 0))
    assert clock.now() == Stamp(NOW + 5, 5)
