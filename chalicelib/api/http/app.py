"""The API over HTTP: every request, on Lambda and on the local server, is admitted, run and answered here.

Around each call: the trace is continued or begun, the caller's clock stamp merged, the credentials judged; whatever
goes wrong leaves as problem+json. An unexpected error is logged in full, and the answer names it in general.
"""

from __future__ import annotations

import hashlib
import json
import logging
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from functools import partial
from typing import Any, NamedTuple, Protocol

import msgspec
from chalice.app import Chalice, ChaliceUnhandledError, Request, Response
from msgspec.structs import replace

from chalicelib.api.http import auditing, connection, cross_origin, observed, quotas
from chalicelib.api.http.incoming import IncomingCall, body_of, model_of, raw_body
from chalicelib.api.http.judgements import Judgements
from chalicelib.api.http.observed import Observed
from chalicelib.api.http.operations import Call, Operation, Table
from chalicelib.api.http.problem import Reply, problem, read_query
from chalicelib.core import trace
from chalicelib.core.clock import hlc
from chalicelib.core.errors import ChronoError, Forbidden, SettingsError, Unauthorized
from chalicelib.core.security.authorize import authorize
from chalicelib.core.security.caller import Caller, guest
from chalicelib.core.security.permissions import Permission
from chalicelib.core.security.source import Network, source_ip
from chalicelib.core.targets import loop_depth
from chalicelib.core.telemetry.telemetry_settings import TelemetrySettings
from chalicelib.core.trace import TraceContext
from chalicelib.ports.identity import Authenticator, Credentials
from chalicelib.ports.services import Services
from chalicelib.usecases import idempotency
from chalicelib.usecases.idempotency import RepeatableCall

log = logging.getLogger("chronowatch.api")

_FRAMES_LOGGED = 12
_STANDING = "chrono_quota"


class ApiSettings(Protocol):
    """What the API needs to know of a deployment."""

    @property
    def trusted_proxies(self) -> tuple[Network, ...]: ...

    @property
    def public_ops(self) -> bool: ...

    @property
    def own_api(self) -> bool: ...

    @property
    def telemetry(self) -> TelemetrySettings: ...

    def required_page_token_secret(self) -> str: ...


class Refused(ChaliceUnhandledError):
    """Raised out of a view with the real error as its cause: Chalice hands only this kind on to the middleware."""


class Visit(NamedTuple):
    """One request that was let in: its trace, what is said about it, and who asks."""

    trace: TraceContext
    observed: Observed | None
    caller: Caller


