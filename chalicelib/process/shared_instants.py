"""Instants so close together, in a crowd, that one job sees to them: at most some milliseconds late, at a tenth of the
cost. Alone each would need a thread, a read and a write. A crowd that has no time for that falls seconds behind.

Where few are due in a second, each has its own job, and is on time to the millisecond. What is claimed long ahead may
become one of a crowd only later: ``send_ms`` is asked again when its own job begins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Generic, TypeVar

from msgspec import Struct, field

from chalicelib.process.limits import SHARED_INSTANTS, SHARED_SECONDS_MAX
from chalicelib.process.waiting_room import WaitingGroup

Group = TypeVar("Group")
Job = TypeVar("Job")

_SECOND_MS = 1000


class SharedInstant(Struct, Generic[Group, Job]):
    """What is sent at ``due_ms``: groups that were due then, or shortly before."""

    due_ms: int
    waiting: list[WaitingGroup[Group]] = field(default_factory=list)
    job: Job | None = None


class SharedInstants(Generic[Group, Job]):
    """Those that others can still join; safe to share between threads. ``crowds``: from so many groups in a second on,
    those within so many milliseconds share, the most first."""

    def __init__(self, crowds: Sequence[tuple[int, int]] = SHARED_INSTANTS) -> None:
        self._crowds = crowds
        self._open: dict[int, SharedInstant[Group, Job]] = {}
        self._in_second: dict[int, int] = {}
        self._lock = Lock()

    def count(self, due_ms: int) -> None:
        """One more group is to be sent that is due then."""
        second = due_ms // _SECOND_MS
        with self._lock:
            if second not in self._in_second and len(self._in_second) >= SHARED_SECONDS_MAX:
                del self._in_second[min(self._in_second)]
            self._in_second[second] = self._in_second.get(second, 0) + 1

    def send_ms(self, due_ms: int, ready_ms: int) -> int | None:
        """When a group is to be sent with its neighbours: never before it is due, nor before ``ready_ms``. So what is
        late shares with what is late. None where there is no crowd."""
        second = due_ms // _SECOND_MS
        with self._lock:
            crowd = max(self._in_second.get(second, 0), self._in_second.get(second - 1, 0))
        at_ms = max(due_ms, ready_ms)
        for least, span_ms in self._crowds:
            if crowd >= least:
                return at_ms - at_ms % span_ms + span_ms - 1
        return None

    def join(
        self, send_ms: int, waiting: WaitingGroup[Group], start: Callable[[SharedInstant[Group, Job]], Job]
    ) -> Job:
        """The job that sees to a group together with others. The first of them starts it."""
        with self._lock:
            shared = self._open.get(send_ms)
            if shared is None or shared.job is None:
                shared = self._open[send_ms] = SharedInstant(send_ms)
                shared.job = start(shared)
            shared.waiting.append(waiting)
            return shared.job

    def begin(self, shared: SharedInstant[Group, Job]) -> list[WaitingGroup[Group]]:
        """All its groups: none joins it any more."""
        with self._lock:
            if self._open.get(shared.due_ms) is shared:
                del self._open[shared.due_ms]
            return shared.waiting
