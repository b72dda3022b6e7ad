"""ClockBound's shared memory segment: how wrong AWS's time daemon says this machine's clock may be.

Source: github.com/aws/clock-bound, docs/PROTOCOL.md, versions 1 and 2 of the segment. Pure: the bytes are an argument.
"""

from __future__ import annotations

import struct

from chalicelib.core.clock.clock_bound import ClockReading, Observation, from_bound

SOURCE = "clockbound"
SEGMENT_MAX_BYTES = 256

_MAGIC = (0x414D5A4E, 0x43420200)
_HEADER = struct.Struct("=IIIHH")
_BOUND = struct.Struct("=qqqqq")
_TAIL_1 = struct.Struct("=IIi")  # drift in parts per billion, reserved, status
_TAIL_2 = struct.Struct("=QIi")  # disruption marker, drift in parts per billion, status
_NANOS_PER_S = 1_000_000_000
_TRUSTED = (1, 2)  # synchronized, free running


def observation(segment: bytes, now: ClockReading) -> Observation | None:
    """What the segment says of true time at ``now``. None when that cannot be relied on: the segment is being written,
    void, of an unknown version, or the clock's state is unknown or disrupted."""
    try:
        first, second, _, version, generation = _HEADER.unpack_from(segment)
        as_of_s, as_of_ns, void_s, void_ns, bound_nanos = _BOUND.unpack_from(segment, _HEADER.size)
        tail = _HEADER.size + _BOUND.size
        if version == 1:
            drift_ppb, _, status = _TAIL_1.unpack_from(segment, tail)
        else:
            _, drift_ppb, status = _TAIL_2.unpack_from(segment, tail)
    except struct.error:
        return None
    known = (first, second) == _MAGIC and version in (1, 2) and generation % 2 == 0 and generation > 0
    as_of, void_after = as_of_s * _NANOS_PER_S + as_of_ns, void_s * _NANOS_PER_S + void_ns
    if not known or status not in _TRUSTED or now.after_nanos > void_after or bound_nanos < 0:
        return None
    age_nanos = max(0, now.after_nanos - as_of)
    error_nanos = bound_nanos - (-age_nanos * drift_ppb // _NANOS_PER_S)
    return from_bound(SOURCE, now.wall_nanos - error_nanos, now.wall_nanos + error_nanos, now)
