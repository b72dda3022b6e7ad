"""``api``: what API Gateway calls. Known routes go to Chalice; for anything else the answer is made here.

Chalice answers a path it does not know with a body of its own. Every error must be problem+json with a trace. So the
gateway hands every path and method to this function (infra/cloudformation.py), as the local server's edge does.

The applications are made here and not in ``app.py``, which registers the workers too: the API starts without their
code. Each place of the API has its own, made at the first request to it: a start pays for what is asked for.
"""

from __future__ import annotations

import base64
from functools import cache
from typing import Any

from chalice.app import CaseInsensitiveMapping, Response

from chalicelib import bootstrap
from chalicelib.api.http import connection
from chalicelib.api.http.app import HttpApp, build
from chalicelib.api.http.connection import CallerConnection, ClientCertificate
from chalicelib.api.http.operations import Table
from chalicelib.api.http.routes import place_of, table, table_at
from chalicelib.api.rpc.paths import RPC_PREFIX
from chalicelib.core.errors import NotFound

Event = dict[str, Any]
FIRST_KEY: Event = {"chronowatch": "first_key"}


def whole() -> HttpApp:
    """An application with every route."""
    return _application(table())


def _application(operations: Table) -> HttpApp:
    return build("chronowatch", operations, bootstrap.services, bootstrap.settings, bootstrap.authenticator)


_whole = cache(whole)


@cache
def _at(place: str) -> HttpApp:
    return _application(table_at(place))


def application_of(event: Event) -> HttpApp:
    """The one that serves a request: of its place alone, or the whole for a call by RPC, which may be any operation."""
    if _rpc_path(event) is not None:
        return _whole()
    proxied = (event["pathParameters"] or {}).get("proxy")
    return _at(place_of(event["requestContext"]["resourcePath"] if proxied is None else f"/{proxied}"))


def handle(event: Event, context: Any) -> dict[str, Any]:
    """One request, as API Gateway's proxy integration describes it; or ``FIRST_KEY``, from an operator of the account.

    What comes by HTTP has a ``requestContext``, whatever its body says, so no request can ask for the first key.
    """
    if event == FIRST_KEY:
        return _first_key()
    answer = serve(application_of(event), event, context)
    bootstrap.flush()
    return answer


def serve(app: Any, event: Event, context: Any) -> dict[str, Any]:
    """``handle``, by any application."""
    event = _routed(app, event)
    route, method = event["requestContext"]["resourcePath"], event["requestContext"]["httpMethod"]
    headers = CaseInsensitiveMapping({name: values[-1] for name, values in (event["multiValueHeaders"] or {}).items()})
    path = _rpc_path(event)
    if path is not None:
        return _rpc(app, path, event, headers)
    if route not in app.routes:
        return _answer(app, headers, event, _no_such_route)
    if method == "OPTIONS":
        allow = ", ".join([*app.http_api.allowed(route, event["pathParameters"] or {}), method])
        return _answer(app, headers, event, lambda _: Response(body="", headers={"Allow": allow}, status_code=204))
    if method == "HEAD":  # the gateway leaves the body out
        event = {**event, "requestContext": {**event["requestContext"], "httpMethod": "GET"}}
    with connection.serving(_caller_of(event)):
        answer: dict[str, Any] = app(event, context)
    return answer


def _caller_of(event: Event) -> CallerConnection:
    """Who called the gateway; with mutual TLS on its domain also the certificate that it verified."""
    identity = event["requestContext"].get("identity") or {}
    shown = identity.get("clientCert")
    certificate = None
    if shown:
        certificate = ClientCertificate(shown["subjectDN"], shown["issuerDN"], shown["serialNumber"])
    return CallerConnection(address=identity.get("sourceIp") or "", client_certificate=certificate)


def _first_key() -> dict[str, Any]:
    """The first admin key of the default tenant, in this answer only; a refusal where there ever was a key."""
    from chalicelib.usecases import keys

    made = keys.first_key(bootstrap.services())
    if made is None:
        return {"made": False, "detail": "there is a first key, or there was one: an admin key makes further ones"}
    return {"made": True, "id": made.key.id, "key": made.text}


def _routed(app: Any, event: Event) -> Event:
    """The request under the route of ours that its path goes on from, where the gateway saw none."""
    found = app.http_api.open_route("/" + (event["pathParameters"] or {}).get("proxy", ""))
    if found is None:
        return event
    _, value, route = found
    name = route[route.rindex("{") + 1 : -1]
    context = {**event["requestContext"], "resourcePath": route}
    return {**event, "requestContext": context, "pathParameters": {name: value}}


def _rpc_path(event: Event) -> str | None:
    """The path of a call of Connect or gRPC-Web; None where it is none."""
    path = "/" + ((event["pathParameters"] or {}).get("proxy") or "")
    return path if path.startswith(RPC_PREFIX) else None


def _rpc(app: Any, path: str, event: Event, headers: CaseInsensitiveMapping) -> dict[str, Any]:
    from urllib.parse import urlencode

    from chalicelib.api.rpc.http_face import TEXT_TYPES, RpcQuestion, answer

    def body() -> bytes:
        text = event["body"] or ""
        return base64.b64decode(text) if event.get("isBase64Encoded") else text.encode()

    caller = _caller_of(event)
    plain = {name.lower(): value for name, value in headers.items()}
    method, query = event["requestContext"]["httpMethod"], event["multiValueQueryStringParameters"] or {}
    asked = RpcQuestion(method, path, urlencode(query, doseq=True), plain, body, caller.address or None)
    with connection.serving(caller):
        answered = answer(app.http_api, asked, app.http_api.now_ms)
    is_text = answered.headers.get("Content-Type", TEXT_TYPES[0]) in TEXT_TYPES
    return {
        "statusCode": answered.status,
        "headers": answered.headers,
        "body": answered.body.decode() if is_text else base64.b64encode(answered.body).decode(),
        "isBase64Encoded": not is_text,
    }


def _no_such_route(_context: object) -> Response:
    raise NotFound("there is no such route")


def _answer(app: Any, headers: CaseInsensitiveMapping, event: Event, call: Any) -> dict[str, Any]:
    peer = (event["requestContext"].get("identity") or {}).get("sourceIp")
    answer: dict[str, Any] = app.http_api.respond(headers, peer, call).to_dict()
    return answer
