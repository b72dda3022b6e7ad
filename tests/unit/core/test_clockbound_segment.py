"""ClockBound's segment is read as its protocol says, and not relied on when it says so."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from chalicelib.core.clock import clockbound_segment
from chalicelib.core.clock.clock_bound import ClockReading, Interval, estimate

SECOND = 1_000_000_000
NOW = ClockReading(wall_nanos=1_795_252_800 * SECOND, before_nanos=500 * SECOND, after_nanos=500 * SECOND)


def segment(
    version: int = 2,
    as_of: int = 490 * SECOND,
    void_after: int = 1490 * SECOND,
    bound: int = 300_000,
    drift_ppb: int = 50_000,
    status: int = 1,
    generation: int = 4,
    magic: tuple[int, int] = (0x414D5A4E, 0x43420200),
) -> bytes:
    head = struct.pack("=IIIHH", *magic, 80, version, generation)
    times = struct.pack("=qqqqq", *divmod(as_of, SECOND), *divmod(void_after, SECOND), bound)
    tail = struct.pack("=IIi", drift_ppb, 0, status) if version == 1 else struct.pack("=QIi", 7, drift_ppb, status)
    return (head + times + tail).ljust(80, b"\0")


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
