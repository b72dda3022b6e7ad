"""What the service answers and takes. Made by scripts/generate-clients: do not edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Union

if TYPE_CHECKING:
    from typing_extensions import NotRequired


class ProblemField(TypedDict):
    """One wrong field, by its dotted name. `at` has the code points at fault of a text, half open."""

    field: str
    message: str
    at: NotRequired[Sequence[int]]


class ViolationView(TypedDict):
    """A rule of a policy that does not hold. `value` is what the subject has in `field`; null: it has none."""

    policy: str
    rule: str
    field: str
    value: Any
    message: str
    decision_id: NotRequired[str]


class Check(TypedDict):
    """One thing that must work."""

    ok: bool
    detail: str


class NewSchedule(TypedDict):
    """A schedule to create: `type` and `expr`, and whatever should differ from its default."""

    name: NotRequired[str | None]
    type: Literal["AT", "CRON", "DELAY", "ISO8601", "RATE", "RRULE"]
    expr: str
    timezone: NotRequired[str]
    start_at_unix_ms: NotRequired[int | None]
    end_at_unix_ms: NotRequired[int | None]
    max_runs: NotRequired[int | None]
    payload: NotRequired[Any]
    target: NotRequired[Target]
    enabled: NotRequired[bool]
    owner: NotRequired[str]
    sla_ms: NotRequired[int]
    overlap: NotRequired[Literal["allow", "forbid", "queue", "replace"]]
    catch_up_window_ms: NotRequired[int]
    jitter_ms: NotRequired[int]
    dst_gap: NotRequired[Literal["run_after", "shift", "skip"]]
    dst_overlap: NotRequired[Literal["once", "twice"]]
    exclude: NotRequired[Sequence[str | Range]]
    retry_policy: NotRequired[RetryPolicyBody]
    timeout_ms: NotRequired[int]
    pause_after_failures: NotRequired[int | None]
    monitor: NotRequired[MonitorBody | None]
    tags: NotRequired[Sequence[str]]
    shard_key: NotRequired[str | None]


class EventBridgeTarget(TypedDict):
    """An event bus; without `bus` the deployment's own."""

    type: Literal["eventbridge"]
    bus: NotRequired[str]


class WebhookTarget(TypedDict):
    """An HTTP(S) endpoint, called with the firing's CloudEvent and Standard Webhooks headers."""

    type: Literal["webhook"]
    url: str
    method: NotRequired[Literal["DELETE", "GET", "PATCH", "POST", "PUT"]]
    headers: NotRequired[Mapping[str, str | HeaderSecret]]
    secret_ref: NotRequired[str]
    timeout_ms: NotRequired[int]


class HeaderSecret(TypedDict):
    """The value of a header that is kept in a store of secrets: read at each delivery, never shown."""

    secret_ref: str


class SqsTarget(TypedDict):
    """An SQS queue."""

    type: Literal["sqs"]
    queue_url: str
    message_group_id: NotRequired[str]


class SnsTarget(TypedDict):
    """An SNS topic."""

    type: Literal["sns"]
    topic_arn: str


class LambdaTarget(TypedDict):
    """A Lambda function, invoked asynchronously."""

    type: Literal["lambda"]
    function: str


class StepFunctionsTarget(TypedDict):
    """A Step Functions state machine; one run of it for each firing."""

    type: Literal["stepfunctions"]
    state_machine_arn: str


class LogTarget(TypedDict):
    """The log of the function that delivers: one line for each firing, payload included."""

    type: Literal["log"]


class KafkaTarget(TypedDict):
    """A topic of Kafka. Without `key` the schedule's id is the key, which keeps each schedule in order."""

    type: Literal["kafka"]
    brokers: Sequence[str]
    topic: str
    key: NotRequired[str]
    mode: NotRequired[Literal["binary", "structured"]]
    acks: NotRequired[Literal["all", "leader"]]
    security: NotRequired[KafkaSecurity]


class KafkaSecurity(TypedDict):
    """How to sign in at a cluster; `secret_ref` names the credentials."""

    protocol: Literal["PLAINTEXT", "SASL_PLAINTEXT", "SASL_SSL", "SSL"]
    mechanism: NotRequired[Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]]
    secret_ref: NotRequired[str]


class NatsTarget(TypedDict):
    """A subject of NATS: a message of the stream that binds it. With `jetstream` false, subscribers of the moment."""

    type: Literal["nats"]
    servers: Sequence[str]
    subject: str
    jetstream: NotRequired[bool]
    mode: NotRequired[Literal["binary", "structured"]]
    secret_ref: NotRequired[str]


class RabbitMqTarget(TypedDict):
    """An exchange of RabbitMQ; the empty name is the default exchange, whose routing key is a queue's name."""

    type: Literal["rabbitmq"]
    url: str
    exchange: str
    routing_key: str
    mode: NotRequired[Literal["binary", "structured"]]
    secret_ref: NotRequired[str]


class MqttTarget(TypedDict):
    """A topic of a broker that speaks MQTT 5."""

    type: Literal["mqtt"]
    broker: str
    topic: str
    qos: NotRequired[int]
    retain: NotRequired[bool]
    mode: NotRequired[Literal["binary", "structured"]]
    secret_ref: NotRequired[str]


class RedisTarget(TypedDict):
    """A stream of Redis, which is made when it is not there."""

    type: Literal["redis"]
    url: str
    stream: str
    maxlen: NotRequired[int]
    secret_ref: NotRequired[str]


class GrpcTarget(TypedDict):
    """A unary method of a gRPC service, which takes an `io.cloudevents.v1.CloudEvent`."""

    type: Literal["grpc"]
    address: str
    method: str
    tls: NotRequired[bool | GrpcTls]
    metadata: NotRequired[Mapping[str, str | HeaderSecret]]
    timeout_ms: NotRequired[int]


class GrpcTls(TypedDict):
    """TLS with certificates of one's own. `secret_ref` names a JSON object of texts in PEM: `ca`, and `certificate`
    with `key` where the server asks for one. `server_name` is the name that the server's certificate is checked
    for."""

    secret_ref: NotRequired[str]
    server_name: NotRequired[str]


class WorkflowTarget(TypedDict):
    """A workflow of this service."""

    type: Literal["workflow"]
    workflow: str
    version: NotRequired[str]


class Range(TypedDict):
    """A span of time, both ends included."""

    from_unix_ms: int
    to_unix_ms: int


class RetryPolicyBody(TypedDict):
    """How a failed delivery is tried again. What is left out takes its default, also in a PATCH."""

    max_attempts: NotRequired[int]
    backoff: NotRequired[Literal["exponential", "fixed"]]
    base_ms: NotRequired[int]
    max_ms: NotRequired[int]
    jitter: NotRequired[bool]


class MonitorBody(TypedDict):
    """A dead-man's switch: an alert when no execution succeeded for so long."""

    window_ms: int


