"""When a process collects garbage: when nothing is about to fire.

Python collects what reference counts do not free whenever enough was made. A full collection walks all objects there
are, 30 ms and more while much fires, and no thread runs meanwhile. So young objects are collected as Python does, in
larger batches. All of them are collected by the minute, at a moment when that makes nothing late.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable

YOUNG, MIDDLE, NEVER = 1_000, 5, 1_000_000  # made more than freed; collections of those; of these: not by itself
PERIOD_S = 60.0
QUIET_S = 600.0  # so long it waits for a quiet moment; there is little garbage, since what fires leaves no rings
LOOK_S = 0.25
WORTH = 3  # collections of the middle-aged since the last full one; an idle process has none


def keep(stopping: threading.Event, is_quiet: Callable[[], bool]) -> None:
    """Let no collection come at a bad moment from now on. What is loaded by now is never collected."""
    gc.set_threshold(YOUNG, MIDDLE, NEVER)
    gc.freeze()
    threading.Thread(target=_run, args=(stopping, is_quiet), name="garbage", daemon=True).start()


def _run(stopping: threading.Event, is_quiet: Callable[[], bool]) -> None:
    while not stopping.wait(PERIOD_S):
        if gc.get_count()[2] >= WORTH:
            collect_quietly(stopping, is_quiet)


def collect_quietly(stopping: threading.Event, is_quiet: Callable[[], bool]) -> None:
    """Collect all garbage at the next quiet moment, after QUIET_S at the latest."""
    for _ in range(int(QUIET_S / LOOK_S)):
        if is_quiet() or stopping.wait(LOOK_S):
            break
    gc.collect()
