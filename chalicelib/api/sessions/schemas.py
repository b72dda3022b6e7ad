"""Sessions as browsers see them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta

from chalicelib.api.http.requests import Body, Opt, Query
from chalicelib.api.http.responses import ShownInstant
from chalicelib.core.json_schema import formed
from chalicelib.core.security.caller import Caller

RETURN_MAX_CHARS = 512


# Of one slash alone: browsers take two, or one and a backslash, for the start of another host.
RETURN_PATTERN = r"^/([^/\\\x00-\x1f\x7f][^\x00-\x1f\x7f]*)?$"


class SignInBody(Body, kw_only=True):
    """What proves who signs in."""

    token: Annotated[
        str,
        Meta(min_length=1, max_length=8192, description="A JSON Web Token or an API key.", examples=["cw_…"]),
    ]


class BeginQuery(Query, kw_only=True):
    """Where the browser goes after that."""

    return_to: Annotated[
        str, formed(max_length=RETURN_MAX_CHARS, pattern=RETURN_PATTERN, description="A path of this service.")
    ] = "/console"


class FinishQuery(Query, kw_only=True):
    """What the issuer sends."""

    state: Annotated[str, Meta(max_length=512)] = ""
    code: Annotated[str, Meta(max_length=4096)] = ""
    error: Annotated[str, Meta(max_length=512)] = ""
    error_description: Annotated[str, Meta(max_length=4096)] = ""
    iss: Annotated[str, Meta(max_length=2048)] = ""
    session_state: Annotated[str, Meta(max_length=2048)] = ""
    scope: Annotated[str, Meta(max_length=4096)] = ""


class SessionView(msgspec.Struct, kw_only=True):
    """Who the browser's calls come from. `sign_in` says how one can sign in; empty while authentication is off."""

    signed_in: bool
    sign_in: list[Literal["token", "issuer"]]
    subject: Opt[str] = UNSET
    tenant: Opt[str] = UNSET
    roles: Opt[list[str]] = UNSET
    permissions: Opt[list[str]] = UNSET
    expires_at_unix_ms: Opt[ShownInstant] = UNSET


def of_caller(caller: Caller, offers_issuer: bool) -> SessionView:
    """The session of a caller; without credentials there is none."""
    if caller.credential == "none":
        return SessionView(signed_in=False, sign_in=_ways(offers_issuer))
    return SessionView(
        signed_in=True,
        sign_in=[] if caller.credential == "off" else _ways(offers_issuer),
        subject=caller.subject,
        tenant=caller.tenant,
        roles=sorted(caller.roles),
        permissions=sorted(caller.permissions),
        expires_at_unix_ms=UNSET if caller.expires_at_ms is None else caller.expires_at_ms,
    )


def _ways(offers_issuer: bool) -> list[Literal["token", "issuer"]]:
    return ["token", "issuer"] if offers_issuer else ["token"]
