"""Records, with what matters to a test as arguments."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from chalicelib.core.executions.execution import Execution
from chalicelib.core.schedules.schedule import Definition, Key, Schedule, State, VersionRef

START_MS = 4_102_444_800_000  # 2100: the emulator removes what has expired by the clock of its machine


def definition(at: Key, version: str = "v1", **fields: Any) -> Definition:
    """A RATE schedule's definition."""
    defaults: dict[str, Any] = {
        "since_ms": START_MS,
        "type": "RATE",
        "expr": "rate:5s",
        "created_at_ms": START_MS,
        "updated_at_ms": START_MS,
        "hlc": "1795252800000000000.0",
        "origin": "test",
    }
    return Definition(tenant=at.tenant, id=at.id, version=version, **{**defaults, **fields})


def state(at: Key, shard: int = 0, **fields: Any) -> State:
    """A state whose next run is five seconds after the start."""
    defaults: dict[str, Any] = {
        "versions": (VersionRef("v1", START_MS, True),),
        "next_run_ms": START_MS + 5000,
        "hlc": "1795252800000000000.0",
        "origin": "test",
    }
    return State(tenant=at.tenant, id=at.id, shard=shard, **{**defaults, **fields})


def schedule(at: Key, shard: int = 0, next_run_ms: int | None = START_MS + 5000, **fields: Any) -> Schedule:
    """Both items of a new schedule; ``fields`` are the definition's."""
    return Schedule(definition(at, **fields), state(at, shard, next_run_ms=next_run_ms))


def edited(before: Schedule, version: str, at_ms: int, status: str = "active", **fields: Any) -> Schedule:
    """The schedule after an edit at ``at_ms``."""
    active = status == "active"
    return Schedule(
        replace(before.definition, version=version, since_ms=at_ms, active=active, **fields),
        before.state.with_version(VersionRef(version, at_ms, active), status=status),
    )


def execution(at: Key, firing_ms: int, shard: int = 0, **fields: Any) -> Execution:
    """A record claimed a second ahead of its instant."""
    defaults: dict[str, Any] = {
        "version": "v1",
        "owner": "anonymous",
        "target_type": "eventbridge",
        "attempt": 1,
        "fencing_token": 1,
        "claimed_by": "worker",
        "lease_until_ms": firing_ms + 20_000,
        "created_ms": firing_ms - 1000,
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
    }
    return Execution(tenant=at.tenant, schedule_id=at.id, firing_ms=firing_ms, shard=shard, **{**defaults, **fields})