class ScheduleView(TypedDict):
    """A schedule, with the course it has taken so far."""

    id: str
    name: str | None
    type: Literal["AT", "CRON", "DELAY", "ISO8601", "RATE", "RRULE"]
    expr: str
    timezone: str
    start_at_unix_ms: int | None
    end_at_unix_ms: int | None
    max_runs: int | None
    payload: Any
    target: Target
    enabled: bool
    state: Literal["active", "completed", "deleted", "paused"]
    owner: str
    tenant: str
    shard_key: str
    sla_ms: int
    overlap: str
    catch_up_window_ms: int
    jitter_ms: int
    dst_gap: str
    dst_overlap: str
    exclude: Sequence[str | Range]
    retry_policy: RetryPolicyBody
    timeout_ms: int
    pause_after_failures: int | None
    monitor: MonitorBody | None
    tags: Sequence[str]
    next_run_unix_ms: int | None
    last_run_unix_ms: int | None
    run_count: int
    version: str
    created_at_unix_ms: int
    updated_at_unix_ms: int
    description: str
    note: NotRequired[str]
    paused_until_unix_ms: NotRequired[int]
    warnings: NotRequired[Sequence[ViolationView]]


class ScheduleList(TypedDict):
    """A page of schedules, newest first."""

    items: Sequence[ScheduleView]
    next_page_token: str | None


class PreviewView(TypedDict):
    """The coming runs: as instants, and as RFC 3339 in the zone that was asked for."""

    runs_unix_ms: Sequence[int]
    runs_iso8601: Sequence[str]
    dst: Sequence[DstNote]


class DstNote(TypedDict):
    """A run that a daylight-saving change moved or made ambiguous."""

    run_unix_ms: int
    kind: Literal["gap", "overlap"]


class ScheduleChanges(TypedDict):
    """The fields to change; what is left out stays. An object (`target`, `retry_policy`) is replaced whole."""

    name: NotRequired[str | None]
    type: NotRequired[Literal["AT", "CRON", "DELAY", "ISO8601", "RATE", "RRULE"]]
    expr: NotRequired[str]
    timezone: NotRequired[str]
    start_at_unix_ms: NotRequired[int | None]
    end_at_unix_ms: NotRequired[int | None]
    max_runs: NotRequired[int | None]
    payload: NotRequired[Any]
    target: NotRequired[Target]
    enabled: NotRequired[bool]
    owner: NotRequired[str]
    sla_ms: NotRequired[int]
    overlap: NotRequired[Literal["allow", "forbid", "queue", "replace"]]
    catch_up_window_ms: NotRequired[int]
    jitter_ms: NotRequired[int]
    dst_gap: NotRequired[Literal["run_after", "shift", "skip"]]
    dst_overlap: NotRequired[Literal["once", "twice"]]
    exclude: NotRequired[Sequence[str | Range]]
    retry_policy: NotRequired[RetryPolicyBody]
    timeout_ms: NotRequired[int]
    pause_after_failures: NotRequired[int | None]
    monitor: NotRequired[MonitorBody | None]
    tags: NotRequired[Sequence[str]]


class Deleted(TypedDict):
    """What was deleted."""

    id: str


class Triggered(TypedDict):
    """The execution that fires now."""

    execution_id: str
    warnings: NotRequired[Sequence[ViolationView]]


class Backfilled(TypedDict):
    """How many instants were without an execution and fire now."""

    count: int


class LedgerView(TypedDict):
    """What was owed against what became of it, in order of time; `lost` counts the owed without an answer."""

    items: Sequence[LedgerLine]
    lost: int
    next_page_token: str | None


class LedgerLine(TypedDict):
    """One instant. `expected`: it was owed. `outcome`: a delivery state, or `excluded`, `paused`, `lost`."""

    firing_unix_ms: int
    expected: bool
    outcome: str
    lateness_ms: NotRequired[int | None]
    reason: NotRequired[str | None]


class ExecutionList(TypedDict):
    """A page of executions, newest firing first."""

    items: Sequence[ExecutionView]
    next_page_token: str | None


class ExecutionView(TypedDict):
    """The record of one firing. `held` is there when the queue was paused at its time."""

    id: str
    schedule_id: str
    firing_time_unix_ms: int
    delivery_state: Literal[
        "cancelled", "completed", "failed", "in_progress", "missed", "pending", "skipped", "timeout"
    ]
    attempt: int
    attempts: Sequence[AttemptView]
    history: Sequence[TransitionView]
    fencing_token: int
    lateness_ms: int | None
    late: bool
    trace_id: str
    owner: str
    target: TargetKind
    result: NotRequired[Any]
    error: NotRequired[str]
    error_fingerprint: NotRequired[str]
    trace_url: NotRequired[str]
    held: NotRequired[HeldView]
    warnings: NotRequired[Sequence[ViolationView]]


class AttemptView(TypedDict):
    """One try at delivering; `finished_unix_ms` and `outcome` are null while it runs. `receipt` is what a broker
    said of where it keeps the message (docs/targets.md). The last three that failed have their target's `answer`,
    where one execution is read."""

    number: int
    started_unix_ms: int
    finished_unix_ms: int | None
    outcome: (
        Literal["cancelled", "completed", "failed", "in_progress", "missed", "pending", "skipped", "timeout"]
        | Literal["lost"]
        | None
    )
    http_status: NotRequired[int]
    error_type: NotRequired[str]
    error: NotRequired[str]
    late_answer: NotRequired[LateAnswerView]
    receipt: NotRequired[Mapping[str, Any]]
    answer: NotRequired[TargetAnswerView]


class LateAnswerView(TypedDict):
    """What the target still said of an attempt that had been ended. It had no effect."""

    at_unix_ms: int
    outcome: Literal["accepted", "closed", "completed", "failed", "timeout"]
    http_status: NotRequired[int]
    error: NotRequired[str]


class TargetAnswerView(TypedDict):
    """What a webhook answered. Headers that may hold credentials are left out, and what was sent as a secret is
    hidden. Of the body it is the first 4 KiB, as text; `truncated` says that there was more."""

    headers: Mapping[str, str]
    body: str
    truncated: bool


TransitionView = TypedDict(
    "TransitionView",
    {
        "from": "Literal['cancelled', 'completed', 'failed', 'in_progress', 'missed', 'pending', 'skipped', 'timeout']",
        "to": "Literal['cancelled', 'completed', 'failed', 'in_progress', 'missed', 'pending', 'skipped', 'timeout']",
        "at_unix_ms": "int",
        "reason": "NotRequired[str]",
    },
)


class TargetKind(TypedDict):
    """Where it went; the schedule has the rest."""

    type: str


class HeldView(TypedDict):
    """How long the pause of the queue has held a firing; `until_unix_ms` is null while it still does."""

    from_unix_ms: int
    until_unix_ms: int | None


