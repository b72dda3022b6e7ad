"""Signing in with a browser over HTTP: a credential is sealed in a cookie that no script can read."""

from __future__ import annotations

from typing import Any

from chalicelib.api.http.operations import Call, Operation
from chalicelib.api.http.problem import Reply
from chalicelib.api.http.requests import Body, Query
from chalicelib.api.sessions import schemas
from chalicelib.core.errors import Unauthorized
from chalicelib.ports.sessions import SessionOpened

SESSION = "/api/session"
_SETS = {"Set-Cookie": "The session, sealed."}
_UNSTORED = {"Cache-Control": "no-store"}


def get(call: Call[Body, Query]) -> Reply:
    """Who asks."""
    offers = call.services.sessions.offers_issuer()
    return Reply(200, schemas.of_caller(call.caller, offers), dict(_UNSTORED))


def sign_in(call: Call[schemas.SignInBody, Query]) -> Reply:
    """Begin a session with a token or key."""
    return _opened(call, call.services.sessions.open(call.body.token, call.caller.source_ip))


def refresh(call: Call[Body, Query]) -> Reply:
    """Go on with a new token of the issuer."""
    return _opened(call, call.services.sessions.refresh(call.headers.get("cookie", ""), call.caller.source_ip))


def sign_out(call: Call[Body, Query]) -> Reply:
    """End the session."""
    return Reply(204, None, {"Set-Cookie": call.services.sessions.closed(), **_UNSTORED})


def begin(call: Call[Body, schemas.BeginQuery]) -> Reply:
    """Off to the issuer."""
    away = call.services.sessions.begin(call.query.return_to)
    return Reply(302, None, {"Location": away.url, "Set-Cookie": away.cookie, **_UNSTORED})


def finish(call: Call[Body, schemas.FinishQuery]) -> Reply:
    """Back from the issuer."""
    q = call.query
    if q.error or not q.code:
        raise Unauthorized(f"the issuer did not let you sign in: {q.error or 'no code'}", code="issuer_refused")
    away = call.services.sessions.finish(call.headers.get("cookie", ""), q.state, q.code, call.caller.source_ip)
    return Reply(302, None, {"Location": call.base + away.url, "Set-Cookie": away.cookie, **_UNSTORED})


def _opened(call: Call[Any, Query], opened: SessionOpened) -> Reply:
    view = schemas.of_caller(opened.caller, call.services.sessions.offers_issuer())
    return Reply(200, view, {"Set-Cookie": opened.cookie, **_UNSTORED})


def operations() -> list[Operation]:
    """The calls of this noun."""
    return [
        Operation(
            method="GET",
            path=SESSION,
            summary="Who this browser's calls come from, and how one can sign in",
            tag="session",
            permission="docs:read",
            handler=get,
            answers={200: schemas.SessionView},
            open_to_all=True,
        ),
        Operation(
            method="POST",
            path=SESSION,
            summary="Sign in with a token or an API key",
            tag="session",
            permission="docs:read",
            handler=sign_in,
            body=schemas.SignInBody,
            answers={200: schemas.SessionView},
            errors=(401,),
            open_to_all=True,
            answer_headers=_SETS,
            description="The credential is sealed in a cookie (`HttpOnly`, `SameSite=Strict`), and judged at each call "
            "as if that had sent it. It is `__Host-chrono_session` on https, `chrono_session` on plain http.",
        ),
        Operation(
            method="DELETE",
            path=SESSION,
            summary="Sign out",
            tag="session",
            permission="docs:read",
            handler=sign_out,
            answers={204: None},
            open_to_all=True,
            answer_headers=_SETS,
            description="The browser forgets its credential. That itself stays good: revoke a key, or sign out at the "
            "issuer.",
        ),
        Operation(
            method="POST",
            path=SESSION + "/refresh",
            summary="Go on with a new token of the issuer",
            tag="session",
            permission="docs:read",
            handler=refresh,
            answers={200: schemas.SessionView},
            errors=(401,),
            open_to_all=True,
            held=True,
            answer_headers=_SETS,
        ),
        Operation(
            method="GET",
            path=SESSION + "/begin",
            summary="Sign in at the issuer: sends the browser there",
            tag="session",
            permission="docs:read",
            handler=begin,
            query=schemas.BeginQuery,
            answers={302: None},
            open_to_all=True,
            held=True,
            answer_headers={**_SETS, "Location": "The issuer's page."},
            description="Authorization code with PKCE. Needs `CHRONO_OIDC_CLIENT_ID` and `CHRONO_CONSOLE_ORIGIN`; "
            "without them 422 `not_supported`.",
        ),
        Operation(
            method="GET",
            path=SESSION + "/callback",
            summary="Where the issuer sends the browser back",
            tag="session",
            permission="docs:read",
            handler=finish,
            query=schemas.FinishQuery,
            answers={302: None},
            errors=(401,),
            open_to_all=True,
            held=True,
            answer_headers={**_SETS, "Location": "Where the sign-in began."},
        ),
    ]
