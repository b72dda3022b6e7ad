"""``Tracer`` over OTLP/HTTP with JSON, for any collector of OpenTelemetry.

Spans wait in a bounded queue, and one thread sends them. A collector that is away or slow costs spans and nothing else.
OpenTelemetry's own SDK was weighed: 99 ms of every cold start and 14 MB of the zip, for what these lines do.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from chalicelib.adapters.http.client import TIMEOUT_S, HttpClient, NoAnswer
from chalicelib.core.telemetry import otlp_json
from chalicelib.core.telemetry.span import Span
from chalicelib.core.telemetry.telemetry_settings import TRACES_PATH, OtlpSettings

log = logging.getLogger(__name__)

WAITING_MAX: Final = 4_096  # spans: some seconds of a busy worker, a few MB
BATCH_MAX: Final = 512
GATHER_S: Final = 0.5  # spans of one trace end close to each other, and share a call
FLUSH_MAX_S: Final = 0.2
SEND_ATTEMPTS: Final = 3
RETRY_AFTER_S: Final = 1.0
WARN_EVERY_S: Final = 60.0
_RETRYABLE: Final = frozenset({429, 502, 503, 504})  # as the protocol lists them

Send = Callable[[bytes], int]


class OtlpTracer:
    """See the module. ``send`` makes one call and answers the status. It raises NoAnswer."""

    on = True

    def __init__(
        self,
        send: Send,
        resource: Mapping[str, str],
        version: str,
        monotonic_s: Callable[[], float],
        gather_s: float = GATHER_S,
    ) -> None:
        self._send = send
        self._resource = resource
        self._version = version
        self._monotonic_s = monotonic_s
        self._gather_s = gather_s
        self._waiting: deque[Span] = deque()
        self._changed = threading.Condition()
        self._under_way = 0
        self._hurry = False
        self._thread: threading.Thread | None = None
        self._dropped = 0
        self._warned_s = -WARN_EVERY_S

    @property
    def dropped(self) -> int:
        """How many spans were dropped."""
        return self._dropped

    def export(self, spans: Sequence[Span]) -> None:
        """Take spans; those for which there is no room are dropped and counted."""
        if not spans:
            return
        with self._changed:
            room = WAITING_MAX - len(self._waiting)
            self._waiting.extend(spans[:room])
            self._dropped += max(0, len(spans) - room)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def flush(self) -> None:
        """Let what waits leave, within FLUSH_MAX_S."""
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._waiting and not self._under_way, FLUSH_MAX_S)
            self._hurry = False

    def _run(self) -> None:
        while True:
            batch = self._next()
            try:
                sent = self._sent(otlp_json.encode(batch, self._resource, self._version))
            except Exception:  # whatever it is: the thread must go on, and no firing may hear of it
                log.exception("spans could not be sent")
                sent = False
            with self._changed:
                self._under_way = 0
                self._dropped += 0 if sent else len(batch)
                self._changed.notify_all()

    def _next(self) -> list[Span]:
        """Some spans, when there are any and others had time to join them."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting))
            self._changed.wait_for(lambda: self._hurry or len(self._waiting) >= BATCH_MAX, self._gather_s)
            batch = [self._waiting.popleft() for _ in range(min(BATCH_MAX, len(self._waiting)))]
            self._under_way = len(batch)
            return batch

    def _sent(self, body: bytes) -> bool:
        problem = ""
        for attempt in range(SEND_ATTEMPTS):
            if attempt:
                self._pause(RETRY_AFTER_S * attempt)
            try:
                status = self._send(body)
            except NoAnswer as error:
                problem = str(error)
                continue
            if 200 <= status < 300:
                return True
            problem = f"HTTP {status}"
            if status not in _RETRYABLE:
                break
        self._warn(problem)
        return False

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._hurry, seconds)

    def _warn(self, problem: str) -> None:
        now_s = self._monotonic_s()
        if now_s - self._warned_s >= WARN_EVERY_S:
            self._warned_s = now_s
            log.warning("the collector of traces takes no spans (%d dropped so far): %s", self._dropped, problem)


def make(
    chosen: OtlpSettings,
    version: str,
    instance: str,
    monotonic_s: Callable[[], float],
    timeout_s: float = TIMEOUT_S,
) -> OtlpTracer:
    """The tracer of a process. Does no I/O."""
    client = HttpClient(chosen.endpoint, monotonic_s=monotonic_s, ca_file=chosen.ca_file, timeout_s=timeout_s)
    headers = {**chosen.headers, "Content-Type": "application/json"}
    resource = {**chosen.resource, "service.version": version, "service.instance.id": instance}

    def send(body: bytes) -> int:
        return client.call("POST", TRACES_PATH, headers, body).status

    return OtlpTracer(send, resource, version, monotonic_s)
