"""Waiting longer after each failure, saying so once."""

from __future__ import annotations

import logging
import threading

FIRST_S = 0.5
LONGEST_S = 10.0


class Backoff:
    """One loop's run of failures: the first is a warning in the log, its end another line."""

    def __init__(self, what: str, log: logging.Logger, stopping: threading.Event) -> None:
        self._what = what
        self._log = log
        self._stopping = stopping
        self._wait_s = 0.0

    def failed(self, problem: Exception) -> None:
        """Wait before the next try, or until the process stops."""
        level = logging.DEBUG if self._wait_s else logging.WARNING
        self._log.log(level, "%s failed, trying again: %s", self._what, problem)
        self._wait_s = min(LONGEST_S, self._wait_s * 2 or FIRST_S)
        self._stopping.wait(self._wait_s)

    def succeeded(self) -> None:
        """The run of failures, if there was one, is over."""
        if self._wait_s:
            self._log.warning("%s works again", self._what)
            self._wait_s = 0.0
