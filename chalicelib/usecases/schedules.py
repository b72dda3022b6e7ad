"""What a caller can do with schedules."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import UNSET
from msgspec.structs import replace

from chalicelib.core import trace
from chalicelib.core.errors import InvalidField, TooMany
from chalicelib.core.executions.execution import CANCELLED, Execution
from chalicelib.core.pause_end import check_pause_end
from chalicelib.core.policies import monitor
from chalicelib.core.queue_messages import Run
from chalicelib.core.schedules import validation
from chalicelib.core.schedules.limits import NOTE_MAX_CHARS
from chalicelib.core.schedules.request import ScheduleRequest, given
from chalicelib.core.schedules.schedule import BadEnd, Definition, Key, RetryPolicy, Schedule, State, VersionRef
from chalicelib.core.schedules.sharding import shard_of
from chalicelib.core.security.authorize import Resource, authorize, authorize_owner, missing, only_owner
from chalicelib.core.security.caller import Caller
from chalicelib.core.security.permissions import Permission
from chalicelib.engine import attempt_spans, handoff, schedule_change
from chalicelib.engine.capacity import exhausted, limits
from chalicelib.engine.schedule_change import (
    CHANGE_ATTEMPTS,
    begin,
    change,
    check_match,
    find_capacity,
    load,
    name_taken,
    only_if_it_counts,
)
from chalicelib.engine.tenants import note_tenant
from chalicelib.ports.services import Services
from chalicelib.ports.stores.schedules import CapacityFull, HalfMade, NameTaken, RevisionLost, ScheduleFilter
from chalicelib.usecases.policy_gate import check_schedule
from chalicelib.usecases.quotas import noting_full
from chalicelib.usecases.target_offer import check_offered


def create(
    s: Services, caller: Caller, wanted: ScheduleRequest, schedule_id: str, allow_past: bool = False
) -> Schedule:
    """Make a schedule under the given new id. ``allow_past`` takes an AT that has passed: it never fires.

    Raises PolicyDenied, InvalidField, TooLarge, Conflict(name_taken), CapacityExhausted. When the id exists already
    (the same call ran before and its answer was lost), the schedule it made is returned.
    """
    return write_new(s, caller, draft_new(s, caller, wanted, schedule_id, allow_past))


def write_new(
    s: Services, caller: Caller, definition: Definition, permission: Permission = "schedules:write"
) -> Schedule:
    """Make the schedule of a definition that was judged, or find what the same call has made. Raises Conflict
    (``name_taken``), CapacityExhausted."""
    note_tenant(s, caller.tenant)
    with noting_full(s, caller):
        return _write_new(s, caller, definition, permission)


def _write_new(s: Services, caller: Caller, definition: Definition, permission: Permission) -> Schedule:
    for _ in range(CHANGE_ATTEMPTS):
        blank = find_capacity(s, None, definition, _blank_state(s, definition), None)
        made = only_if_it_counts(definition, begin(s, definition, blank, None))
        try:
            s.stores.schedules.create(made, limits(s), monitor.to_begin(None, made))
        except NameTaken:
            raise name_taken(definition) from None
        except CapacityFull:
            raise exhausted(s) from None
        except RevisionLost:
            made = load(s, definition.key)
            authorize(caller, permission, resource_of(made.definition))
            if made.definition.by_events != definition.by_events:  # of another kind: a file can name any id
                raise missing(f"schedule {definition.id}") from None
            return made
        except HalfMade as half:  # the same call ran before, and died or is not over: go on with what it wrote
            authorize(caller, permission, resource_of(half.definition))
            definition = half.definition
            continue
        return made
    raise TooMany("the schedule is being created by many callers at once", code="contended")


def draft_new(
    s: Services, caller: Caller, wanted: ScheduleRequest, schedule_id: str, allow_past: bool = False
) -> Definition:
    """The definition that ``create`` would make, judged and not written. Raises Forbidden, PolicyDenied, InvalidField,
    TooLarge."""
    authorize(caller, "schedules:write")
    authorize_owner(caller, caller.subject if wanted.owner is UNSET else wanted.owner)
    definition = draft(s, caller, wanted, schedule_id, allow_past)
    check_schedule(s, caller, definition, "schedules:create")
    return definition


def draft(
    s: Services, caller: Caller, wanted: ScheduleRequest, schedule_id: str, allow_past: bool = False
) -> Definition:
    """A definition made of what is wanted and of defaults, judged by itself: not whether the caller may have it. Raises
    InvalidField, TooLarge."""
    now_ms = s.clock.now_ms()
    definition = _new_definition(s, caller, wanted, schedule_id, now_ms)
    check_offered(s, definition.target)
    validation.check(definition, now_ms, s.config.webhook_allow, allow_past, s.config.secrets)
    return definition


def _new_definition(s: Services, caller: Caller, wanted: ScheduleRequest, schedule_id: str, now_ms: int) -> Definition:
    fields = {
        "owner": caller.subject,
        "shard_key": schedule_id,
        "timezone": s.config.default_timezone,
        "timeout_ms": s.config.attempt_timeout_ms,
        "sla_ms": s.config.default_sla_ms,
        "retry_policy": RetryPolicy(max_attempts=s.config.max_attempts),
        **given(wanted),
    }
    if s.config.default_target is not None:
        fields.setdefault("target", s.config.default_target)
    return Definition(
        **fields,
        tenant=caller.tenant,
        id=schedule_id,
        version=s.ids.ulid(now_ms),
        since_ms=now_ms,
        created_at_ms=now_ms,
        updated_at_ms=now_ms,
        zone_data=s.config.zone_data,
        depth=caller.depth,
        traceparent=caller.traceparent,
        hlc=s.ids.hlc(),
        origin=s.config.origin,
    )


def _blank_state(s: Services, definition: Definition) -> State:
    return State(
        tenant=definition.tenant,
        id=definition.id,
        shard=shard_of(definition.shard_key, s.config.shards),
        versions=(VersionRef(definition.version, definition.since_ms, definition.active),),
        chained=definition.type == "DELAY",
        hlc=definition.hlc,
        origin=definition.origin,
    )


def get(s: Services, caller: Caller, schedule_id: str, permission: Permission = "schedules:read") -> Schedule:
    """One schedule, for what ``permission`` says. Raises NotFound, Forbidden."""
    found = load(s, Key(caller.tenant, schedule_id))
    if found.definition.by_events:  # a trigger's, which usecases.trigger_settings shows
        authorize(caller, permission)
        raise missing(f"schedule {schedule_id}")
    authorize(caller, permission, resource_of(found.definition))
    return found


def resource_of(definition: Definition) -> Resource:
    """A schedule as ``authorize`` judges it."""
    return Resource(definition.tenant, definition.owner, f"schedule {definition.id}")


def page(
    s: Services, caller: Caller, wanted: ScheduleFilter, limit: int, after: str | None
) -> tuple[list[Schedule], str | None]:
    """Schedules that match and that the caller may see, newest first, and the id to go on after (None: the end)."""
    authorize(caller, "schedules:read")
    own = only_owner(caller, "schedules:read")
    if own is not None:
        if wanted.owner not in (None, own):
            return [], None
        wanted = replace(wanted, owner=own)
    ids: list[str] = []
    while True:
        found = s.stores.schedules.list(caller.tenant, wanted, limit - len(ids), after)
        ids += found.ids
        after = found.after
        if after is None or len(ids) >= limit:
            break
    keys = [Key(caller.tenant, i) for i in ids]
    schedules = s.stores.schedules.get(keys)
    return [schedules[key] for key in keys if key in schedules], after


def edit(
    s: Services,
    caller: Caller,
    schedule_id: str,
    wanted: ScheduleRequest,
    if_match: str | None,
    allow_past: bool = False,
) -> Schedule:
    """Change fields; ``allow_past`` takes an AT that has passed.

    Raises PolicyDenied, InvalidField, NotFound, PreconditionFailed, Conflict(name_taken), CapacityExhausted.
    """

    def edited(definition: Definition) -> Definition:
        now_ms = s.clock.now_ms()
        changed = replace(definition, **given(wanted))
        if changed != definition and (not changed.active or not definition.rests_at(now_ms)):
            changed = replace(changed, paused_until_ms=None)
        if changed != definition and not (definition.is_paused_at(now_ms) and changed.is_paused_at(now_ms)):
            changed = replace(changed, note=None)  # it was of a pause that is over
        if wanted.target is not UNSET:
            check_offered(s, changed.target)
        timing = ("type", "expr", "start_at_ms", "end_at_ms")
        moved = any(getattr(changed, name) != getattr(definition, name) for name in timing)
        check_edit(s, changed, allow_past or not moved)
        authorize_owner(caller, changed.owner, definition.owner)
        check_schedule(s, caller, changed, "schedules:edit")
        return changed

    if wanted.shard_key is not UNSET:
        raise InvalidField.of("shard_key", "cannot be changed once the schedule exists")
    with noting_full(s, caller):
        return _change(s, caller, schedule_id, if_match, edited)


def check_edit(s: Services, changed: Definition, allow_past: bool = True) -> None:
    """Refuse a changed definition that is wrong. Raises InvalidField, TooLarge."""
    validation.check(changed, s.clock.now_ms(), s.config.webhook_allow, allow_past, s.config.secrets)


def _change(
    s: Services,
    caller: Caller,
    schedule_id: str,
    if_match: str | None,
    edited: Callable[[Definition], Definition],
    outcome: BadEnd | None = None,
) -> Schedule:
    """``schedule_change.change`` of what the caller may write, also when others change it meanwhile."""
    found = get(s, caller, schedule_id, "schedules:write")

    def permitted(definition: Definition) -> Definition:
        authorize(caller, "schedules:write", resource_of(definition))
        return edited(definition)

    return change(s, found.definition.key, if_match, permitted, outcome, found)


def pause(
    s: Services, caller: Caller, schedule_id: str, note: str | None, if_match: str | None, until_ms: int | None = None
) -> Schedule:
    """Stop firing from now on; instants before now stay owed. Pausing a paused schedule changes its note and its end.

    With ``until_ms`` the schedule goes on by itself: what comes from then on is owed under that very version. So
    nothing has to be written at that instant, and it is as exact as a firing.
    """
    if note is not None and len(note) > NOTE_MAX_CHARS:
        raise InvalidField.of("note", f"must have at most {NOTE_MAX_CHARS} characters")
    check_pause_end(until_ms, s.clock.now_ms())
    return _change(
        s,
        caller,
        schedule_id,
        if_match,
        lambda d: replace(d, active=until_ms is not None, note=note, paused_until_ms=until_ms),
    )


def resume(s: Services, caller: Caller, schedule_id: str, if_match: str | None) -> Schedule:
    """Go on in step with the grid; nothing is caught up for the time of the pause."""

    def resumed(definition: Definition) -> Definition:
        if not definition.is_paused_at(s.clock.now_ms()):
            return definition
        return replace(definition, active=True, note=None, paused_until_ms=None)

    with noting_full(s, caller):
        return _change(s, caller, schedule_id, if_match, resumed)


def cancel(s: Services, caller: Caller, schedule_id: str, reason: str | None, if_match: str | None) -> Schedule:
    """Stop firing, and count as cancelled until it is resumed. ``reason`` becomes the note. Raises as ``pause``."""
    cancelled = {"active": False, "note": reason, "paused_until_ms": None}
    return _change(s, caller, schedule_id, if_match, lambda d: replace(d, **cancelled), CANCELLED)


def replan(s: Services, caller: Caller, schedule_id: str) -> Schedule:
    """Plan the schedule anew under the zone rules now in use: an edit that changes nothing else. Instants that the new
    rules keep stay what they are (an execution's id is its instant), the others are taken back."""
    return _change(s, caller, schedule_id, None, lambda d: replace(d, zone_data=s.config.zone_data))


def delete(s: Services, caller: Caller, schedule_id: str, if_match: str | None) -> None:
    """Delete: in-flight firings are not delivered; executions stay readable. Raises NotFound, PreconditionFailed."""
    found = get(s, caller, schedule_id, "schedules:write")
    schedule_change.delete(s, found.definition.key, if_match, found)


def trigger(
    s: Services,
    caller: Caller,
    schedule_id: str,
    payload: str | None,
    if_match: str | None,
    request: tuple[str, int] | None = None,
) -> Execution:
    """Fire once now, outside the grid; works when paused and leaves ``next_run`` alone.

    ``request`` is the call's own id and its instant, for when it is run again because its answer was lost. Two triggers
    within one millisecond get neighbouring instants, since an execution's id is made of its instant.
    """
    found = get(s, caller, schedule_id, "schedules:trigger")
    check_match(found.definition, if_match)
    check_schedule(s, caller, found.definition, "schedules:trigger")
    request_id, instant = request or ("", s.clock.now_ms())
    for _ in range(CHANGE_ATTEMPTS):
        record = _manual_record(s, found, caller, instant, payload, request_id)
        handoff.enqueue(s, [Run(record.key, 1, instant)])
        if s.stores.executions.insert([record])[0]:
            attempt_spans.queued(s, record)
            return record
        existing = s.stores.executions.get([record.key]).get(record.key)
        if existing is not None and request_id and existing.request_id == request_id:
            return existing
        instant += 1
    raise TooMany("the schedule is being triggered by many callers at once", code="contended")


def _manual_record(
    s: Services, found: Schedule, caller: Caller, at_ms: int, payload: str | None, request_id: str
) -> Execution:
    """Its trace goes on with the caller's."""
    record = handoff.new_record(s, found.definition, found.state.shard, at_ms, s.clock.now_ms())
    asked = trace.parse(caller.traceparent)
    return replace(
        record,
        manual=True,
        requested=True,
        request_id=request_id,
        offset_ms=0,
        payload=payload,
        retry_at_ms=at_ms,
        trace_id=trace.trace_id_of(record.id + "-m") if asked is None else asked.trace_id,
        traceparent="" if asked is None else caller.traceparent,
        tracestate="" if asked is None else caller.tracestate,
        depth=max(record.depth, caller.depth),
    )
