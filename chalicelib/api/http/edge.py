"""The local server's edge: a WSGI application in front of Chalice's gateway, in the place of API Gateway.

The gateway would answer unknown routes, broken encoding and long bodies in its own words. The edge answers them with
problem+json. A threaded WSGI server serves it, so the application object is made thread-local first: a plain Chalice
application lets one request see another's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from chalice.app import CaseInsensitiveMapping, Response
from chalice.config import Config
from chalice.local import CustomLocalChalice, LocalChalice, LocalGateway, RouteMatcher

from chalicelib.api.http import connection
from chalicelib.api.http.app import HttpApp
from chalicelib.api.http.problem import check_percent, too_large
from chalicelib.core.errors import BadRequest, ChronoError, NotFound, Unavailable
from chalicelib.core.limits import BODY_MAX_BYTES

Answer = tuple[int, dict[str, str], bytes]

_COLON = re.compile("%3a", re.IGNORECASE)
_NO_BODY = frozenset({204, 304})
_PATH_SAFE = "/:@!$&'()*+,;=~-._"


def application(app: HttpApp) -> Edge:
    """The WSGI callable that serves ``app`` on this machine. Any number of threads may call it."""
    return Edge(app)


class Edge:
    """See the module."""

    def __init__(self, app: HttpApp) -> None:
        _make_thread_local(app)
        self._api = app.http_api
        self._gateway = LocalGateway(app, Config())
        self._matcher = RouteMatcher(list(app.routes))

    def __call__(self, environ: Mapping[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """One WSGI request."""
        raw_path, query = _target(environ)
        method = str(environ["REQUEST_METHOD"])
        slot = connection.StreamSlot()
        connection.watch(environ.get("waitress.client_disconnected"), environ.get("REMOTE_ADDR"))
        connection.offer_stream(None if method == "HEAD" else slot)
        status, headers, body = self.handle(method, raw_path, query, _headers(environ), lambda: _read(environ))
        connection.offer_stream(None)
        if slot.chunks is None:
            start_response(f"{status} {HTTPStatus(status).phrase}", list(headers.items()))
            return [body]
        if status != HTTPStatus.OK:  # something went wrong after the stream was made
            slot.chunks.close()
            slot.chunks = None
        else:
            del headers["Content-Length"]
        start_response(f"{status} {HTTPStatus(status).phrase}", list(headers.items()))
        return slot.chunks or [body]

    def handle(
        self,
        method: str,
        raw_path: str,
        query: str,
        headers: Mapping[str, str],
        body: bytes | Callable[[], bytes] = b"",
    ) -> Answer:
        """Answer one request. ``raw_path`` and ``query`` are as they came, still encoded; ``body`` may be read late."""
        try:
            status, answered, text = self._through(method, raw_path, query, headers, body)
        except Exception as error:
            status, answered, text = self._refuse(headers, error)
        if status not in _NO_BODY:
            answered["Content-Length"] = str(len(text))
        return status, answered, b"" if method == "HEAD" else text

    def refuse_unread(self, status: int, detail: str) -> Answer:
        """The answer to what was no request at all, in the words of the server that could not read it."""
        kinds: dict[int, Callable[[], ChronoError]] = {413: too_large, 503: lambda: Unavailable(detail)}
        error = kinds.get(status, lambda: BadRequest(detail))()
        code, headers, body = self._refuse({}, error)
        return code, {**headers, "Content-Length": str(len(body))}, body

    def _through(
        self, method: str, raw_path: str, query: str, headers: Mapping[str, str], body: bytes | Callable[[], bytes]
    ) -> Answer:
        """The answer of Chalice, for what API Gateway would hand on to it. Raises ChronoError for the rest."""
        check_percent(raw_path)
        check_percent(query)
        path = _routable(raw_path)
        found = self._api.open_route(path)
        if found is not None:
            path = found[0] + found[1].replace("/", "%2F")
        try:
            match = self._matcher.match_route(path)
        except ValueError:
            raise NotFound("there is no such route") from None
        if method == "OPTIONS":
            return self._options(headers, self._api.allowed(match.route, match.captured))
        read = body() if callable(body) else body
        if len(read) > BODY_MAX_BYTES:
            raise too_large()
        url = f"{path}?{query.replace('#', '%23')}" if query else path
        served = self._gateway.handle_request("GET" if method == "HEAD" else method, url, dict(headers), read)
        return served["statusCode"], served["headers"], str(served["body"] or "").encode()

    def _options(self, headers: Mapping[str, str], methods: list[str]) -> Answer:
        """The methods of a path. No cross-origin leave is given: pages of other sites have no business here."""
        allow = ", ".join([*methods, *(["HEAD"] if "GET" in methods else []), "OPTIONS"])
        return self._answer(headers, lambda _: Response(body="", headers={"Allow": allow}, status_code=204))

    def _refuse(self, headers: Mapping[str, str], error: Exception) -> Answer:
        def refuse(_context: object) -> Response:
            raise error

        return self._answer(headers, refuse)

    def _answer(self, headers: Mapping[str, str], call: Callable[[Any], Response]) -> Answer:
        response = self._api.respond(CaseInsensitiveMapping(dict(headers)), connection.peer(), call)
        answered = {name: str(value) for name, value in response.headers.items()}
        return response.status_code, answered, str(response.body).encode()


def _make_thread_local(app: HttpApp) -> None:
    """What ``chalice.local.create_local_server`` does, so that threads do not see each other's request."""
    if not isinstance(app, CustomLocalChalice):
        CustomLocalChalice.__bases__ = (LocalChalice, app.__class__)
        app.__class__ = CustomLocalChalice  # type: ignore[assignment]


def _routable(raw_path: str) -> str:
    """The path in the one spelling that routes have: colons plain, and nothing that a URL parser would cut off."""
    if raw_path.startswith("//"):
        raise NotFound("there is no such route")
    return _COLON.sub(":", raw_path).replace(";", "%3B").replace("#", "%23")


def _target(environ: Mapping[str, Any]) -> tuple[str, str]:
    """Raw path and query. Servers that do not hand on the request line get their decoded path encoded again."""
    raw = environ.get("REQUEST_URI") or environ.get("RAW_URI")
    if not raw:
        path = str(environ.get("SCRIPT_NAME", "")) + str(environ.get("PATH_INFO", "/"))
        return quote(path, encoding="latin-1", safe=_PATH_SAFE), str(environ.get("QUERY_STRING", ""))
    if not raw.startswith("/"):  # absolute form, as proxies send it
        raw = re.sub(r"^[a-zA-Z][a-zA-Z0-9+.-]*://[^/?]*", "", raw)
    path, _, query = raw.partition("?")
    return path or "/", query


def _headers(environ: Mapping[str, Any]) -> dict[str, str]:
    headers = {k[5:].replace("_", "-").lower(): str(v) for k, v in environ.items() if k.startswith("HTTP_")}
    if environ.get("CONTENT_TYPE"):
        headers["content-type"] = str(environ["CONTENT_TYPE"])
    return headers


def _read(environ: Mapping[str, Any]) -> bytes:
    """The body, never more of it than one byte past the limit."""
    declared = environ.get("CONTENT_LENGTH")
    if declared:
        if not str(declared).isdecimal():
            raise BadRequest("Content-Length is not a number")
        if int(declared) > BODY_MAX_BYTES:
            raise too_large()
        return bytes(environ["wsgi.input"].read(int(declared)))
    if environ.get("wsgi.input_terminated"):  # chunked: the stream itself says where it ends
        return bytes(environ["wsgi.input"].read(BODY_MAX_BYTES + 1))
    return b""
