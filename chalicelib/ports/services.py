"""What a use case or worker is given: the ports, and the few numbers that deployments choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from chalicelib.core import limits
from chalicelib.core.held_calls import HeldCalls
from chalicelib.core.lease_memory import LeaseMemory
from chalicelib.core.version_cache import VersionCache
from chalicelib.ports.clock import Clock, Ids, NoTimeSources, Signals, Tasks, TimeSources
from chalicelib.ports.stores import CursorStore, ExecutionStore, IdempotencyStore, LeaseStore, ScheduleStore
from chalicelib.ports.target import Target
from chalicelib.ports.work_queue import WorkQueue


@dataclass(frozen=True, slots=True)
class Config:
    """``origin`` names the deployment, ``instance`` this process. ``lead_ms`` is how long before its instant a message
    should arrive; ``max_drift_ms`` how far two clocks may differ; ``zone_data`` the release of the IANA zone rules."""

    origin: str = "local"
    instance: str = "instance"
    shards: int = limits.SHARDS_DEFAULT
    horizon_ms: int = limits.HORIZON_MS
    lead_ms: int = 1000
    catch_up_per_minute: int = limits.CATCH_UP_PER_MINUTE  # late instants of one schedule delivered in a minute
    max_drift_ms: int = 20
    default_timezone: str = "UTC"
    zone_data: str = ""
    webhook_allow: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Services:
    """Everything from outside, as ports."""

    config: Config
    clock: Clock
    ids: Ids
    tasks: Tasks
    schedules: ScheduleStore
    executions: ExecutionStore
    cursors: CursorStore
    leases: LeaseStore
    idempotency: IdempotencyStore
    queue: WorkQueue
    targets: Mapping[str, Target]
    signals: Signals
    versions: VersionCache = field(default_factory=VersionCache)
    lease_memory: LeaseMemory = field(default_factory=LeaseMemory)
    held_calls: HeldCalls = field(default_factory=HeldCalls)
    time_sources: TimeSources = field(default_factory=NoTimeSources)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: every use case takes one. While authentication is off everybody is ``anonymous`` and admin."""

    tenant: str = "default"
    subject: str = "anonymous"
    roles: frozenset[str] = frozenset({"admin"})
