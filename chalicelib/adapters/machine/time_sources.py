"""Sources of true time beside this machine's own clock: the ``Date`` of AWS answers, ClockBound where it runs.

Listening costs nothing extra. The answers come anyway, one of each server is read now and then, and the daemon's
segment is a file of some eighty bytes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from chalicelib.core import http_date
from chalicelib.core.clock import clock_bound, clockbound_segment
from chalicelib.core.clock.clock_bound import ClockReading, Observation
from chalicelib.core.clock.limits import OBSERVE_EVERY_MS

CLOCKBOUND_PATHS = ("/var/run/clockbound/shm0", "/var/run/clockbound/shm")  # of protocol versions 2 and 1
_EVERY_NANOS = OBSERVE_EVERY_MS * 1_000_000
_DAEMON_RETRY_NANOS = 60_000_000_000


class SystemTimeSources:
    """Sources as this process meets them; safe to share between threads."""

    def __init__(
        self, monotonic_nanos: Callable[[], int] = time.monotonic_ns, paths: tuple[str, ...] = CLOCKBOUND_PATHS
    ) -> None:
        self._monotonic_nanos = monotonic_nanos
        self._paths = paths
        self._lock = threading.Lock()
        self._observations: tuple[Observation, ...] = ()
        self._next_daemon_nanos = 0

    def observations(self) -> tuple[Observation, ...]:
        """What was heard lately, oldest first."""
        if self._monotonic_nanos() >= self._next_daemon_nanos:
            self._ask_daemon()
        return self._observations

    def attach(self, client: Any) -> Ear:
        """Read the answers that a botocore ``client`` gets from now on. A call that makes no events gives its answer
        to the ear itself."""
        ear = Ear(urlsplit(client.meta.endpoint_url).netloc, self._monotonic_nanos, self._hear)
        client.meta.events.register("before-send", ear.sent)
        client.meta.events.register("before-parse", ear.received)
        return ear

    def _hear(self, observation: Observation) -> None:
        with self._lock:
            self._observations = clock_bound.keep(self._observations, observation)

    def _ask_daemon(self) -> None:
        """Read ClockBound's segment; where there is none, try again a minute later."""
        self._next_daemon_nanos = self._monotonic_nanos() + _DAEMON_RETRY_NANOS
        for path in self._paths:
            try:
                with open(path, "rb") as segment:
                    content = segment.read(clockbound_segment.SEGMENT_MAX_BYTES)
            except OSError:
                continue
            self._next_daemon_nanos = self._monotonic_nanos() + _EVERY_NANOS
            before = self._monotonic_nanos()
            reading = ClockReading(time.time_ns(), before, self._monotonic_nanos())
            found = clockbound_segment.observation(content, reading)
            if found is not None:
                self._hear(found)
                return


class Ear:
    """Listens to one server, seldom: its answers' ``Date`` and how long each took."""

    def __init__(self, source: str, monotonic_nanos: Callable[[], int], hear: Callable[[Observation], None]) -> None:
        self._source = source
        self._monotonic_nanos = monotonic_nanos
        self._hear = hear
        self._next_nanos = 0
        self._sent = threading.local()

    def sent(self, **_: object) -> None:
        """A request goes out, on this thread."""
        now = self._monotonic_nanos()
        self._sent.at = now if now >= self._next_nanos else None

    def received(self, response_dict: Mapping[str, Any], **_: object) -> None:
        """Its answer has come."""
        sent: int | None = getattr(self._sent, "at", None)
        if sent is None:
            return
        now = self._monotonic_nanos()
        self._next_nanos = now + _EVERY_NANOS
        date_ms = http_date.parse(str(response_dict["headers"].get("date")), time.time_ns() // 1_000_000)
        if date_ms is not None:  # else a server that cannot say the date
            self._hear(clock_bound.from_date_header(self._source, date_ms // 1000, sent, now))
