"""How records lie in DynamoDB: keys, and the ``doc`` attribute, compact JSON without what the key says already.

An update is billed by the whole item: names are short, and defaults left out. Unknown names are ignored, for upgrades.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import msgspec

from chalicelib.adapters.dynamodb.document_codec import Codec
from chalicelib.core.decoders import decoder_of
from chalicelib.core.executions.execution import (
    Attempt,
    AttemptOutcome,
    Execution,
    ExecutionKey,
    LateAnswer,
    Transition,
)
from chalicelib.core.policies.monitor import MonitorState
from chalicelib.core.recurrence.expressions import Exclusion
from chalicelib.core.schedules.claim_span import ClaimSpan
from chalicelib.core.schedules.limits import CATCH_UP_DEFAULT_MS, SLA_DEFAULT_MS, TIMEOUT_DEFAULT_MS
from chalicelib.core.schedules.schedule import (
    Definition,
    FailurePause,
    Key,
    Monitor,
    RetryPolicy,
    RunRef,
    State,
    VersionRef,
)

STATE_SK = "state"
DEFINITION_SK = "def"
RESTORED = "restored"  # an attribute of what came from a backup: the feed passes over the writes that brought it
MONITOR_SK = "watch"
_INSTANT_DIGITS = 15
_INSTANT_CEILING = 10**_INSTANT_DIGITS - 1


class _StateDoc(
    msgspec.Struct,
    omit_defaults=True,
    frozen=True,
    rename={
        "shard": "s",
        "rev": "r",
        "epoch": "e",
        "versions": "v",
        "status": "st",
        "next_run_ms": "n",
        "run_count": "c",
        "fence": "f",
        "claims": "cl",
        "spans": "sp",
        "reached_ms": "rm",
        "queued_ms": "q",
        "running": "ru",
        "waiting": "wa",
        "paced_ms": "pm",
        "outcome": "oc",
        "outcome_ms": "om",
        "chained": "ch",
        "counted": "k",
        "weight_bytes": "wb",
        "hlc": "h",
        "origin": "o",
        "event_ms": "em",
    },
):
    shard: int
    rev: int
    epoch: int
    versions: tuple[VersionRef, ...]
    status: str = "active"
    next_run_ms: int | None = None
    run_count: int = 0
    fence: int = 0
    claims: tuple[tuple[int, int], ...] = ()
    spans: tuple[ClaimSpan, ...] = ()
    reached_ms: int = 0
    queued_ms: int | None = None
    running: RunRef | None = None
    waiting: RunRef | None = None
    paced_ms: int | None = None
    outcome: str = ""
    outcome_ms: int = 0
    chained: bool = False
    counted: int = -1
    weight_bytes: int = 0
    hlc: str = ""
    origin: str = ""


class _AttemptDoc(
    msgspec.Struct,
    omit_defaults=True,
    frozen=True,
    rename={
        "number": "n",
        "fencing_token": "f",
        "started_ms": "s",
        "finished_ms": "e",
        "outcome": "o",
        "http_status": "h",
        "error_type": "t",
        "error": "m",
        "late_answer": "la",
        "denied_by": "d",
        "receipt": "rc",
        "answer": "an",
    },
):
    number: int
    fencing_token: int
    started_ms: int
    finished_ms: int | None = None
    outcome: AttemptOutcome | None = None
    http_status: int | None = None
    error_type: str | None = None
    error: str | None = None
    late_answer: LateAnswer | None = None
    denied_by: str = ""
    receipt: str = ""
    answer: str | None = None


class _ExecutionDoc(
    msgspec.Struct,
    omit_defaults=True,
    frozen=True,
    rename={
        "shard": "s",
        "version": "v",
        "owner": "w",
        "target_type": "tt",
        "rev": "r",
        "state": "st",
        "requested": "rq",
        "request_id": "ri",
        "offset_ms": "of",
        "attempt": "a",
        "attempts": "at",
        "history": "hi",
        "fencing_token": "f",
        "claimed_by": "cb",
        "lease_until_ms": "l",
        "retry_at_ms": "ra",
        "put_off_ms": "po",
        "held_ms": "hm",
        "held_until_ms": "hu",
        "asynchronous": "as",
        "waits": "wt",
        "mends": "me",
        "monitored": "mo",
        "notice": "nt",
        "first_started_ms": "fs",
        "sla_ms": "sl",
        "trace_id": "ti",
        "traceparent": "tp",
        "tracestate": "ts",
        "schedule_type": "ty",
        "depth": "dp",
        "payload": "p",
        "result": "re",
        "error": "er",
        "created_ms": "cr",
        "finished_ms": "fi",
        "hlc": "h",
        "origin": "o",
    },
):
    shard: int
    version: str
    owner: str
    target_type: str
    rev: int
    state: str = "pending"
    requested: bool = False
    request_id: str = ""
    offset_ms: int = 0
    attempt: int = 0
    attempts: tuple[_AttemptDoc, ...] = ()
    history: tuple[Transition, ...] = ()
    fencing_token: int = 0
    claimed_by: str | None = None
    lease_until_ms: int | None = None
    retry_at_ms: int | None = None
    put_off_ms: int | None = None
    held_ms: int | None = None
    held_until_ms: int | None = None
    asynchronous: bool = False
    waits: bool = False
    mends: bool = False
    monitored: bool = False
    notice: int = 0
    first_started_ms: int | None = None
    sla_ms: int = SLA_DEFAULT_MS
    trace_id: str = ""
    traceparent: str = ""
    tracestate: str = ""
    schedule_type: str = ""
    depth: int = 0
    payload: str | None = None
    result: str | None = None
    error: str | None = None
    created_ms: int = 0
    finished_ms: int | None = None
    hlc: str = ""
    origin: str = ""
    event_ms: int = 0


class _DefinitionDoc(msgspec.Struct, omit_defaults=True, frozen=True):
    version: str
    since_ms: int
    type: str
    expr: str
    created_at_ms: int
    updated_at_ms: int
    until_ms: int | None = None
    active: bool = True
    name: str | None = None
    timezone: str = "UTC"
    start_at_ms: int | None = None
    end_at_ms: int | None = None
    max_runs: int | None = None
    target: dict[str, Any] = msgspec.field(default_factory=dict)
    owner: str = "anonymous"
    shard_key: str = ""
    sla_ms: int = SLA_DEFAULT_MS
    overlap: str = "allow"
    catch_up_window_ms: int = CATCH_UP_DEFAULT_MS
    jitter_ms: int = 0
    dst_gap: str = "run_after"
    dst_overlap: str = "once"
    exclude: tuple[Exclusion, ...] = ()
    retry_policy: RetryPolicy = RetryPolicy()
    timeout_ms: int = TIMEOUT_DEFAULT_MS
    pause_after_failures: int | None = None
    failures_from_ms: int = 0
    failure_pauses: tuple[FailurePause, ...] = ()
    paused_until_ms: int | None = None
    monitor: Monitor | None = None
    tags: tuple[str, ...] = ()
    note: str | None = None
    zone_data: str = ""
    depth: int = 0
    traceparent: str = ""
    hlc: str = ""
    origin: str = ""
    by_events: bool = False


class _MonitorStateDoc(msgspec.Struct, omit_defaults=True, frozen=True):
    shard: int
    rev: int
    window_ms: int
    since_ms: int
    success_ms: int
    look_ms: int
    silent_ms: int = 0
    told: bool = False


_OF_EVENT = "e#"  # sorts behind all instants
_encode = msgspec.json.Encoder().encode
STATE_CODEC = Codec(_StateDoc, State)
EXECUTION_CODEC = Codec(_ExecutionDoc, Execution)
DEFINITION_CODEC = Codec(_DefinitionDoc, Definition)
MONITOR_CODEC = Codec(_MonitorStateDoc, MonitorState)


def encode_state(state: State) -> str:
    """The ``doc`` of a state."""
    return STATE_CODEC.encode(state)


def decode_state(key: Key, doc: str) -> State:
    """The state of a ``doc``."""
    return STATE_CODEC.decode(doc, tenant=key.tenant, id=key.id)


def encode_monitor(monitor: MonitorState) -> str:
    """The ``doc`` of a monitor."""
    return MONITOR_CODEC.encode(monitor)


def decode_monitor(key: Key, doc: str) -> MonitorState:
    """The monitor of a ``doc``."""
    return MONITOR_CODEC.decode(doc, tenant=key.tenant, id=key.id)


def encode_definition(definition: Definition) -> str:
    """The ``doc`` of a definition, all but its payload, which is kept as it came in an attribute of its own."""
    return DEFINITION_CODEC.encode(definition)


def decode_definition(key: Key, doc: str, payload: str) -> Definition:
    """The definition of a ``doc`` and its payload."""
    return DEFINITION_CODEC.decode(doc, tenant=key.tenant, id=key.id, payload=payload)


def encode_execution(execution: Execution) -> str:
    """The ``doc`` of an execution."""
    attempts = tuple(_AttemptDoc(*_attempt_values(a)) for a in execution.attempts)
    return EXECUTION_CODEC.encode(execution, attempts=attempts) if attempts else EXECUTION_CODEC.encode(execution)


_attempt_values = attrgetter(*_AttemptDoc.__struct_fields__)


def decode_execution(key: ExecutionKey, doc: str) -> Execution:
    """The execution of a ``doc``."""
    fields = EXECUTION_CODEC.fields_of(doc)
    fields["attempts"] = tuple(Attempt(*msgspec.structs.astuple(a)) for a in fields["attempts"])
    named, event_ms = key._asdict(), fields.pop("event_ms")
    if key.event:
        named["firing_ms"] = event_ms
    return Execution(**named, **fields)


def encode_values(values: dict[str, int]) -> str:
    """The ``doc`` of a cursor."""
    return _encode(values).decode()


def decode_values(doc: str) -> dict[str, int]:
    """The values of a cursor."""
    return decoder_of(dict[str, int]).decode(doc)


def escaped(part: str) -> str:
    """``part`` without ``#``, which separates the parts of a key; distinct parts stay distinct."""
    return part.replace("%", "%25").replace("#", "%23") if "#" in part or "%" in part else part


