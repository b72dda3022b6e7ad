"""ClockBound's segment is read as its protocol says, and not relied on when it says so."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.core.clock import clockbound_segment
from chalicelib.core.clock.clock_bound import ClockReading, Interval, estimate
from tests.kit.clockbound import SECOND, segment

NOW = ClockReading(wall_nanos=1_795_252_800 * SECOND, before_nanos=500 * SECOND, after_nanos=500 * SECOND)


@pytest.mark.parametrize("version", [1, 2])
def test_the_bound_grows_with_its_age(version: int) -> None:
    found = clockbound_segment.observation(segment(version), NOW)
    assert found is not None
    known = estimate([found], NOW, drift_ppm=0)
    assert known is not None
    assert known.offset == Interval(-800_000, 800_000)  # 300 µs, and 50 ppm of ten seconds


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": 0},
        {"status": 3},
        {"void_after": 499 * SECOND},
        {"generation": 5},
        {"generation": 0},
        {"version": 3},
        {"magic": (0x414D5A4E, 0)},
        {"bound": -1},
    ],
)
def test_what_cannot_be_relied_on_is_nothing(wrong: dict[str, Any]) -> None:
    assert clockbound_segment.observation(segment(**wrong), NOW) is None


def test_a_torn_segment_is_nothing() -> None:
    for length in range(71):
        assert clockbound_segment.observation(segment()[:length], NOW) is None