class CreateOperation(TypedDict):
    """Create a schedule."""

    op: Literal["create"]
    schedule: NewSchedule


class PatchOperation(TypedDict):
    """Change fields of a schedule."""

    op: Literal["patch"]
    id: str
    changes: ScheduleChanges
    if_match: NotRequired[str]


class PauseOperation(TypedDict):
    """Pause a schedule."""

    op: Literal["pause"]
    id: str
    note: NotRequired[str | None]
    until_unix_ms: NotRequired[int]
    if_match: NotRequired[str]


class ResumeOperation(TypedDict):
    """Resume a schedule."""

    op: Literal["resume"]
    id: str
    if_match: NotRequired[str]


class DeleteOperation(TypedDict):
    """Delete a schedule."""

    op: Literal["delete"]
    id: str
    if_match: NotRequired[str]


class BatchView(TypedDict):
    """One result for each change, in their order."""

    items: Sequence[BatchResult]
    succeeded: int
    failed: int


class BatchResult(TypedDict):
    """What became of one change. `status` is what the single call would have answered."""

    index: int
    op: str
    status: int
    id: NotRequired[str]
    schedule: NotRequired[ScheduleView]
    error: NotRequired[ItemError]


class ItemError(TypedDict):
    """Why one of many was refused."""

    code: str
    detail: str
    errors: NotRequired[Sequence[ProblemField]]
    violations: NotRequired[Sequence[ViolationView]]


class TagView(TypedDict):
    """What changes (or would). With a `next_page_token` there is more: call again with it."""

    op: Literal["delete", "pause", "resume"]
    tag: str
    dry_run: bool
    changed: int
    items: Sequence[TagItem]
    next_page_token: str | None


class TagItem(TypedDict):
    """One schedule. `runs_unix_ms`: its next runs if it is resumed; those that fall away if it is paused or
    deleted."""

    id: str
    name: str | None
    owner: str
    enabled: bool
    changed: bool
    runs_unix_ms: Sequence[int]
    error: NotRequired[ItemError]


class FileEntry(TypedDict):
    """A schedule as it shall be. What is left out has its default. Without a `name` it is known by its `id`."""

    name: NotRequired[str | None]
    type: Literal["AT", "CRON", "DELAY", "ISO8601", "RATE", "RRULE"]
    expr: str
    timezone: NotRequired[str]
    start_at_unix_ms: NotRequired[int | None]
    end_at_unix_ms: NotRequired[int | None]
    max_runs: NotRequired[int | None]
    payload: NotRequired[Any]
    target: NotRequired[Target]
    enabled: NotRequired[bool]
    owner: NotRequired[str]
    sla_ms: NotRequired[int]
    overlap: NotRequired[Literal["allow", "forbid", "queue", "replace"]]
    catch_up_window_ms: NotRequired[int]
    jitter_ms: NotRequired[int]
    dst_gap: NotRequired[Literal["run_after", "shift", "skip"]]
    dst_overlap: NotRequired[Literal["once", "twice"]]
    exclude: NotRequired[Sequence[str | Range]]
    retry_policy: NotRequired[RetryPolicyBody]
    timeout_ms: NotRequired[int]
    pause_after_failures: NotRequired[int | None]
    monitor: NotRequired[MonitorBody | None]
    tags: NotRequired[Sequence[str]]
    shard_key: NotRequired[str | None]
    id: NotRequired[str]


class ImportView(TypedDict):
    """What a file does, or would do."""

    dry_run: bool
    created: int
    updated: int
    unchanged: int
    refused: int
    items: Sequence[ImportItem]


class ImportItem(TypedDict):
    """What one entry does. `runs_unix_ms`: its next runs as it then stands."""

    index: int
    action: Literal["create", "refused", "unchanged", "update"]
    name: str | None
    owner: str
    id: NotRequired[str]
    changes: NotRequired[Mapping[str, FieldChange]]
    runs_unix_ms: NotRequired[Sequence[int]]
    error: NotRequired[ItemError]
    warnings: NotRequired[Sequence[ViolationView]]


FieldChange = TypedDict("FieldChange", {"from": "Any", "to": "Any"})


class ExplanationView(TypedDict):
    """Why. `version` is the one in force at the instant, null before the first. `outcome` is a delivery state or
    `lost`, and is left out where nothing came of it yet."""

    at_unix_ms: int
    owed: bool
    outcome: NotRequired[str]
    reasons: Sequence[ReasonView]
    version: str | None
    next_run_unix_ms: int | None


class ReasonView(TypedDict):
    """One thing that had a part in it."""

    code: Literal[
        "after_end",
        "before_start",
        "cancelled",
        "delivered",
        "dst_gap",
        "dst_overlap",
        "excluded",
        "failed",
        "max_runs_reached",
        "missed_window",
        "not_on_grid",
        "not_yet",
        "overlap_skipped",
        "paused",
        "pending",
        "policy_denied",
        "timeout",
        "waiting_for_limit",
    ]
    detail: str


class VersionList(TypedDict):
    """Versions, the one in force first. `more`: there were others before."""

    items: Sequence[VersionView]
    more: bool


class VersionView(TypedDict):
    """A version, and the schedule under it. What the service keeps (`next_run_unix_ms`, `run_count` and the like)
    is as it is now. `until_unix_ms` is null for the one in force."""

    version: str
    since_unix_ms: int
    until_unix_ms: int | None
    note: NotRequired[str]
    paused_until_unix_ms: NotRequired[int]
    schedule: ScheduleView


class UpcomingView(TypedDict):
    """What will run, the soonest first, and how many in each minute. `complete` is false where there is more than
    one answer holds: 1,000 schedules, 20,000 runs."""

    from_unix_ms: int
    to_unix_ms: int
    items: Sequence[UpcomingItem]
    minutes: Sequence[MinuteCount]
    complete: bool


class UpcomingItem(TypedDict):
    """A schedule and its runs; of many only the first 100 are listed, and `count` is of all."""

    schedule_id: str
    name: str | None
    owner: str
    type: str
    count: int
    runs_unix_ms: Sequence[int]


class MinuteCount(TypedDict):
    """How many runs a minute has."""

    at_unix_ms: int
    count: int


class ParsedText(TypedDict):
    """One schedule; or `choices`, where the text may mean several, and `doubts` which say why."""

    type: NotRequired[Literal["AT", "CRON", "DELAY", "ISO8601", "RATE", "RRULE"]]
    expr: NotRequired[str]
    timezone: NotRequired[str]
    description: NotRequired[str]
    runs_unix_ms: NotRequired[Sequence[int]]
    choices: NotRequired[Sequence[ParsedSchedule]]
    doubts: NotRequired[Sequence[DoubtView]]


