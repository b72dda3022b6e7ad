"""Instants so close together, in a crowd, that one job sees to them: at most some milliseconds late, at a tenth of the
cost. Alone each would need a thread, a read and a write. A crowd that has no time for that falls seconds behind.

Where few are due in a second, each has its own job, and is on time to the millisecond.
"""

from __future__ import annotations

from threading import Lock
from typing import Generic, TypeVar

from msgspec import Struct, field

from chalicelib.process.limits import SHARED_INSTANTS, SHARED_SECONDS_MAX
from chalicelib.process.waiting_room import WaitingGroup

Group = TypeVar("Group")
Job = TypeVar("Job")

_SECOND_MS = 1000


class SharedInstant(Struct, Generic[Group, Job], eq=False):
    """What is sent at ``due_ms``: groups that were due then, or shortly before."""

    due_ms: int
    waiting: list[WaitingGroup[Group]] = field(default_factory=list)
    job: Job | None = None
    is_begun: bool = False


class SharedInstants(Generic[Group, Job]):
    """Those that others can still join; safe to share between threads."""

    def __init__(self) -> None:
        self._open: dict[int, SharedInstant[Group, Job]] = {}
        self._in_second: dict[int, int] = {}
        self._lock = Lock()

    def send_ms(self, due_ms: int) -> int:
        """When one more group is to be sent that is due then: never before, and later only in a crowd."""
        second = due_ms // _SECOND_MS
        with self._lock:
            if second not in self._in_second and len(self._in_second) >= SHARED_SECONDS_MAX:
                del self._in_second[min(self._in_second)]
            self._in_second[second] = self._in_second.get(second, 0) + 1
            crowd = max(self._in_second[second], self._in_second.get(second - 1, 0))
        for least, span_ms in SHARED_INSTANTS:
            if crowd >= least:
                return due_ms - due_ms % span_ms + span_ms - 1
        return due_ms

    def join(self, send_ms: int, waiting: WaitingGroup[Group]) -> Job | None:
        """The job that will see to a group; None when it needs one of its own."""
        with self._lock:
            shared = self._open.get(send_ms)
            if shared is None:
                return None
            shared.waiting.append(waiting)
            return shared.job

    def offer(self, shared: SharedInstant[Group, Job], job: Job) -> None:
        """Let others join, unless it has begun or another is open for that instant."""
        with self._lock:
            if not shared.is_begun and shared.due_ms not in self._open:
                shared.job = job
                self._open[shared.due_ms] = shared

    def begin(self, shared: SharedInstant[Group, Job]) -> list[WaitingGroup[Group]]:
        """All its groups: none joins it any more."""
        with self._lock:
            shared.is_begun = True
            if self._open.get(shared.due_ms) is shared:
                del self._open[shared.due_ms]
            return shared.waiting
