"""Tasks as people ask for them and see them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw

from chalicelib.api.executions.schemas import (
    AttemptView,
    ErrorFingerprint,
    HeldView,
    LogLineView,
    TargetKind,
    of_attempt,
    of_error,
    of_held,
    of_log_line,
)
from chalicelib.api.http.requests import Opt, PageQuery, Query
from chalicelib.api.http.responses import ShownInstant, Ulid
from chalicelib.api.queues.schemas import QueueView
from chalicelib.api.schedules.schemas import Owner
from chalicelib.core.changes.limits import POSITION_DIGITS
from chalicelib.core.executions.execution import Execution, ExecutionState, Transition
from chalicelib.core.json_schema import states
from chalicelib.core.schedules.limits import NAME_MAX_CHARS
from chalicelib.core.trace import trace_id_of
from chalicelib.usecases.tasks import SORTED_MAX, ErrorCount, Task, TaskDetail

TaskSort = Literal[
    "id", "name", "status", "owner", "created_at_unix_ms", "duration_ms",
    "-id", "-name", "-status", "-owner", "-created_at_unix_ms", "-duration_ms",
]  # fmt: skip
TRACE_ID = "{trace_id}"


class TasksQuery(PageQuery, kw_only=True):
    """Which tasks, and in which order."""

    status: Opt[ExecutionState] = UNSET
    name: Opt[
        Annotated[
            str,
            Meta(min_length=1, max_length=NAME_MAX_CHARS, description="The schedule's name; `inv*` for how it begins."),
        ]
    ] = UNSET
    owner: Opt[Owner] = UNSET
    id: Opt[Annotated[str, Meta(min_length=1, max_length=64, description="An id, or how ids begin.")]] = UNSET
    sort: Opt[
        Annotated[
            TaskSort,
            Meta(
                description=f"A field, `-` before it for descending, among the newest {SORTED_MAX} tasks. Left out: "
                "all tasks, newest instant first."
            ),
        ]
    ] = UNSET


class SubscribeQuery(Query, kw_only=True):
    """Where to go on."""

    last_event_id: Annotated[
        Opt[str],
        Meta(description="As the header `Last-Event-ID`, which wins."),
        states(pattern=f"^([0-9]{{{POSITION_DIGITS}}})?$"),
    ] = UNSET


class TaskView(msgspec.Struct, kw_only=True):
    """An execution in a line. `name` is its schedule's; null when that has none, or is kept no longer."""

    id: str
    name: str | None
    status: ExecutionState
    owner: str
    schedule_id: Ulid
    firing_time_unix_ms: ShownInstant
    created_at_unix_ms: ShownInstant
    duration_ms: Opt[int] = UNSET
    attempt: int
    late: bool
    lateness_ms: int | None
    error: Opt[str] = UNSET
    error_fingerprint: Opt[ErrorFingerprint] = UNSET
    trace_id: str
    trace_url: Opt[str] = UNSET
    held: Opt[HeldView] = UNSET


class TaskList(msgspec.Struct):
    """A page of tasks."""

    items: list[TaskView]
    next_page_token: str | None


class TaskStepView(msgspec.Struct, kw_only=True, rename={"source": "from", "target": "to"}):
    """A step of its history. `duration_ms` is how long it was in the state that it left."""

    source: ExecutionState
    target: ExecutionState
    at_unix_ms: ShownInstant
    duration_ms: int
    reason: Opt[str] = UNSET


class TaskDetailView(TaskView, kw_only=True):
    """An execution as a page of its own. `payload` is what it was sent. `logs` are the first lines; with `more_logs`
    the rest is at `/api/v1/executions/{id}/logs`."""

    target: TargetKind
    fencing_token: int
    history: list[TaskStepView]
    attempts: list[AttemptView]
    logs: list[LogLineView]
    more_logs: bool
    payload: Annotated[Any, Meta(description="The JSON that its target was sent.")] = None
    result: Opt[Raw] = UNSET


class ErrorCountView(msgspec.Struct, kw_only=True):
    """How often an error occurred, and the newest task that has it."""

    error_fingerprint: ErrorFingerprint
    count: int
    newest_id: str


class TaskMetricsView(msgspec.Struct, kw_only=True):
    """How the caller's tasks are doing. Those of 24 hours are null while nothing ended. `errors_24h` are the most
    frequent errors, `other_errors_24h` says how many tasks had one that is not among them. With `more_24h` the day has
    more executions than were counted. `queue` says whether the tenant's queue is paused."""

    queued: int
    active: int
    failure_percent_24h: float | None
    mean_duration_ms_24h: float | None
    errors_24h: list[ErrorCountView]
    other_errors_24h: int
    more_24h: bool
    queue: QueueView


def of_error_count(found: ErrorCount) -> ErrorCountView:
    """An error with how often it occurred."""
    return ErrorCountView(error_fingerprint=found.fingerprint, count=found.count, newest_id=found.newest_id)


def of_task(task: Task, trace_url_template: str | None) -> TaskView:
    """A task in a line."""
    return TaskView(**_line(task, trace_url_template))


def of_detail(found: TaskDetail, trace_url_template: str | None) -> TaskDetailView:
    """A task whole."""
    task, e = found.task, found.task.execution
    payload = e.payload
    if payload is None and task.definition is not None:
        payload = task.definition.payload
    return TaskDetailView(
        **_line(task, trace_url_template),
        target=TargetKind(e.target_type),
        fencing_token=e.fencing_token,
        history=_history(e),
        attempts=[of_attempt(a, with_answers=True) for a in e.attempts],
        logs=[of_log_line(line) for line in found.logs],
        more_logs=found.more_logs,
        payload=None if payload is None else Raw(payload),
        result=UNSET if e.result is None else Raw(e.result),
    )


def _line(task: Task, trace_url_template: str | None) -> dict[str, Any]:
    e, duration_ms = task.execution, task.duration_ms
    trace_id = e.trace_id or trace_id_of(e.id)
    return {
        "id": e.id,
        "name": task.name,
        "status": e.state,
        "owner": e.owner,
        "schedule_id": e.schedule_id,
        "firing_time_unix_ms": e.firing_ms,
        "created_at_unix_ms": e.created_ms,
        "duration_ms": UNSET if duration_ms is None else duration_ms,
        "attempt": e.attempt,
        "late": e.late,
        "lateness_ms": e.lateness_ms,
        "error": UNSET if e.error is None else e.error,
        "error_fingerprint": of_error(e),
        "trace_id": trace_id,
        "held": of_held(e),
        "trace_url": trace_url_template.replace(TRACE_ID, trace_id) if trace_url_template else UNSET,
    }


def _history(execution: Execution) -> list[TaskStepView]:
    steps: list[TaskStepView] = []
    since_ms = execution.created_ms
    for step in execution.history:
        steps.append(_step(step, max(0, step.at_ms - since_ms)))
        since_ms = step.at_ms
    return steps


def _step(step: Transition, duration_ms: int) -> TaskStepView:
    return TaskStepView(
        source=step.source,
        target=step.target,
        at_unix_ms=step.at_ms,
        duration_ms=duration_ms,
        reason=UNSET if step.reason is None else step.reason,
    )
