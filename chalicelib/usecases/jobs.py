"""Jobs: Scheduled-DB's way of asking for schedules. A job is a schedule, and its id the schedule's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from itertools import islice

from msgspec import UNSET, Struct
from msgspec.structs import replace

from chalicelib.core.errors import Conflict, FieldError, InvalidField
from chalicelib.core.executions.execution import CANCELLED, OPEN, PENDING, Execution, ExecutionKey
from chalicelib.core.instants import parse_rfc3339, to_rfc3339
from chalicelib.core.jobs import job_status
from chalicelib.core.jobs.job_status import UNICO, JobStatus, JobType
from chalicelib.core.limits import PAGE_MAX_ITEMS
from chalicelib.core.policies import overlap
from chalicelib.core.schedules.capacity import is_cancelled
from chalicelib.core.schedules.limits import SETTLE_MAX_INSTANTS
from chalicelib.core.schedules.request import ScheduleRequest
from chalicelib.core.schedules.schedule import Key, Schedule, progress, window
from chalicelib.core.security.authorize import authorize, only_owner
from chalicelib.core.security.caller import Caller
from chalicelib.core.security.permissions import Permission
from chalicelib.engine import claim_spans, handoff
from chalicelib.engine.job_outcomes import LAST_SCAN_MAX
from chalicelib.ports.services import Services
from chalicelib.ports.stores.schedules import ScheduleFilter
from chalicelib.usecases import executions, schedules
from chalicelib.usecases.backfill import reached

PAGE_SCAN_MAX = 10  # pages of the list read for one page of jobs: entries that have just moved on leave gaps
OTHERS_SCAN_MAX = 10  # pages of other groups, read for one page of the jobs among them that have a status
BEHIND = "~"  # begins a position among the other groups, which come after the group of a status
STOPPED = "its job was cancelled"


class Job(Struct, frozen=True):
    """A schedule, its last attempted execution (None: there is none, or it has expired), and the status of both."""

    schedule: Schedule
    last: Execution | None
    status: JobStatus


class JobRequest(Struct, frozen=True):
    """What a caller wants, as it was sent. ``payload`` is serialised JSON."""

    type: JobType
    timestamp: str | None = None
    cron_expression: str | None = None
    last_date: str | None = None
    webhook_url: str | None = None
    payload: str | None = None


def create(s: Services, caller: Caller, wanted: JobRequest, job_id: str) -> Job:
    """Make a job under the given new id.

    Raises InvalidField (a ``timestamp`` or ``last_date`` in the past among it), TooLarge, CapacityExhausted.
    """
    try:
        made = schedules.create(s, caller, _schedule(s, wanted), job_id)
    except InvalidField as refused:
        raise _in_terms_of_jobs(wanted, refused) from None
    return _job(s, made, None)


def _schedule(s: Services, wanted: JobRequest) -> ScheduleRequest:
    """A job as the schedule that it is. Raises InvalidField."""
    timing = _once(wanted) if wanted.type == UNICO else _again_and_again(s, wanted)
    target: dict[str, object] = {
        "type": "webhook",
        "url": wanted.webhook_url,
        "method": "POST",
        "timeout_ms": s.config.webhook_timeout_ms,
    }
    return replace(
        timing,
        payload=UNSET if wanted.payload is None else wanted.payload,
        target=UNSET if wanted.webhook_url is None else target,
    )


def _once(wanted: JobRequest) -> ScheduleRequest:
    _forbid(wanted, "cron_expression", "last_date")
    if wanted.timestamp is None:
        raise InvalidField.of("timestamp", "is required of a job of type unico")
    at_ms = _instant("timestamp", wanted.timestamp)
    return ScheduleRequest(type="AT", expr=f"at:{to_rfc3339(at_ms)}")


def _again_and_again(s: Services, wanted: JobRequest) -> ScheduleRequest:
    _forbid(wanted, "timestamp")
    if wanted.cron_expression is None:
        raise InvalidField.of("cron_expression", "is required of a job of type recurrente")
    recurring = ScheduleRequest(type="CRON", expr=wanted.cron_expression)
    if wanted.last_date is None:
        return recurring
    last_ms = _instant("last_date", wanted.last_date)
    if last_ms < s.clock.now_ms():
        raise InvalidField.of("last_date", "lies in the past")
    return replace(recurring, end_at_ms=last_ms)


def _forbid(wanted: JobRequest, *names: str) -> None:
    given = [name for name in names if getattr(wanted, name) is not None]
    if given:
        raise InvalidField([FieldError(name, f"is no field of a job of type {wanted.type}") for name in given])


def _instant(field: str, text: str) -> int:
    try:
        return parse_rfc3339(text)
    except ValueError as problem:
        raise InvalidField.of(field, str(problem)) from None


def _in_terms_of_jobs(wanted: JobRequest, refused: InvalidField) -> InvalidField:
    """The same errors under the names that the caller used."""
    names = {"expr": "timestamp" if wanted.type == UNICO else "cron_expression"}
    names |= {"target.url": "webhook_url", "end_at_unix_ms": "last_date"}
    errors = [FieldError(names.get(e.field, e.field), e.message) for e in refused.errors]
    return InvalidField(errors, code=refused.code)


def get(s: Services, caller: Caller, job_id: str, permission: Permission = "schedules:read") -> Job:
    """One job, by its last execution as the journal has it. Raises NotFound, Forbidden."""
    found = schedules.get(s, caller, job_id, permission)
    return _job(s, found, _last_of(s, found))


def page(
    s: Services, caller: Caller, status: JobStatus | None, limit: int, after: str | None
) -> tuple[list[Job], str | None]:
    """Jobs with a status (None: all) that the caller may see, newest first, and where to go on (None: the end).

    A list by status reads the group that is kept of it, however many others there are. Behind that come, again newest
    first, those whose group says something else. What has just changed its status may be missing from a page.
    """
    authorize(caller, "schedules:read")
    if status is None:
        found, more = schedules.page(s, caller, ScheduleFilter(), limit, after)
        return _jobs(s, found), more
    grouped = job_status.GROUP_OF.get(status)
    items: list[Job] = []
    if grouped is not None and not (after or "").startswith(BEHIND):
        items, after = _grouped(s, caller, status, grouped, limit, after)
        if after is not None:
            return items, after
    others = job_status.ALSO_IN[status]
    place = (after or "").removeprefix(BEHIND) or None
    if len(items) == limit:
        return items, BEHIND if next(_among(s, caller.tenant, others, None), None) is not None else None
    behind, last = _scanned(s, caller, status, others, limit - len(items), place)
    return items + behind, None if last is None else BEHIND + last


def _grouped(
    s: Services, caller: Caller, status: JobStatus, grouped: str, limit: int, after: str | None
) -> tuple[list[Job], str | None]:
    """Jobs with a status, of the group that is kept of it."""
    items: list[Job] = []
    for _ in range(PAGE_SCAN_MAX):
        listed = s.stores.schedules.jobs(caller.tenant, grouped, limit - len(items), after)
        items += [job for job in _of_ids(s, caller, listed.ids) if job.status == status]
        after = listed.after
        if after is None or len(items) >= limit:
            break
    return items, after


def _scanned(
    s: Services, caller: Caller, status: JobStatus, groups: Sequence[str], limit: int, after: str | None
) -> tuple[list[Job], str | None]:
    """Jobs with a status that other groups hold: an execution under way, or one that waits, moves no job to another
    group. The work of a page is bounded, so a short page may have another after it.

    The list of open executions would be shorter, but it is of a shard, and a caller's role may be bound to its tenant.
    """
    ids = _among(s, caller.tenant, groups, after)
    items: list[Job] = []
    for _ in range(OTHERS_SCAN_MAX):
        some = list(islice(ids, PAGE_MAX_ITEMS))
        for job in _of_ids(s, caller, some):
            if job.status == status:
                items.append(job)
                if len(items) == limit:
                    last = job.schedule.definition.id
                    return items, last if last != some[-1] or next(ids, None) else None
        if len(some) < PAGE_MAX_ITEMS:
            return items, None
    return items, some[-1]


def _among(s: Services, tenant: str, groups: Sequence[str], after: str | None) -> Iterator[str]:
    """The ids of all jobs of some groups, newest first. One that moves meanwhile may come twice, and counts once."""
    last: str | None = None
    for job_id in merge(*(_listed(s, tenant, group, after) for group in groups), reverse=True):
        if job_id != last:
            yield job_id
        last = job_id


def _listed(s: Services, tenant: str, group: str, after: str | None) -> Iterator[str]:
    while True:
        listed = s.stores.schedules.jobs(tenant, group, PAGE_MAX_ITEMS, after)
        yield from listed.ids
        after = listed.after
        if after is None:
            return


def _of_ids(s: Services, caller: Caller, ids: Sequence[str]) -> list[Job]:
    keys = [Key(caller.tenant, i) for i in ids]
    found = s.stores.schedules.get(keys) if keys else {}
    own = only_owner(caller, "schedules:read")
    seen = [found[key] for key in keys if key in found and not found[key].definition.by_events]
    return _jobs(s, [f for f in seen if own in (None, f.definition.owner)])


def _jobs(s: Services, found: Sequence[Schedule]) -> list[Job]:
    """Jobs with their last executions, which their states name: one read for all of them. Where what is named was
    skipped or waits, the journal says which was the last."""
    now_ms = s.clock.now_ms()
    runs = [(f, job_status.last_run_ms(f, now_ms)) for f in found]
    named = [_last_keys(f, run_ms) for f, run_ms in runs]
    wanted = [key for keys in named for key in keys]
    records = s.stores.executions.get(wanted) if wanted else {}
    last = [[records[key] for key in keys if key in records] for keys in named]
    return [_job(s, f, _last_among(s, f, run_ms, of)) for (f, run_ms), of in zip(runs, last, strict=True)]


def _last_keys(found: Schedule, run_ms: int | None) -> list[ExecutionKey]:
    """What the last attempted execution may be called: its instant is known, not whether it was fired by hand. One that
    was cancelled before its claim has a mark alone."""
    marked_ms = found.state.outcome_ms if found.state.outcome else None
    times = [ms for ms in dict.fromkeys((run_ms, marked_ms)) if ms is not None]
    return [ExecutionKey(*found.definition.key, ms, manual) for ms in times for manual in (False, True)]


def _last_among(s: Services, found: Schedule, run_ms: int | None, records: Sequence[Execution]) -> Execution | None:
    last = _claimed(s, found, run_ms, records) or job_status.last_attempted(records)
    if last is not None and last.firing_ms >= (run_ms or 0) and (last.state != PENDING or last.attempts):
        return last
    return _last_of(s, found) if records else last


def _last_of(s: Services, found: Schedule) -> Execution | None:
    """The last attempted execution of a schedule, by the journal. One that has or wants the overlap slot may be older
    than what is read of that."""
    now_ms = s.clock.now_ms()
    records, _ = s.stores.executions.of_schedule(found.definition.key, 0, now_ms, LAST_SCAN_MAX, None)
    slots = [key for key in overlap.refs(found.state) if key not in {e.key for e in records}]
    records = [*records, *(s.stores.executions.get(slots).values() if slots else ())]
    return _claimed(s, found, job_status.last_run_ms(found, now_ms), records) or job_status.last_attempted(records)


def _job(s: Services, found: Schedule, last: Execution | None) -> Job:
    return Job(found, last, job_status.status(found, last, s.clock.now_ms()))


def _claimed(s: Services, found: Schedule, run_ms: int | None, records: Iterable[Execution]) -> Execution | None:
    """The last execution that was begun, if that was only just now: ``records`` would hold it."""
    if run_ms is None or any(r.firing_ms == run_ms for r in records):
        return None
    return claim_spans.shown(s, found.definition, found.state, run_ms)


def cancel(s: Services, caller: Caller, job_id: str, reason: str | None, if_match: str | None) -> Job:
    """Stop a job for good, or until its schedule is resumed: no further run begins, and one under way is cancelled.

    Raises NotFound, PreconditionFailed, Conflict (``not_cancellable``) when it is over or was cancelled.
    """
    authorize(caller, "executions:cancel")  # else the job would be stopped and its run left going
    job = get(s, caller, job_id, "schedules:write")
    over = progress(job.schedule, s.clock.now_ms()).state == "completed" and job.status not in OPEN
    if over or is_cancelled(job.schedule.definition, job.schedule.state):
        raise Conflict(f"the job is already {job.status}", code="not_cancellable")
    stopped = schedules.cancel(s, caller, job_id, reason, if_match)
    _cancel_due(s, job.schedule, reason)
    for execution in _open_of(s, stopped):
        _cancel_execution(s, caller, execution, reason)
    return get(s, caller, job_id, "schedules:write")


def _open_of(s: Services, stopped: Schedule) -> list[Execution]:
    records, _ = s.stores.executions.of_schedule(stopped.definition.key, 0, s.clock.now_ms(), PAGE_MAX_ITEMS, None)
    begun = _claimed(s, stopped, job_status.last_run_ms(stopped, s.clock.now_ms()), records)
    return [e for e in (begun, *records) if e is not None and e.is_open]


def _cancel_due(s: Services, before: Schedule, reason: str | None) -> None:
    """End what was due and had not begun when the job was stopped: no change takes back what was owed before it."""
    definition, now_ms = before.definition, s.clock.now_ms()
    due = _due(before, now_ms)
    if not due:
        return
    state = reached(s, definition.key, due[-1])
    unclaimed = [at_ms for at_ms in due if claim_spans.shown(s, definition, state, at_ms) is None]
    s.stores.executions.insert(
        [
            handoff.settled_record(s, definition, state.shard, at_ms, now_ms, CANCELLED, reason or STOPPED)
            for at_ms in unclaimed
        ]
    )


def _due(found: Schedule, now_ms: int) -> Sequence[int]:
    """The instants up to now that nothing was heard of yet."""
    definition, state = found.definition, found.state
    if not definition.active:
        return ()
    from_ms = max(state.reached_ms + 1, definition.owes_from(definition.since_ms))
    if definition.type == "DELAY":
        at_ms = state.next_run_ms if state.queued_ms is None else state.queued_ms
        return () if at_ms is None or not from_ms <= at_ms <= now_ms else (at_ms,)
    last_ms = state.queued_ms or 0
    if state.next_run_ms is not None and state.next_run_ms <= now_ms:
        left = window(definition, state.next_run_ms, now_ms, state.run_count, SETTLE_MAX_INSTANTS).instants
        last_ms = left[-1] if left else last_ms
    return definition.compiled().between(from_ms, min(last_ms, now_ms), SETTLE_MAX_INSTANTS)


def _cancel_execution(s: Services, caller: Caller, execution: Execution, reason: str | None) -> None:
    try:
        executions.cancel(s, caller, execution.id, reason)
    except Conflict:
        return  # it ended meanwhile, which is as good
