"""An execution: what became of one firing, as a state machine over attempts that are leases.

    pending ──> in_progress ──> completed | failed | timeout | cancelled
    pending ──> cancelled | missed | skipped
    (a caller's :retry)  failed | timeout | missed | cancelled | skipped ──> pending

``journal`` has the steps.
"""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

from msgspec import Struct

from chalicelib.core import ulid
from chalicelib.core.instants import to_rfc3339
from chalicelib.core.schedules.limits import SLA_DEFAULT_MS
from chalicelib.core.schedules.schedule import Key

ExecutionState = Literal["pending", "in_progress", "completed", "failed", "timeout", "cancelled", "missed", "skipped"]
AttemptOutcome = ExecutionState | Literal["lost"]
LateOutcome = Literal["completed", "accepted", "failed", "timeout", "closed"]
PENDING: Final = "pending"
IN_PROGRESS: Final = "in_progress"
COMPLETED: Final = "completed"
FAILED: Final = "failed"
TIMEOUT: Final = "timeout"
CANCELLED: Final = "cancelled"
MISSED: Final = "missed"
SKIPPED: Final = "skipped"
TRANSITIONS: dict[ExecutionState, frozenset[ExecutionState]] = {
    PENDING: frozenset({IN_PROGRESS, CANCELLED, MISSED, SKIPPED}),
    IN_PROGRESS: frozenset({COMPLETED, FAILED, TIMEOUT, CANCELLED}),
    COMPLETED: frozenset(),
    FAILED: frozenset({PENDING}),
    TIMEOUT: frozenset({PENDING}),
    CANCELLED: frozenset({PENDING}),
    MISSED: frozenset({PENDING}),
    SKIPPED: frozenset({PENDING}),
}
STATES = tuple(TRANSITIONS)
OPEN = frozenset({PENDING, IN_PROGRESS})
RETRY_REQUESTED = "retry requested"  # the reason of a step that a caller asked for
SUPERSEDED = "superseded by an edit"  # the reason of an end: the version in force at its instant has no such instant
RETRYABLE = frozenset({FAILED, TIMEOUT, MISSED, CANCELLED, SKIPPED})


class ExecutionKey(NamedTuple):
    """Which firing: deterministic, so that however often a message arrives there is one record. One that an event set
    off is named by ``event``, the digest of its source and id. Its instant is 0 here."""

    tenant: str
    schedule_id: str
    firing_ms: int
    manual: bool = False
    event: str = ""

    @property
    def id(self) -> str:
        if self.event:
            return f"{self.schedule_id}-{self.event}"
        return f"{self.schedule_id}-{self.firing_ms}{'-m' if self.manual else ''}"


EVENT_PATTERN: Final = "[a-z2-7]{26}"
ID_PATTERN: Final = ulid.PATTERN + f"-([0-9]{{1,15}}(-m)?|{EVENT_PATTERN})"
_EVENT: Final = re.compile(EVENT_PATTERN, re.ASCII)
_INSTANT: Final = re.compile("0|[1-9][0-9]{0,14}", re.ASCII)


def parse_id(tenant: str, execution_id: str) -> ExecutionKey | None:
    """The key that ``{schedule_id}-{unix_ms}``, ``…-m`` or ``{trigger_id}-{event}`` names, or None when it has another
    form, such as leading zeros: an execution has one id."""
    parts = execution_id.split("-")
    if len(parts) == 2 and _EVENT.fullmatch(parts[1]):
        return ExecutionKey(tenant, parts[0], 0, event=parts[1])
    manual = len(parts) == 3 and parts[2] == "m"
    well_formed = (len(parts) == 2 or manual) and _INSTANT.fullmatch(parts[1])
    return ExecutionKey(tenant, parts[0], int(parts[1]), manual) if well_formed else None


class LateAnswer(NamedTuple):
    """What a target still said of an attempt that had been ended without it: kept, and of no effect.

    ``outcome`` is ``closed`` when its connection was closed before it could answer.
    """

    at_ms: int
    outcome: LateOutcome
    http_status: int | None = None
    error: str | None = None


class Attempt(Struct, frozen=True):
    """One try at delivering; instants in unix milliseconds, ``outcome`` None while it runs. ``denied_by`` names the
    policies and rules that did not let it pass. ``receipt`` is a JSON object, in the words of the target.
    ``answer`` is what is kept of its target's, where it failed (core.targets.target_answer)."""

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


class Transition(NamedTuple):
    """One step of the state machine and when it was taken."""

    source: ExecutionState
    target: ExecutionState
    at_ms: int
    reason: str | None = None