def unescaped(part: str) -> str:
    return part.replace("%23", "#").replace("%25", "%") if "%" in part else part


def partition(tenant: str, schedule_id: str) -> str:
    """The partition key of a schedule's items and of its executions."""
    return f"{escaped(tenant)}#{schedule_id}"


def key_of_partition(pk: str) -> Key:
    """The schedule that a partition belongs to."""
    tenant, _, schedule_id = pk.rpartition("#")
    return Key(unescaped(tenant), schedule_id)


def snapshot_sk(version: str) -> str:
    """The sort key of a superseded definition."""
    return f"v#{version}"


def name_partition(tenant: str, owner: str, name: str) -> str:
    """The partition key of the guard that keeps a name unique within an owner."""
    return f"{escaped(tenant)}#name#{escaped(owner)}#{name}"


def instant_text(unix_ms: int) -> str:
    """An instant with leading zeros, so that text sorts as time does; what cannot be stored is clamped."""
    return f"{min(max(unix_ms, 0), _INSTANT_CEILING):0{_INSTANT_DIGITS}d}"


def execution_sk(key: ExecutionKey) -> str:
    """The sort key of an execution within its schedule."""
    if key.event:
        return _OF_EVENT + key.event
    return instant_text(key.firing_ms) + ("-m" if key.manual else "")


def execution_key(pk: str, sk: str) -> ExecutionKey:
    """The execution that a pair of table keys names."""
    tenant, schedule_id = key_of_partition(pk)
    if sk.startswith(_OF_EVENT):
        return ExecutionKey(tenant, schedule_id, 0, event=sk.removeprefix(_OF_EVENT))
    return ExecutionKey(tenant, schedule_id, int(sk[:_INSTANT_DIGITS]), sk.endswith("-m"))


def recent_sk(execution: Execution) -> str:
    """The sort key in the ``recent`` index: the order of lists, by firing and then id."""
    return f"{instant_text(execution.firing_ms)}#{execution.id}"