class ParsedSchedule(TypedDict):
    """What a text means: the fields of a schedule, the same in words, and its next runs."""

    type: Literal["AT", "CRON", "DELAY", "ISO8601", "RATE", "RRULE"]
    expr: str
    timezone: str
    description: str
    runs_unix_ms: Sequence[int]


class DoubtView(TypedDict):
    """What a text leaves open, and the code points of the words that do (half open)."""

    message: str
    at: Sequence[int]


class JobView(TypedDict):
    """A job. `timestamp` and `cron_expression` by its type; schedules of other kinds show their `expr`."""

    id: str
    type: Literal["recurrente", "unico"]
    timestamp: NotRequired[str]
    cron_expression: NotRequired[str]
    last_date: NotRequired[str]
    schedule_type: str
    expr: str
    name: str | None
    owner: str
    webhook_url: NotRequired[str]
    payload: Any
    status: Literal["cancelled", "completed", "failed", "in_progress", "pending", "timeout"]
    reason: NotRequired[str]
    last_execution_unix_ms: int | None
    next_run_unix_ms: int | None
    run_count: int
    version: str
    created_at_unix_ms: int
    updated_at_unix_ms: int
    warnings: NotRequired[Sequence[ViolationView]]


class JobList(TypedDict):
    """A page of jobs, newest first."""

    items: Sequence[JobView]
    next_page_token: str | None


class JobStatusView(TypedDict):
    """How a job stands: by its last execution."""

    job_id: str
    status: Literal["cancelled", "completed", "failed", "in_progress", "pending", "timeout"]
    attempt_count: int
    last_execution_unix_ms: NotRequired[int]
    next_run_unix_ms: NotRequired[int]
    error_type: NotRequired[str]
    error: NotRequired[str]
    reason: NotRequired[str]


class LogList(TypedDict):
    """A page of a log, oldest line first."""

    items: Sequence[LogLineView]
    next_page_token: str | None


class LogLineView(TypedDict):
    """A line of an execution's log."""

    at_unix_ms: int
    level: str
    message: str


class BulkFilter(TypedDict):
    """Which executions, as their list is asked; at least one field."""

    schedule_id: NotRequired[str]
    state: NotRequired[
        Literal["cancelled", "completed", "failed", "in_progress", "missed", "pending", "skipped", "timeout"]
    ]
    owner: NotRequired[str]
    from_unix_ms: NotRequired[int]
    to_unix_ms: NotRequired[int]


class BulkStarted(TypedDict):
    """How many executions matched, and the job over them; a dry run has none."""

    job_id: NotRequired[str]
    matched: int


class BulkJobView(TypedDict):
    """How far a job has come. What could not be retried or cancelled counts as `failed`."""

    id: str
    action: Literal["cancel", "retry"]
    state: Literal["cancelled", "completed", "running"]
    matched: int
    done: int
    failed: int
    created_at_unix_ms: int


class AcquireView(TypedDict):
    """Granted: `fencing_token` and until when. Or not yet: the place in the queue, and who holds the lease until
    when. These are null while the lease is free and kept for the first in the queue."""

    acquired: bool
    fencing_token: NotRequired[int]
    expires_at_unix_ms: int | None
    queue_position: NotRequired[int]
    holder_id: NotRequired[str | None]
    warnings: NotRequired[Sequence[ViolationView]]


class ReleasedView(TypedDict):
    """The caller no longer holds the lease."""

    released: bool


class ValidityView(TypedDict):
    """Whether the token is the live holder's, and the highest ever granted for the name (0: none)."""

    valid: bool
    highest_fencing_token: int


class BrokenView(TypedDict):
    """The lease is free now. The former holder learns it at its next call; until then only the fencing token
    protects the resource."""

    name: str
    broken: bool
    warnings: NotRequired[Sequence[ViolationView]]


class LeaseList(TypedDict):
    """A page of leases, by name."""

    items: Sequence[LeaseView]
    next_page_token: str | None


class LeaseView(TypedDict):
    """A lease. `held`: it has a holder and has not expired. `fencing_token` is the highest ever granted."""

    name: str
    held: bool
    holder_id: str | None
    fencing_token: int
    ttl_ms: int | None
    acquired_at_unix_ms: int | None
    expires_at_unix_ms: int | None
    metadata: Mapping[str, Any]
    waiters: Sequence[WaiterView]
    version: str


class WaiterView(TypedDict):
    """One who waits, first come first."""

    holder_id: str
    asks_until_unix_ms: int


class MadeKeyView(TypedDict):
    """A new key. `key` is its text, which no other answer holds; it is left out when the answer is replayed."""

    id: str
    name: str
    prefix: str
    owner: str
    roles: Sequence[str]
    permissions: Sequence[str]
    active: bool
    expires_at_unix_ms: int | None
    cidrs: Sequence[str] | None
    created_at_unix_ms: int
    created_by: str
    last_used_unix_ms: int | None
    replaces: str | None
    version: str
    key: NotRequired[str]


class KeyList(TypedDict):
    """A page of keys, newest first."""

    items: Sequence[KeyView]
    next_page_token: str | None


class KeyView(TypedDict):
    """A key, without its text. `prefix` is how that begins. `active`: it has not ended."""

    id: str
    name: str
    prefix: str
    owner: str
    roles: Sequence[str]
    permissions: Sequence[str]
    active: bool
    expires_at_unix_ms: int | None
    cidrs: Sequence[str] | None
    created_at_unix_ms: int
    created_by: str
    last_used_unix_ms: int | None
    replaces: str | None
    version: str


class DeletedKey(TypedDict):
    """The key that is deleted."""

    id: str


class LeakedToken(TypedDict):
    """One find of a secret scanner. What else it says is taken and not used."""

    token: str


class TokenVerdict(TypedDict):
    """What became of one token. `true_positive`: it was a key, and is deleted. `token_hash` is its SHA-256, base64."""

    token_hash: str
    token_type: str
    label: str


class TickStreamList(TypedDict):
    """All streams."""

    items: Sequence[TickStreamView]
    next_page_token: str | None


class TickStreamView(TypedDict):
    """Where a stream stands. `sequence` and `timestamp` are its newest tick (0 and null before the first). Numbers
    are given minutes ahead, up to `reserved_sequence`. A disable takes back those that no subscriber has seen."""

    frequency: Literal["day", "hour", "minute", "second"]
    enabled: bool
    sequence: int
    timestamp: int | None
    next_timestamp: int | None
    reserved_sequence: int
    target: Target | None


class TickList(TypedDict):
    """Ticks, oldest first, and the gaps before or between them. Without a next page these are all by now; go on
    with the last `sequence`."""

    items: Sequence[TickView]
    gaps: Sequence[TickGap]
    next_page_token: str | None


