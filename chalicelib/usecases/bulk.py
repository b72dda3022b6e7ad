"""Many schedules at once: a batch of changes each with its own result, and changes of all that carry a tag."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.errors import ChronoError, NotFound
from chalicelib.core.limits import PAGE_MAX_ITEMS
from chalicelib.core.pause_end import check_pause_end
from chalicelib.core.schedules.limits import TAG_CHANGE_BUDGET_MS, TAG_CHANGE_MAX_SCHEDULES, TAG_PREVIEW_RUNS
from chalicelib.core.schedules.request import ScheduleRequest
from chalicelib.core.schedules.schedule import Definition, Schedule, first_from, progress, runs_left
from chalicelib.core.security.authorize import authorize
from chalicelib.core.security.caller import Caller
from chalicelib.ports.services import Services
from chalicelib.ports.stores.schedules import ScheduleFilter
from chalicelib.usecases import schedules

BulkVerb = Literal["create", "patch", "pause", "resume", "delete"]
TagVerb = Literal["pause", "resume", "delete"]


class BulkOperation(Struct, frozen=True):
    """One change. ``schedule_id`` is the new id for a create; ``wanted`` is for a create and a patch."""

    op: BulkVerb
    schedule_id: str
    wanted: ScheduleRequest = ScheduleRequest()
    note: str | None = None
    if_match: str | None = None
    until_ms: int | None = None


class BulkResult(Struct, frozen=True):
    """What became of one change: the schedule as it stands then (None: deleted), or why nothing was written."""

    operation: BulkOperation
    schedule: Schedule | None = None
    error: ChronoError | None = None


def run(s: Services, caller: Caller, operations: Sequence[BulkOperation], again: bool) -> list[BulkResult]:
    """Run changes in their order; one that is refused does not stop the others.

    ``again`` says that the same batch may have run before: what it made is found, what it deleted may be gone.
    """
    return [_run_one(s, caller, operation, again) for operation in operations]


def _run_one(s: Services, caller: Caller, operation: BulkOperation, again: bool) -> BulkResult:
    try:
        return BulkResult(operation, _verbs[operation.op](s, caller, operation, again))
    except ChronoError as refused:
        return BulkResult(operation, error=refused)


def _create(s: Services, caller: Caller, o: BulkOperation, again: bool) -> Schedule:
    if again:
        try:
            return schedules.get(s, caller, o.schedule_id, "schedules:write")
        except NotFound:
            pass
    return schedules.create(s, caller, o.wanted, o.schedule_id)


def _patch(s: Services, caller: Caller, o: BulkOperation, again: bool) -> Schedule:
    return schedules.edit(s, caller, o.schedule_id, o.wanted, o.if_match)


def _pause(s: Services, caller: Caller, o: BulkOperation, again: bool) -> Schedule:
    return schedules.pause(s, caller, o.schedule_id, o.note, o.if_match, o.until_ms)


def _resume(s: Services, caller: Caller, o: BulkOperation, again: bool) -> Schedule:
    return schedules.resume(s, caller, o.schedule_id, o.if_match)


def _delete(s: Services, caller: Caller, o: BulkOperation, again: bool) -> None:
    try:
        schedules.delete(s, caller, o.schedule_id, o.if_match)
    except NotFound:
        if not again:
            raise


_verbs: dict[BulkVerb, Callable[[Services, Caller, BulkOperation, bool], Schedule | None]] = {
    "create": _create,
    "patch": _patch,
    "pause": _pause,
    "resume": _resume,
    "delete": _delete,
}


class BulkChange(Struct, frozen=True):
    """What a change by tag does to one schedule. ``runs_ms`` are its next runs if it is resumed, and those that will
    not be if it is paused or deleted."""

    before: Schedule
    changed: bool
    runs_ms: list[int]
    error: ChronoError | None = None


class TagChange(Struct, frozen=True):
    """The schedules of a page, and the id to go on after (None: all were reached)."""

    changes: list[BulkChange]
    after: str | None


def by_tag(
    s: Services,
    caller: Caller,
    op: TagVerb,
    tag: str,
    note: str | None,
    dry_run: bool,
    after: str | None,
    pause_until_ms: int | None = None,
) -> TagChange:
    """Pause, resume or delete all schedules with a tag, newest first; a dry run returns the same and writes nothing.

    Only schedules that the caller may see. Bounded in number and time: ``after`` is where the rest begins. Repeating it
    changes nothing more.
    """
    authorize(caller, "schedules:write")
    check_pause_end(pause_until_ms, s.clock.now_ms())
    until_ms = s.clock.now_ms() + TAG_CHANGE_BUDGET_MS
    wanted = ScheduleFilter(tag=tag)
    done: list[BulkChange] = []
    while len(done) < TAG_CHANGE_MAX_SCHEDULES and s.clock.now_ms() < until_ms:
        limit = min(PAGE_MAX_ITEMS, TAG_CHANGE_MAX_SCHEDULES - len(done))
        page, following = schedules.page(s, caller, wanted, limit, after)
        for found in page:
            if tag in found.definition.tags:  # the list may lag
                change = BulkOperation(op, found.definition.id, note=note, until_ms=pause_until_ms)
                done.append(_change(s, caller, change, found, dry_run))
            after = found.definition.id
            if s.clock.now_ms() >= until_ms:
                return TagChange(done, after)
        after = following
        if after is None:
            break
    return TagChange(done, after)


def _change(s: Services, caller: Caller, change: BulkOperation, found: Schedule, dry_run: bool) -> BulkChange:
    definition = found.definition
    changed = _is_changed_by(change, definition, s.clock.now_ms())
    if change.op == "resume" and changed:
        definition = replace(definition, active=True, paused_until_ms=None)
    runs = next_runs(s, definition, found)
    if change.until_ms is not None:
        runs = [at_ms for at_ms in runs if at_ms < change.until_ms]
    if dry_run or not changed:
        return BulkChange(found, changed, runs)
    try:
        _verbs[change.op](s, caller, change, True)
    except NotFound:
        return BulkChange(found, False, [])  # it was deleted meanwhile
    except ChronoError as refused:
        return BulkChange(found, False, [], refused)
    return BulkChange(found, True, runs)


def _is_changed_by(change: BulkOperation, definition: Definition, now_ms: int) -> bool:
    """Whether a schedule is not yet what a change by tag makes of it. A pause makes one that ends by itself longer, and
    no pause shorter."""
    if change.op == "delete" or not definition.is_paused_at(now_ms):
        return change.op != "resume"
    if change.op == "resume":
        return True
    ends_ms = definition.paused_until_ms if definition.active else None
    return ends_ms is not None and (change.until_ms is None or change.until_ms > ends_ms)


def next_runs(s: Services, definition: Definition, found: Schedule | None) -> list[int]:
    """The next few runs of a definition from now on, as far as they are known. A DELAY schedule has one, and none while
    a run is under way. ``found`` is the schedule, with this definition or another."""
    if not definition.active:
        return []
    now_ms = s.clock.now_ms()
    if definition.type == "DELAY":
        stays = found is not None and found.definition == definition
        first = progress(found, now_ms).next_run_ms if found is not None and stays else first_from(definition, now_ms)
        return [] if first is None else [first]
    count = 0 if found is None else progress(found, now_ms).run_count
    left = runs_left(definition, count)
    most = TAG_PREVIEW_RUNS if left is None else min(TAG_PREVIEW_RUNS, left)
    runs: list[int] = []
    after_ms: int | None = max(now_ms, definition.owes_from(definition.since_ms) - 1)
    compiled = definition.compiled()
    while after_ms is not None and len(runs) < most:
        after_ms = compiled.next_after(after_ms)
        runs += [] if after_ms is None else [after_ms]
    return runs
