"""Which calls there are, and the REST operations behind them. Apart from their messages, which take time to load: who
only asks whether a path is a call need not load them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PACKAGE: Final = "chronowatch.v1"
RPC_PREFIX: Final = f"/{PACKAGE}."
_SCHEDULE: Final = "/api/v1/schedules/{schedule_id}"
_EXECUTION: Final = "/api/v1/executions/{execution_id}"
REST: Final[Mapping[str, tuple[str, str]]] = {
    f"{RPC_PREFIX}{name}": (method, path)
    for name, method, path in (
        ("TimeService/Now", "GET", "/api/v1/time/now"),
        ("ScheduleService/Create", "POST", "/api/v1/schedules"),
        ("ScheduleService/Get", "GET", _SCHEDULE),
        ("ScheduleService/List", "GET", "/api/v1/schedules"),
        ("ScheduleService/Pause", "POST", f"{_SCHEDULE}:pause"),
        ("ScheduleService/Resume", "POST", f"{_SCHEDULE}:resume"),
        ("ScheduleService/Delete", "DELETE", _SCHEDULE),
        ("LeaseService/Acquire", "POST", "/api/v1/leases:acquire"),
        ("LeaseService/Renew", "POST", "/api/v1/leases:renew"),
        ("LeaseService/Release", "POST", "/api/v1/leases:release"),
        ("ExecutionService/Get", "GET", _EXECUTION),
        ("ExecutionService/List", "GET", "/api/v1/executions"),
        ("ExecutionService/Retry", "POST", f"{_EXECUTION}:retry"),
        ("ExecutionService/Cancel", "POST", f"{_EXECUTION}:cancel"),
        ("ChangeService/Watch", "GET", "/api/v1/changes"),
    )
}