class TickView(TypedDict):
    """A boundary of the calendar and its number. `timestamp` and `seed` need all 64 bits of an integer:
    JavaScript's numbers have 53. `caught_up` is there when the tick came late, after an outage."""

    id: str
    timestamp: int
    frequency: Literal["day", "hour", "minute", "second"]
    sequence: int
    seed: int
    schema_version: int
    producer_version: str
    instance_id: str
    caught_up: NotRequired[bool]


class TickGap(TypedDict):
    """Boundaries that got no tick and no number: they lie between `after_sequence` and the next one."""

    after_sequence: int
    from_timestamp: int
    to_timestamp: int
    count: int


class ChangePageView(TypedDict):
    """Changes, oldest first. Go on with `after={next_after}`; a page may be empty and still go on."""

    items: Sequence[ChangeView]
    next_after: str


class ChangeView(TypedDict):
    """One change. `data` is the thing as its `GET` showed it then."""

    position: str
    type: Literal["execution", "lease", "schedule", "workflow_run"]
    at_unix_ms: int
    id: str
    data: Any


class TaskList(TypedDict):
    """A page of tasks."""

    items: Sequence[TaskView]
    next_page_token: str | None


class TaskView(TypedDict):
    """An execution in a line. `name` is its schedule's; null when that has none, or is kept no longer."""

    id: str
    name: str | None
    status: Literal["cancelled", "completed", "failed", "in_progress", "missed", "pending", "skipped", "timeout"]
    owner: str
    schedule_id: str
    firing_time_unix_ms: int
    created_at_unix_ms: int
    duration_ms: NotRequired[int]
    attempt: int
    late: bool
    lateness_ms: int | None
    error: NotRequired[str]
    error_fingerprint: NotRequired[str]
    trace_id: str
    trace_url: NotRequired[str]
    held: NotRequired[HeldView]


class TaskMetricsView(TypedDict):
    """How the caller's tasks are doing. Those of 24 hours are null while nothing ended. `errors_24h` are the most
    frequent errors, `other_errors_24h` says how many tasks had one that is not among them. With `more_24h` the day
    has more executions than were counted. `queue` says whether the tenant's queue is paused."""

    queued: int
    active: int
    failure_percent_24h: float | None
    mean_duration_ms_24h: float | None
    errors_24h: Sequence[ErrorCountView]
    other_errors_24h: int
    more_24h: bool
    queue: QueueView


class ErrorCountView(TypedDict):
    """How often an error occurred, and the newest task that has it."""

    error_fingerprint: str
    count: int
    newest_id: str


class QueueView(TypedDict):
    """The queue of the caller's tenant. The other fields are there while it is paused."""

    state: Literal["active", "paused"]
    paused_at_unix_ms: NotRequired[int]
    until_unix_ms: NotRequired[int]
    paused_by: NotRequired[str]
    note: NotRequired[str]


class TaskDetailView(TypedDict):
    """An execution as a page of its own. `payload` is what it was sent. `logs` are the first lines; with
    `more_logs` the rest is at `/api/v1/executions/{id}/logs`."""

    id: str
    name: str | None
    status: Literal["cancelled", "completed", "failed", "in_progress", "missed", "pending", "skipped", "timeout"]
    owner: str
    schedule_id: str
    firing_time_unix_ms: int
    created_at_unix_ms: int
    duration_ms: NotRequired[int]
    attempt: int
    late: bool
    lateness_ms: int | None
    error: NotRequired[str]
    error_fingerprint: NotRequired[str]
    trace_id: str
    trace_url: NotRequired[str]
    held: NotRequired[HeldView]
    target: TargetKind
    fencing_token: int
    history: Sequence[TaskStepView]
    attempts: Sequence[AttemptView]
    logs: Sequence[LogLineView]
    more_logs: bool
    payload: NotRequired[Any]
    result: NotRequired[Any]


TaskStepView = TypedDict(
    "TaskStepView",
    {
        "from": "Literal['cancelled', 'completed', 'failed', 'in_progress', 'missed', 'pending', 'skipped', 'timeout']",
        "to": "Literal['cancelled', 'completed', 'failed', 'in_progress', 'missed', 'pending', 'skipped', 'timeout']",
        "at_unix_ms": "int",
        "duration_ms": "int",
        "reason": "NotRequired[str]",
    },
)


class NowView(TypedDict):
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


class DriftView(TypedDict):
    """How far the wall clock is off, whichever is more: against the monotonic clock since this process began, or as
    sources of true time prove. `sources_agreeing` of `sources` (the deployment's own statement is one) support the
    error bound."""

    drift_ms: float
    max_drift_ms: int
    within_bound: bool
    samples: int
    steps: Sequence[StepView]
    error_bound_nanos: int
    sources: int
    sources_agreeing: int


class StepView(TypedDict):
    """A jump of the wall clock, seen at `at_unix_ms` (of the clock after it); negative is backward."""

    at_unix_ms: int
    step_ms: float


class HealthView(TypedDict):
    """Whether schedules fire. ``zone_data`` is the release of the IANA zone rules that instants are planned with."""

    status: Literal["degraded", "ok"]
    role: str
    version: str
    zone_data: str
    uptime_ms: int
    memory: MemoryView
    jobs: JobsNumbers
    executions: ExecutionsNumbers
    checks: Mapping[str, Check]


class MemoryView(TypedDict):
    """What all schedules together weigh; `limit_bytes` null: there is no limit."""

    used_bytes: int
    limit_bytes: int | None
    utilization_percent: float


class JobsNumbers(TypedDict):
    """Schedules that are neither deleted nor completed; `limit` null: there is no limit. Then one-shots without a
    name and a monitor are not counted."""

    count: int
    limit: int | None


class ExecutionsNumbers(TypedDict):
    """Executions of the last hour, and how many of them ended as failed or timeout."""

    total: int
    failed: int
    failure_ratio: float


class ClusterView(TypedDict):
    """The workers. `sweep_lag_ms`: how long ago the shard was swept whose last sweep is the oldest (null: never)."""

    nodes: Sequence[NodeView]
    shards: Sequence[ShardView]
    sweep_lag_ms: int | None


class NodeView(TypedDict):
    """A worker that stays, kept alive by a lease. `address` is what a node of yours gave when it joined."""

    node_id: str
    role: str
    since_unix_ms: int
    expires_at_unix_ms: int
    address: NotRequired[str]


class ShardView(TypedDict):
    """Who sweeps a shard (null: no worker at the moment), and the highest token that any owner of it had."""

    shard: int
    owner: str | None
    fencing_token: int


class JoinedView(TypedDict):
    """A registered node; it stays so until `expires_at_unix_ms`, and longer when it joins again before."""

    node_id: str
    address: str
    fencing_token: int
    expires_at_unix_ms: int


class RoleList(TypedDict):
    """A page of roles."""

    items: Sequence[RoleView]
    next_page_token: str | None


class RoleView(TypedDict):
    """A role."""

    name: str
    built_in: bool
    permissions: Sequence[str]
    every_owner: bool
    description: str


