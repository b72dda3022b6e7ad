"""Calls that many threads make at once, made as few: a caller that comes while calls are under way shares the next.

No caller waits for company: a lone caller goes at once. Only while ``LANES`` calls are under way do further callers
gather, and the first lane to come back takes them along. This is group commit (DeWitt et al., "Implementation
techniques for main memory database systems", SIGMOD 1984).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Generic, TypeVar

LANES = 2

T = TypeVar("T")
R = TypeVar("R")


class _Ticket(Generic[T, R]):
    """One caller's items, then their answers. Its lock is open when the caller has something to do.

    ``group`` is given to a caller that makes the call: itself and those it takes along.
    """

    __slots__ = ("answers", "error", "group", "items", "wake")

    def __init__(self, items: Sequence[T]) -> None:
        self.items = items
        self.group: list[_Ticket[T, R]] = []
        self.answers: list[R] = []
        self.error: Exception | None = None
        self.wake = Lock()
        self.wake.acquire()


class Combiner(Generic[T, R]):
    """``call`` as one caller would make it, for many at once; ``most`` items to a call. Safe between threads."""

    def __init__(self, execute: Callable[[Sequence[T]], list[R]], most: int) -> None:
        self._execute = execute
        self._most = most
        self._lock = Lock()
        self._waiting: deque[_Ticket[T, R]] = deque()
        self._lanes = 0

    def call(self, items: Sequence[T]) -> list[R]:
        """The answers to ``items``, in order. Raises what the shared call raised."""
        ticket: _Ticket[T, R] = _Ticket(items)
        if not self._goes_at_once(ticket):
            ticket.wake.acquire()
        if ticket.group:
            self._lead(ticket)
            ticket.group = []  # it stands there itself, and such a ring would wait for a collection of all garbage
        if ticket.error is not None:
            raise ticket.error
        return ticket.answers

    def _goes_at_once(self, ticket: _Ticket[T, R]) -> bool:
        """Take a free lane, or queue up. While a lane is free no caller waits, since lanes are passed on."""
        with self._lock:
            self._waiting.append(ticket)
            if self._lanes == LANES:
                return False
            self._lanes += 1
            ticket.group = self._take_group()
            return True

    def _take_group(self) -> list[_Ticket[T, R]]:
        """The first in the queue and those that fit into its call."""
        group = [self._waiting.popleft()]
        size = len(group[0].items)
        while self._waiting and size + len(self._waiting[0].items) <= self._most:
            group.append(self._waiting.popleft())
            size += len(group[-1].items)
        return group

    def _lead(self, leader: _Ticket[T, R]) -> None:
        """Make the call for the group, pass the lane on, and give out the answers."""
        try:
            answers = iter(self._execute([item for ticket in leader.group for item in ticket.items]))
            for ticket in leader.group:
                ticket.answers = [next(answers) for _ in ticket.items]
        except Exception as error:
            for ticket in leader.group:
                ticket.error = error
        self._pass_on()
        for ticket in leader.group:
            if ticket is not leader:
                ticket.wake.release()

    def _pass_on(self) -> None:
        with self._lock:
            if not self._waiting:
                self._lanes -= 1
                return
            following = self._waiting[0]
            following.group = self._take_group()
        following.wake.release()