class HttpApi:
    """Runs requests against the table of operations. What it is made with is asked for at the first request."""

    def __init__(
        self,
        table: Table,
        services: Callable[[], Services],
        settings: Callable[[], ApiSettings],
        authenticator: Callable[[], Authenticator],
    ) -> None:
        self._table = table
        self._services = services
        self._settings = settings
        self._authenticator = authenticator
        self.held = table.held()

    def respond(
        self,
        headers: Mapping[str, str],
        peer: str | None,
        call: Callable[[Visit], Response],
        opened: frozenset[Permission] | None = None,
    ) -> Response:
        """Answer one request: ``call`` makes the answer, everything around it is the same for all. ``peer`` is the
        address at the other end of the connection; ``opened`` what a caller without credentials may do."""
        context, seen = self._trace(headers)
        try:
            response = call(Visit(context, seen, self._admit(headers, peer, opened)))
        except Exception as raised:
            error = raised.__cause__ if isinstance(raised, Refused) and raised.__cause__ else raised
            response = self._failure(error, context)
        response.headers["traceparent"] = str(context)
        self._stamp(response)
        if seen is not None:
            seen.end(response.status_code, logged=self._settings().telemetry.request_log)
        return response

    def refuse(self, error: ChronoError) -> Response:
        """The answer to what was no request, so that there are no credentials to judge."""
        context, _ = self._trace({})
        response = self._failure(error, context)
        response.headers["traceparent"] = str(context)
        self._stamp(response)
        return response

    def run(self, request: Request, visit: Visit) -> Response:
        """Find, validate and run the operation that ``request`` asks for. Raises ChronoError."""
        operation, params = self._table.find(request.method, request.path, request.uri_params or {})
        given = request.query_params
        query = {} if given is None else {name: given.getlist(name) for name in given}
        incoming = IncomingCall(request.headers, query, partial(raw_body, request), _base(request))
        return self._run(incoming, visit, operation, params, request.context)

    def ask(
        self, operation: Operation, params: Mapping[str, str], incoming: IncomingCall, peer: str | None
    ) -> Response:
        """Run an operation that another face of the API stands for, with its credentials, quotas and audit."""
        context: dict[str, Any] = {}
        response = self.respond(
            incoming.headers, peer, lambda visit: self._run(incoming, visit, operation, params, context)
        )
        return _with_quota(response, context)

    def operation(self, method: str, path: str) -> Operation:
        """The operation of a method and a path as the table spells it. Raises KeyError."""
        return self._table.by_path[method, path]

    def _run(
        self,
        incoming: IncomingCall,
        visit: Visit,
        operation: Operation,
        params: Mapping[str, str],
        context: MutableMapping[str, Any],
    ) -> Response:
        if visit.observed is not None:
            visit.observed.method, visit.observed.route = operation.method, operation.path
        cross_origin.check(operation.method, incoming.headers, visit.caller, self._services)
        standing = quotas.charge_call(self._services(), visit.caller, operation)
        context[_STANDING] = standing
        quotas.check(standing)
        found = Judgements()
        try:
            return self._run_operation(incoming, visit, operation, params, found)
        except Forbidden as why:
            refused = auditing.Refusal(operation, params, why.code, found.all, visit.trace.trace_id)
            auditing.note_denial(self._services(), visit.caller, refused)
            raise

    def _run_operation(
        self, incoming: IncomingCall, visit: Visit, operation: Operation, params: Mapping[str, str], found: Judgements
    ) -> Response:
        headers = incoming.headers
        if not operation.open_to_all:
            authorize(visit.caller, operation.permission)
        caller = self._traced(self._at_depth(visit.caller, headers, operation), visit)
        body_bytes, content_type = body_of(incoming, operation)
        call: Call[Any, Any] = Call(
            services=replace(self._services(), decisions=found),
            caller=caller,
            trace_id=visit.trace.trace_id,
            page_secret=lambda: self._settings().required_page_token_secret(),
            operation=operation,
            params=params,
            headers=headers,
            body=model_of(operation, body_bytes, content_type),
            query=read_query(operation.query, incoming.query),
            base=incoming.base,
            raw=body_bytes,
        )
        key = headers.get(idempotency.HEADER) if operation.creates else None
        handle = partial(_handle, call, found)
        handler = handle if key is None else partial(_run_once, call, key, body_bytes, handle)
        return _to_response(auditing.run(self._table, call, handler, found))

    def now_ms(self) -> int:
        """The time, by the clock of the services."""
        return self._services().clock.now_ms()

    def check_method(self, request: Request) -> None:
        """Raise what is wrong with a request that Chalice found no view for: MethodNotAllowed or NotFound."""
        self._table.find(request.method, request.path, request.uri_params or {})

    def allowed(self, route: str, raw_params: Mapping[str, str]) -> list[str]:
        """The methods that a path answers. Raises NotFound."""
        return sorted(self._table.methods(route, raw_params)[0])

    def open_route(self, path: str) -> tuple[str, str, str] | None:
        """As ``Table.open_route``."""
        return self._table.open_route(path)

    def _trace(self, headers: Mapping[str, str]) -> tuple[TraceContext, Observed | None]:
        """The caller's trace with a span of our own, or a new one."""
        try:
            seen = observed.begin(self._services(), headers.get("traceparent"), headers.get("tracestate"))
            return seen.context, seen
        except Exception:  # the call itself fails on the same and reports it, which needs a trace
            seed = hashlib.sha256(repr(sorted(headers.items())).encode()).hexdigest()
            return trace.parse(headers.get("traceparent")) or trace.of_attempt(seed, 0), None

    def _traced(self, caller: Caller, visit: Visit) -> Caller:
        """The caller with the trace of the call: what the caller asks for goes on with it."""
        tracestate = "" if visit.observed is None else visit.observed.tracestate
        return replace(caller, traceparent=str(visit.trace), tracestate=tracestate)

    def opened(self, request: Request) -> frozenset[Permission] | None:
        """What a caller without credentials may do at what ``request`` asks for; None: it is not open to such callers.

        CHRONO_PUBLIC_OPS opens some operations. Those that are open to all are so wherever any credentials are taken.
        """
        try:
            operation, _ = self._table.find(request.method, request.path, request.uri_params or {})
        except ChronoError:
            return None
        if operation.open_to_all and self._authenticator().is_open():
            return frozenset()
        return frozenset({operation.permission}) if operation.ops and self._settings().public_ops else None

    def _admit(self, headers: Mapping[str, str], peer: str | None, opened: frozenset[Permission] | None) -> Caller:
        """Who asks. What the call keeps open ends with the caller's credential."""
        source = source_ip(peer, headers.get("x-forwarded-for"), self._settings().trusted_proxies)
        authenticator = self._authenticator()
        try:
            caller = authenticator.authenticate(Credentials(cross_origin.shown(headers, self._services), source))
        except Unauthorized:
            if opened is None:
                raise
            connection.end_when(None)
            return replace(guest(opened), source_ip=source)
        connection.end_when(lambda: not authenticator.still_holds(caller))
        stamp = headers.get(hlc.HEADER)
        if stamp is not None:
            self._services().ids.observe(stamp)
        return caller if source is None else replace(caller, source_ip=source)

    def _at_depth(self, caller: Caller, headers: Mapping[str, str], operation: Operation) -> Caller:
        """The caller, as deep in a chain of webhooks as the call says. Raises Forbidden where the chain ends."""
        depth = loop_depth.parse(headers.get(loop_depth.HEADER))
        if problem := loop_depth.problem(depth, operation.deep or self._settings().own_api):
            raise Forbidden(problem, code="webhook_loop")
        return replace(caller, depth=depth) if depth else caller

    def _stamp(self, response: Response) -> None:
        try:
            response.headers[hlc.HEADER] = self._services().ids.hlc()
        except Exception:
            log.error("no clock stamp: the services could not be made")

    def _failure(self, error: BaseException, context: TraceContext) -> Response:
        if not isinstance(error, ChronoError):
            _log_failure(error, context)
            error = ChronoError("an internal error occurred; the log holds it under this trace id")
        return _to_response(problem(error, context.trace_id))