class RoleDeleted(TypedDict):
    """What is gone."""

    name: str


class MatchBody(TypedDict):
    """Which subjects: those that every given field fits. Of several values one must fit."""

    tag: NotRequired[str | Sequence[str]]
    owner: NotRequired[str | Sequence[str]]
    type: NotRequired[str | Sequence[str]]
    target: NotRequired[str | Sequence[str]]
    name_prefix: NotRequired[str | Sequence[str]]


class RuleBody(TypedDict):
    """One assertion: the action applies where the condition does not hold."""

    name: str
    condition: Mapping[str, Any]
    action: Literal["audit", "deny", "warn"]
    message: str
    required: NotRequired[bool]


class ExceptionBody(TypedDict):
    """Whom rules do not stop until an instant. `approved_by` is who first wrote it here."""

    until_unix_ms: int
    rule: NotRequired[str]
    schedule_id: NotRequired[str]
    match: NotRequired[MatchBody]
    reason: NotRequired[str]
    approved_by: NotRequired[str]


class PolicyView(TypedDict):
    """A policy. `notes` say what its author may not have meant, such as a field that no schedule has."""

    name: str
    description: str
    mode: Literal["audit", "enforce"]
    match: MatchView | None
    rules: Sequence[RuleView]
    exceptions: Sequence[ExceptionView]
    version: str
    notes: Sequence[str]


class MatchView(TypedDict):
    """Which subjects."""

    tag: NotRequired[str | Sequence[str]]
    owner: NotRequired[str | Sequence[str]]
    type: NotRequired[str | Sequence[str]]
    target: NotRequired[str | Sequence[str]]
    name_prefix: NotRequired[str | Sequence[str]]


class RuleView(TypedDict):
    """A rule."""

    name: str
    condition: Any
    action: Literal["audit", "deny", "warn"]
    message: str
    required: bool


class ExceptionView(TypedDict):
    """An exception, also one that has ended."""

    until_unix_ms: int
    rule: str | None
    schedule_id: str | None
    match: MatchView | None
    reason: str
    approved_by: str


class PolicyList(TypedDict):
    """A page of policies, by name."""

    items: Sequence[PolicyView]
    next_page_token: str | None


class PolicyBody(TypedDict):
    """A policy. The path says its `name`, which may be left out here."""

    name: NotRequired[str]
    description: NotRequired[str]
    mode: NotRequired[Literal["audit", "enforce"]]
    match: NotRequired[MatchBody]
    rules: Sequence[RuleBody]
    exceptions: NotRequired[Sequence[ExceptionBody]]


class PolicyDeleted(TypedDict):
    """What is gone."""

    name: str


class PolicyVersions(TypedDict):
    """The newest forms of a policy, newest first."""

    items: Sequence[PolicyView]


class UseList(TypedDict):
    """A page of schedules, newest first."""

    items: Sequence[UseView]
    next_page_token: str | None


class UseView(TypedDict):
    """A schedule that a policy is about, and what the policy says of its next firing."""

    schedule_id: str
    name: str | None
    owner: str
    verdict: PolicyVerdict


class PolicyVerdict(TypedDict):
    """What one policy says of a subject; ``matched``: whether it is about it at all."""

    policy: str
    mode: Literal["audit", "enforce"]
    matched: bool
    rules: Sequence[RuleVerdict]


class RuleVerdict(TypedDict):
    """What one rule says of a subject, with the whole of its condition."""

    rule: str
    action: Literal["audit", "deny", "warn"]
    outcome: Literal["excepted", "holds", "not_applicable", "violated"]
    message: str
    condition: Explained
    excepted_until_unix_ms: int | None


class Explained(TypedDict):
    """A condition with what it was asked about: a leaf with its field's value, a branch with its parts."""

    holds: bool | None
    field: NotRequired[str | None]
    operator: NotRequired[str | None]
    expected: NotRequired[Any]
    value: NotRequired[Any]
    combinator: NotRequired[str | None]
    parts: NotRequired[Sequence[Explained]]


class DryRunView(TypedDict):
    """What policies would do. `schedules` and `firings` (of the last week) were judged; what warns or is excepted
    is counted. With a proposed form, `now_denied` and `no_longer_denied` compare it with the one that is kept."""

    schedules: int
    would_deny: Sequence[WouldDeny]
    would_warn: int
    excepted: int
    now_denied: int
    no_longer_denied: int
    firings: int
    would_reject: int
    next_page_token: str | None


class WouldDeny(TypedDict):
    """A rule that would deny a schedule."""

    schedule_id: str
    policy: str
    rule: str
    message: str


class EvaluationView(TypedDict):
    """The decision, every rule that does not hold, and the whole tree with its values."""

    decision: Literal["allow", "deny"]
    violations: Sequence[FoundView]
    tree: Sequence[PolicyVerdict]


class FoundView(TypedDict):
    """A rule that does not hold, and what follows from that."""

    policy: str
    rule: str
    field: str
    value: Any
    message: str
    decision_id: NotRequired[str]
    action: Literal["audit", "deny", "warn"]
    mode: Literal["audit", "enforce"]
    excepted_until_unix_ms: int | None


class AuditList(TypedDict):
    """A page of entries."""

    items: Sequence[AuditEntryView]
    next_page_token: str | None


class AuditEntryView(TypedDict):
    """An entry. `sha256` is over its RFC 8785 form without `sha256`, unless it is `erased`."""

    sequence: int
    id: str
    at_unix_ms: int
    hlc: str
    actor: str
    action: str
    permission: str
    resource: str
    decision: Literal["allow", "deny"]
    outcome: Literal["done", "refused", "unknown"]
    source_ip: str | None
    before_sha256: str | None
    after_sha256: str | None
    detail: str
    trace_id: str
    previous_sha256: str | None
    redacted_sha256: str
    sha256: str
    erased: NotRequired[bool]


class AuditVerdictView(TypedDict):
    """What became of the chain. `covered_entries`: up to this entry a signed checkpoint vouches for it."""

    valid: bool
    entries: int
    covered_entries: int
    checkpoints: int
    first_bad_sequence: NotRequired[int]
    reason: NotRequired[str]


class ErasureView(TypedDict):
    """What one call erased. With a `next_page_token` there is more: call again with it."""

    pseudonym: str
    schedules: int
    executions: int
    keys: int
    leases: int
    triggers: int
    monitors: int
    notification_rules: int
    workflows: int
    audit_entries: int
    completed: bool
    next_page_token: str | None


class WorkflowView(TypedDict):
    """A workflow in one version."""

    name: str
    version: str
    number: int
    live: str
    versions: Sequence[PublishedVersionView]
    owner: str
    created_at_unix_ms: int
    updated_at_unix_ms: int
    format: NotRequired[str]
    description: NotRequired[str]
    input_schema: NotRequired[Mapping[str, Any]]
    concurrency: NotRequired[Mapping[str, Any]]
    timeout_ms: NotRequired[int]
    sla_ms: NotRequired[int]
    on_failure: NotRequired[str]
    notes: NotRequired[Sequence[str]]
    nodes: NotRequired[Sequence[Mapping[str, Any]]]
    edges: NotRequired[Any]
    layout: NotRequired[Mapping[str, Any]]


