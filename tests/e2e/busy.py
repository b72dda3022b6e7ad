"""How busy this machine is with other work, and when it stood still."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from types import TracebackType

STEP_S = 0.02
STALL_MS = 100.0  # so long without a step is a stall; less is what any busy machine does
TRIES = 3


def others_at_work() -> float:
    """How many processes of others wait for each core: so much slower than alone everything is."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)


class StallMeter:
    """A context with a thread that steps all the time: where it could not, the machine stalled.

    A bound of lateness may be longer by ``stalled_ms`` of what it is about. Where nothing stalled that is exactly 0.
    """

    def __init__(self) -> None:
        self.stalls: list[tuple[float, float]] = []  # from when to when, in unix milliseconds
        self._ran_ms = time.time() * 1000
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._step_on, daemon=True)

    def __enter__(self) -> StallMeter:
        self._step()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(10)

    def stalled_ms(self, from_ms: float, to_ms: float | None = None) -> float:
        """How much of a span was stalled, which ends now if nothing else is said."""
        ran_ms = self._step()  # after a stall the caller may run before the thread does
        until_ms = ran_ms if to_ms is None else to_ms
        with self._lock:
            return sum(max(0.0, min(end, until_ms) - max(begin, from_ms)) for begin, end in self.stalls)

    def ran_s(self, from_ms: float) -> float:
        """How many seconds it is since a moment, without what was stalled of them."""
        stalled_ms = self.stalled_ms(from_ms)
        return (time.time() * 1000 - from_ms - stalled_ms) / 1000

    def _step_on(self) -> None:
        while not self._stop.wait(STEP_S):
            self._step()

    def _step(self) -> float:
        """Note that this process runs, and the stall that ends with it; the time, in unix milliseconds."""
        with self._lock:
            now_ms = time.time() * 1000
            if now_ms - self._ran_ms >= STALL_MS:
                self.stalls.append((self._ran_ms, now_ms))
            self._ran_ms = now_ms
            return now_ms


def judged(stalls: StallMeter, trial: Callable[[], None]) -> None:
    """Hold a trial. One that fails proves nothing if the machine stalled in it: then it is held again, twice at most.

    For what a stall upsets by more than its length: a high percentile, or who was first of two.
    """
    for left in reversed(range(TRIES)):
        began_ms = time.time() * 1000
        try:
            trial()
        except AssertionError as problem:
            stalled_ms = stalls.stalled_ms(began_ms)
            if not stalled_ms or not left:
                raise
            print(f"\nheld again, for the machine stalled {stalled_ms:.0f} ms in it: {problem}")
        else:
            return
