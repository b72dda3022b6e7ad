"""Messages in work stay hidden from other workers, and come again soon when their worker dies.

A queue hides a received message for as long as its function may run. That is far too long to wait for what a dead
worker held. So a message is hidden until its next firing is ATTEMPT_LEASE_MS late: from then on another worker may
take over what was claimed. While the message is in work that is put off again and again.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from threading import Lock
from typing import Final

from msgspec import Struct

from chalicelib.core.errors import Unavailable
from chalicelib.core.executions.limits import ATTEMPT_LEASE_MS
from chalicelib.core.limits import QUEUE_HIDES_S, SECOND_MS
from chalicelib.ports.services import Services
from chalicelib.ports.work_queue import Incoming

log = logging.getLogger(__name__)

BEYOND_LEASE_MS: Final = 500  # so long after a lease has ended a message comes again: not to find it just alive
AHEAD_MS: Final = 1_200  # so long before it would come again it is hidden anew
WORTH_MS: Final = 2_000  # what is hidden longer than it should be by less is left alone
PATIENT_RECEIVES: Final = 3  # after so many it comes again ever later: something is wrong, and ten are the most


class _Kept(Struct, eq=False):
    """One message in work: when its firings are due (unix milliseconds, in order), and until when it is hidden, by the
    clock that never steps."""

    message: Incoming
    due_ms: Sequence[int]
    until_ms: float


class MessageKeeper:
    """Keeps the messages of one batch hidden from ``begin`` to ``finish``."""

    def __init__(self, s: Services, batch: Mapping[Incoming, Sequence[int]]) -> None:
        """``batch``: the messages and the instants at which their firings are due."""
        now_ms = s.clock.read().steady_ms
        self._s = s
        self._lock = Lock()
        self._kept = [_Kept(m, sorted(due), now_ms + m.hidden_s * SECOND_MS) for m, due in batch.items()]

    def begin(self) -> None:
        """Hide them for as long as they need, where the queue would for much longer."""
        wall_ms, now_ms = self._s.clock.now_ms(), self._s.clock.read().steady_ms
        self._hide([each for each in self._kept if each.until_ms - now_ms - _needs_ms(each, wall_ms) > WORTH_MS])
        with self._lock:
            self._look_later()

    def finish(self, again: Iterable[str]) -> None:
        """Their work is done. Those of the receipts ``again`` come again, the sooner the fewer times they came."""
        with self._lock:
            left, self._kept = self._kept, []
        wanted = frozenset(again)
        by_wait: dict[int, list[str]] = defaultdict(list)
        for each in left:
            if each.message.receipt in wanted:
                by_wait[min(QUEUE_HIDES_S, 1 << max(0, each.message.receives - 2))].append(each.message.handle)
        for for_s, handles in by_wait.items():
            self._try(handles, for_s)

    def _look_later(self) -> None:
        if self._kept:
            left_ms = min(each.until_ms for each in self._kept) - self._s.clock.read().steady_ms
            self._s.tasks.after(max(int(left_ms) - AHEAD_MS, SECOND_MS // 2), self._look)

    def _look(self) -> None:
        now_ms = self._s.clock.read().steady_ms
        with self._lock:
            due = [each for each in self._kept if each.until_ms - now_ms <= 2 * AHEAD_MS]
        self._hide(due)
        with self._lock:
            self._look_later()

    def _hide(self, some: Sequence[_Kept]) -> None:
        wall_ms, now_ms = self._s.clock.now_ms(), self._s.clock.read().steady_ms
        by_wait: dict[int, list[_Kept]] = defaultdict(list)
        for each in some:
            by_wait[-(-_needs_ms(each, wall_ms) // SECOND_MS)].append(each)
        for for_s, together in by_wait.items():
            if self._try([each.message.handle for each in together], for_s):
                for each in together:
                    each.until_ms = now_ms + for_s * SECOND_MS

    def _try(self, handles: Sequence[str], for_s: int) -> bool:
        try:
            self._s.queue.hide(handles, for_s)
        except Unavailable as problem:  # at worst they come to another worker, which finds them claimed
            log.info("could not hide %d messages: %s", len(handles), problem)
            return False
        return True


def _needs_ms(kept: _Kept, wall_ms: int) -> int:
    """How long a message should be hidden: until the lease of what is next has ended, or of what was just now."""
    place = bisect_left(kept.due_ms, wall_ms)
    ahead_ms = kept.due_ms[place] - wall_ms if place < len(kept.due_ms) else 0
    patience_ms = (ATTEMPT_LEASE_MS + BEYOND_LEASE_MS) << max(0, min(kept.message.receives - PATIENT_RECEIVES, 5))
    return min(ahead_ms + patience_ms, QUEUE_HIDES_S * SECOND_MS)
