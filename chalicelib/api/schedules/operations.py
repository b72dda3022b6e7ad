"""Schedules over HTTP."""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from chalicelib.api.executions.schemas import ExecutionList, ScheduleExecutionsQuery, of_execution
from chalicelib.api.http.operations import Call, Operation
from chalicelib.api.http.problem import EveryVersion, Reply, entity_tag, none_match
from chalicelib.api.http.requests import Body, Query, given, json_text
from chalicelib.api.schedules import ledger_schemas, schemas
from chalicelib.core.errors import InvalidField, NotFound, PreconditionFailed
from chalicelib.core.executions.execution import Execution
from chalicelib.core.instants import to_rfc3339
from chalicelib.core.limits import INSTANT_MAX_MS
from chalicelib.core.recurrence import zones
from chalicelib.core.schedules import validation
from chalicelib.core.schedules.limits import BACKFILL_MAX_INSTANTS
from chalicelib.core.schedules.schedule import Schedule
from chalicelib.core.ulid import is_ulid
from chalicelib.ports.stores.schedules import ScheduleFilter
from chalicelib.usecases import backfill, executions, preview, schedules
from chalicelib.usecases.executions import ExecutionFilter

COLLECTION = "/api/v1/schedules"
ONE = COLLECTION + "/{schedule_id}"
_TAGGED = {"ETag": "Its version, which changes with its definition and not with its runs."}


def create(call: Call[schemas.NewSchedule, Query]) -> Reply:
    """Make a schedule; under an Idempotency-Key, find the one that an earlier run of the same call made."""
    schedule_id = call.new_id()
    found = _existing(call, schedule_id) if call.is_repeat else None
    made = found or schedules.create(call.services, call.caller, schemas.request_of(call.body), schedule_id)
    reply = _shown(call, made, 201)
    reply.headers["Location"] = f"{call.base}{COLLECTION}/{made.definition.id}"
    return reply


def _existing(call: Call[schemas.NewSchedule, Query], schedule_id: str) -> Schedule | None:
    try:
        return schedules.get(call.services, call.caller, schedule_id)
    except NotFound:
        return None


def get(call: Call[Body, Query]) -> Reply:
    """One schedule, or 304 when the caller has this version. The tag covers the definition, not the course."""
    found = schedules.get(call.services, call.caller, id_of(call))
    if none_match(call.headers.get("if-none-match"), found.definition.version):
        return Reply(304, headers={"ETag": entity_tag(found.definition.version)})
    return _shown(call, found)


def page(call: Call[Body, schemas.SchedulesQuery]) -> Reply:
    """A page of schedules."""
    q = call.query
    wanted = ScheduleFilter(given(q.owner), given(q.enabled), given(q.type), given(q.tag), given(q.name_prefix))
    found, after = schedules.page(call.services, call.caller, wanted, q.limit, call.after(q))
    now_ms = call.services.clock.now_ms()
    language = schemas.language_of(call.headers)
    reply = call.page([schemas.of_schedule(f, now_ms, language) for f in found], after)
    reply.headers["Vary"] = "Accept-Language"
    return reply


def edit(call: Call[schemas.ScheduleChanges, Query]) -> Reply:
    """Change some fields."""
    schedule_id, version = id_of(call), _expected(call)
    return _shown(call, schedules.edit(call.services, call.caller, schedule_id, schemas.request_of(call.body), version))


def delete(call: Call[Body, Query]) -> Reply:
    """Delete a schedule."""
    schedule_id = id_of(call)
    schedules.delete(call.services, call.caller, schedule_id, _expected(call))
    return Reply(200, schemas.Deleted(schedule_id))


def pause(call: Call[schemas.PauseBody, Query]) -> Reply:
    """Stop firing."""
    schedule_id, version = id_of(call), _expected(call)
    note, until_ms = call.body.note or None, given(call.body.until_unix_ms)
    return _shown(call, schedules.pause(call.services, call.caller, schedule_id, note, version, until_ms))


def resume(call: Call[Body, Query]) -> Reply:
    """Go on firing."""
    schedule_id, version = id_of(call), _expected(call)
    return _shown(call, schedules.resume(call.services, call.caller, schedule_id, version))


def trigger(call: Call[schemas.TriggerBody, Query]) -> Reply:
    """Fire once, now."""
    schedule_id, version = id_of(call), _expected(call)
    raw = given(call.body.payload)
    payload = None if raw is None else json_text(raw)
    if payload is not None:
        validation.check_payload(payload)
    request = None if call.run is None else (call.run.seed, int(call.run.seed.partition("@")[2]))
    fired: Execution = schedules.trigger(call.services, call.caller, schedule_id, payload, version, request)
    return Reply(202, schemas.Triggered(fired.id), {"Location": f"{call.base}/api/v1/executions/{fired.id}"})


