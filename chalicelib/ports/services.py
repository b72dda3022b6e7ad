"""What a use case or worker is given: the ports, and the few numbers that deployments choose.

**Each method of a store is one atomic change.** No method needs another to be right. Common contract of all stores:

- A batch method takes any number of items and answers in their order; its items are atomic one by one. A conditional
  write that loses is ``False`` in the answer, never an exception: losing a race is ordinary.
- ``Unavailable`` is raised when nothing was written (throttled, refused, unreachable). ``OutcomeUnknown`` is raised
  when a write got no answer, so that it, or for a batch any part of it, may have happened. Callers repeat or re-read.
  Every write is safe to repeat, since it is conditional on ``rev`` or on absence.
- Reads are strongly consistent unless the method says *may lag*. What such a method lists lags by an unbounded, usually
  small, time. So callers judge by the record itself.
- Documents, payloads and batches have the bounds of ``core``; each adapter asserts that its service takes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from chalicelib.core.changes.limits import CHANGES_RETENTION_S
from chalicelib.core.cluster.limits import SHARDS_DEFAULT
from chalicelib.core.executions.limits import HORIZON_MS, MESSAGE_SPAN_MS
from chalicelib.core.policies.limits import CATCH_UP_PER_MINUTE
from chalicelib.core.schedules.limits import SLA_DEFAULT_MS, TIMEOUT_DEFAULT_MS
from chalicelib.core.secrets.secret_policy import STRICTEST, SecretPolicy
from chalicelib.core.targets.limits import WEBHOOK_TIMEOUT_DEFAULT_MS
from chalicelib.core.ticks.limits import TICK_CATCH_UP_MAX_COUNT
from chalicelib.ports.clock import Clock, Ids, NoTimeSources, TimeSources
from chalicelib.ports.decision_book import DecisionBook, NoDecisionBook
from chalicelib.ports.event_sources import EventSources, NoEventSources
from chalicelib.ports.external_policies import ExternalPolicies, NoExternalPolicies
from chalicelib.ports.inlet_signatures import InletSignatures, NoInletSignatures
from chalicelib.ports.rego import NoRego, RegoEngine
from chalicelib.ports.sealing import UNSEALED, Sealing
from chalicelib.ports.sessions import NoSessions, Sessions
from chalicelib.ports.tracing import NoTracer, Tracer
from chalicelib.ports.webhook_keys import NoWebhookKeys, WebhookKeys
from chalicelib.process.admission import Caps
from chalicelib.process.memory import ProcessMemory

if TYPE_CHECKING:  # a function need not load what it holds and never uses
    from chalicelib.ports.checkpoints import CheckpointSigner, CheckpointStore
    from chalicelib.ports.signals import Signals
    from chalicelib.ports.stores.alerts import AlertStore
    from chalicelib.ports.stores.audit import AuditStore
    from chalicelib.ports.stores.bulk_jobs import BulkJobStore
    from chalicelib.ports.stores.changes import ChangeStore
    from chalicelib.ports.stores.cursors import CursorStore
    from chalicelib.ports.stores.executions import ExecutionStore
    from chalicelib.ports.stores.idempotency import IdempotencyStore
    from chalicelib.ports.stores.keys import KeyStore
    from chalicelib.ports.stores.large_values import LargeValueStore
    from chalicelib.ports.stores.leases import LeaseStore
    from chalicelib.ports.stores.logs import LogStore
    from chalicelib.ports.stores.metrics import MetricStore
    from chalicelib.ports.stores.policies import PolicyStore
    from chalicelib.ports.stores.queues import QueueStore
    from chalicelib.ports.stores.quotas import QuotaStore
    from chalicelib.ports.stores.roles import RoleStore
    from chalicelib.ports.stores.runs import RunStore
    from chalicelib.ports.stores.schedules import ScheduleStore
    from chalicelib.ports.stores.ticks import TickStore
    from chalicelib.ports.stores.triggers import TriggerStore
    from chalicelib.ports.stores.workflows import WorkflowStore
    from chalicelib.ports.target import Target
    from chalicelib.ports.tasks import Tasks
    from chalicelib.ports.work_queue import WorkQueue
    from chalicelib.ports.workflow_steps import WorkflowParts


class Config(Struct, frozen=True):
    """``origin`` names the deployment, ``instance`` this process. ``lead_ms`` is how long before its instant a message
    should arrive. ``max_drift_ms`` is how far two clocks may differ; ``zone_data`` the release of the IANA zone rules.
    ``ticks`` names the streams that run until an admin switches them; of what one missed, the newest ``tick_catch_up``
    are emitted late.

    ``attempt_timeout_ms``, ``default_sla_ms`` and ``max_attempts`` are what schedules get that do not say. Jobs get
    ``webhook_timeout_ms``. ``job_limit`` and ``memory_limit_bytes`` bound all schedules together (None: no limit).
    ``failure_threshold`` is the share of failed executions above which the service counts as degraded.
    ``slot_gap_ms`` is the span of
    instants that one message carries. ``caps`` bounds what this process delivers at once. ``reads_per_s`` and
    ``writes_per_s`` are what one principal may ask for, over all processes (None: no limit). ``bootstrap_admin``: the
    settings give an admin key. ``trace_sample`` is the share of new traces that is kept, ``trace_url_template`` where
    one can be read. ``counts_kept``: counts are published to the tables, and not written to a log. A cursor into the
    log of changes is good for ``changes_retention_ms``. ``audit`` says what is recorded (``all``, ``changes`` or
    ``off``), and ``audit_retention_ms`` for how long (None: for ever). A schedule
    that names no target has ``default_target`` (None: the bus), and the kinds ``unoffered`` cannot be had."""

    origin: str = "local"
    instance: str = "instance"
    shards: int = SHARDS_DEFAULT
    horizon_ms: int = HORIZON_MS
    lead_ms: int = 1000
    catch_up_per_minute: int = CATCH_UP_PER_MINUTE  # late instants of one schedule delivered in a minute
    max_drift_ms: int = 20
    default_timezone: str = "UTC"
    zone_data: str = ""
    webhook_allow: tuple[str, ...] = ()
    secrets: SecretPolicy = STRICTEST
    webhook_timeout_ms: int = WEBHOOK_TIMEOUT_DEFAULT_MS
    attempt_timeout_ms: int = TIMEOUT_DEFAULT_MS
    default_sla_ms: int = SLA_DEFAULT_MS
    max_attempts: int = 3
    job_limit: int | None = None
    memory_limit_bytes: int | None = None
    failure_threshold: float = 0.1
    slot_gap_ms: int = MESSAGE_SPAN_MS
    ticks: tuple[str, ...] = ()
    tick_catch_up: int = TICK_CATCH_UP_MAX_COUNT
    bootstrap_admin: bool = False
    caps: Caps = Caps()
    changes_retention_ms: int = CHANGES_RETENTION_S * 1000
    reads_per_s: int | None = None
    writes_per_s: int | None = None
    trace_sample: float = 1.0
    trace_url_template: str | None = None
    counts_kept: bool = True
    audit: str = "changes"
    audit_retention_ms: int | None = None
    default_target: Mapping[str, object] | None = None
    unoffered: frozenset[str] = frozenset()
    listens: bool = True  # some worker reads the brokers that triggers name
    trigger_queues: tuple[str, ...] = ("*",)  # the queues that triggers may read
    run_retention_ms: int | None = None  # of runs of workflows, once they have ended (None: for ever)


class Stores(Struct, frozen=True):
    """The tables: one store a noun, all of one adapter."""

    schedules: ScheduleStore
    executions: ExecutionStore
    cursors: CursorStore
    leases: LeaseStore
    metrics: MetricStore
    idempotency: IdempotencyStore
    logs: LogStore
    ticks: TickStore
    keys: KeyStore
    roles: RoleStore
    quotas: QuotaStore
    policies: PolicyStore
    queues: QueueStore
    changes: ChangeStore
    bulk_jobs: BulkJobStore
    audit: AuditStore
    workflows: WorkflowStore
    runs: RunStore
    large_values: LargeValueStore
    alerts: AlertStore
    triggers: TriggerStore


class Machine(Struct, frozen=True):
    """What one machine gives: its clock, its threads, its ways to wake others."""

    clock: Clock
    ids: Ids
    tasks: Tasks
    signals: Signals
    time_sources: TimeSources = NoTimeSources()


class Services(Struct, frozen=True):
    """Everything from outside, as ports; ``process`` is what this process remembers. Made by ``assemble``."""

    config: Config
    clock: Clock
    ids: Ids
    tasks: Tasks
    signals: Signals
    time_sources: TimeSources
    stores: Stores
    queue: WorkQueue
    targets: Mapping[str, Target]
    process: ProcessMemory
    webhook_keys: WebhookKeys = NoWebhookKeys()
    sealing: Sealing = UNSEALED
    tracer: Tracer = NoTracer()
    external_policies: ExternalPolicies = NoExternalPolicies()
    sessions: Sessions = NoSessions()
    checkpoints: CheckpointStore | None = None
    signer: CheckpointSigner | None = None
    workflows: WorkflowParts | None = None
    decisions: DecisionBook = NoDecisionBook()
    rego: RegoEngine = NoRego()
    inlet_signatures: InletSignatures = NoInletSignatures()
    event_sources: EventSources = NoEventSources()


def assemble(
    config: Config,
    machine: Machine,
    stores: Stores,
    queue: WorkQueue,
    targets: Mapping[str, Target],
    webhook_keys: WebhookKeys = NoWebhookKeys(),  # noqa: B008 -- has no state
    sealing: Sealing = UNSEALED,
    tracer: Tracer = NoTracer(),  # noqa: B008 -- has no state
    external_policies: ExternalPolicies = NoExternalPolicies(),  # noqa: B008 -- has no state
    sessions: Sessions = NoSessions(),  # noqa: B008 -- has no state
    checkpoints: CheckpointStore | None = None,
    signer: CheckpointSigner | None = None,
    workflows: WorkflowParts | None = None,
    rego: RegoEngine = NoRego(),  # noqa: B008 -- has no state
    inlet_signatures: InletSignatures = NoInletSignatures(),  # noqa: B008 -- has no state
    event_sources: EventSources = NoEventSources(),  # noqa: B008 -- has no state
) -> Services:
    """The services of one process, with an empty memory. The product, its tests and its benches all begin here."""
    return Services(
        config=config,
        clock=machine.clock,
        ids=machine.ids,
        tasks=machine.tasks,
        signals=machine.signals,
        time_sources=machine.time_sources,
        stores=stores,
        queue=queue,
        targets=targets,
        process=ProcessMemory(),
        webhook_keys=webhook_keys,
        sealing=sealing,
        tracer=tracer,
        external_policies=external_policies,
        sessions=sessions,
        checkpoints=checkpoints,
        signer=signer,
        workflows=workflows,
        rego=rego,
        inlet_signatures=inlet_signatures,
        event_sources=event_sources,
    )