class Execution(Struct, frozen=True, kw_only=True):
    """The record of one firing. ``version`` is the definition it runs under; ``payload`` overrides it when manual.

    ``retry_at_ms`` is set while it waits for its next attempt, ``lease_until_ms`` while one is claimed or running.
    ``put_off_ms`` is the later time that its first attempt was given: a catch-up slot, or a place behind others.
    ``requested`` says that a caller asked for it (trigger, backfill), so that no grid has to contain it. ``request_id``
    names the call, so that the same call run again finds what it made. ``offset_ms`` is its jitter: what it was meant
    to wait past its instant. ``waits`` says that it waits for its turn: ``retry_at_ms`` is then when to check again if
    no wake-up comes. ``mends`` says that the execution before it had ended badly when this one was claimed. So a good
    end takes the schedule's mark away (core.jobs.job_status). ``monitored`` says that its success is to be noted
    (core.policies.monitor). ``traceparent`` and ``tracestate`` are those of the call that asked for it, which its trace
    goes on with. ``schedule_type`` is its schedule's, for metrics. ``notice`` counts the tries at notifying a target
    that works on a cancelled execution (0: no notice is due). ``depth`` counts the webhooks of this service that led to
    it (core.targets.loop_depth). ``held_ms`` is when the pause of its tenant's queue held it first, ``held_until_ms``
    when it went on: it is held while that is None. ``event`` names the event that set it off (``ExecutionKey``).
    ``rev`` 0 is a firing that is claimed and has no record yet: the first write makes it.
    """

    tenant: str
    schedule_id: str
    firing_ms: int
    manual: bool = False
    requested: bool = False
    request_id: str = ""
    offset_ms: int = 0
    shard: int
    version: str
    owner: str
    target_type: str
    rev: int = 1
    state: ExecutionState = PENDING
    attempt: int = 0
    attempts: tuple[Attempt, ...] = ()
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
    created_ms: int
    finished_ms: int | None = None
    hlc: str = ""
    origin: str = ""
    event: str = ""

    @property
    def key(self) -> ExecutionKey:
        if self.event:
            return ExecutionKey(self.tenant, self.schedule_id, 0, event=self.event)
        return ExecutionKey(self.tenant, self.schedule_id, self.firing_ms, self.manual)

    @property
    def event_ms(self) -> int:
        """Its instant where its key does not say it; else 0."""
        return self.firing_ms if self.event else 0

    @property
    def id(self) -> str:
        return self.key.id

    @property
    def key_of_schedule(self) -> Key:
        return Key(self.tenant, self.schedule_id)

    @property
    def is_open(self) -> bool:
        return self.state in OPEN

    @property
    def is_held(self) -> bool:
        """Whether it waits for its tenant's queue to be resumed."""
        return self.is_open and self.held_ms is not None and self.held_until_ms is None

    @property
    def held_note(self) -> str | None:
        """What is said of the pause of its queue; None: none held it."""
        if self.held_ms is None:
            return None
        until = "" if self.held_until_ms is None else f" until {to_rfc3339(self.held_until_ms)}"
        return f"the queue was paused: it was held from {to_rfc3339(self.held_ms)}{until}"

    @property
    def is_bound(self) -> bool:
        """Whether it keeps its version: it has begun, or a caller asked for it. Until then it is owed under the version
        in force at its instant, whichever that is."""
        return self.requested or any(s.target == IN_PROGRESS or s.reason == RETRY_REQUESTED for s in self.history)

    @property
    def is_superseded(self) -> bool:
        """Whether an edit took its instant back: it was not owed when it came, whatever a caller asked for since."""
        return any(step.reason == SUPERSEDED for step in self.history)

    @property
    def is_due_by_itself(self) -> bool:
        """Whether its instant was its schedule's own: no caller asked for it, and no edit took it back."""
        return not (self.manual or self.requested or self.is_superseded)

    @property
    def generation(self) -> int:
        """1, and one more for each time that it was over and a caller asked for another attempt."""
        return 1 + sum(step.source in RETRYABLE for step in self.history)

    @property
    def lateness_ms(self) -> int | None:
        """How long after its instant (and jitter) the first attempt started that is not lost; None when none did."""
        if self.first_started_ms is None:
            return None
        return max(0, self.first_started_ms - self.firing_ms - self.offset_ms)

    @property
    def late(self) -> bool:
        return self.lateness_ms is not None and self.lateness_ms > self.sla_ms

    @property
    def due_ms(self) -> int:
        """When its next attempt is to be sent: never before its instant and jitter."""
        return max(self.firing_ms + self.offset_ms, self.retry_at_ms or 0)

    @property
    def open_until_ms(self) -> int | None:
        """When reconcile must check it: the end of its lease or the time of its next attempt."""
        if not self.is_open:
            return None
        return self.retry_at_ms if self.retry_at_ms is not None else self.lease_until_ms

    def leased(self, now_ms: int) -> bool:
        """Whether an attempt lives: only its owner may end it."""
        return self.is_open and self.lease_until_ms is not None and now_ms < self.lease_until_ms


def is_listed_open(execution: Execution) -> bool:
    """Whether the journal lists a record among the open ones, where reconcile finds it.

    Entering and leaving that list costs a write each. Most firings are claimed just before their instant and end
    milliseconds after it. They are not listed: the scan of recent instants finds those with a record, and their message
    comes again, should their worker die. Listed is what stays open for longer, or was claimed when its instant had
    passed the scan. That is what waits for a retry, is recorded as running or accepted, was asked for by hand, or is
    late.
    """
    if not execution.is_open:
        return False
    claimed = execution.rev <= 1 and not execution.attempts and execution.retry_at_ms is None
    quick = claimed and not execution.requested and execution.created_ms <= execution.firing_ms
    return not quick


def has_ended_badly(execution: Execution) -> bool:
    """Whether the journal lists a record among those that ended badly."""
    return execution.state in (FAILED, TIMEOUT) and execution.finished_ms is not None


def version_of(execution: Execution) -> str:
    """What distinguishes two readings of one execution."""
    return str(execution.rev)