def executions_of(call: Call[Body, ScheduleExecutionsQuery]) -> Reply:
    """The executions of a schedule, also of one that was deleted."""
    schedule_id, after = id_of(call), call.after(call.query)
    wanted = execution_filter(call.query, schedule_id)
    found, more = executions.page(call.services, call.caller, wanted, call.query.limit, after)
    if not found and after is None and more is None:
        schedules.get(call.services, call.caller, schedule_id)  # NotFound when there is no such schedule
    return call.page([of_execution(f, call.services.config.trace_url_template) for f in found], more)


def start_backfill(call: Call[ledger_schemas.BackfillBody, Query]) -> Reply:
    """Fire what is missing."""
    body, version = call.body, _expected(call)
    count = backfill.backfill(call.services, call.caller, id_of(call), body.from_unix_ms, body.to_unix_ms, version)
    return Reply(202, ledger_schemas.Backfilled(count))


def ledger_of(call: Call[Body, ledger_schemas.LedgerQuery]) -> Reply:
    """The owed instants against what became of them."""
    q = call.query
    after = call.after(q)
    from_ms, to_ms = given(q.from_unix_ms) if after is None else int(after), given(q.to_unix_ms)
    drawn = backfill.ledger(call.services, call.caller, id_of(call), from_ms, to_ms, q.limit)
    lines = [
        ledger_schemas.LedgerLine(
            firing_unix_ms=line.firing_ms,
            expected=line.expected,
            outcome=line.outcome,
            lateness_ms=line.lateness_ms,
            reason=line.reason,
        )
        for line in drawn.lines
    ]
    following = None if drawn.next_ms is None else str(drawn.next_ms)
    return Reply(200, ledger_schemas.LedgerView(lines, drawn.lost, call.token(following)))


def execution_filter(
    query: ScheduleExecutionsQuery, schedule_id: str | None, owner: str | None = None
) -> ExecutionFilter:
    """The filter that the parameters of a list of executions ask for. Raises InvalidField when its range is empty."""
    from_ms, to_ms = given(query.from_unix_ms) or 0, given(query.to_unix_ms)
    if to_ms is not None and to_ms < from_ms:
        raise InvalidField.of("to_unix_ms", "must not be before from_unix_ms")
    return ExecutionFilter(schedule_id=schedule_id, state=given(query.state), owner=owner, from_ms=from_ms, to_ms=to_ms)


def show_preview(call: Call[schemas.PreviewBody, Query]) -> Reply:
    """The coming runs of a recurrence."""
    s = call.services
    found = preview.preview(s, call.caller, schemas.preview_of(call.body))
    zone = s.config.default_timezone if call.body.timezone is UNSET else call.body.timezone
    dst = [schemas.DstNote(run, "gap" if kind == "gap" else "overlap") for run, kind in found.dst]
    return Reply(200, schemas.PreviewView(found.runs, [_local(run, zone) for run in found.runs], dst))


