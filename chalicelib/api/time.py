"""The clock over HTTP: what time this instance believes it is, and how steadily its wall clock has run."""

from __future__ import annotations

import threading
from collections import deque

from chalicelib.api import answers, requests
from chalicelib.api.operations import Call, Operation
from chalicelib.api.requests import Body, Query
from chalicelib.api.wire import Reply
from chalicelib.core import hlc, limits, zones
from chalicelib.core.errors import FieldError, NotSupported
from chalicelib.core.instants import to_rfc3339
from chalicelib.ports.clock import Reading

_NANOS_PER_MS = 1_000_000
_NANOS_PER_S = 1_000_000_000


class DriftWatch:
    """Remembers readings of both clocks: the wall clock's steps and drift show against the monotonic one."""

    def __init__(self) -> None:
        self._readings: deque[Reading] = deque(maxlen=limits.DRIFT_SAMPLES_MAX)
        self._lock = threading.Lock()

    def sample(self, reading: Reading) -> tuple[int, int]:
        """(nanoseconds that the wall clock gained since the oldest reading kept, how many are kept)."""
        with self._lock:
            self._readings.append(reading)
            oldest = self._readings[0]
            count = len(self._readings)
        wall = reading.wall_unix_nanos - oldest.wall_unix_nanos
        return wall - (reading.monotonic_nanos - oldest.monotonic_nanos), count


class Clockface:
    """The handlers, around one watch for the process."""

    def __init__(self) -> None:
        self._watch = DriftWatch()

    def now(self, call: Call[Body, requests.NowQuery]) -> Reply:
        """The time. The error bound is the drift that deployments allow, and what was seen of it."""
        if call.query.consistency != "local":
            raise NotSupported([FieldError("consistency", "cluster is not offered yet: use local")])
        s = call.services
        reading = s.clock.read()
        drift_nanos, _ = self._watch.sample(reading)
        stamp = hlc.parse(s.ids.hlc())
        tz = s.config.default_timezone
        view = answers.NowView(
            wall_unix_nanos=reading.wall_unix_nanos,
            monotonic_nanos=reading.monotonic_nanos,
            tz=tz,
            iso8601=_iso8601(reading.wall_unix_nanos, tz),
            clock_id=s.config.instance,
            hlc_physical_nanos=stamp.physical_nanos,
            hlc_logical=stamp.logical,
            error_bound_nanos=s.config.max_drift_ms * _NANOS_PER_MS + abs(drift_nanos),
            drift_ms=_ms(drift_nanos),
        )
        return Reply(200, view)

    def drift(self, call: Call[Body, Query]) -> Reply:
        """How far the wall clock has moved against the monotonic one."""
        drift_nanos, samples = self._watch.sample(call.services.clock.read())
        most = call.services.config.max_drift_ms
        within = abs(drift_nanos) <= most * _NANOS_PER_MS
        return Reply(200, answers.DriftView(_ms(drift_nanos), most, within, samples))


def _ms(nanos: int) -> float:
    return round(nanos / _NANOS_PER_MS, 3)


def _iso8601(unix_nanos: int, timezone: str) -> str:
    """RFC 3339 to the nanosecond, with the zone's offset, or Z for UTC."""
    seconds, fraction = divmod(unix_nanos, _NANOS_PER_S)
    offset_s = 0 if timezone == "UTC" else zones.zone(timezone).offset(seconds)
    wall = to_rfc3339((seconds + offset_s) * 1000).partition(".")[0]
    if timezone == "UTC":
        return f"{wall}.{fraction:09d}Z"
    sign, (hours, rest) = "-" if offset_s < 0 else "+", divmod(abs(offset_s), 3600)
    return f"{wall}.{fraction:09d}{sign}{hours:02d}:{rest // 60:02d}"


def operations() -> list[Operation]:
    """The calls of this noun, around a watch of their own."""
    face = Clockface()
    return [
        Operation(
            method="GET",
            path="/api/v1/time/now",
            summary="The time, and a hybrid logical clock stamp",
            tag="time",
            handler=face.now,
            query=requests.NowQuery,
            answers={200: answers.NowView},
        ),
        Operation(
            method="GET",
            path="/api/v1/time/drift",
            summary="How steadily this instance's wall clock runs",
            tag="time",
            handler=face.drift,
            answers={200: answers.DriftView},
        ),
    ]
