"""A schedule: its definition (immutable under a version id) and its small, often written state.

The rule of what is owed stands here. An instant T is owed when the version in force at T was active and its recurrence
contains T. A message carries the version that queued it and is judged by the version in force *at T*, never by the
newest. An edit made after T must not swallow a late delivery of T, one made before T must.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal, NamedTuple

from msgspec import Struct, field
from msgspec.structs import replace

from chalicelib.core.recurrence import expressions
from chalicelib.core.recurrence.walltime import DstGap, DstOverlap
from chalicelib.core.schedules.claim_span import ClaimSpan
from chalicelib.core.schedules.last_run import last_run_ms
from chalicelib.core.schedules.limits import (
    CATCH_UP_DEFAULT_MS,
    SETTLE_MAX_INSTANTS,
    SLA_DEFAULT_MS,
    TIMEOUT_DEFAULT_MS,
    VERSIONS_INLINE_MAX,
)

Overlap = Literal["allow", "forbid", "replace", "queue"]
Backoff = Literal["exponential", "fixed"]
BadEnd = Literal["", "failed", "timeout", "cancelled"]
ScheduleState = Literal["active", "paused", "completed", "deleted"]

UNCOUNTED = -1  # in State.counted: it does not count
NOWHERE = -2  # the same, since no limit is set; it is listed as spent when its last instant has passed


class Key(NamedTuple):
    """Where a schedule lives: its tenant and its ULID."""

    tenant: str
    id: str


class RetryPolicy(Struct, frozen=True):
    """How often and how long apart a failed delivery is tried again; durations in milliseconds."""

    max_attempts: int = 3
    backoff: Backoff = "exponential"
    base_ms: int = 1000
    max_ms: int = 60_000
    jitter: bool = True


class Monitor(Struct, frozen=True):
    """A dead-man's switch: an alert when no execution succeeded for ``window_ms``. See core.policies.monitor."""

    window_ms: int


class FailurePause(Struct, frozen=True):
    """That the service itself paused a schedule, after so many failures in a row; ``execution_id`` made it look."""

    execution_id: str
    failures: int
    at_ms: int


class Definition(Struct, frozen=True, kw_only=True):
    """What the owner asked for. Never changed in place: an edit makes another under a new version id.

    ``payload`` is serialised JSON. ``since_ms`` is when this version came into force, ``until_ms`` when the next
    one did (None while it is the current one). ``zone_data`` is the release of the zone rules it was planned with.
    ``pause_after_failures`` counts executions of instants from ``failures_from_ms`` on; ``failure_pauses``
    are the last pauses that it brought about: see core.policies.failures. ``paused_until_ms``: no instant before it is
    owed under this version. ``by_events``: a trigger's, which events fire and no instant, so that no list of schedules
    shows it. ``depth`` counts the webhooks of this service that led to it: see core.targets.loop_depth. ``traceparent``
    is of the call that created the schedule.
    """

    tenant: str
    id: str
    version: str
    since_ms: int
    until_ms: int | None = None
    active: bool = True
    name: str | None = None
    type: expressions.RecurrenceType
    expr: str
    timezone: str = "UTC"
    start_at_ms: int | None = None
    end_at_ms: int | None = None
    max_runs: int | None = None
    payload: str = "null"
    target: Mapping[str, object] = field(default_factory=lambda: {"type": "eventbridge"})
    owner: str = "anonymous"
    shard_key: str = ""
    sla_ms: int = SLA_DEFAULT_MS
    overlap: Overlap = "allow"
    catch_up_window_ms: int = CATCH_UP_DEFAULT_MS
    jitter_ms: int = 0
    dst_gap: DstGap = "run_after"
    dst_overlap: DstOverlap = "once"
    exclude: tuple[expressions.Exclusion, ...] = ()
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
    created_at_ms: int
    updated_at_ms: int
    hlc: str = ""
    origin: str = ""
    by_events: bool = False

    @property
    def key(self) -> Key:
        return Key(self.tenant, self.id)

    def rests_at(self, at_ms: int) -> bool:
        """Whether ``at_ms`` lies before the end of a pause that ends by itself."""
        return self.paused_until_ms is not None and at_ms < self.paused_until_ms

    def is_paused_at(self, at_ms: int) -> bool:
        """Whether nothing at ``at_ms`` is owed under this version: paused until it is resumed, or until later."""
        return not self.active or self.rests_at(at_ms)

    def owes_from(self, from_ms: int) -> int:
        """``from_ms``, or the end of the pause when that is later: it counts as a resumption."""
        return from_ms if self.paused_until_ms is None else max(from_ms, self.paused_until_ms)

    @property
    def late_limit_ms(self) -> int | None:
        """How late an instant may still be delivered; None = without limit. Older ones are ``missed``."""
        if self.type in ("AT", "DELAY"):
            return None
        return max(self.catch_up_window_ms, self.sla_ms) if self.catch_up_window_ms == 0 else self.catch_up_window_ms

    def compiled(self) -> expressions.Recurrence:
        """The recurrence of this definition, compiled once per distinct spec."""
        return expressions.compile(
            expressions.Spec(
                type=self.type,
                expr=self.expr,
                timezone=self.timezone,
                anchor_ms=self.created_at_ms,
                start_at_ms=self.start_at_ms,
                end_at_ms=self.end_at_ms,
                max_runs=self.max_runs,
                dst_gap=self.dst_gap,
                dst_overlap=self.dst_overlap,
                exclude=self.exclude,
            )
        )


