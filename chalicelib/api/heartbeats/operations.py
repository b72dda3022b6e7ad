"""Monitors over HTTP, and the URLs that jobs ping."""

from __future__ import annotations

from msgspec import Struct

from chalicelib.api.heartbeats import schemas
from chalicelib.api.http import connection
from chalicelib.api.http.operations import Call, Operation
from chalicelib.api.http.problem import Reply, entity_tag
from chalicelib.api.http.requests import Body, Query, given
from chalicelib.core.errors import NotFound
from chalicelib.core.heartbeats.heartbeat import Heartbeat
from chalicelib.core.ulid import is_ulid
from chalicelib.usecases import heartbeats

MONITORS = "/api/v1/monitors"
MONITOR = MONITORS + "/{monitor_id}"
PING = "/ping/{ping_id}"
_SVG = ".svg"
PING_BODY_BYTES = 4_000  # more than the characters that are kept
_NEVER_KEPT = {"Cache-Control": "no-store"}


def create(call: Call[schemas.NewMonitor, Query]) -> Reply:
    """Make a monitor; under an Idempotency-Key, find the one that an earlier run of the same call made."""
    s = call.services
    monitor_id = call.new_id()
    again = call.is_repeat
    reply = _shown(call, heartbeats.create(s, call.caller, schemas.wish_of(call.body), monitor_id, again), 201)
    reply.headers["Location"] = f"{call.base}{MONITORS}/{monitor_id}"
    return reply


def get(call: Call[Body, Query]) -> Reply:
    """One monitor as of now."""
    return _shown(call, heartbeats.get(call.services, call.caller, _id(call)))


def page(call: Call[Body, schemas.MonitorsQuery]) -> Reply:
    """A page of monitors."""
    q = call.query
    found, after = heartbeats.page(call.services, call.caller, given(q.tag), q.limit, call.after(q))
    base = public_base(call)
    return call.page([schemas.of_monitor(each, base) for each in found], after)


def edit(call: Call[schemas.MonitorChanges, Query]) -> Reply:
    """Change some fields."""
    wish = schemas.wish_of(call.body)
    return _shown(call, heartbeats.edit(call.services, call.caller, _id(call), wish, call.versions))


def pause(call: Call[Body, Query]) -> Reply:
    """Expect nothing."""
    return _shown(call, heartbeats.pause(call.services, call.caller, _id(call), call.versions))


def resume(call: Call[Body, Query]) -> Reply:
    """Expect pings again."""
    return _shown(call, heartbeats.resume(call.services, call.caller, _id(call), call.versions))


def delete(call: Call[Body, Query]) -> Reply:
    """Delete a monitor."""
    heartbeats.delete(call.services, call.caller, _id(call), call.versions)
    return Reply(200, schemas.MonitorDeleted(_id(call)))


def ping(call: Call[schemas.PingBody, schemas.PingQuery]) -> Reply:
    """Take a ping."""
    text = call.body.text if isinstance(call.body, schemas.PingBody) else ""
    heartbeats.ping(call.services, call.params["ping"], call.params.get("signal", ""), text)
    return Reply(200, "OK", dict(_NEVER_KEPT), "text/plain; charset=utf-8")


def badge(call: Call[Body, Query]) -> Reply:
    """The badge of a monitor."""
    name = call.params["badge"]
    if not name.endswith(_SVG):
        raise NotFound("there is no such badge")
    drawn = heartbeats.badge_of(call.services, name.removesuffix(_SVG))
    headers = {"Cache-Control": "no-cache, max-age=0", "Content-Security-Policy": "default-src 'none'"}
    return Reply(200, drawn, headers, "image/svg+xml")


def public_base(call: Call[Struct, Query]) -> str:
    """What stands before our paths in the URL that a caller used, with scheme and host where the caller named them."""
    headers = call.headers
    host = headers.get("host")
    if not host:
        return call.base
    secure = connection.current().client_certificate is not None
    scheme = headers.get("x-forwarded-proto") or ("https" if secure else "http")
    return f"{scheme if scheme in ('http', 'https') else 'http'}://{host}{call.base}"


