"""Executions and their logs as callers ask for them and see them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from chalicelib.api.http.requests import Body, Instant, Opt, PageQuery
from chalicelib.api.http.responses import PolicyWarnings, ShownInstant, Ulid
from chalicelib.api.schedules.schemas import Owner
from chalicelib.core.executions.error_fingerprint import FINGERPRINT_CHARS, fingerprint
from chalicelib.core.executions.execution import (
    ID_PATTERN,
    Attempt,
    AttemptOutcome,
    Execution,
    ExecutionState,
    LateAnswer,
    LateOutcome,
    Transition,
)
from chalicelib.core.executions.limits import ERROR_MAX_CHARS, LOG_MESSAGE_MAX_CHARS
from chalicelib.core.json_schema import formed
from chalicelib.core.targets import target_answer
from chalicelib.core.telemetry.telemetry_settings import trace_url
from chalicelib.core.trace import trace_id_of
from chalicelib.ports.stores.logs import LogLine

ExecutionId = Annotated[str, formed(pattern=f"^{ID_PATTERN}$", examples=["01KB0E5T0QJ8Z3V7M4N2X9YRSC-1795252805000"])]


ErrorFingerprint = Annotated[
    str,
    formed(
        pattern=f"^[0-9a-f]{{{FINGERPRINT_CHARS}}}$",
        description="The same for errors that differ by numbers, ids and addresses alone. There when `error` is.",
        examples=["c9b365315f6baa4d"],
    ),
]


class CancelBody(Body, kw_only=True):
    """Why it is cancelled; kept in its history."""

    reason: Annotated[str, Meta(max_length=ERROR_MAX_CHARS)] | None = None


class RetryBody(Body, kw_only=True):
    """With what it is tried again."""

    payload: Annotated[
        Opt[Raw], Meta(description="Any JSON, at most 64 KiB serialised; left out: the payload it had.")
    ] = UNSET


class CompleteBody(Body, kw_only=True):
    """What came of it."""

    result: Annotated[Opt[Raw], Meta(description="Any JSON, at most 64 KiB serialised.")] = UNSET


class FailBody(Body, kw_only=True):
    """What went wrong."""

    error: Annotated[str, Meta(min_length=1, max_length=ERROR_MAX_CHARS)]


class LogBody(Body, kw_only=True):
    """What happened."""

    message: Annotated[str, Meta(min_length=1, max_length=LOG_MESSAGE_MAX_CHARS)]
    level: Literal["debug", "info", "warning", "error"] = "info"


class ScheduleExecutionsQuery(PageQuery, kw_only=True):
    """Which executions of a schedule; the range is of firing instants."""

    state: Opt[ExecutionState] = UNSET
    from_unix_ms: Opt[Instant] = UNSET
    to_unix_ms: Opt[Instant] = UNSET


class ExecutionsQuery(ScheduleExecutionsQuery, kw_only=True):
    """Which executions."""

    schedule_id: Opt[Annotated[str, Meta(min_length=26, max_length=26)]] = UNSET
    owner: Opt[Owner] = UNSET


class LateAnswerView(msgspec.Struct, kw_only=True):
    """What the target still said of an attempt that had been ended. It had no effect."""

    at_unix_ms: ShownInstant
    outcome: LateOutcome
    http_status: Opt[int] = UNSET
    error: Opt[str] = UNSET


class TargetAnswerView(msgspec.Struct, kw_only=True):
    """What a webhook answered. Headers that may hold credentials are left out, and what was sent as a secret is hidden.
    Of the body it is the first 4 KiB, as text; `truncated` says that there was more."""

    headers: dict[str, str]
    body: str
    truncated: bool


class AttemptView(msgspec.Struct, kw_only=True):
    """One try at delivering; `finished_unix_ms` and `outcome` are null while it runs. `receipt` is what a broker said
    of where it keeps the message (docs/targets.md). The last three that failed have their target's `answer`, where one
    execution is read."""

    number: int
    started_unix_ms: ShownInstant
    finished_unix_ms: ShownInstant | None
    outcome: AttemptOutcome | None
    http_status: Opt[int] = UNSET
    error_type: Opt[str] = UNSET
    error: Opt[str] = UNSET
    late_answer: Opt[LateAnswerView] = UNSET
    receipt: Opt[dict[str, Any]] = UNSET
    answer: Opt[TargetAnswerView] = UNSET


class TransitionView(msgspec.Struct, kw_only=True, rename={"source": "from", "target": "to"}):
    """One step of the state machine."""

    source: ExecutionState
    target: ExecutionState
    at_unix_ms: ShownInstant
    reason: Opt[str] = UNSET


class TargetKind(msgspec.Struct):
    """Where it went; the schedule has the rest."""

    type: str


class HeldView(msgspec.Struct, kw_only=True):
    """How long the pause of the queue has held a firing; `until_unix_ms` is null while it still does."""

    from_unix_ms: ShownInstant
    until_unix_ms: ShownInstant | None


class ExecutionView(msgspec.Struct, kw_only=True):
    """The record of one firing. `held` is there when the queue was paused at its time."""

    id: ExecutionId
    schedule_id: Ulid
    firing_time_unix_ms: ShownInstant
    delivery_state: ExecutionState
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
    error_fingerprint: Opt[ErrorFingerprint] = UNSET
    trace_url: Opt[str] = UNSET
    held: Opt[HeldView] = UNSET
    warnings: PolicyWarnings = UNSET


class ExecutionList(msgspec.Struct):
    """A page of executions, newest firing first."""

    items: list[ExecutionView]
    next_page_token: str | None


class LogLineView(msgspec.Struct):
    """A line of an execution's log."""

    at_unix_ms: ShownInstant
    level: str
    message: str