class PublishedVersionView(TypedDict):
    """A version."""

    number: int
    version: str
    created_at_unix_ms: int
    created_by: str


class WorkflowList(TypedDict):
    """A page of workflows, by name."""

    items: Sequence[WorkflowSummaryView]
    next_page_token: str | None


class WorkflowSummaryView(TypedDict):
    """A workflow in a list."""

    name: str
    live: str
    number: int
    owner: str
    created_at_unix_ms: int
    updated_at_unix_ms: int


class WorkflowDeleted(TypedDict):
    """What is gone."""

    name: str


class ValidatedView(TypedDict):
    """Whether a definition could be published."""

    valid: bool
    errors: Sequence[WrongField]


class WrongField(TypedDict):
    """One error of a definition."""

    field: str
    message: str


class ForkBody(TypedDict):
    """A run, and the number of the event after which another way is tried."""

    run_id: str
    position: NotRequired[int]


class TestedView(TypedDict):
    """What a node, or a rehearsed run, came to. `request` is what a node would send."""

    state: str
    output: NotRequired[Any]
    case: NotRequired[str]
    error: NotRequired[str]
    error_type: NotRequired[str]
    retry_in_ms: NotRequired[int]
    due_unix_ms: NotRequired[int]
    items: NotRequired[int]
    request: NotRequired[Mapping[str, Any]]
    took_ms: NotRequired[int]
    nodes: NotRequired[
        Mapping[str, Literal["cancelled", "completed", "failed", "pending", "running", "skipped", "timeout", "waiting"]]
    ]
    story: NotRequired[Sequence[TestStoryView]]


class TestStoryView(TypedDict):
    """An event of a rehearsed run. `run` is `run`, or a run that it began."""

    after_ms: int
    run: str
    type: str
    node: NotRequired[str]
    data: Mapping[str, Any]


class StartedView(TypedDict):
    """The run."""

    run_id: str


class RunList(TypedDict):
    """A page of runs, newest first."""

    items: Sequence[RunSummaryView]
    next_page_token: str | None


class RunSummaryView(TypedDict):
    """A run in a list."""

    id: str
    workflow: str
    version: str
    state: Literal[
        "cancelled", "cancelling", "compensating", "compensation_failed", "completed", "failed", "running", "waiting"
    ]
    owner: str
    started_unix_ms: int
    finished_unix_ms: NotRequired[int]


class RunView(TypedDict):
    """A run."""

    id: str
    workflow: str
    version: str
    state: Literal[
        "cancelled", "cancelling", "compensating", "compensation_failed", "completed", "failed", "running", "waiting"
    ]
    input: Any
    nodes: Mapping[str, RunNodeView]
    started_unix_ms: int
    events: int
    owner: str
    started_by: str
    output: NotRequired[Any]
    error: NotRequired[str]
    error_type: NotRequired[str]
    reason: NotRequired[str]
    finished_unix_ms: NotRequired[int]
    late: NotRequired[bool]
    parent_run_id: NotRequired[str]


class RunNodeView(TypedDict):
    """What became of a node."""

    state: Literal["cancelled", "completed", "failed", "pending", "running", "skipped", "timeout", "waiting"]
    attempts: int
    started_unix_ms: NotRequired[int]
    finished_unix_ms: NotRequired[int]
    due_unix_ms: NotRequired[int]
    output: NotRequired[Any]
    case: NotRequired[str]
    error: NotRequired[str]
    error_type: NotRequired[str]
    reason: NotRequired[str]
    child_run_id: NotRequired[str]
    items: NotRequired[Mapping[str, int]]
    late: NotRequired[bool]
    approval: NotRequired[ApprovalView]


class ApprovalView(TypedDict):
    """A gate that waits. `nonce` is shown to those who may decide."""

    approvers: Sequence[str]
    quorum: int
    approved_by: NotRequired[Sequence[str]]
    expires_unix_ms: NotRequired[int | None]
    nonce: NotRequired[str]


class EventList(TypedDict):
    """A part of the log; `next_after` goes on from there, null: that is all so far."""

    items: Sequence[EventView]
    next_after: int | None


class EventView(TypedDict):
    """An entry of the log."""

    number: int
    at_unix_ms: int
    type: str
    data: Mapping[str, Any]
    node: NotRequired[str]


class RedriveView(TypedDict):
    """What a redrive keeps, what runs again, and what stands in its way."""

    kept: Sequence[str]
    again: Sequence[str]
    conflicts: Sequence[str]


class MonitorView(TypedDict):
    """A monitor. `expected_unix_ms`: when the next ping is expected; null: none is. A ping needs `ping_url` alone."""

    id: str
    name: str
    type: Literal["AT", "CRON", "DELAY", "ISO8601", "RATE", "RRULE"]
    expr: str
    timezone: str
    grace_ms: int
    tags: Sequence[str]
    owner: str
    state: Literal["down", "late", "new", "paused", "up"]
    last_ping_unix_ms: int | None
    expected_unix_ms: int | None
    started_unix_ms: int | None
    down_since_unix_ms: int | None
    ping_url: str
    badge_url: str
    pings: Sequence[PingView]
    version: str
    created_at_unix_ms: int
    updated_at_unix_ms: int


class PingView(TypedDict):
    """One of the last pings."""

    kind: Literal["fail", "log", "start", "success"]
    at_unix_ms: int
    exit_code: NotRequired[int]
    text: NotRequired[str]


class MonitorList(TypedDict):
    """A page of monitors, newest first."""

    items: Sequence[MonitorView]
    next_page_token: str | None


class MonitorDeleted(TypedDict):
    """What was deleted."""

    id: str


class NoticeMatchBody(TypedDict):
    """What a schedule or a monitor must have; what is left out may be anything."""

    tag: NotRequired[str]
    owner: NotRequired[str]
    name_prefix: NotRequired[str]


ChannelBody = TypedDict(
    "ChannelBody",
    {
        "type": "Literal['email', 'pagerduty', 'slack', 'sns', 'webhook']",
        "url": "NotRequired[str]",
        "headers": "NotRequired[Mapping[str, Any]]",
        "secret_ref": "NotRequired[str]",
        "channel": "NotRequired[str]",
        "routing_key": "NotRequired[str]",
        "topic_arn": "NotRequired[str]",
        "to": "NotRequired[str | Sequence[str]]",
        "from": "NotRequired[str]",
    },
)


class QuietTimesBody(TypedDict):
    """From each instant of `cron` on, for `for_ms`, nothing is sent; a digest follows."""

    cron: str
    for_ms: int
    timezone: NotRequired[str]


