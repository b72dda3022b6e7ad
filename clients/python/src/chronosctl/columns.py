"""Which fields tables show, by noun and verb. What is not named here shows its first plain fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

_EXECUTION: Final = ("id", "firing_time_unix_ms", "delivery_state", "attempt", "lateness_ms", "owner")

COLUMNS: Final[Mapping[tuple[str, str], Sequence[str]]] = {
    ("schedules", "list"): ("id", "name", "type", "expr", "timezone", "state", "next_run_unix_ms", "owner"),
    ("schedules", "ledger"): ("firing_unix_ms", "expected", "outcome", "lateness_ms", "reason"),
    ("schedules", "executions"): _EXECUTION,
    ("executions", "list"): _EXECUTION,
    ("executions", "logs"): ("at_unix_ms", "level", "message"),
    ("leases", "list"): ("name", "held", "holder_id", "fencing_token", "expires_at_unix_ms"),
    ("jobs", "list"): ("id", "type", "status", "cron_expression", "timestamp"),
    ("keys", "list"): ("id", "name", "prefix", "owner", "roles", "active", "expires_at_unix_ms"),
    ("audit", "list"): ("at_unix_ms", "actor", "action", "resource", "decision"),
    ("policies", "list"): ("name", "mode", "version", "description"),
    ("runs", "list"): ("id", "workflow", "state", "owner", "started_unix_ms", "finished_unix_ms"),
    ("tasks", "list"): ("id", "name", "status", "owner", "created_at_unix_ms", "duration_ms"),
    ("ticks", "get"): ("sequence", "timestamp", "id", "instance_id"),
    ("workflows", "list"): ("name", "live", "number", "owner", "updated_at_unix_ms"),
    ("changes", "list"): ("position", "type", "id", "at_unix_ms"),
    ("monitors", "list"): ("id", "name", "state", "type", "expr", "last_ping_unix_ms", "expected_unix_ms", "owner"),
    ("notification-rules", "list"): ("id", "name", "when", "enabled", "group_ms", "owner"),
    ("notifications", "list"): ("at_unix_ms", "rule", "kind", "channel", "state", "name", "when", "error"),
    ("triggers", "list"): ("id", "name", "source", "listening", "target", "enabled", "dropped", "owner"),
    ("policies", "versions"): ("version", "name", "mode", "description"),
    ("roles", "list"): ("name", "built_in", "permissions", "description"),
}