class LogList(msgspec.Struct):
    """A page of a log, oldest line first."""

    items: list[LogLineView]
    next_page_token: str | None


def of_execution(
    found: Execution, trace_url_template: str | None = None, *, with_answers: bool = False
) -> ExecutionView:
    """An execution as its owner sees it. The template says where traces are shown (None: nowhere). What targets
    answered is not for lists."""
    trace_id = found.trace_id or trace_id_of(found.id)
    url = trace_url(trace_url_template, trace_id)
    return ExecutionView(
        id=found.id,
        schedule_id=found.schedule_id,
        firing_time_unix_ms=found.firing_ms,
        delivery_state=found.state,
        attempt=found.attempt,
        attempts=[of_attempt(a, with_answers=with_answers) for a in found.attempts],
        history=[_transition(t) for t in found.history],
        fencing_token=found.fencing_token,
        lateness_ms=found.lateness_ms,
        late=found.late,
        trace_id=trace_id,
        trace_url=UNSET if url is None else url,
        owner=found.owner,
        target=TargetKind(found.target_type),
        result=UNSET if found.result is None else Raw(found.result),
        error=UNSET if found.error is None else found.error,
        error_fingerprint=of_error(found),
        held=of_held(found),
    )


def of_error(found: Execution) -> str | UnsetType:
    """The fingerprint of an execution's error; UNSET: it has none."""
    return UNSET if found.error is None else fingerprint(found.error)


def of_held(found: Execution) -> HeldView | UnsetType:
    """How long a pause held an execution; UNSET: none did."""
    if found.held_ms is None:
        return UNSET
    return HeldView(from_unix_ms=found.held_ms, until_unix_ms=found.held_until_ms)


def of_log_line(line: LogLine) -> LogLineView:
    """A log line as its readers see it."""
    return LogLineView(line.at_ms, line.level, line.message)


def of_attempt(attempt: Attempt, *, with_answers: bool = False) -> AttemptView:
    """An attempt as its owner sees it."""
    return AttemptView(
        number=attempt.number,
        started_unix_ms=attempt.started_ms,
        finished_unix_ms=attempt.finished_ms,
        outcome=attempt.outcome,
        http_status=UNSET if attempt.http_status is None else attempt.http_status,
        error_type=UNSET if attempt.error_type is None else attempt.error_type,
        error=UNSET if attempt.error is None else attempt.error,
        late_answer=UNSET if attempt.late_answer is None else _late_answer(attempt.late_answer),
        receipt=msgspec.json.decode(attempt.receipt) if attempt.receipt else UNSET,
        answer=_answer(attempt.answer) if with_answers and attempt.answer is not None else UNSET,
    )


def _answer(text: str) -> TargetAnswerView:
    found = target_answer.read(text)
    return TargetAnswerView(headers=dict(found.headers), body=found.body, truncated=found.truncated)


def _late_answer(answer: LateAnswer) -> LateAnswerView:
    return LateAnswerView(
        at_unix_ms=answer.at_ms,
        outcome=answer.outcome,
        http_status=UNSET if answer.http_status is None else answer.http_status,
        error=UNSET if answer.error is None else answer.error,
    )


def _transition(step: Transition) -> TransitionView:
    return TransitionView(
        source=step.source,
        target=step.target,
        at_unix_ms=step.at_ms,
        reason=UNSET if step.reason is None else step.reason,
    )