def _id(call: Call[Struct, Query]) -> str:
    found = call.params["monitor"]
    if not is_ulid(found):
        raise NotFound("there is no monitor")
    return found


def _shown(call: Call[Struct, Query], found: Heartbeat, status: int = 200) -> Reply:
    return Reply(status, schemas.of_monitor(found, public_base(call)), {"ETag": entity_tag(found.version)})


_EXAMPLE = {"name": "nightly backup", "type": "CRON", "expr": "0 2 * * *", "timezone": "UTC", "grace_ms": 600_000}
_TAGGED = {"ETag": "Its version, which changes with its definition and not with its pings."}


def operations() -> list[Operation]:
    """The calls of this noun."""
    return [
        Operation(
            method="POST",
            path=MONITORS,
            summary="Make a monitor of a job that others run",
            tag="monitors",
            permission="monitors:write",
            handler=create,
            body=schemas.NewMonitor,
            answers={201: schemas.MonitorView},
            errors=(409, 507),
            creates=True,
            example=_EXAMPLE,
            answer_headers={"Location": "The monitor's path.", **_TAGGED},
        ),
        Operation(
            method="GET",
            path=MONITORS,
            summary="List monitors, newest first",
            tag="monitors",
            permission="monitors:read",
            handler=page,
            query=schemas.MonitorsQuery,
            answers={200: schemas.MonitorList},
            errors=(400,),
        ),
        Operation(
            method="GET",
            path=MONITOR,
            summary="One monitor, with its last pings",
            tag="monitors",
            permission="monitors:read",
            handler=get,
            answers={200: schemas.MonitorView},
            errors=(404,),
            answer_headers=_TAGGED,
        ),
        Operation(
            method="PATCH",
            path=MONITOR,
            summary="Change some fields of a monitor",
            tag="monitors",
            permission="monitors:write",
            handler=edit,
            body=schemas.MonitorChanges,
            answers={200: schemas.MonitorView},
            errors=(404,),
            guarded=True,
            example={"grace_ms": 300_000},
            answer_headers=_TAGGED,
        ),
        Operation(
            method="DELETE",
            path=MONITOR,
            summary="Delete a monitor",
            tag="monitors",
            permission="monitors:write",
            handler=delete,
            answers={200: schemas.MonitorDeleted},
            errors=(404,),
            guarded=True,
        ),
        *(
            Operation(
                method="POST",
                path=f"{MONITOR}:{verb}",
                summary=summary,
                tag="monitors",
                permission="monitors:write",
                handler=handler,
                answers={200: schemas.MonitorView},
                errors=(404,),
                guarded=True,
                answer_headers=_TAGGED,
            )
            for verb, summary, handler in (
                ("pause", "Expect nothing until the monitor is resumed", pause),
                ("resume", "Expect pings again", resume),
            )
        ),
        *_pings(),
        Operation(
            method="GET",
            path="/badge/{badge_id}",
            summary="The badge of a monitor, as SVG: its token and `.svg`",
            tag="monitors",
            permission="monitors:read",
            handler=badge,
            answers={200: "image/svg+xml"},
            errors=(404,),
            open_to_all=True,
            free=True,
        ),
    ]


def _pings() -> list[Operation]:
    ways = (
        (PING, "The job succeeded"),
        (PING + "/{signal_id}", "The job says `start`, `fail`, `log` or its exit code"),
    )
    return [
        Operation(
            method=method,
            path=path,
            summary=summary,
            tag="monitors",
            permission="monitors:read",
            handler=ping,
            body=schemas.PingBody,
            query=schemas.PingQuery,
            answers={200: "text/plain"},
            errors=(404,),
            open_to_all=True,
            free=True,
            any_body_bytes=PING_BODY_BYTES,
            description="The token is all that is asked for. A body of any kind is kept, up to 1,000 characters.",
        )
        for path, summary in ways
        for method in ("GET", "POST")
    ]
