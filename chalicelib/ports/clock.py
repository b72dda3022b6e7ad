"""Time, identity and concurrency as the use cases and workers see them: only adapters read a real clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """This instance's idea of the time. It may be wrong, drift and step; safety never rests on it."""

    def now_ms(self) -> int:
        """Unix milliseconds."""
        ...

    def sleep_until(self, unix_ms: int) -> None:
        """Return when ``now_ms() >= unix_ms``; at once when it already is."""
        ...


class Ids(Protocol):
    """Makes identifiers and stamps."""

    def ulid(self, now_ms: int) -> str:
        """A new ULID: 26 characters of Crockford's base 32, ordered by time, never given out twice."""
        ...

    def hlc(self) -> str:
        """A hybrid logical clock stamp, greater than every one this instance gave out or saw."""
        ...


class Handle(Protocol):
    """A job under way."""

    def wait(self, until_ms: int | None = None) -> bool:
        """Wait for its end (or ``until_ms``). True when it has ended; re-raises what the job raised."""
        ...


class Tasks(Protocol):
    """Runs jobs beside each other within one process."""

    def at(self, unix_ms: int, job: Callable[[], None]) -> Handle:
        """Run ``job`` when the clock reaches ``unix_ms`` (at once when it has)."""
        ...

    def start(self, job: Callable[[], None]) -> Handle:
        """Run ``job`` now, beside the caller."""
        ...