def _local(unix_ms: int, timezone: str) -> str:
    """RFC 3339 with the zone's offset in whole minutes, or Z for UTC. The text names the instant also where the zone's
    own offset has seconds, as Monrovia's had until 1972."""
    offset_s = int(zones.zone(timezone).offset(unix_ms // 1000) / 60) * 60
    if timezone == "UTC" or unix_ms + offset_s * 1000 > INSTANT_MAX_MS:
        return to_rfc3339(unix_ms)
    sign, (hours, seconds) = "-" if offset_s < 0 else "+", divmod(abs(offset_s), 3600)
    return f"{to_rfc3339(unix_ms + offset_s * 1000)[:-1]}{sign}{hours:02d}:{seconds // 60:02d}"


def _shown(call: Call[msgspec.Struct, Query], found: Schedule, status: int = 200) -> Reply:
    view = schemas.of_schedule(found, call.services.clock.now_ms(), schemas.language_of(call.headers))
    return Reply(status, view, {"ETag": entity_tag(found.definition.version), "Vary": "Accept-Language"})


def id_of(call: Call[msgspec.Struct, Query]) -> str:
    """The schedule that the path names. Raises NotFound for what cannot be an id."""
    return known_form(call.params["schedule"])


def known_form(schedule_id: str) -> str:
    """A schedule's id as a path names it; what cannot be one is not found, and never reaches a table."""
    if not is_ulid(schedule_id):
        raise NotFound("there is no such schedule")
    return schedule_id


def _expected(call: Call[msgspec.Struct, Query]) -> str | None:
    return expected_version(call, id_of(call))


def expected_version(call: Call[msgspec.Struct, Query], schedule_id: str) -> str | None:
    """The one version that If-Match allows; of several, the one that is current. None = any."""
    versions = call.versions
    if versions is None or isinstance(versions, EveryVersion):
        return None
    if len(versions) == 1:
        return versions[0]
    current = schedules.get(call.services, call.caller, schedule_id).definition.version
    if current not in versions:
        raise PreconditionFailed(f"the schedule is at version {current}")
    return current


_EXAMPLE = {
    "type": "RATE",
    "expr": "rate:5s",
    "name": "beat",
    "payload": {"hello": "world"},
    "target": {"type": "webhook", "url": "https://example.com/hook"},
}
_VIEW = schemas.ScheduleView


def operations() -> list[Operation]:
    """The calls of this noun."""
    return [
        Operation(
            method="POST",
            path=COLLECTION,
            summary="Create a schedule",
            tag="schedules",
            permission="schedules:write",
            handler=create,
            body=schemas.NewSchedule,
            answers={201: _VIEW},
            errors=(409, 507),
            creates=True,
            example=_EXAMPLE,
            answer_headers={"Location": "The schedule's path.", **_TAGGED},
        ),
        Operation(
            method="GET",
            path=COLLECTION,
            summary="List schedules, newest first",
            tag="schedules",
            permission="schedules:read",
            handler=page,
            query=schemas.SchedulesQuery,
            answers={200: schemas.ScheduleList},
            errors=(400,),
        ),
        Operation(
            method="POST",
            path=COLLECTION + ":preview",
            summary="Show the coming runs of a recurrence; nothing is written",
            tag="schedules",
            permission="schedules:read",
            handler=show_preview,
            body=schemas.PreviewBody,
            answers={200: schemas.PreviewView},
            example={"type": "CRON", "expr": "30 2 * * *", "timezone": "Europe/Berlin", "count": 3},
        ),
        Operation(
            method="GET",
            path=ONE,
            summary="One schedule",
            tag="schedules",
            permission="schedules:read",
            handler=get,
            answers={200: _VIEW, 304: None},
            errors=(404,),
            answer_headers=_TAGGED,
        ),
        Operation(
            method="PATCH",
            path=ONE,
            summary="Change some fields of a schedule",
            tag="schedules",
            permission="schedules:write",
            handler=edit,
            body=schemas.ScheduleChanges,
            answers={200: _VIEW},
            errors=(404, 409),
            guarded=True,
            description="Fields left out stay; null clears `name`, `start_at_unix_ms`, `end_at_unix_ms`, `max_runs`. "
            "`shard_key` is fixed for life.",
            example={"expr": "rate:10s"},
            answer_headers=_TAGGED,
        ),
        Operation(
            method="DELETE",
            path=ONE,
            summary="Delete a schedule",
            tag="schedules",
            permission="schedules:write",
            handler=delete,
            answers={200: schemas.Deleted},
            errors=(404,),
            guarded=True,
            description="What was queued is not delivered; its executions stay readable until their retention ends.",
        ),
        *_verbs(),
        Operation(
            method="GET",
            path=ONE + "/ledger",
            summary="Every instant owed, against what became of it",
            tag="schedules",
            permission="schedules:read",
            handler=ledger_of,
            query=ledger_schemas.LedgerQuery,
            answers={200: ledger_schemas.LedgerView},
            errors=(400, 404),
            description="An owed instant that left no trace is `lost`, and counted.",
        ),
        Operation(
            method="GET",
            path=ONE + "/executions",
            summary="The executions of a schedule, newest firing first",
            tag="executions",
            permission="executions:read",
            handler=executions_of,
            query=ScheduleExecutionsQuery,
            answers={200: ExecutionList},
            errors=(400, 404),
        ),
    ]


def _verbs() -> list[Operation]:
    return [
        Operation(
            method="POST",
            path=ONE + ":pause",
            summary="Stop firing",
            tag="schedules",
            permission="schedules:write",
            handler=pause,
            body=schemas.PauseBody,
            answers={200: _VIEW},
            errors=(404,),
            guarded=True,
            description="Instants before now stay owed. With `until_unix_ms` it goes on by itself: `enabled` stays "
            "true, `state` is `paused` until then, and the first instant from then on fires in its time.",
            example={"note": "the receiver is being moved", "until_unix_ms": 1893456000000},
            answer_headers=_TAGGED,
        ),
        Operation(
            method="POST",
            path=ONE + ":resume",
            summary="Go on firing, in step with the grid",
            tag="schedules",
            permission="schedules:write",
            handler=resume,
            answers={200: _VIEW},
            errors=(404,),
            guarded=True,
            description="Nothing is caught up for the time of the pause.",
            answer_headers=_TAGGED,
        ),
        Operation(
            method="POST",
            path=ONE + ":trigger",
            summary="Fire once, now",
            tag="schedules",
            permission="schedules:trigger",
            handler=trigger,
            body=schemas.TriggerBody,
            answers={202: schemas.Triggered},
            errors=(404,),
            creates=True,
            guarded=True,
            description="Leaves `next_run_unix_ms` alone, and works while the schedule is paused.",
            example={"payload": {"hello": "again"}},
            answer_headers={"Location": "The execution's path."},
        ),
        Operation(
            method="POST",
            path=ONE + ":backfill",
            summary="Fire the instants of a span that have no execution",
            tag="schedules",
            permission="schedules:trigger",
            handler=start_backfill,
            body=ledger_schemas.BackfillBody,
            answers={202: ledger_schemas.Backfilled},
            errors=(404,),
            creates=True,
            guarded=True,
            description=f"At most {BACKFILL_MAX_INSTANTS} instants, up to now; "
            "also such as lie before the schedule's creation. Repeating it repeats nothing.",
            example={"from_unix_ms": 1795248000000, "to_unix_ms": 1795251600000},
        ),
    ]
