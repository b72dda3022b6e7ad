"""The newest changes of the tenants that have subscribers, as one process last read them: one reading for all.

A subscriber has no queue of its own. It has a position, and the tail is the window of all: TAIL_CHANGES. So a slow one
costs nothing, and holds up only itself until it falls out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING

from msgspec import Struct

from chalicelib.core.changes.limits import TAIL_CHANGES
from chalicelib.process.bell import NewsBell

if TYPE_CHECKING:  # what fires has this memory and never uses it: it need not load what changes are
    from chalicelib.core.changes.change_log import Change
    from chalicelib.core.schedules.schedule import Definition


class TailEntry(Struct):
    """A change and its position. ``definition`` is what an execution ran under; ``text`` is how the first
    subscriber was sent it."""

    position: int
    change: Change
    definition: Definition | None = None
    text: str = ""


class ChangeTail:
    """One tenant's. ``begun_at`` is the position that it follows the log from; None: it has not been read yet."""

    def __init__(self, most: int = TAIL_CHANGES) -> None:
        self._lock = Lock()
        self._entries: deque[TailEntry] = deque(maxlen=most)
        self._last: int | None = None
        self.bell = NewsBell()
        self.subscribers = 0

    @property
    def last(self) -> int | None:
        """The position of the newest change that it has, or had to have; None before the first reading."""
        return self._last

    def begin(self, position: int) -> None:
        """Follow the log from a position on; what was kept before is dropped."""
        with self._lock:
            self._entries.clear()
            self._last = position
        self.bell.ring()

    def extend(self, entries: Sequence[TailEntry]) -> None:
        """Add what follows, and wake the subscribers."""
        with self._lock:
            self._entries.extend(entries)
            self._last = entries[-1].position
        self.bell.ring()

    def after(self, position: int, limit: int) -> list[TailEntry] | None:
        """At most ``limit`` entries after a position; None when the tail does not go back so far."""
        with self._lock:
            if self._last is None or position < self._last - len(self._entries):
                return None
            ahead = self._last - position
            if ahead <= 0:
                return []
            begin = len(self._entries) - ahead
            return list(islice(self._entries, begin, begin + limit))


class ChangeTails:
    """The tails of a process. The subscriber that finds no job reading them starts one."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._tails: dict[str, ChangeTail] = {}
        self._reading = False

    def enter(self, tenant: str) -> tuple[ChangeTail, bool]:
        """A tenant's tail for one more subscriber, and whether the caller must start the reading."""
        with self._lock:
            tail = self._tails.setdefault(tenant, ChangeTail())
            tail.subscribers += 1
            start, self._reading = not self._reading, True
            return tail, start

    def leave(self, tail: ChangeTail) -> None:
        """One subscriber less."""
        with self._lock:
            tail.subscribers -= 1

    def followed(self) -> dict[str, ChangeTail]:
        """The tails with subscribers; the others are dropped. Without any, the reading is over and may start anew."""
        with self._lock:
            self._tails = {tenant: tail for tenant, tail in self._tails.items() if tail.subscribers > 0}
            self._reading = bool(self._tails)
            return dict(self._tails)
