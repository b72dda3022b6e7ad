"""Time, identity and concurrency as the use cases and workers see them: only adapters read a real clock."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from chalicelib.core.clock.clock_bound import Observation


class Reading(NamedTuple):
    """Both clocks of this machine at one moment: unix nanoseconds, and nanoseconds since some fixed point."""

    wall_unix_nanos: int
    monotonic_nanos: int


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
    """Nobody to ask."""

    def observations(self) -> tuple[Observation, ...]:
        """Nothing."""
        return ()


class Ids(Protocol):
    """Makes identifiers and stamps."""

    def ulid(self, now_ms: int) -> str:
        """A new ULID: 26 characters of Crockford's base 32, ordered by time, never given out twice."""
        ...

    def hlc(self) -> str:
        """A hybrid logical clock stamp, greater than every one this instance gave out or saw."""
        ...

    def observe(self, stamp: str) -> None:
        """Merge a caller's stamp (``<physical_nanos>.<logical>``), so that the next ``hlc`` is greater than it too.

        Raises InvalidField, and remembers nothing of it: ``clock_skew`` when it is too far ahead of the wall clock, the
        plain code when it is no stamp. The field is ``X-Chrono-HLC``.
        """
        ...


class Handle(Protocol):
    """A job under way."""

    def wait(self, until_ms: int | None = None) -> bool:
        """Wait for its end (or ``until_ms``). True when it has ended; re-raises what the job raised."""
        ...


class Held(Handle, Protocol):
    """A job that has yet to begin; it can be waited for already."""

    def go(self) -> None:
        """Begin, beside the caller. Called at most once, by any thread."""
        ...


class Tasks(Protocol):
    """Runs jobs beside each other within one process."""

    def at(self, unix_ms: int, job: Callable[[], None]) -> Handle:
        """Run ``job`` when the clock reaches ``unix_ms`` (at once when it has)."""
        ...

    def start(self, job: Callable[[], None]) -> Handle:
        """Run ``job`` now, beside the caller."""
        ...

    def hold(self, job: Callable[[], None]) -> Held:
        """``job``, to be begun later. It must not wait for other jobs: then it waits for none to get its thread."""
        ...


class Bell(Protocol):
    """One waiter's place to be woken."""

    def wait(self, until_ms: int) -> None:
        """Return when it was rung since it was hung up or last waited for, at ``until_ms``, or earlier."""
        ...


class Signals(Protocol):
    """Wakes those who wait, in this process and, by address, in others of this machine.

    Only hints: whoever wakes looks at the tables again, and whoever is not woken looks now and then.
    """

    @property
    def address(self) -> str:
        """Where others can ring bells of this process; empty when they cannot."""
        ...

    def bell(self, name: str) -> AbstractContextManager[Bell]:
        """Hang up a bell for ``name``; what rings from then on is not missed."""
        ...

    def ring(self, name: str, at: str = "") -> None:
        """Wake whoever has a bell for ``name`` in the process at the address ``at``, or in this one without."""
        ...

    def turn(self, name: str) -> AbstractContextManager[object]:
        """Let callers of this process pass one after the other, as long as that is quick.

        A courtesy that saves lost races, no lock: after a short wait everybody passes.
        """
        ...
