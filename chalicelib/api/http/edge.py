"""The edge of a server of our own, in front of Chalice's gateway: what API Gateway is on AWS.

The gateway would answer unknown routes, broken encoding and long bodies in its own words. The edge answers them with
problem+json. Many threads call it, so the application object is made thread-local first: a plain Chalice application
lets one request see another's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from chalice.app import CaseInsensitiveMapping, Response
from chalice.config import Config
from chalice.local import CustomLocalChalice, LambdaEventConverter, LocalChalice, LocalGateway
from msgspec import Struct

from chalicelib.api.http import connection
from chalicelib.api.http.app import HttpApp
from chalicelib.api.http.connection import CallerConnection, EventSource, StreamSlot
from chalicelib.api.http.problem import check_percent, too_large
from chalicelib.api.http.route_matcher import IndexedMatcher
from chalicelib.api.rpc.paths import REST, RPC_PREFIX
from chalicelib.core.errors import ChronoError, NotFound
from chalicelib.core.limits import BODY_MAX_BYTES

Answer = tuple[int, dict[str, str], bytes]

_COLON = re.compile("%3a", re.IGNORECASE)
_NO_BODY = frozenset({204, 304})


class Asked(NamedTuple):
    """One request. ``raw_path`` and ``query`` are as they came, still encoded. Names of headers are in lower case.
    ``body`` may be read late, by a function that may raise."""

    method: str
    raw_path: str
    query: str
    headers: Mapping[str, str]
    body: bytes | Callable[[], bytes] = b""


class Opened(Struct, frozen=True):
    """An answer that was begun: with a ``source`` its body comes in pieces, else ``body`` is all of it."""

    status: int
    headers: dict[str, str]
    body: bytes
    source: EventSource | None = None


class Edge:
    """See the module."""

    def __init__(self, app: HttpApp) -> None:
        _make_thread_local(app)
        self.api = app.http_api
        self._gateway = LocalGateway(app, Config())
        self._matcher = IndexedMatcher(list(app.routes))
        self._gateway.event_converter = LambdaEventConverter(self._matcher, app.api.binary_types)

    def open(self, asked: Asked, caller: CallerConnection, may_stream: bool = True) -> Opened:
        """Answer one request as ``handle`` does, or begin to: its body may be a stream where that is allowed."""
        slot = StreamSlot()
        with connection.serving(caller, slot if may_stream and asked.method != "HEAD" else None):
            status, headers, body = self.handle(*asked)
        if slot.source is None:
            return Opened(status, headers, body)
        if status != HTTPStatus.OK:  # something went wrong after the stream was made
            slot.source.close()
            return Opened(status, headers, body)
        del headers["Content-Length"]
        return Opened(status, headers, b"", slot.source)

    def may_hold(self, method: str, raw_path: str) -> bool:
        """Whether the server must reckon with such a call being held open, on a thread of its own."""
        plain = _COLON.sub(":", raw_path).removesuffix("/")
        return REST.get(plain, (method, plain)) in self.api.held

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
            if raw_path.startswith(RPC_PREFIX):
                status, answered, text = self._rpc(method, raw_path, query, headers, body)
            else:
                status, answered, text = self._through(method, raw_path, query, headers, body)
        except Exception as error:
            status, answered, text = self._refuse(headers, error)
        if status not in _NO_BODY:
            answered["Content-Length"] = str(len(text))
        return status, answered, b"" if method == "HEAD" else text

    def refuse(self, error: ChronoError) -> Answer:
        """The answer to what was no request at all."""
        response = self.api.refuse(error)
        headers = {name: str(value) for name, value in response.headers.items()}
        body = str(response.body).encode()
        return response.status_code, {**headers, "Content-Length": str(len(body))}, body

    def _through(
        self, method: str, raw_path: str, query: str, headers: Mapping[str, str], body: bytes | Callable[[], bytes]
    ) -> Answer:
        """The answer of Chalice, for what API Gateway would hand on to it. Raises ChronoError for the rest."""
        check_percent(raw_path)
        check_percent(query)
        path = _routable(raw_path)
        found = self.api.open_route(path)
        if found is not None:
            path = found[0] + found[1].replace("/", "%2F")
        try:
            match = self._matcher.match_route(path)
        except ValueError:
            raise NotFound("there is no such route") from None
        if method == "OPTIONS":
            return self._options(headers, self.api.allowed(match.route, match.captured))
        read = body() if callable(body) else body
        if len(read) > BODY_MAX_BYTES:
            raise too_large()
        url = f"{path}?{query.replace('#', '%23')}" if query else path
        served = self._gateway.handle_request("GET" if method == "HEAD" else method, url, dict(headers), read)
        return served["statusCode"], served["headers"], str(served["body"] or "").encode()

    def _rpc(
        self, method: str, raw_path: str, query: str, headers: Mapping[str, str], body: bytes | Callable[[], bytes]
    ) -> Answer:
        """The answer to Connect and gRPC-Web."""
        from chalicelib.api.rpc.http_face import RpcQuestion, answer

        def read() -> bytes:
            return body() if callable(body) else body

        peer = connection.current().address or None
        return answer(self.api, RpcQuestion(method, raw_path, query, headers, read, peer), self.api.now_ms)

    def _options(self, headers: Mapping[str, str], methods: list[str]) -> Answer:
        """The methods of a path. No cross-origin leave is given: pages of other sites have no business here."""
        allow = ", ".join([*methods, *(["HEAD"] if "GET" in methods else []), "OPTIONS"])
        return self._answer(headers, lambda _: Response(body="", headers={"Allow": allow}, status_code=204))

    def _refuse(self, headers: Mapping[str, str], error: Exception) -> Answer:
        def refuse(_context: object) -> Response:
            raise error

        return self._answer(headers, refuse)

    def _answer(self, headers: Mapping[str, str], call: Callable[[Any], Response]) -> Answer:
        response = self.api.respond(CaseInsensitiveMapping(dict(headers)), connection.current().address or None, call)
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
