"""Health as callers see it."""

from __future__ import annotations

from typing import Literal

import msgspec

from chalicelib.api.http.responses import Check


class MemoryView(msgspec.Struct):
    """What all schedules together weigh; `limit_bytes` null: there is no limit."""

    used_bytes: int
    limit_bytes: int | None
    utilization_percent: float


class JobsNumbers(msgspec.Struct):
    """Schedules that are neither deleted nor completed; `limit` null: there is no limit. Then one-shots without a name
    and a monitor are not counted."""

    count: int
    limit: int | None


class ExecutionsNumbers(msgspec.Struct):
    """Executions of the last hour, and how many of them ended as failed or timeout."""

    total: int
    failed: int
    failure_ratio: float


class HealthView(msgspec.Struct):
    """Whether schedules fire. ``zone_data`` is the release of the IANA zone rules that instants are planned with."""

    status: Literal["ok", "degraded"]
    role: str
    version: str
    zone_data: str
    uptime_ms: int
    memory: MemoryView
    jobs: JobsNumbers
    executions: ExecutionsNumbers
    checks: dict[str, Check]
