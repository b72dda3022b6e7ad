"""What a use case or worker is given: the ports, and the few numbers that deployments choose."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from chalicelib.core import limits
from chalicelib.ports.clock import Clock, Ids, NoTimeSources, Signals, Tasks, TimeSources
from chalicelib.ports.stores import CursorStore, ExecutionStore, IdempotencyStore, LeaseStore, LogStore, ScheduleStore
from chalicelib.ports.target import Target
from chalicelib.ports.ticks import TickStore
from chalicelib.ports.work_queue import WorkQueue
from chalicelib.process.admission import Backpressure, Caps
from chalicelib.process.clock_memory import ClockMemory
from chalicelib.process.lease_memory import LeaseMemory
from chalicelib.process.permits import HeldCalls
from chalicelib.process.version_cache import VersionCache


class Config(Struct, frozen=True):
    """``origin`` names the deployment, ``instance`` this process. ``lead_ms`` is how long before its instant a message
    should arrive; ``max_drift_ms`` how far two clocks may differ; ``zone_data`` the release of the IANA zone rules.
    ``ticks`` names the streams that run until somebody switches them; of what one missed, the newest ``tick_catch_up``
    are emitted late.

    ``attempt_timeout_ms`` and ``max_attempts`` are what schedules get that do not say, ``webhook_timeout_ms`` what jobs
    get. ``job_limit`` and ``memory_limit_bytes`` bound all schedules together (None: no limit). ``failure_threshold``
    is the share of failed executions above which the service counts as degraded. ``slot_gap_ms`` is the span of
    instants that one message carries. ``caps`` bounds what this process delivers at once."""

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
    webhook_timeout_ms: int = limits.WEBHOOK_TIMEOUT_DEFAULT_MS
    attempt_timeout_ms: int = limits.TIMEOUT_DEFAULT_MS
    max_attempts: int = 3
    job_limit: int | None = None
    memory_limit_bytes: int | None = None
    failure_threshold: float = 0.1
    slot_gap_ms: int = limits.MESSAGE_SPAN_MS
    ticks: tuple[str, ...] = ()
    tick_catch_up: int = limits.TICK_CATCH_UP_MAX_COUNT
    caps: Caps = Caps()


class Services(Struct, frozen=True):
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
    logs: LogStore
    ticks: TickStore
    queue: WorkQueue
    targets: Mapping[str, Target]
    signals: Signals
    versions: VersionCache = field(default_factory=VersionCache)
    lease_memory: LeaseMemory = field(default_factory=LeaseMemory)
    backpressure: Backpressure = field(default_factory=Backpressure)
    passages: Backpressure = field(default_factory=Backpressure)
    held_calls: HeldCalls = field(default_factory=HeldCalls)
    tick_streams: HeldCalls = field(default_factory=lambda: HeldCalls(limits.TICK_STREAMS_MAX))
    clock_memory: ClockMemory = field(default_factory=ClockMemory)
    time_sources: TimeSources = field(default_factory=NoTimeSources)


class Caller(Struct, frozen=True):
    """Who asks: every use case takes one. While authentication is off everybody is ``anonymous`` and admin."""

    tenant: str = "default"
    subject: str = "anonymous"
    roles: frozenset[str] = frozenset({"admin"})
