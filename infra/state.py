"""The stateful resources of one deployment: the one place that says which tables, queues, buses and rules exist.

It is plain data, and everything else is rendered from it: the emulator's copy (``infra.create``), CloudFormation and
Terraform. A test checks that the pynamodb models describe the same tables. What each index costs and which listing it
buys is in docs/storage.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chalicelib.adapters.aws.clients import resource_name
from chalicelib.core.limits import QUEUE_HIDES_S

STRING, NUMBER = "S", "N"
KEYS_ONLY, INCLUDE = "KEYS_ONLY", "INCLUDE"
NEW_AND_OLD_IMAGES = "NEW_AND_OLD_IMAGES"
NEW_IMAGE = "NEW_IMAGE"
TTL_ATTRIBUTE = "ttl"
ROUTED_QUEUE = "steps"  # where the rules of triggers send their events
EVENT_BUS_DEFAULT = "chronowatch"

DELIVER_TIMEOUT_S = QUEUE_HIDES_S
VISIBILITY_S = DELIVER_TIMEOUT_S  # a queue must hide a message at least as long as the function that handles it may run
WORKFLOW_TIMEOUT_S = 300
STEP_VISIBILITY_S = WORKFLOW_TIMEOUT_S
DAYS_4_S = 4 * 86_400
DAYS_14_S = 14 * 86_400


@dataclass(frozen=True, slots=True)
class KeyPart:
    """A key attribute and its type, ``S`` or ``N``."""

    name: str
    type: str = STRING


@dataclass(frozen=True, slots=True)
class Index:
    """A global secondary index. ``include`` names the further attributes it carries (projection INCLUDE)."""

    name: str
    hash_key: KeyPart
    range_key: KeyPart
    include: tuple[str, ...] = ()

    @property
    def projection(self) -> str:
        return INCLUDE if self.include else KEYS_ONLY


@dataclass(frozen=True, slots=True)
class Table:
    """An on-demand table. ``stream`` is its stream's view type, None for no stream."""

    logical: str
    name: str
    hash_key: KeyPart
    range_key: KeyPart
    indexes: tuple[Index, ...] = ()
    ttl_attribute: str = TTL_ATTRIBUTE
    stream: str | None = None

    @property
    def key_parts(self) -> tuple[KeyPart, ...]:
        """Every attribute that is part of some key, once each, in order of appearance."""
        parts = [self.hash_key, self.range_key]
        for index in self.indexes:
            parts += [index.hash_key, index.range_key]
        return tuple(dict.fromkeys(parts))


@dataclass(frozen=True, slots=True)
class Queue:
    """A standard SQS queue; durations in seconds. What was received ``max_receive_count`` times goes to ``dead_letter``
    (the logical name of another queue)."""

    logical: str
    name: str
    visibility_s: int
    retention_s: int
    dead_letter: str | None = None
    max_receive_count: int | None = None


def sends_events(queue: str, rules: str) -> dict[str, Any]:
    """The policy of the queue of steps: the rules of triggers send to it. Both are ARNs; those of rules may have
    wildcards."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "TriggerRules",
                "Effect": "Allow",
                "Principal": {"Service": "events.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": queue,
                "Condition": {"ArnLike": {"aws:SourceArn": rules}},
            }
        ],
    }


@dataclass(frozen=True, slots=True)
class Rule:
    """An EventBridge schedule rule and the workers (names of functions) it calls."""

    logical: str
    name: str
    schedule: str
    workers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class State:
    """Everything that holds state, for one stage."""

    stage: str
    tables: tuple[Table, ...]
    queues: tuple[Queue, ...]
    event_bus: str
    rules: tuple[Rule, ...]

    def table(self, logical: str) -> Table:
        """The table with this logical name; raises KeyError."""
        return {table.logical: table for table in self.tables}[logical]

    def queue(self, logical: str) -> Queue:
        """The queue with this logical name; raises KeyError."""
        return {queue.logical: queue for queue in self.queues}[logical]


PK, SK = KeyPart("pk"), KeyPart("sk")


def state(stage: str, event_bus: str = EVENT_BUS_DEFAULT) -> State:
    """The resources of ``stage``; all names but the bus's begin with ``chronowatch-{stage}-``."""
    return State(
        stage=stage,
        tables=(_schedules(stage), _executions(stage), _registry(stage), _workflows(stage)),
        queues=_queues(stage),
        event_bus=event_bus,
        rules=(Rule("minute", resource_name(stage, "minute"), "rate(1 minute)", ("sweep", "reconcile")),),
    )


def _schedules(stage: str) -> Table:
    return Table(
        logical="schedules",
        name=resource_name(stage, "schedules"),
        hash_key=PK,
        range_key=SK,
        indexes=(
            Index("due", KeyPart("due_shard"), KeyPart("next_run", NUMBER)),
            Index(
                "by_tenant",
                KeyPart("list_pk"),
                KeyPart("list_sk"),
                include=("owner", "enabled", "type", "name", "tags"),
            ),
            Index("jobs", KeyPart("job_pk"), KeyPart("job_sk")),
        ),
        stream=NEW_AND_OLD_IMAGES,
    )


def _executions(stage: str) -> Table:
    return Table(
        logical="executions",
        name=resource_name(stage, "executions"),
        hash_key=PK,
        range_key=SK,
        indexes=(
            Index("recent", KeyPart("recent_pk"), KeyPart("recent_sk")),
            Index("open", KeyPart("open_shard"), KeyPart("open_until", NUMBER)),
        ),
        stream=NEW_AND_OLD_IMAGES,  # the feed compares both to find what changed
    )


def _registry(stage: str) -> Table:
    name = resource_name(stage, "registry")
    return Table(logical="registry", name=name, hash_key=PK, range_key=SK, stream=NEW_IMAGE)


def _workflows(stage: str) -> Table:
    return Table(
        logical="workflows",
        name=resource_name(stage, "workflows"),
        hash_key=PK,
        range_key=SK,
        indexes=(
            Index(
                "runs",
                KeyPart("list_pk"),
                KeyPart("list_sk"),
                include=("doc",),
            ),
            Index("wake", KeyPart("wake_in"), KeyPart("wake_ms", NUMBER)),
        ),
        stream=NEW_AND_OLD_IMAGES,  # the feed compares both to find a new status
    )


def _queues(stage: str) -> tuple[Queue, ...]:
    """``work`` holds firings back until their instants, ``steps`` hints for runs of workflows. ``poison`` takes the
    messages that no worker could handle, ``dead`` the CloudEvents of firings that are out of attempts. An operator
    watches both."""
    return (
        Queue("dead", resource_name(stage, "dead"), visibility_s=30, retention_s=DAYS_14_S),
        Queue("poison", resource_name(stage, "poison"), visibility_s=30, retention_s=DAYS_14_S),
        Queue(
            "work",
            resource_name(stage, "work"),
            visibility_s=VISIBILITY_S,
            retention_s=DAYS_4_S,
            dead_letter="poison",
            max_receive_count=10,
        ),
        Queue(
            "steps",
            resource_name(stage, "steps"),
            visibility_s=STEP_VISIBILITY_S,
            retention_s=DAYS_4_S,
            dead_letter="poison",
            max_receive_count=10,
        ),
    )
