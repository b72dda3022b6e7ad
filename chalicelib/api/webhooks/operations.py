"""The public keys of webhooks, without credentials: a receiver has no account here."""

from __future__ import annotations

from chalicelib.api.http.operations import Call, Operation
from chalicelib.api.http.problem import Reply
from chalicelib.api.http.requests import Body, Query
from chalicelib.api.webhooks.schemas import WebhookKey, WebhookKeySet
from chalicelib.usecases.webhook_keys import published

PATH = "/.well-known/jwks.json"
MAX_AGE_S = 300  # a new key signs from the first minute on, beside the one before


def _keys(call: Call[Body, Query]) -> Reply:
    keys = [WebhookKey(kid=key.kid, x=key.x, whpk=key.whpk) for key in published(call.services)]
    return Reply(200, WebhookKeySet(keys), {"Cache-Control": f"public, max-age={MAX_AGE_S}"})


def operations() -> list[Operation]:
    """The calls of this noun."""
    return [
        Operation(
            method="GET",
            path=PATH,
            summary="Public keys of webhook signatures",
            tag="operations",
            permission="docs:read",
            open_to_all=True,
            handler=_keys,
            answers={200: WebhookKeySet},
            answer_headers={"Cache-Control": "How long the keys may be kept."},
            description="Verifies `v1a` signatures of webhooks (Standard Webhooks, Ed25519). Needs no credentials.",
        )
    ]