class NotificationRuleView(TypedDict):
    """A rule. A routing key is shown in part."""

    id: str
    name: str
    when: Sequence[Literal["approval", "dead_letter", "failed", "late", "quota", "recovered", "silent"]]
    match: NoticeMatchBody
    channels: Sequence[Mapping[str, Any]]
    group_ms: int
    quiet: QuietTimesBody | None
    enabled: bool
    owner: str
    version: str
    created_at_unix_ms: int
    updated_at_unix_ms: int


class NotificationRuleList(TypedDict):
    """A page of rules, newest first."""

    items: Sequence[NotificationRuleView]
    next_page_token: str | None


class NotificationRuleDeleted(TypedDict):
    """What was deleted."""

    id: str


class Tested(TypedDict):
    """The notifications that are sent as a test: `GET /api/v1/notifications` shows what became of them."""

    notification_ids: Sequence[str]


class SentList(TypedDict):
    """A page of notifications, newest first."""

    items: Sequence[SentView]
    next_page_token: str | None


class SentView(TypedDict):
    """What one channel was sent about one incident. Incidents of one message have the same `notification_id`."""

    id: str
    notification_id: str
    rule_id: str
    rule: str
    incident_id: str
    kind: str
    channel: str
    state: str
    attempts: int
    at_unix_ms: int
    subject: str
    name: str
    when: Sequence[str]
    text: str
    error: NotRequired[str]


class TravelView(TypedDict):
    """A session."""

    session_id: str
    position: int
    run_id: str


class MomentView(TypedDict):
    """The run as of an event, and the breakpoint that stopped there."""

    position: int
    event: EventView | None
    state: RunView
    breakpoint: NotRequired[BreakpointView]
    watched: NotRequired[Sequence[WatchedView]]


class BreakpointView(TypedDict):
    """A breakpoint."""

    kind: Literal["condition", "error", "step", "type"]
    value: str


class WatchedView(TypedDict):
    """An expression, and its value then, or why it had none."""

    expression: str
    value: NotRequired[Any]
    error: NotRequired[str]


class BreakpointBody(TypedDict):
    """Where to stop: `value` is a node, a type of node, or an expression that comes to hold."""

    kind: Literal["condition", "error", "step", "type"]
    value: NotRequired[str | ConditionBody]


class ConditionBody(TypedDict):
    """An expression, as definitions of workflows write it."""

    cel: str


class ExportedSession(TypedDict):
    """All of a session: the log, the definition, where it is."""

    format: str
    run_id: str
    position: int
    breakpoints: Sequence[BreakpointView]
    events: Sequence[Mapping[str, Any]]
    document: Mapping[str, Any]
    payloads: Mapping[str, str]


class ImportedBreakpointBody(TypedDict):
    """A breakpoint as an export has it."""

    kind: Literal["condition", "error", "step", "type"]
    value: NotRequired[str]


class WebhookSource(TypedDict):
    """`POST` to the trigger's `ingest_url`. With `secret_ref` each call must have a Standard Webhooks signature."""

    type: Literal["webhook"]
    secret_ref: NotRequired[str]


class EventBridgeSource(TypedDict):
    """Events of a bus."""

    type: Literal["eventbridge"]
    bus: NotRequired[str]
    pattern: NotRequired[Mapping[str, Any]]


class SqsSource(TypedDict):
    """A queue of yours."""

    type: Literal["sqs"]
    queue_url: str


class KafkaSource(TypedDict):
    """A topic of Kafka. Without `group` the consumer group is the trigger's own."""

    type: Literal["kafka"]
    brokers: Sequence[str]
    topic: str
    group: NotRequired[str]
    security: NotRequired[KafkaSecurity]


class NatsSource(TypedDict):
    """A subject of a stream of JetStream. Without `durable` the consumer is the trigger's own."""

    type: Literal["nats"]
    servers: Sequence[str]
    subject: str
    durable: NotRequired[str]
    secret_ref: NotRequired[str]


class RabbitMqSource(TypedDict):
    """A queue of RabbitMQ, which must be there."""

    type: Literal["rabbitmq"]
    url: str
    queue: str
    secret_ref: NotRequired[str]


class CelBody(TypedDict):
    """An expression of CEL that sees `event`, the CloudEvent."""

    cel: str


class DedupeBody(TypedDict):
    """One execution in a window for all events of one key."""

    key: CelBody
    window_ms: int


class ThrottleBody(TypedDict):
    """At most so many executions in any span. What is more is dropped, and counted."""

    limit: int
    per_ms: int


class AbsenceBody(TypedDict):
    """Fire when no event passes `filter` within so long of one for which `after` holds."""

    after: CelBody
    within_ms: int


class TriggerView(TypedDict):
    """A trigger. `ingest_url` is where a webhook source takes events; a sender needs nothing else. `listening` is
    there where a worker has to read the source."""

    id: str
    name: str
    source: Source
    filter: CelBody | None
    dedupe: DedupeBody | None
    debounce_ms: int
    throttle: ThrottleBody | None
    absence: AbsenceBody | None
    target: Target
    enabled: bool
    owner: str
    tenant: str
    retry_policy: RetryPolicyBody
    timeout_ms: int
    tags: Sequence[str]
    dropped: int
    version: str
    created_at_unix_ms: int
    updated_at_unix_ms: int
    ingest_url: NotRequired[str]
    listening: NotRequired[ListeningView]
    warnings: NotRequired[Sequence[ViolationView]]


class ListeningView(TypedDict):
    """Whether a worker reads the source. `unattended`: none has said anything for three minutes, or since the
    source was set."""

    state: Literal["failing", "listening", "paused", "unattended"]
    since_unix_ms: int | None
    seen_unix_ms: int | None
    last_error: str | None
    last_error_unix_ms: int | None


class TriggerList(TypedDict):
    """A page of triggers, newest first."""

    items: Sequence[TriggerView]
    next_page_token: str | None


class TriggerDeleted(TypedDict):
    """What is gone."""

    id: str


class TriggerExecutions(TypedDict):
    """What a trigger fired, newest first."""

    items: Sequence[ExecutionView]
    next_page_token: str | None


Target = Union[
    EventBridgeTarget,
    WebhookTarget,
    SqsTarget,
    SnsTarget,
    LambdaTarget,
    StepFunctionsTarget,
    LogTarget,
    KafkaTarget,
    NatsTarget,
    RabbitMqTarget,
    MqttTarget,
    RedisTarget,
    GrpcTarget,
    WorkflowTarget,
]

BatchOperation = Union[CreateOperation, PatchOperation, PauseOperation, ResumeOperation, DeleteOperation]

Source = Union[WebhookSource, EventBridgeSource, SqsSource, KafkaSource, NatsSource, RabbitMqSource]
