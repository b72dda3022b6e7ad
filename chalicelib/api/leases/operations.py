"""Leases over HTTP."""

from __future__ import annotations

import msgspec

from chalicelib.api.http import requests, responses
from chalicelib.api.http.connection import caller_is_gone
from chalicelib.api.http.operations import Call, Handler, Operation
from chalicelib.api.http.problem import Reply, entity_tag
from chalicelib.api.http.requests import Body, PageQuery, Query
from chalicelib.core.leases import lease
from chalicelib.core.leases.lease import Granted, Waiting
from chalicelib.core.leases.lease_item import LeaseItem
from chalicelib.usecases import leases

COLLECTION = "/api/v1/leases"
_NAME = "reports/nightly"


def acquire(call: Call[requests.AcquireBody, Query]) -> Reply:
    """Acquire, renew or queue."""
    fields = _given(call.body)
    answer = leases.acquire(call.services, call.caller, fields, call.versions, gone=caller_is_gone())
    return _acquired(answer)


def renew(call: Call[requests.RenewBody, Query]) -> Reply:
    """Prolong a holding."""
    return _acquired(leases.renew(call.services, call.caller, _given(call.body), call.versions))


def release(call: Call[requests.ReleaseBody, Query]) -> Reply:
    """End a holding."""
    done = leases.release(call.services, call.caller, _given(call.body), call.versions)
    return Reply(200, responses.ReleasedView(done.released))


def validate(call: Call[requests.ValidateBody, Query]) -> Reply:
    """Judge a token."""
    found = leases.validate(call.services, call.caller, _given(call.body))
    return Reply(200, responses.ValidityView(found.valid, found.highest_fencing_token))


def break_(call: Call[requests.BreakBody, Query]) -> Reply:
    """Take a lease from its holder."""
    done = leases.break_(call.services, call.caller, call.body.name, call.versions)
    return Reply(200, responses.BrokenView(call.body.name, done.broken))


def get(call: Call[Body, Query]) -> Reply:
    """One lease."""
    found = leases.get(call.services, call.caller, call.params["name"])
    return Reply(200, _view(call, found), {"ETag": entity_tag(leases.version_of(found))})


def page(call: Call[Body, PageQuery]) -> Reply:
    """A page of leases."""
    found, after = leases.page(call.services, call.caller, call.query.limit, call.after(call.query))
    return call.page([_view(call, item) for item in found], after)


def _given(body: msgspec.Struct) -> dict[str, object]:
    """The fields that were sent, and the defaults of the others that have one."""
    named = ((name, getattr(body, name)) for name in body.__struct_fields__)
    return {name: value for name, value in named if value is not msgspec.UNSET}


def _acquired(answer: Granted | Waiting) -> Reply:
    if isinstance(answer, Granted):
        view = responses.AcquireView(
            acquired=True, fencing_token=answer.fencing_token, expires_at_unix_ms=answer.expires_at_unix_ms
        )
    else:
        view = responses.AcquireView(
            acquired=False,
            queue_position=answer.queue_position,
            holder_id=answer.holder_id,
            expires_at_unix_ms=answer.expires_at_unix_ms,
        )
    return Reply(200, view)


def _view(call: Call[Body, Query], item: LeaseItem) -> responses.LeaseView:
    now_ms, margin_ms = call.services.clock.now_ms(), call.services.config.max_drift_ms
    stored = item.holder_id is not None
    return responses.LeaseView(
        name=item.name,
        held=lease.is_taken(item, now_ms, margin_ms=0),
        holder_id=item.holder_id,
        fencing_token=item.fencing_token,
        ttl_ms=item.ttl_ms if stored else None,
        acquired_at_unix_ms=item.acquired_at_unix_ms if stored else None,
        expires_at_unix_ms=item.expires_at_unix_ms if stored else None,
        metadata=dict(item.metadata),
        waiters=[
            responses.WaiterView(w.holder_id, w.asks_until_ms) for w in lease.live_waiters(item, now_ms, margin_ms)
        ],
        version=leases.version_of(item),
    )


def operations() -> list[Operation]:
    """The calls of this noun."""
    holder = {"name": _NAME, "holder_id": "worker-1"}
    return [
        _verb(
            "acquire",
            "Take a lease, or a place in its queue",
            acquire,
            requests.AcquireBody,
            responses.AcquireView,
            holder | {"ttl_ms": 10_000, "wait_ms": 5_000},
            description="Waiters are served in the order of their first asking; one that stops asking for longer than "
            "its own `ttl_ms` loses its place. `wait_ms` holds the call until granted; a server that holds as many "
            "calls as it can answers at once, and the caller asks again. Asking as the holder renews: same token.",
            errors=(429,),
        ),
        _verb(
            "renew",
            "Prolong a holding",
            renew,
            requests.RenewBody,
            responses.AcquireView,
            holder | {"fencing_token": 1},
            description="Never shortens what was promised. An expired lease is renewed while nobody else took it.",
            errors=(409,),
        ),
        _verb(
            "release",
            "End a holding",
            release,
            requests.ReleaseBody,
            responses.ReleasedView,
            holder | {"fencing_token": 1},
            description="Repeating it succeeds.",
            errors=(409,),
        ),
        _verb(
            "validate",
            "Whether a token is the live holder's",
            validate,
            requests.ValidateBody,
            responses.ValidityView,
            {"name": _NAME, "fencing_token": 1},
            guarded=False,
        ),
        _verb(
            "break",
            "Take a lease from its holder",
            break_,
            requests.BreakBody,
            responses.BrokenView,
            {"name": _NAME},
            description="For admins.",
            errors=(403, 404),
        ),
        Operation(
            method="GET",
            path=COLLECTION,
            summary="List leases by name",
            tag="leases",
            handler=page,
            query=PageQuery,
            answers={200: responses.LeaseList},
            errors=(400,),
            description="Also those that are free: their tokens are kept for ever.",
        ),
        Operation(
            method="GET",
            path=COLLECTION + "/{name}",
            summary="One lease",
            tag="leases",
            handler=get,
            answers={200: responses.LeaseView},
            errors=(404,),
            open_ended=True,
            description="In the path, the slashes of a name may be plain or encoded: `reports%2Fnightly`.",
            answer_headers={"ETag": "The version, for `If-Match`."},
        ),
    ]


def _verb(
    name: str,
    summary: str,
    handler: Handler,
    body: type[msgspec.Struct],
    answer: type[msgspec.Struct],
    example: object,
    *,
    guarded: bool = True,
    errors: tuple[int, ...] = (),
    description: str = "",
) -> Operation:
    return Operation(
        method="POST",
        path=f"{COLLECTION}:{name}",
        summary=summary,
        tag="leases",
        handler=handler,
        body=body,
        answers={200: answer},
        errors=errors,
        guarded=guarded,
        description=description,
        example=example,
    )