class VersionRef(NamedTuple):
    """One entry of a schedule's recent history of versions."""

    id: str
    since_ms: int
    active: bool


class RunRef(NamedTuple):
    """An execution of a schedule, as the schedule's state names it."""

    firing_ms: int
    manual: bool = False


class State(Struct, frozen=True, kw_only=True):
    """The part of a schedule that firings write: kept under 1 KB, since an update is billed by the item's size.

    ``next_run_ms`` is the first instant that is not on the queue yet (None: there is none). ``run_count`` counts the
    instants put on the queue. ``fence`` is the last fencing token given out. ``epoch`` grows with every change that a
    caller makes (edit, pause, resume, delete, cancel of a waiting firing). A worker reads it at the instant: the claim
    stands when it has not grown. ``spans`` are the claims whose firings may be without records. ``claims`` are the
    first and last instants of the newest others. From both the last run is worked out. ``reached_ms`` is the latest
    instant that was ever claimed or recorded. A record of a later one is made only after it has moved that far.
    ``queued_ms`` is the last instant put on the queue; a DELAY schedule without ``next_run_ms`` waits for its end (and
    is exhausted when it has neither). ``running`` and ``waiting`` are the slot and the place behind it, for other
    overlaps than ``allow``: see core.policies.overlap. ``paced_ms`` is the last slot given to a late instant: see
    core.policies.catch_up. ``rev`` orders all writes.

    ``outcome`` is how the last execution ended when it ended badly (failed, timeout, cancelled), at ``outcome_ms``: see
    core.jobs. ``counted`` says that the schedule counts, with ``weight_bytes``, and where (UNCOUNTED, NOWHERE: it does
    not): see core.schedules.capacity; the number is the store's own. ``chained`` says that it is a DELAY schedule,
    whose next run follows the end of the last.
    """

    tenant: str
    id: str
    shard: int
    rev: int = 1
    epoch: int = 1
    versions: tuple[VersionRef, ...]
    status: ScheduleState = "active"
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
    outcome: BadEnd = ""
    outcome_ms: int = 0
    chained: bool = False
    counted: int = UNCOUNTED
    weight_bytes: int = 0
    hlc: str = ""
    origin: str = ""

    @property
    def key(self) -> Key:
        return Key(self.tenant, self.id)

    @property
    def current(self) -> VersionRef:
        return self.versions[-1]

    @property
    def spent_ms(self) -> int | None:
        """When the schedule will have had (or had) its last instant, until that is noted; None while it has more."""
        if self.status != "active" or self.next_run_ms is not None or self.counted == UNCOUNTED:
            return None
        if self.chained:
            return 0 if self.queued_ms is None else None
        return self.queued_ms or 0

    def has_runs_until(self, at_ms: int) -> bool:
        """Whether the current version had runs left for an instant: neither queued nor next, it began with none."""
        return self.next_run_ms is not None or at_ms <= (self.queued_ms or 0)

    def in_force_at(self, instant_ms: int) -> VersionRef | None:
        """The version in force at ``instant_ms``, or None when it is older than the versions kept here."""
        for ref in reversed(self.versions):
            if ref.since_ms <= instant_ms:
                return ref
        return None

    def claimed(self, count: int, first_ms: int, last_ms: int) -> State:
        """This state after ``count`` fencing tokens were taken for firings in [first_ms, last_ms]."""
        return replace(
            self,
            rev=self.rev + 1,
            fence=self.fence + count,
            claims=_newest((*self.claims, (first_ms, last_ms))),
            reached_ms=max(self.reached_ms, last_ms),
        )

    def claimed_as(self, span: ClaimSpan, settled: Collection[ClaimSpan]) -> State:
        """This state after the tokens of ``span`` were taken. All firings of ``settled`` have records."""
        return replace(
            self,
            rev=self.rev + 1,
            fence=self.fence + span.size,
            spans=(*(s for s in self.spans if s not in settled), span),
            claims=_newest((*self.claims, *((s.first_ms, s.last_ms) for s in self.spans if s in settled))),
            reached_ms=max(self.reached_ms, span.last_ms),
        )

    def reached(self, at_ms: int) -> State:
        """This state before a record of ``at_ms`` is made otherwise than by its claim."""
        return self if at_ms <= self.reached_ms else replace(self, rev=self.rev + 1, reached_ms=at_ms)

    def span_at(self, at_ms: int) -> ClaimSpan | None:
        """The claim that an instant belongs to, while it may be without a record."""
        return next((span for span in self.spans if span.token_of(at_ms) is not None), None)

    @property
    def last_claimed_ms(self) -> int:
        """The last instant of the claims that the state names."""
        return max([*(last for _, last in self.claims), *(span.last_ms for span in self.spans)], default=0)

    def advanced(self, window: Window) -> State:
        """This state after the instants of ``window`` went onto the queue or were settled."""
        assert window.next_run_ms is None or self.next_run_ms is None or window.next_run_ms >= self.next_run_ms
        return replace(
            self,
            rev=self.rev + 1,
            next_run_ms=window.next_run_ms,
            run_count=self.run_count + len(window.instants),
            queued_ms=window.instants[-1] if window.instants else self.queued_ms,
        )

    def with_version(self, ref: VersionRef, **changes: object) -> State:
        """This state under a new version; only the newest versions are kept inline."""
        versions = (*self.versions, ref)[-VERSIONS_INLINE_MAX:]
        return replace(self, rev=self.rev + 1, epoch=self.epoch + 1, versions=versions, **changes)


