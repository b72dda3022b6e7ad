"""What the API answers, as the models that encode it and from which the OpenAPI document is made."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from chalicelib.api.http.requests import Kind, MonitorBody, Opt, Range, RetryPolicyBody, State
from chalicelib.api.targets.schemas import Target
from chalicelib.core import ulid
from chalicelib.core.executions.execution import ID_PATTERN, Attempt, Execution, LateAnswer, Transition
from chalicelib.core.schedules import schedule as schedules
from chalicelib.core.schedules.schedule import Definition, Schedule
from chalicelib.core.trace import trace_id_of
from chalicelib.ports.stores.logs import LogLine

Ulid = Annotated[
    str, Meta(min_length=26, max_length=26, pattern=f"^{ulid.PATTERN}$", examples=["01KB0E5T0QJ8Z3V7M4N2X9YRSC"])
]
ExecutionId = Annotated[str, Meta(pattern=f"^{ID_PATTERN}$", examples=["01KB0E5T0QJ8Z3V7M4N2X9YRSC-1795252805000"])]
FrequencyName = Literal["second", "minute", "hour", "day"]
Instant = Annotated[int, Meta(description="Unix milliseconds.")]


class ScheduleView(msgspec.Struct, kw_only=True):
    """A schedule, with the course it has taken so far."""

    id: Ulid
    name: str | None
    type: Kind
    expr: str
    timezone: str
    start_at_unix_ms: Instant | None
    end_at_unix_ms: Instant | None
    max_runs: int | None
    payload: Raw
    target: Target
    enabled: bool
    state: Literal["active", "paused", "completed", "deleted"]
    owner: str
    tenant: str
    shard_key: str
    sla_ms: int
    overlap: str
    catch_up_window_ms: int
    jitter_ms: int
    dst_gap: str
    dst_overlap: str
    exclude: list[Range | str]
    retry_policy: RetryPolicyBody
    timeout_ms: int
    pause_after_failures: int | None
    monitor: MonitorBody | None
    tags: list[str]
    next_run_unix_ms: Instant | None
    last_run_unix_ms: Instant | None
    run_count: int
    version: str
    created_at_unix_ms: Instant
    updated_at_unix_ms: Instant
    note: Opt[str] = UNSET


class ScheduleList(msgspec.Struct):
    """A page of schedules, newest first."""

    items: list[ScheduleView]
    next_page_token: str | None


class Deleted(msgspec.Struct):
    """What was deleted."""

    id: str


class Triggered(msgspec.Struct):
    """The execution that fires now."""

    execution_id: str


class DstNote(msgspec.Struct):
    """A run that a daylight-saving change moved or made ambiguous."""

    run_unix_ms: Instant
    kind: Literal["gap", "overlap"]


class PreviewView(msgspec.Struct):
    """The coming runs: as instants, and as RFC 3339 in the zone that was asked for."""

    runs_unix_ms: list[Instant]
    runs_iso8601: list[str]
    dst: list[DstNote]


class LateAnswerView(msgspec.Struct, kw_only=True):
    """What the target still said of an attempt that had been ended. It had no effect."""

    at_unix_ms: Instant
    outcome: Literal["completed", "accepted", "failed", "timeout", "closed"]
    http_status: Opt[int] = UNSET
    error: Opt[str] = UNSET


class AttemptView(msgspec.Struct, kw_only=True):
    """One try at delivering; `finished_unix_ms` and `outcome` are null while it runs."""

    number: int
    started_unix_ms: Instant
    finished_unix_ms: Instant | None
    outcome: str | None
    http_status: Opt[int] = UNSET
    error_type: Opt[str] = UNSET
    error: Opt[str] = UNSET
    late_answer: Opt[LateAnswerView] = UNSET


class TransitionView(msgspec.Struct, kw_only=True, rename={"source": "from", "target": "to"}):
    """One step of the state machine."""

    source: State
    target: State
    at_unix_ms: Instant
    reason: Opt[str] = UNSET


class TargetKind(msgspec.Struct):
    """Where it went; the schedule has the rest."""

    type: str


class ExecutionView(msgspec.Struct, kw_only=True):
    """The record of one firing."""

    id: ExecutionId
    schedule_id: Ulid
    firing_time_unix_ms: Instant
    delivery_state: State
    attempt: int
    attempts: list[AttemptView]
    history: list[TransitionView]
    fencing_token: int
    lateness_ms: int | None
    late: bool
    trace_id: str
    owner: str
    target: TargetKind
    result: Opt[Raw] = UNSET
    error: Opt[str] = UNSET
    trace_url: Opt[str] = UNSET


class ExecutionList(msgspec.Struct):
    """A page of executions, newest firing first."""

    items: list[ExecutionView]
    next_page_token: str | None


class Backfilled(msgspec.Struct):
    """How many instants were without an execution and fire now."""

    count: int


class LedgerLine(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One instant. `expected`: the schedule owed it. `outcome`: a delivery state, or `excluded`, `paused`, `lost`."""

    firing_unix_ms: Instant
    expected: bool
    outcome: str
    lateness_ms: int | None = None
    reason: str | None = None


