"""The shared memory of a ClockBound daemon."""

from __future__ import annotations

import struct

SECOND = 1_000_000_000


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
