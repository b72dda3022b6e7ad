"""Time and identity as the use cases and workers see them: only adapters read a real clock."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from chalicelib.core.clock.clock_bound import Observation


class Reading(NamedTuple):
    """Both clocks of this machine at one moment: unix nanoseconds, and nanoseconds since some fixed point."""

    wall_unix_nanos: int
    monotonic_nanos: int

    @property
    def steady_ms(self) -> float:
        """Milliseconds of a clock that never steps."""
        return self.monotonic_nanos / 1_000_000


class Clock(Protocol):
    """This instance's idea of the time. It may be wrong, drift and step; safety never rests on it."""

    def now_ms(self) -> int:
        """Unix milliseconds."""
        ...

    def sleep_until(self, unix_ms: int) -> None:
        """Return when ``now_ms() >= unix_ms``; at once when it already is."""
        ...

    def read(self) -> Reading:
        """The wall clock behind ``now_ms`` and the monotonic one, read together: for the clock face and its drift."""
        ...


class TimeSources(Protocol):
    """What others say of true time."""

    def observations(self) -> tuple[Observation, ...]:
        """What was heard lately, oldest first; the same tuple while nothing new was heard."""
        ...


class NoTimeSources:
    """No source to ask."""

    def observations(self) -> tuple[Observation, ...]:
        """Nothing."""
        return ()


class Ids(Protocol):
    """Makes identifiers and stamps."""

    def ulid(self, now_ms: int) -> str:
        """A new ULID: 26 characters of Crockford's base 32, ordered by time, never given out twice."""
        ...

    def secret_bits(self) -> int:
        """256 random bits for a secret: they follow from nothing."""
        ...

    def hlc(self) -> str:
        """A hybrid logical clock stamp, greater than every one this instance gave out or saw."""
        ...

    def observe(self, stamp: str) -> None:
        """Merge a caller's stamp (``<physical_nanos>.<logical>``), so that the next ``hlc`` is greater than it too.

        Raises InvalidField, and remembers nothing of it. The code is ``clock_skew`` when it is too far ahead of the
        wall clock, the plain code when it is no stamp. The field is ``X-Chrono-HLC``.
        """
        ...