class LedgerView(msgspec.Struct):
    """What was owed against what became of it, in order of time; `lost` counts the owed without an answer."""

    items: list[LedgerLine]
    lost: int
    next_page_token: str | None


class AcquireView(msgspec.Struct, kw_only=True):
    """Granted: `fencing_token` and until when. Or not yet: the place in the queue, and who holds the lease until when
    (null while it is free and kept for the first in the queue)."""

    acquired: bool
    fencing_token: Opt[int] = UNSET
    expires_at_unix_ms: Instant | None
    queue_position: Annotated[Opt[int], Meta(description="1 is next.")] = UNSET
    holder_id: Opt[str | None] = UNSET


class ReleasedView(msgspec.Struct):
    """The caller no longer holds the lease."""

    released: bool


class ValidityView(msgspec.Struct):
    """Whether the token is the live holder's, and the highest ever granted for the name (0: none)."""

    valid: bool
    highest_fencing_token: int


class BrokenView(msgspec.Struct):
    """Nobody holds the lease now. The former holder learns it at its next call; until then only the fencing token
    protects the resource."""

    name: str
    broken: bool


class WaiterView(msgspec.Struct):
    """One who waits, first come first."""

    holder_id: str
    asks_until_unix_ms: Instant


class LeaseView(msgspec.Struct, kw_only=True):
    """A lease. `held`: somebody does and it has not expired. `fencing_token` is the highest ever granted."""

    name: str
    held: bool
    holder_id: str | None
    fencing_token: int
    ttl_ms: int | None
    acquired_at_unix_ms: Instant | None
    expires_at_unix_ms: Instant | None
    metadata: dict[str, Any]
    waiters: list[WaiterView]
    version: str


class LeaseList(msgspec.Struct):
    """A page of leases, by name."""

    items: list[LeaseView]
    next_page_token: str | None


class TickView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A boundary of the calendar and its number. `timestamp` and `seed` need all 64 bits of an integer: JavaScript's
    numbers have 53. `caught_up` is there when the tick came late, after an outage."""

    id: Annotated[str, Meta(examples=["second-1795252805000000000-42"])]
    timestamp: Annotated[int, Meta(description="Unix nanoseconds of the boundary.")]
    frequency: FrequencyName
    sequence: Annotated[int, Meta(ge=1)]
    seed: Annotated[int, Meta(description="`timestamp` XOR `sequence`.")]
    schema_version: int
    producer_version: str
    instance_id: str
    caught_up: bool = False


class TickGap(msgspec.Struct, kw_only=True):
    """Boundaries that got no tick and no number: they lie between `after_sequence` and the next one."""

    after_sequence: int
    from_timestamp: int
    to_timestamp: int
    count: int


class TickList(msgspec.Struct):
    """Ticks, oldest first, and the gaps before or between them. Without a next page these are all by now; go on with
    the last `sequence`."""

    items: list[TickView]
    gaps: list[TickGap]
    next_page_token: str | None


class TickStreamView(msgspec.Struct, kw_only=True):
    """Where a stream stands. `sequence` and `timestamp` are its newest tick (0 and null before the first). Numbers are
    given minutes ahead, up to `reserved_sequence`. A disable takes back those that nobody has seen."""

    frequency: FrequencyName
    enabled: bool
    sequence: int
    timestamp: int | None
    next_timestamp: int | None
    reserved_sequence: int
    target: Target | None


class TickStreamList(msgspec.Struct):
    """All streams."""

    items: list[TickStreamView]
    next_page_token: str | None


class NowView(msgspec.Struct):
    """This instance's time, and a stamp greater than every one it gave out or was sent."""

    wall_unix_nanos: int
    monotonic_nanos: int
    tz: str
    iso8601: str
    clock_id: str
    hlc_physical_nanos: int
    hlc_logical: int
    error_bound_nanos: int
    drift_ms: float


