"""Leases over HTTP."""

from __future__ import annotations

import msgspec

from chalicelib.api.http import connection
from chalicelib.api.http.connection import caller_is_gone
from chalicelib.api.http.operations import Call, Handler, Operation
from chalicelib.api.http.problem import Reply, entity_tag
from chalicelib.api.http.requests import Body, PageQuery, Query, given
from chalicelib.api.leases import schemas
from chalicelib.api.leases.views import of_lease
from chalicelib.core.leases.lease import Granted, Waiting
from chalicelib.core.leases.lease_item import LeaseItem
from chalicelib.core.security.permissions import Permission
from chalicelib.usecases import leases
from chalicelib.usecases.leases import AcquireLease, ReleaseLease, RenewLease, ValidateLease

COLLECTION = "/api/v1/leases"
_NAME = "reports/nightly"


def acquire(call: Call[schemas.AcquireBody, Query]) -> Reply:
    """Acquire, renew or queue."""
    b = call.body
    wanted = AcquireLease(
        name=b.name, holder_id=b.holder_id, ttl_ms=b.ttl_ms, wait_ms=b.wait_ms, metadata=given(b.metadata)
    )
    gone, gives_up = caller_is_gone(), connection.current().gives_up
    answer = leases.acquire(call.services, call.caller, wanted, call.versions, gone, gives_up)
    return _acquired(answer)


def renew(call: Call[schemas.RenewBody, Query]) -> Reply:
    """Prolong a holding."""
    b = call.body
    wanted = RenewLease(name=b.name, holder_id=b.holder_id, fencing_token=b.fencing_token, ttl_ms=given(b.ttl_ms))
    return _acquired(leases.renew(call.services, call.caller, wanted, call.versions))


def release(call: Call[schemas.ReleaseBody, Query]) -> Reply:
    """End a holding."""
    b = call.body
    wanted = ReleaseLease(name=b.name, holder_id=b.holder_id, fencing_token=b.fencing_token)
    done = leases.release(call.services, call.caller, wanted, call.versions)
    return Reply(200, schemas.ReleasedView(done.released))


def validate(call: Call[schemas.ValidateBody, Query]) -> Reply:
    """Judge a token."""
    wanted = ValidateLease(name=call.body.name, fencing_token=call.body.fencing_token)
    found = leases.validate(call.services, call.caller, wanted)
    return Reply(200, schemas.ValidityView(found.valid, found.highest_fencing_token))


def break_(call: Call[schemas.BreakBody, Query]) -> Reply:
    """Take a lease from its holder."""
    done = leases.break_(call.services, call.caller, call.body.name, call.versions)
    return Reply(200, schemas.BrokenView(call.body.name, done.broken))


def get(call: Call[Body, Query]) -> Reply:
    """One lease."""
    found = leases.get(call.services, call.caller, call.params["name"])
    return Reply(200, _view(call, found), {"ETag": entity_tag(leases.version_of(found))})


def page(call: Call[Body, PageQuery]) -> Reply:
    """A page of leases."""
    found, after = leases.page(call.services, call.caller, call.query.limit, call.after(call.query))
    return call.page([_view(call, item) for item in found], after)


def _acquired(answer: Granted | Waiting) -> Reply:
    if isinstance(answer, Granted):
        view = schemas.AcquireView(
            acquired=True, fencing_token=answer.fencing_token, expires_at_unix_ms=answer.expires_at_unix_ms
        )
    else:
        view = schemas.AcquireView(
            acquired=False,
            queue_position=answer.queue_position,
            holder_id=answer.holder_id,
            expires_at_unix_ms=answer.expires_at_unix_ms,
        )
    return Reply(200, view)


def _view(call: Call[Body, Query], item: LeaseItem) -> schemas.LeaseView:
    return of_lease(item, call.services.clock.now_ms(), call.services.config.max_drift_ms)


def operations() -> list[Operation]:
    """The calls of this noun."""
    holder = {"name": _NAME, "holder_id": "worker-1"}
    return [
        _verb(
            "leases:acquire",
            "acquire",
            "Take a lease, or a place in its queue",
            acquire,
            schemas.AcquireBody,
            schemas.AcquireView,
            holder | {"ttl_ms": 10_000, "wait_ms": 5_000},
            description="Waiters are served in the order of their first asking; one that stops asking for longer than "
            "its own `ttl_ms` loses its place. `wait_ms` holds the call until granted; a server that holds as many "
            "calls as it can answers at once, and the caller asks again. Asking as the holder renews: same token.",
            errors=(429,),
            held=True,
        ),
        _verb(
            "leases:acquire",
            "renew",
            "Prolong a holding",
            renew,
            schemas.RenewBody,
            schemas.AcquireView,
            holder | {"fencing_token": 1},
            description="Never shortens what was promised. An expired lease is renewed while no other holder took it.",
            errors=(409,),
        ),
        _verb(
            "leases:acquire",
            "release",
            "End a holding",
            release,
            schemas.ReleaseBody,
            schemas.ReleasedView,
            holder | {"fencing_token": 1},
            description="Repeating it succeeds.",
            errors=(409,),
        ),
        _verb(
            "leases:read",
            "validate",
            "Whether a token is the live holder's",
            validate,
            schemas.ValidateBody,
            schemas.ValidityView,
            {"name": _NAME, "fencing_token": 1},
            guarded=False,
        ),
        _verb(
            "leases:break",
            "break",
            "Take a lease from its holder",
            break_,
            schemas.BreakBody,
            schemas.BrokenView,
            {"name": _NAME},
            description="For admins.",
            errors=(403, 404),
        ),
        Operation(
            method="GET",
            path=COLLECTION,
            summary="List leases by name",
            tag="leases",
            permission="leases:read",
            handler=page,
            query=PageQuery,
            answers={200: schemas.LeaseList},
            errors=(400,),
            description="Also those that are free: their tokens are kept for ever.",
        ),
        Operation(
            method="GET",
            path=COLLECTION + "/{name}",
            summary="One lease",
            tag="leases",
            permission="leases:read",
            handler=get,
            answers={200: schemas.LeaseView},
            errors=(404,),
            open_ended=True,
            description="In the path, the slashes of a name may be plain or encoded: `reports%2Fnightly`.",
            answer_headers={"ETag": "The version, for `If-Match`."},
        ),
    ]


def _verb(
    permission: Permission,
    name: str,
    summary: str,
    handler: Handler,
    body: type[msgspec.Struct],
    answer: type[msgspec.Struct],
    example: object,
    *,
    guarded: bool = True,
    held: bool = False,
    errors: tuple[int, ...] = (),
    description: str = "",
) -> Operation:
    return Operation(
        method="POST",
        path=f"{COLLECTION}:{name}",
        summary=summary,
        tag="leases",
        permission=permission,
        handler=handler,
        body=body,
        answers={200: answer},
        errors=errors,
        guarded=guarded,
        held=held,
        description=description,
        example=example,
    )
