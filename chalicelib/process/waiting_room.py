"""Claims of this process that wait for their instants, so that a process that leaves can give them to others."""

from __future__ import annotations

from threading import Lock
from typing import Generic, TypeVar

from msgspec import Struct

Group = TypeVar("Group")


class WaitingGroup(Struct, Generic[Group], eq=False):
    """A group of claims that wait for one instant. ``is_given``: others have them now, or will when they look."""

    due_ms: int
    group: Group
    is_given: bool = False


class WaitingRoom(Generic[Group]):
    """Groups that wait, and how many are being delivered. Each group is begun or taken away, never both."""

    def __init__(self) -> None:
        self._waiting: dict[WaitingGroup[Group], None] = {}  # in the order of their coming
        self._begun: set[WaitingGroup[Group]] = set()
        self._lock = Lock()

    def enter(self, due_ms: int, group: Group) -> WaitingGroup[Group]:
        """A group begins to wait."""
        waiting = WaitingGroup(due_ms, group)
        with self._lock:
            self._waiting[waiting] = None
        return waiting

    def begin(self, waiting: WaitingGroup[Group]) -> bool:
        """Its instant is about to come. False: it was taken away, and must not be sent here."""
        with self._lock:
            if waiting not in self._waiting:
                return False
            del self._waiting[waiting]
            self._begun.add(waiting)
            return True

    def end(self, waiting: WaitingGroup[Group]) -> None:
        """All of it has been seen to."""
        with self._lock:
            self._begun.discard(waiting)

    def take_away(self, after_ms: int) -> list[WaitingGroup[Group]]:
        """The groups whose instants come after this one, soonest first: they are the caller's now."""
        with self._lock:
            away = [waiting for waiting in self._waiting if waiting.due_ms > after_ms]
            for waiting in away:
                del self._waiting[waiting]
        return sorted(away, key=lambda waiting: waiting.due_ms)

    def is_quiet(self, until_ms: int) -> bool:
        """Whether nothing is being delivered, or due by then."""
        with self._lock:
            return not self._begun and all(waiting.due_ms > until_ms for waiting in self._waiting)

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits and nothing is being delivered."""
        with self._lock:
            return not self._waiting and not self._begun