class StepView(msgspec.Struct):
    """A jump of the wall clock, seen at `at_unix_ms` (of the clock after it); negative is backward."""

    at_unix_ms: Instant
    step_ms: float


class DriftView(msgspec.Struct, kw_only=True):
    """How far the wall clock is off: against the monotonic clock since this process began to watch, or as sources of
    true time prove, whichever is more. `sources_agreeing` of `sources` (the deployment's own statement is one) support
    the error bound."""

    drift_ms: float
    max_drift_ms: int
    within_bound: bool
    samples: int
    steps: list[StepView]
    error_bound_nanos: int
    sources: int
    sources_agreeing: int


class LogLineView(msgspec.Struct):
    """A line of an execution's log."""

    at_unix_ms: Instant
    level: str
    message: str


class LogList(msgspec.Struct):
    """A page of a log, oldest line first."""

    items: list[LogLineView]
    next_page_token: str | None


class JoinedView(msgspec.Struct):
    """A registered node; it stays so until `expires_at_unix_ms`, and longer when it joins again before."""

    node_id: str
    address: str
    fencing_token: int
    expires_at_unix_ms: Instant


class MemoryView(msgspec.Struct):
    """What all schedules together weigh; `limit_bytes` null: there is no limit."""

    used_bytes: int
    limit_bytes: int | None
    utilization_percent: float


class JobsNumbers(msgspec.Struct):
    """Schedules that are neither deleted nor completed; `limit` null: there is no limit."""

    count: int
    limit: int | None


class ExecutionsNumbers(msgspec.Struct):
    """Executions of the last hour, and how many of them ended as failed or timeout."""

    total: int
    failed: int
    failure_ratio: float


class Check(msgspec.Struct):
    """One thing that must work."""

    ok: bool
    detail: str


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


class NodeView(msgspec.Struct):
    """A worker that stays, kept alive by a lease."""

    node_id: str
    role: str
    since_unix_ms: Instant
    expires_at_unix_ms: Instant


class ShardView(msgspec.Struct):
    """Who sweeps a shard (null: nobody at the moment), and the highest token that any owner of it had."""

    shard: int
    owner: str | None
    fencing_token: int


class ClusterView(msgspec.Struct):
    """The workers. `sweep_lag_ms`: how long ago the shard was swept whose last sweep is the oldest (null: never)."""

    nodes: list[NodeView]
    shards: list[ShardView]
    sweep_lag_ms: int | None


class ProblemField(msgspec.Struct):
    """One wrong field, by its dotted name."""

    field: str
    message: str


