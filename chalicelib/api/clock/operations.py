"""The clock over HTTP: what time this instance believes it is, and how steadily its wall clock has run."""

from __future__ import annotations

from chalicelib.api.clock import schemas
from chalicelib.api.http.operations import Call, Operation
from chalicelib.api.http.problem import Reply
from chalicelib.api.http.requests import Body, Query
from chalicelib.core.clock import hlc
from chalicelib.core.instants import to_rfc3339
from chalicelib.core.recurrence import zones
from chalicelib.usecases.clock_status import ClockHistory
from chalicelib.usecases.cluster_time import ClusterClock

_NANOS_PER_MS = 1_000_000
_NANOS_PER_S = 1_000_000_000


class TimeCalls:
    """The handlers, around one history of the clock for the process."""

    def __init__(self) -> None:
        self._history = ClockHistory()
        self._cluster = ClusterClock()

    def now(self, call: Call[Body, schemas.NowQuery]) -> Reply:
        """The time."""
        s = call.services
        stamp = self._cluster.stamp(s) if call.query.consistency == "cluster" else hlc.parse(s.ids.hlc())
        status = self._history.status(s)
        tz = s.config.default_timezone
        view = schemas.NowView(
            wall_unix_nanos=status.wall_unix_nanos,
            monotonic_nanos=status.monotonic_nanos,
            tz=tz,
            iso8601=_iso8601(status.wall_unix_nanos, tz),
            clock_id=s.config.instance,
            hlc_physical_nanos=stamp.physical_nanos,
            hlc_logical=stamp.logical,
            error_bound_nanos=status.error_bound_nanos,
            drift_ms=_ms(status.drift_nanos),
        )
        return Reply(200, view)

    def drift(self, call: Call[Body, Query]) -> Reply:
        """How the wall clock has run."""
        status = self._history.status(call.services)
        most = call.services.config.max_drift_ms
        view = schemas.DriftView(
            drift_ms=_ms(status.drift_nanos),
            max_drift_ms=most,
            within_bound=abs(status.drift_nanos) <= most * _NANOS_PER_MS,
            samples=status.samples,
            steps=[schemas.StepView(step.wall_nanos // _NANOS_PER_MS, _ms(step.nanos)) for step in status.steps],
            error_bound_nanos=status.error_bound_nanos,
            sources=status.sources,
            sources_agreeing=status.agreeing,
        )
        return Reply(200, view)


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
    """The calls of this noun, around a clock history of their own."""
    calls = TimeCalls()
    return [
        Operation(
            method="GET",
            path="/api/v1/time/now",
            summary="The time, and a hybrid logical clock stamp",
            tag="time",
            permission="time:read",
            handler=calls.now,
            query=schemas.NowQuery,
            answers={200: schemas.NowView},
            description="`error_bound_nanos` is how wrong the wall clock may be, as far as the deployment states it "
            "and sources of true time support it.",
        ),
        Operation(
            method="GET",
            path="/api/v1/time/drift",
            summary="How steadily this instance's wall clock runs",
            tag="time",
            permission="time:read",
            handler=calls.drift,
            answers={200: schemas.DriftView},
        ),
    ]
