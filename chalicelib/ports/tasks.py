"""Concurrency within one process: jobs beside each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


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

    def after(self, ms: int, job: Callable[[], None]) -> Handle:
        """Run ``job`` when so much time has passed, by a clock that never steps."""
        ...

    def start(self, job: Callable[[], None]) -> Handle:
        """Run ``job`` now, beside the caller."""
        ...

    def hold(self, job: Callable[[], None]) -> Held:
        """``job``, to be begun later. It must not wait for other jobs: then it waits for none to get its thread."""
        ...
