"""Retrying and cancelling by filter: a job that the process of the call begins, and reconcile goes on with.

A slice is done, then written down with where the list goes on. Who dies between the two leaves a slice that is done
again: what has had it is counted, and nothing is done to it twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from chalicelib.core.errors import ChronoError, InvalidField, NotFound, PreconditionFailed, Unavailable
from chalicelib.core.executions.bulk_job import BULK_MAX_MATCHED, BULK_SLICE, PERMISSIONS, BulkAction, BulkJob
from chalicelib.core.executions.execution import Execution
from chalicelib.core.security.authorize import authorize, only_owner
from chalicelib.core.security.caller import Caller
from chalicelib.ports.services import Services
from chalicelib.usecases import executions
from chalicelib.usecases.executions import ExecutionFilter

WORK_MAX_MS: Final = 20_000  # one turn's; reconcile takes the next
COUNTED_TOGETHER: Final = 100
NEWEST_MAX: Final = 100  # jobs among which reconcile looks for those that run
CHANGE_ATTEMPTS: Final = 16


class BulkStart(NamedTuple):
    """How many executions matched, and the job over them; None for a dry run."""

    matched: int
    job: BulkJob | None


def start(s: Services, caller: Caller, action: BulkAction, wanted: ExecutionFilter, dry_run: bool) -> BulkStart:
    """Count what a filter finds, and begin a job over it. Raises Forbidden, InvalidField."""
    authorize(caller, PERMISSIONS[action])
    now_ms = s.clock.now_ms()
    job = BulkJob(
        tenant=caller.tenant,
        id=s.ids.ulid(now_ms),
        action=action,
        subject=caller.subject,
        owner_only=only_owner(caller, PERMISSIONS[action]),
        schedule_id=wanted.schedule_id,
        state_wanted=wanted.state,
        owner=wanted.owner,
        from_ms=wanted.from_ms,
        to_ms=now_ms if wanted.to_ms is None else wanted.to_ms,
        matched=0,
        created_ms=now_ms,
    )
    job = replace(job, matched=_count(s, caller, job))
    if dry_run:
        return BulkStart(job.matched, None)
    if not s.stores.bulk_jobs.save(job, 0):
        raise Unavailable("another job has the same id: try again")
    s.tasks.start(lambda: work(s, job.tenant, job.id))
    return BulkStart(job.matched, job)


def _count(s: Services, caller: Caller, job: BulkJob) -> int:
    position, count = None, 0
    while True:
        found, position = _page(s, _as(caller, job), job, COUNTED_TOGETHER, position)
        count += sum(job.wants(e) for e in found)
        if count > BULK_MAX_MATCHED:
            raise InvalidField.of("filter", f"matches more than {BULK_MAX_MATCHED} executions: narrow it")
        if position is None:
            return count


def get(s: Services, caller: Caller, job_id: str) -> BulkJob:
    """A job of the caller's own, or another's for a caller who sees every owner's. Raises NotFound."""
    job = s.stores.bulk_jobs.load(caller.tenant, job_id)
    if job is None or (job.subject != caller.subject and "executions:read" not in caller.on_every_owner):
        raise NotFound(f"there is no bulk job {job_id}")
    return job


def cancel(s: Services, caller: Caller, job_id: str, versions: Sequence[str] | None = None) -> BulkJob:
    """Stop a job after the slice that is under way; what is done stays done. ``versions``: those that it may have when
    it is written (None: any). Raises NotFound, Forbidden, PreconditionFailed."""
    for _ in range(CHANGE_ATTEMPTS):
        job = get(s, caller, job_id)
        authorize(caller, PERMISSIONS[job.action])
        if versions is not None and job.version not in versions:
            raise PreconditionFailed(f"the job is at version {job.version}")
        if job.state != "running":
            return job
        stopped = job.cancelled()
        if s.stores.bulk_jobs.save(stopped, job.rev):
            return stopped
    raise Unavailable("the job is being written by many at once")


def continue_all(s: Services) -> None:
    """Go on with the jobs whose process has died, or is no more allowed to work. Raises Unavailable."""
    for job in s.stores.bulk_jobs.newest(NEWEST_MAX):
        if job.state == "running":
            work(s, job.tenant, job.id)


def work(s: Services, tenant: str, job_id: str) -> None:
    """Do slices until the job is over, another works on it, or WORK_MAX_MS have passed. Raises Unavailable."""
    until_ms = s.clock.now_ms() + WORK_MAX_MS
    while s.clock.now_ms() < until_ms:
        job = s.stores.bulk_jobs.load(tenant, job_id)
        if job is None or job.state != "running" or not _slice(s, job):
            return


def _slice(s: Services, job: BulkJob) -> bool:
    """Whether this process should go on."""
    caller = _maker(job)
    found, position = _page(s, caller, job, BULK_SLICE, job.position)
    wanted = [e for e in found if job.wants(e)]
    left = [e for e in wanted if not job.was_done(e)]  # the others this job did before, or another caller did
    done = len(wanted) - len(left) + len(_act_on_record(s, caller, job, left))
    after = job.after_slice(done, len(wanted) - done, position)
    return s.stores.bulk_jobs.save(after, job.rev) and after.state == "running"


def _act_on_record(s: Services, caller: Caller, job: BulkJob, left: Sequence[Execution]) -> list[Execution]:
    """Those that it is done to now, each with its entry of the audit. Raises Unavailable: the slice is done again."""
    if not left:
        return []
    from chalicelib.usecases import audit  # not before: reconcile starts without it

    if not audit.is_on(s):
        return [e for e in left if _act(s, caller, job, e)]
    permission = PERMISSIONS[job.action]
    act = audit.Act(action=permission, permission=permission, resource=f"bulk-jobs/{job.id}", detail=f"job {job.id}")
    intent = audit.begin(s, caller, act)
    done: list[Execution] = []
    try:
        done.extend(e for e in left if _act(s, caller, job, e))  # one by one: what an error follows is done
    finally:
        if done:
            audit.finish(s, intent, [replace(act, resource=f"executions/{e.id}") for e in done])
        else:
            audit.drop(s, intent)
    return done


def _act(s: Services, caller: Caller, job: BulkJob, execution: Execution) -> bool:
    """Whether it is done. Raises Unavailable."""
    try:
        if job.action == "retry":
            executions.retry(s, caller, execution.id)
        else:
            executions.cancel(s, caller, execution.id, "cancelled in bulk")
    except Unavailable:
        raise
    except ChronoError:
        return False
    return True


def _page(
    s: Services, caller: Caller, job: BulkJob, limit: int, position: str | None
) -> tuple[Sequence[Execution], str | None]:
    """A part of the list, whatever the state of what is on it: the job itself changes states."""
    wanted = ExecutionFilter(schedule_id=job.schedule_id, owner=job.owner, from_ms=job.from_ms, to_ms=job.to_ms)
    return executions.page(s, caller, wanted, limit, position)


def _as(caller: Caller, job: BulkJob) -> Caller:
    """The caller, who reads for a job what it may change and no more."""
    if job.owner_only is None:
        return caller
    return replace(caller, on_every_owner=caller.on_every_owner - {"executions:read"})


def _maker(job: BulkJob) -> Caller:
    """Who made the job, with what it takes to do it."""
    permissions = frozenset({"executions:read", PERMISSIONS[job.action]})
    return Caller(
        tenant=job.tenant,
        subject=job.subject,
        roles=frozenset(),
        permissions=permissions,
        on_every_owner=permissions if job.owner_only is None else frozenset(),
        credential="system",
        expires_at_ms=None,
    )