def _newest(claims: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """What the last run is worked out from: one of these may lie ahead."""
    return tuple(sorted(claims, key=lambda claim: claim[1])[-2:])


class Schedule(Struct, frozen=True):
    """Both items of a schedule, as read together."""

    definition: Definition
    state: State


def first_from(definition: Definition, from_ms: int) -> int | None:
    """The first instant owed at or after ``from_ms``; for DELAY, its start or else ``from_ms`` plus the delay."""
    from_ms = definition.owes_from(from_ms)
    compiled = definition.compiled()
    if definition.type != "DELAY":
        return compiled.next_after(from_ms - 1)
    start_ms = compiled.first_ms if definition.start_at_ms is not None else None
    return start_ms if start_ms is not None and start_ms >= from_ms else compiled.after_end(from_ms)


def runs_left(definition: Definition, run_count: int) -> int | None:
    """How many more instants ``max_runs`` allows; None = without bound."""
    return None if definition.max_runs is None else max(0, definition.max_runs - run_count)


class Window(Struct, frozen=True):
    """The instants to queue now, and the first one after them (None: the grid ends)."""

    instants: tuple[int, ...]
    next_run_ms: int | None


def window(definition: Definition, from_ms: int, until_ms: int, run_count: int, limit: int) -> Window:
    """The owed instants in [from_ms, until_ms], at most ``limit``, and where the next window begins.

    A DELAY schedule has no grid: its single instant is chained from the end of the last run. So its window is
    ``from_ms`` itself and never continues.
    """
    left = runs_left(definition, run_count)
    if left == 0:
        return Window((), None)
    if definition.type == "DELAY":
        return Window((from_ms,), None) if from_ms <= until_ms else Window((), from_ms)
    most = limit if left is None else min(limit, left)
    compiled = definition.compiled()
    found = tuple(compiled.between(from_ms, until_ms, most))
    if left is not None and len(found) >= left:
        return Window(found, None)
    after = found[-1] if len(found) == most else until_ms
    return Window(found, compiled.next_after(max(after, from_ms - 1)))


class Progress(Struct, frozen=True):
    """What a caller sees of a schedule's course: instants in unix milliseconds."""

    state: ScheduleState
    next_run_ms: int | None
    last_run_ms: int | None
    run_count: int


def progress(schedule: Schedule, now_ms: int) -> Progress:
    """The course as of ``now_ms``: the queue runs ahead of the clock, and callers must not see that."""
    definition, state = schedule.definition, schedule.state
    ahead, upcoming = _ahead(definition, state, now_ms)
    last = last_run_ms(definition, state, now_ms)
    if state.status == "deleted":
        return Progress("deleted", None, last, state.run_count - ahead)
    waits = definition.type == "DELAY" and state.queued_ms is not None
    course: ScheduleState = "active" if waits or upcoming is not None else "completed"
    shown: ScheduleState = "paused" if definition.is_paused_at(now_ms) else course
    return Progress(shown, upcoming if definition.active else None, last, state.run_count - ahead)


def queued_after(definition: Definition, state: State, at_ms: int) -> int:
    """How many queued instants lie at or after ``at_ms``: what a change at ``at_ms`` takes back from run_count."""
    return _ahead(definition, state, at_ms - 1)[0]


def _ahead(definition: Definition, state: State, now_ms: int) -> tuple[int, int | None]:
    """(queued instants after ``now_ms``, the next instant after it)."""
    if state.queued_ms is None or state.queued_ms <= now_ms or not definition.active:
        return 0, state.next_run_ms
    if definition.type == "DELAY":
        return 1, state.queued_ms
    start = definition.owes_from(max(now_ms + 1, definition.since_ms))
    queued = definition.compiled().between(start, state.queued_ms, SETTLE_MAX_INSTANTS)
    return len(queued), (queued[0] if queued else state.next_run_ms)
