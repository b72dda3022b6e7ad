"""Health over HTTP: 200 once schedules fire, 503 while something they need is away."""

from __future__ import annotations

from collections.abc import Sequence

from chalicelib import VERSION
from chalicelib.api.health import schemas
from chalicelib.api.http.operations import Call, Operation
from chalicelib.api.http.problem import Reply, problem
from chalicelib.api.http.requests import Body, Query
from chalicelib.api.http.responses import Check
from chalicelib.core.errors import ChronoError, Unavailable
from chalicelib.core.limits import SWEEP_PERIOD_MS
from chalicelib.core.security.caller import Caller
from chalicelib.ports.services import Services
from chalicelib.usecases.health import HealthNumbers, numbers, swept_at_ms, unreadable_policies

SWEEP_MAX_AGE_MS = 3 * SWEEP_PERIOD_MS  # no shard may go unswept for longer: its schedules would not fire
RETRY_AFTER_S = 5
NUMBERS_MAX_AGE_MS = 2_000


class Health:
    """The handler, when it was first asked for its services, and the numbers it last found."""

    def __init__(self) -> None:
        self._since_ms: int | None = None
        self._numbers: tuple[int, HealthNumbers] | None = None

    def get(self, call: Call[Body, Query]) -> Reply:
        """How things are."""
        s = call.services
        now_ms = s.clock.now_ms()
        since_ms = self._since_ms = now_ms if self._since_ms is None else self._since_ms
        checks = _tables_and_sweep(s, now_ms)
        failing = [name for name, check in checks.items() if not check.ok]
        if failing:
            error = Unavailable(f"not working: {', '.join(failing)}", retry_after_s=RETRY_AFTER_S, code="unhealthy")
            return problem(error, call.trace_id, checks)
        checks["policies"] = _readable(s, call.caller)
        return Reply(200, _view(s, self._counted(s, call.caller, now_ms), max(0, now_ms - since_ms), checks))

    def _counted(self, s: Services, caller: Caller, now_ms: int) -> HealthNumbers:
        """The numbers, read at most every NUMBERS_MAX_AGE_MS: /health may be asked often."""
        known = self._numbers
        if known is None or not 0 <= now_ms - known[0] < NUMBERS_MAX_AGE_MS:
            known = self._numbers = (now_ms, numbers(s, caller))
        return known[1]


def _view(s: Services, found: HealthNumbers, uptime_ms: int, checks: dict[str, Check]) -> schemas.HealthView:
    degraded = found.failure_ratio > s.config.failure_threshold or not checks["policies"].ok
    used, limit = found.used.weight_bytes, s.config.memory_limit_bytes
    return schemas.HealthView(
        status="degraded" if degraded else "ok",
        role="api",
        version=VERSION,
        zone_data=s.config.zone_data,
        uptime_ms=uptime_ms,
        memory=schemas.MemoryView(used, limit, round(100 * used / limit, 2) if limit else 0.0),
        jobs=schemas.JobsNumbers(found.used.jobs, s.config.job_limit),
        executions=schemas.ExecutionsNumbers(found.total, found.failed, round(found.failure_ratio, 4)),
        checks=checks,
    )


def _tables_and_sweep(s: Services, now_ms: int) -> dict[str, Check]:
    """Whether the tables answer, and whether every shard was swept lately: one read says both. A sweep that ends well
    has reached both the tables and the queue."""
    try:
        swept = swept_at_ms(s)
    except ChronoError as error:
        return {"tables": Check(ok=False, detail=error.detail), "sweep": Check(ok=False, detail="not known")}
    return {"tables": Check(ok=True, detail="answers"), "sweep": _swept(swept, now_ms)}


def _swept(swept: Sequence[int | None], now_ms: int) -> Check:
    never = sum(at is None for at in swept)
    if never:
        return Check(ok=False, detail=f"{never} of {len(swept)} shards were never swept")
    age_ms = now_ms - min(at for at in swept if at is not None)
    return Check(ok=age_ms <= SWEEP_MAX_AGE_MS, detail=f"the oldest sweep is {max(0, age_ms)} ms old")


def _readable(s: Services, caller: Caller) -> Check:
    """Whether every policy is in a known form. One that is not denies what it matches, which is one tenant's trouble:
    schedules of others fire."""
    try:
        unreadable = unreadable_policies(s, caller)
    except ChronoError as error:
        return Check(ok=False, detail=error.detail)
    if unreadable:
        return Check(
            ok=False, detail=f"{unreadable} cannot be read, and deny what they match: see GET /api/v1/policies"
        )
    return Check(ok=True, detail="all can be read")


def operations() -> list[Operation]:
    """The calls of this noun."""
    return [
        Operation(
            method="GET",
            path="/health",
            summary="Whether schedules fire",
            tag="operations",
            permission="health:read",
            free=True,
            handler=Health().get,
            ops=True,
            answers={200: schemas.HealthView},
            errors=(503,),
            description="503 carries the same `checks` in its problem document. `degraded`: of the executions of the "
            "last hour more failed than HEALTH_FAILURE_THRESHOLD allows, or a policy cannot be read.",
        )
    ]
