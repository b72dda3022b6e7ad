"""Wakes those who wait, in this process and in others of this machine."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol


class Bell(Protocol):
    """One waiter's place to be woken."""

    def wait(self, until_ms: int) -> None:
        """Return when it was rung since it was hung up or last waited for, at ``until_ms``, or earlier."""
        ...


class Signals(Protocol):
    """Wakes those who wait, in this process and, by address, in others of this machine.

    Only hints: a waiter that wakes reads the tables again, and one that is not woken reads them now and then.
    """

    @property
    def address(self) -> str:
        """Where others can ring bells of this process; empty when they cannot."""
        ...

    def bell(self, name: str) -> AbstractContextManager[Bell]:
        """Hang up a bell for ``name``; what rings from then on is not missed."""
        ...

    def ring(self, name: str, at: str = "") -> None:
        """Wake the waiters with a bell for ``name`` in the process at the address ``at``, or in this one without."""
        ...

    def turn(self, name: str) -> AbstractContextManager[object]:
        """Let callers of this process pass one after the other, as long as that is quick.

        A courtesy that saves lost races, no lock: after a short wait every caller passes.
        """
        ...
