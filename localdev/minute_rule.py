"""``rate(1 minute)`` rules: the first call at once, so that nothing waits a minute after a start."""

from __future__ import annotations

import logging
import threading
import time

from localdev.backoff import Backoff
from localdev.invocations import Handler, LocalContext, scheduled_event

PERIOD_S = 60.0
TIMEOUT_S = 55.0

_log = logging.getLogger(__name__)


class MinuteRule:
    """Calls one function each minute, on a thread of its own; a failed call is repeated sooner."""

    def __init__(self, name: str, handler: Handler, region: str, stopping: threading.Event) -> None:
        self._name = name
        self._handler = handler
        self._region = region
        self._stopping = stopping

    def start(self) -> None:
        """Begin calling."""
        threading.Thread(target=self._run, name=f"rule-{self._name}", daemon=True).start()

    def _run(self) -> None:
        backoff = Backoff(self._name, _log, self._stopping)
        due = time.monotonic()
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            try:
                self._handler(scheduled_event(self._name, self._region), LocalContext(self._name, TIMEOUT_S))
            except Exception as problem:
                _log.debug("%s raised", self._name, exc_info=True)
                backoff.failed(problem)
                due = time.monotonic()
                continue
            backoff.succeeded()
            due = max(due + PERIOD_S, time.monotonic())