class Problem(msgspec.Struct, kw_only=True):
    """An error (RFC 9457). `code` is stable; `detail` is for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    trace_id: str
    errors: list[ProblemField] | UnsetType = UNSET
    checks: dict[str, Check] | UnsetType = UNSET


def of_schedule(found: Schedule, now_ms: int) -> ScheduleView:
    """A schedule as its owner sees it at ``now_ms``."""
    d, course = found.definition, schedules.progress(found, now_ms)
    policy = d.retry_policy
    return ScheduleView(
        id=d.id,
        name=d.name,
        type=cast(Kind, d.type),
        expr=d.expr,
        timezone=d.timezone,
        start_at_unix_ms=d.start_at_ms,
        end_at_unix_ms=d.end_at_ms,
        max_runs=d.max_runs,
        payload=Raw(d.payload),
        target=cast(Target, d.target),  # stored as it is shown: encoding a mapping and its model gives the same JSON
        enabled=d.active,
        state=cast(Literal["active"], course.state),
        owner=d.owner,
        tenant=d.tenant,
        shard_key=d.shard_key,
        sla_ms=d.sla_ms,
        overlap=d.overlap,
        catch_up_window_ms=d.catch_up_window_ms,
        jitter_ms=d.jitter_ms,
        dst_gap=d.dst_gap,
        dst_overlap=d.dst_overlap,
        exclude=[_exclusion(e) for e in d.exclude],
        retry_policy=RetryPolicyBody(
            max_attempts=policy.max_attempts,
            backoff=cast(Literal["fixed"], policy.backoff),
            base_ms=policy.base_ms,
            max_ms=policy.max_ms,
            jitter=policy.jitter,
        ),
        timeout_ms=d.timeout_ms,
        pause_after_failures=d.pause_after_failures,
        monitor=None if d.monitor is None else MonitorBody(window_ms=d.monitor.window_ms),
        tags=list(d.tags),
        next_run_unix_ms=course.next_run_ms,
        last_run_unix_ms=course.last_run_ms,
        run_count=course.run_count,
        version=d.version,
        created_at_unix_ms=d.created_at_ms,
        updated_at_unix_ms=d.updated_at_ms,
        note=_note(d),
    )


def _exclusion(exclusion: tuple[int, int] | str) -> Range | str:
    return exclusion if isinstance(exclusion, str) else Range(from_unix_ms=exclusion[0], to_unix_ms=exclusion[1])


def _note(definition: Definition) -> str | UnsetType:
    return UNSET if definition.active or not definition.note else definition.note


def of_execution(found: Execution) -> ExecutionView:
    """An execution as its owner sees it."""
    return ExecutionView(
        id=found.id,
        schedule_id=found.schedule_id,
        firing_time_unix_ms=found.firing_ms,
        delivery_state=cast(State, found.state),
        attempt=found.attempt,
        attempts=[_attempt(a) for a in found.attempts],
        history=[_transition(t) for t in found.history],
        fencing_token=found.fencing_token,
        lateness_ms=found.lateness_ms,
        late=found.late,
        trace_id=found.trace_id or trace_id_of(found.id),
        owner=found.owner,
        target=TargetKind(found.target_type),
        result=UNSET if found.result is None else Raw(found.result),
        error=UNSET if found.error is None else found.error,
    )


def of_log_line(line: LogLine) -> LogLineView:
    """A log line as its readers see it."""
    return LogLineView(line.at_ms, line.level, line.message)


def _attempt(attempt: Attempt) -> AttemptView:
    return AttemptView(
        number=attempt.number,
        started_unix_ms=attempt.started_ms,
        finished_unix_ms=attempt.finished_ms,
        outcome=attempt.outcome,
        http_status=UNSET if attempt.http_status is None else attempt.http_status,
        error_type=UNSET if attempt.error_type is None else attempt.error_type,
        error=UNSET if attempt.error is None else attempt.error,
        late_answer=UNSET if attempt.late_answer is None else _late_answer(attempt.late_answer),
    )


def _late_answer(answer: LateAnswer) -> LateAnswerView:
    return LateAnswerView(
        at_unix_ms=answer.at_ms,
        outcome=cast("Any", answer.outcome),
        http_status=UNSET if answer.http_status is None else answer.http_status,
        error=UNSET if answer.error is None else answer.error,
    )


def _transition(step: Transition) -> TransitionView:
    return TransitionView(
        source=cast(State, step.source),
        target=cast(State, step.target),
        at_unix_ms=step.at_ms,
        reason=UNSET if step.reason is None else step.reason,
    )
