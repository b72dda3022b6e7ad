"""API keys over HTTP."""

from __future__ import annotations

from typing import Any

from chalicelib.api.http.operations import Call, Operation
from chalicelib.api.http.problem import Reply, entity_tag
from chalicelib.api.http.requests import Body, Opt, PageQuery, Query, given
from chalicelib.api.keys import schemas
from chalicelib.core.keys.limits import KEYS_MAX
from chalicelib.ports.stores.keys import KeptKey
from chalicelib.usecases import keys
from chalicelib.usecases.keys import MadeKey, NewKey, Rotation

COLLECTION = "/api/v1/keys"
ONE = COLLECTION + "/{key_id}"


def create(call: Call[schemas.NewKeyBody, Query]) -> Reply:
    """Make a key."""
    b = call.body
    wanted = NewKey(
        name=b.name,
        owner=given(b.owner),
        roles=_names(b.roles),
        permissions=_names(b.permissions),
        expires_at_unix_ms=given(b.expires_at_unix_ms),
        cidrs=_names(b.cidrs),
    )
    return _made(call, keys.create(call.services, call.caller, wanted, call.run))


def rotate(call: Call[schemas.RotateBody, Query]) -> Reply:
    """Make a key that takes the place of another."""
    wanted = Rotation(overlap_ms=call.body.overlap_ms, expires_at_unix_ms=given(call.body.expires_at_unix_ms))
    key_id = call.params["key"]
    return _made(call, keys.rotate(call.services, call.caller, key_id, wanted, call.versions, call.run))


def page(call: Call[Body, PageQuery]) -> Reply:
    """A page of keys."""
    found, after = keys.page(call.services, call.caller, call.query.limit, call.after(call.query))
    now_ms = call.services.clock.now_ms()
    return call.page([schemas.of_key(kept, now_ms) for kept in found], after)


def get(call: Call[Body, Query]) -> Reply:
    """One key."""
    kept = keys.get(call.services, call.caller, call.params["key"])
    view = schemas.of_key(kept, call.services.clock.now_ms())
    return Reply(200, view, {"ETag": entity_tag(view.version)})


def delete(call: Call[Body, Query]) -> Reply:
    """End a key."""
    key_id = call.params["key"]
    keys.delete(call.services, call.caller, key_id, call.versions)
    return Reply(200, schemas.DeletedKey(key_id))


def report_leaked(call: Call[schemas.LeakReport, Query]) -> Reply:
    """End the keys that a scanner found."""
    judged = keys.report_leaked(call.services, [found.token for found in call.body.tokens])
    labels = {True: "true_positive", False: "false_positive"}
    return Reply(200, [schemas.TokenVerdict(j.token_hash, schemas.TOKEN_TYPE, labels[j.was_key]) for j in judged])


def _names(names: Opt[list[str] | None]) -> tuple[str, ...] | None:
    found = given(names)
    return None if found is None else tuple(found)


def _made(call: Call[Any, Query], made: MadeKey) -> Reply:
    """The one answer that holds the key's text; what is kept for a repeat of the call does not."""
    now_ms = call.services.clock.now_ms()
    kept = KeptKey(made.key)
    headers = {
        "Location": f"{call.base}{COLLECTION}/{made.key.id}",
        "ETag": entity_tag(keys.version_of(made.key)),
        "Cache-Control": "no-store",
    }
    shown, replayed = schemas.of_made(kept, made.text, now_ms), schemas.of_made(kept, None, now_ms)
    return Reply(201, shown, headers, kept_body=replayed)


def operations() -> list[Operation]:
    """The calls of this noun."""
    headers = {"Location": "The key's path.", "ETag": "Its version."}
    return [
        Operation(
            method="POST",
            path=COLLECTION,
            summary="Make an API key",
            tag="keys",
            permission="keys:write",
            handler=create,
            body=schemas.NewKeyBody,
            answers={201: schemas.MadeKeyView},
            errors=(409,),
            creates=True,
            description="For admins. `key` is in this answer and in no other: keep it. It can do no more than its "
            f"maker can. A tenant has at most {KEYS_MAX} keys.",
            example={"name": "ci", "roles": ["user"], "cidrs": ["203.0.113.0/24"]},
            answer_headers=headers,
        ),
        Operation(
            method="GET",
            path=COLLECTION,
            summary="List API keys, newest first",
            tag="keys",
            permission="keys:read",
            handler=page,
            query=PageQuery,
            answers={200: schemas.KeyList},
            errors=(400,),
            description="For admins. Keys that have ended are listed for 30 days more.",
        ),
        Operation(
            method="GET",
            path=ONE,
            summary="One API key",
            tag="keys",
            permission="keys:read",
            handler=get,
            answers={200: schemas.KeyView},
            errors=(404,),
            answer_headers={"ETag": "The version, for `If-Match`."},
        ),
        Operation(
            method="DELETE",
            path=ONE,
            summary="End an API key",
            tag="keys",
            permission="keys:write",
            handler=delete,
            answers={200: schemas.DeletedKey},
            errors=(404, 409),
            guarded=True,
            description=f"{schemas.ENDS_WITHIN} 409 `last_admin_key` for the last admin key, where the caller came "
            "with a key and no bootstrap key is set.",
        ),
        Operation(
            method="POST",
            path=ONE + ":rotate",
            summary="Replace an API key by a new one",
            tag="keys",
            permission="keys:write",
            handler=rotate,
            body=schemas.RotateBody,
            answers={201: schemas.MadeKeyView},
            errors=(404, 409),
            creates=True,
            guarded=True,
            description="The new key has the name, rights and networks of the old one. The old one ends after "
            f"`overlap_ms`. {schemas.ENDS_WITHIN}",
            example={"overlap_ms": 86_400_000},
            answer_headers=headers,
        ),
        Operation(
            method="POST",
            path=COLLECTION + ":report-leaked",
            summary="End keys that were found in public",
            tag="keys",
            permission="keys:write",
            handler=report_leaked,
            body=schemas.LeakReport,
            answers={200: list[schemas.TokenVerdict]},
            errors=(429,),
            open_to_all=True,
            body_list="tokens",
            description="For secret scanners, in the shape of GitHub's partner programme. It needs no credentials: "
            "a caller that knows a key may end it, also the last one. Each server judges a bounded number a minute.",
            example=[
                {"token": "cw_0aB1cD2e_…", "type": schemas.TOKEN_TYPE, "url": "https://example.com/a/blob/main/b"}
            ],
        ),
    ]
