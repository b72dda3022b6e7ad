"""Hybrid logical clock: stamps that stay close to the wall clock, only grow, and respect causality.

Source: Kulkarni, Demirbas, Madappa, Avva, Leone, "Logical Physical Clocks" (OPODIS 2014), figure 5. Pure: the wall
clock is an argument, so the same functions serve the real process and its simulated twin. The thread-safe holder of
the last stamp is ``adapters/machine/hlc_clock.py``.
"""

from __future__ import annotations

import re

from msgspec import Struct

from chalicelib.core.clock.limits import HLC_GRACE_MS, HLC_LOGICAL_MAX
from chalicelib.core.errors import InvalidField

HEADER = "X-Chrono-HLC"

# The packed form: 48 bits of physical time in units of 2^16 ns (65.536 µs), then 16 bits of logical count. It is the
# layout of the paper's section 6.2 (NTP's upper 48 bits); counted from 1970 it lasts until the year 2554.
_LOGICAL_BITS = 16
_UNIT_NANOS = 1 << 16
_PACKED_MAX = (1 << 64) - 1
_PHYSICAL_MAX_NANOS = (1 << 63) - 1
_HEARD_LOGICAL_MAX = (1 << 63) - 1  # others count further than we do: their stamps are merged, and packed as larger
_NANOS_PER_MS = 1_000_000
# [0-9] and not \d, which would also take other scripts' digits; the lengths stop int() before it works on a novel.
_TEXT = re.compile(r"([0-9]{1,39})\.([0-9]{1,39})")  # more digits than a stamp has: a far future is named as such
PATTERN = f"^{_TEXT.pattern}$"

assert HLC_LOGICAL_MAX == (1 << _LOGICAL_BITS) - 1


class Stamp(Struct, frozen=True, order=True):
    """One point of hybrid time; stamps compare by ``physical_nanos`` (unix nanoseconds), then by ``logical``."""

    physical_nanos: int
    logical: int

    def __str__(self) -> str:
        return self.encode()

    def encode(self) -> str:
        """``<physical_nanos>.<logical>``, the form of the ``X-Chrono-HLC`` header."""
        return f"{self.physical_nanos}.{self.logical}"

    def pack(self) -> int:
        """The smallest 64-bit packed value whose stamp is not below this one.

        Rounding up makes packing monotone: ``a <= b`` implies ``a.pack() <= b.pack()``, and ``unpack(s.pack()) >= s``.
        Stamps closer than 65.536 µs may share a value, so an order that must be strict is kept by the text form.
        """
        units, rest = divmod(self.physical_nanos, _UNIT_NANOS)
        if rest == 0 and self.logical <= HLC_LOGICAL_MAX:
            return (units << _LOGICAL_BITS) | self.logical
        return (units + 1) << _LOGICAL_BITS


ZERO = Stamp(0, 0)


class BeyondRange(ValueError):
    """A stamp of a time that no stamp can name: however wrong this clock is, that is too far ahead of it."""


def parse(text: str) -> Stamp:
    """The stamp written as ``<physical_nanos>.<logical>``. Raises ValueError with what is wrong, and BeyondRange when
    the time is too large."""
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ValueError("must be <physical_nanos>.<logical>, such as 1795252805000412000.0")
    physical_nanos, logical = int(match[1]), int(match[2])
    if physical_nanos > _PHYSICAL_MAX_NANOS:
        raise BeyondRange(f"physical_nanos must be at most {_PHYSICAL_MAX_NANOS}")
    if logical > _HEARD_LOGICAL_MAX:
        raise ValueError(f"logical must be at most {_HEARD_LOGICAL_MAX}")
    return Stamp(physical_nanos, logical)


def unpack(packed: int) -> Stamp:
    """The stamp of a packed value; ``unpack(p).pack() == p``. Raises ValueError outside 64 bits."""
    if not 0 <= packed <= _PACKED_MAX:
        raise ValueError("a packed stamp has 64 bits")
    units, logical = divmod(packed, 1 << _LOGICAL_BITS)
    return Stamp(units * _UNIT_NANOS, logical)


def tick(last: Stamp, wall_nanos: int) -> Stamp:
    """The stamp of a local or send event: above ``last`` whatever ``wall_nanos`` (unix nanoseconds) has done."""
    if wall_nanos > last.physical_nanos:
        return Stamp(wall_nanos, 0)
    return _successor(last)


def merge(last: Stamp, remote: Stamp, wall_nanos: int, bound_nanos: int) -> Stamp:
    """The stamp of a receive event: above both ``last`` and ``remote``.

    Raises InvalidField (code ``clock_skew``) when ``remote`` is more than ``bound_nanos`` ahead of the wall. Merging it
    would drag this clock, and every clock that hears from it, into a wrong future.
    """
    ahead_nanos = remote.physical_nanos - wall_nanos
    if ahead_nanos > bound_nanos:
        raise InvalidField.of(
            HEADER,
            f"is {ahead_nanos // _NANOS_PER_MS} ms ahead of this clock; "
            f"at most {bound_nanos // _NANOS_PER_MS} ms is taken",
            code="clock_skew",
        )
    # The paper's three cases for the counter are one: the successor of the larger of the two stamps.
    return tick(max(last, remote), wall_nanos)


def bound_nanos(max_drift_ms: int) -> int:
    """How far ahead of the wall a remote stamp may be: the allowed drift, and a grace for what the network adds."""
    return (max_drift_ms + HLC_GRACE_MS) * _NANOS_PER_MS


def _successor(stamp: Stamp) -> Stamp:
    """The next stamp without help from the wall; a full counter borrows one nanosecond instead of overflowing."""
    if stamp.logical < HLC_LOGICAL_MAX:
        return Stamp(stamp.physical_nanos, stamp.logical + 1)
    return Stamp(stamp.physical_nanos + 1, 0)