class HttpApp(Chalice):
    """A Chalice application that knows its API, so that the edge in front of it can answer alike."""

    http_api: HttpApi


def build(
    name: str,
    table: Table,
    services: Callable[[], Services],
    settings: Callable[[], ApiSettings],
    authenticator: Callable[[], Authenticator],
) -> HttpApp:
    """The Chalice application with a view for every route of ``table``. Does no I/O."""
    app = HttpApp(app_name=name, configure_logs=False)  # else its lines are plain text, and none of ours
    app.http_api = HttpApi(table, services, settings, authenticator)
    for route, methods in table.routes():
        app.route(route, methods=methods, content_types=[], name=_view_name(route))(_view(app))
    app.register_middleware(_middleware(app.http_api), "http")
    return app


def _log_failure(error: BaseException, context: TraceContext) -> None:
    """Where it happened and what kind it was. Its message stays out of the log, since it may quote a payload."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES_LOGGED:]
    where = " < ".join(f"{f.filename.rpartition('/')[2]}:{f.lineno} {f.name}" for f in reversed(frames))
    known = {"trace_id": context.trace_id, "span_id": context.span_id}
    log.error("unexpected %s.%s at %s", type(error).__module__, type(error).__qualname__, where, extra=known)


def _view_name(route: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in route).strip("_") or "root"


def _view(app: HttpApp) -> Callable[..., Response]:
    def view(**_params: str) -> Response:
        request = app.current_request
        assert request is not None
        try:
            return app.http_api.run(request, request.context["chrono_visit"])
        except Exception as error:
            raise Refused from error

    return view


def _middleware(api: HttpApi) -> Callable[[Request, Callable[[Request], Response]], Response]:
    def middleware(request: Request, get_response: Callable[[Request], Response]) -> Response:
        def call(visit: Visit) -> Response:
            request.context["chrono_visit"] = visit
            request.context["client_certificate"] = connection.current().client_certificate
            response = get_response(request)
            if response.status_code == 405:
                api.check_method(request)  # Chalice lists the methods of all verbs; this raises with the right ones
            return response

        peer = connection.current().address or _gateways_peer(request)
        try:
            opened = api.opened(request)
        except SettingsError:
            opened = None  # answering the call fails on the same, in the words for it
        return _with_quota(api.respond(request.headers, peer, call, opened), request.context)

    return middleware


def _with_quota(response: Response, context: Mapping[str, Any]) -> Response:
    standing = context.get(_STANDING)
    if standing is not None:
        response.headers.update(quotas.headers(standing))
    return response


def _gateways_peer(request: Request) -> str | None:
    """Whom API Gateway heard from."""
    return (request.context.get("identity") or {}).get("sourceIp")


def _base(request: Request) -> str:
    """What stands before our own paths from outside: the stage on API Gateway, nothing locally (for ``Location``)."""
    path, ours = str(request.context.get("path", "")).rstrip("/"), request.path
    for name, value in (request.uri_params or {}).items():
        ours = ours.replace("{" + name + "}", value)
    return path.removesuffix(ours) if path.endswith(ours) else ""


def _handle(call: Call[Any, Any], found: Judgements) -> Reply:
    """Run a call; its answer has the warnings of policies."""
    reply = call.operation.handler(call)
    found.show_on(reply.body)
    return reply


def _run_once(call: Call[Any, Any], key: str, raw: bytes, handle: Callable[[], Reply]) -> Reply:
    """Run a creating call under its Idempotency-Key. The answer is kept as text, headers and all."""
    services = call.services
    now_ms = services.clock.now_ms()
    seed = f"{services.ids.ulid(now_ms)}@{now_ms}"

    first: list[Reply] = []

    def run(run: RepeatableCall) -> str:
        call.run = run
        reply = handle()
        first.append(reply)
        kept = reply if reply.kept_body is None else replace(reply, body=reply.kept_body)
        return json.dumps([reply.status, reply.headers, kept.text()])

    answer = idempotency.once(services, call.caller, key, _digest(call.operation, call.params, raw), seed, run)
    if not answer.replayed:
        return first[0]
    status, headers, text = json.loads(answer.text)
    headers["Idempotent-Replayed"] = "true"
    return Reply(status, text, headers)


def _digest(operation: Operation, params: Mapping[str, str], raw: bytes) -> str:
    """What a call asks, whatever the order and spacing of its JSON: route, parameters and body."""
    asked = [operation.method, operation.path, dict(params), msgspec.json.decode(raw) if raw else {}]
    return hashlib.sha256(msgspec.json.encode(asked, order="sorted")).hexdigest()


def _to_response(reply: Reply) -> Response:
    headers: dict[str, str | list[str]] = {**reply.headers}
    if reply.body is not None:
        headers["Content-Type"] = reply.content_type
    return Response(body=reply.text(), headers=headers, status_code=reply.status)
