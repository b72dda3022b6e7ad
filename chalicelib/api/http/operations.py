"""What the API offers, as a table: routing, validation, 405s and the OpenAPI document are all read off it.

API Gateway knows path parts that are one whole ``{name}`` only. So the route ``/{schedule_ref}`` serves
``/{schedule_id}:pause``, and what follows the last colon names the verb.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct, field

from chalicelib.api.http.problem import Reply, decode_path, if_match
from chalicelib.api.http.requests import Body, Paged, Query, given
from chalicelib.core import page_token
from chalicelib.core.errors import MethodNotAllowed, NotFound
from chalicelib.core.security.caller import Caller
from chalicelib.core.security.permissions import Permission
from chalicelib.ports.services import Services
from chalicelib.usecases.idempotency import RepeatableCall

B_co = TypeVar("B_co", bound=msgspec.Struct, covariant=True)
Q_co = TypeVar("Q_co", bound=msgspec.Struct, covariant=True)

_PARAMETER = re.compile(r"\{(\w+?)_id\}")
_VERB = re.compile(r"(?<=\}):([\w-]+)$")


class Call(Struct, Generic[B_co, Q_co]):
    """One request to one operation, read and validated. ``run`` is set under an Idempotency-Key.

    ``base`` is what stands before our paths in the URL that the caller used. ``raw`` is the body as it came.
    """

    services: Services
    caller: Caller
    trace_id: str
    page_secret: Callable[[], str]
    operation: Operation
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: B_co
    query: Q_co
    base: str = ""
    run: RepeatableCall | None = None
    raw: bytes = b""

    @property
    def versions(self) -> list[str] | None:
        """What If-Match allows; None: it is not there. `*` allows any version of what exists."""
        return if_match(self.headers.get("if-match"))

    @property
    def is_repeat(self) -> bool:
        """Whether an earlier run under the same Idempotency-Key may have made what this one makes."""
        return self.run is not None and self.run.again

    def new_id(self) -> str:
        """The id of what the call makes: under an Idempotency-Key the one that each run of the call gets."""
        if self.run is not None:
            return self.run.seed.partition("@")[0]
        return self.services.ids.ulid(self.services.clock.now_ms())

    def after(self, query: Paged) -> str | None:
        """The position that the page token holds. Raises BadRequest (``bad_page_token``)."""
        token = given(query.page_token)
        return None if token is None else page_token.unseal(self.page_secret(), self._scope(), token)

    def page(self, items: list[Any], after: str | None) -> Reply:
        """One page of a list, with the token of the next."""
        return Reply(200, {"items": items, "next_page_token": self.token(after)})

    def token(self, after: str | None) -> str | None:
        """The page token of a position."""
        return None if after is None else page_token.seal(self.page_secret(), self._scope(), after)

    def _scope(self) -> str:
        """Tenant, caller, list and filters: a token is good for these only. The page's size may change."""
        names = (n for n in self.query.__struct_fields__ if n not in ("limit", "page_token"))
        filters = {n: v for n in names if (v := getattr(self.query, n)) is not msgspec.UNSET}
        scope = [self.caller.tenant, self.caller.subject, self.operation.path, dict(self.params), filters]
        return msgspec.json.encode(scope, order="sorted").decode()


Handler = Callable[[Any], Reply]


class Operation(Struct, frozen=True, kw_only=True):
    """One call of the API. ``answers`` maps success statuses to the model of their body (None: no body, str: text).

    ``creates``: takes an Idempotency-Key. ``guarded``: honours If-Match. ``yaml``: takes YAML too.
    ``open_ended``: the last parameter of the path may hold slashes, plain or encoded.
    ``open_to_all``: no credentials are asked for, and no permission. ``body_list``: the body is a JSON array, which the
    model holds in this field.
    ``permission``: what the caller's roles must grant; the use case judges whose things they are.
    ``any_body_bytes``: a body of any type is taken as the field ``text``, so much of it.
    ``ops``: CHRONO_PUBLIC_OPS opens it to callers without credentials.
    ``free``: no quota counts it.
    ``held``: may be held open for seconds, so that a server runs it where it keeps no other call waiting.
    ``sensitive``: shows so much at once that the audit records it, though it changes nothing.
    ``harmless``: changes nothing, though it takes the permission to.
    ``records_itself``: its use case enters it in the audit, in words of its own.
    ``any_json``: the body is any JSON, which the handler reads from ``raw``; ``body`` is for the document alone.
    ``deep``: takes webhooks of this service itself, since what they lead to is bounded by a depth of its own.
    ``errors``: problem statuses of its own, beside those that every call can meet.
    """

    method: str
    path: str
    summary: str
    tag: str
    permission: Permission
    handler: Handler
    answers: Mapping[int, Any]
    body: type[msgspec.Struct] = Body
    query: type[msgspec.Struct] = Query
    errors: tuple[int, ...] = ()
    creates: bool = False
    guarded: bool = False
    free: bool = False
    yaml: bool = False
    open_ended: bool = False
    open_to_all: bool = False
    any_body_bytes: int = 0
    body_list: str = ""
    ops: bool = False
    held: bool = False
    sensitive: bool = False
    harmless: bool = False
    records_itself: bool = False
    any_json: bool = False
    deep: bool = False
    description: str = ""
    example: Any = None
    answer_headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def route(self) -> str:
        """The path as API Gateway and Chalice know it: one name for one place, no verb behind it."""
        return _PARAMETER.sub(r"{\1_ref}", _VERB.sub("", self.path))

    @property
    def verb(self) -> str:
        """What follows the last colon of a reference; empty when nothing does."""
        found = _VERB.search(self.path)
        return found[1] if found else ""

    @property
    def takes_body(self) -> bool:
        return self.method in ("POST", "PATCH", "PUT") and not self.any_body_bytes


class Table:
    """All operations, by route, verb and method."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self.operations = tuple(operations)
        self._open = tuple((op.route[: op.route.rindex("{")], op.route) for op in self.operations if op.open_ended)
        self.by_path = {(op.method, op.path): op for op in self.operations}
        self._by_route: dict[str, dict[str, dict[str, Operation]]] = {}
        for operation in self.operations:
            verbs = self._by_route.setdefault(operation.route, {})
            methods = verbs.setdefault(operation.verb, {})
            assert operation.method not in methods, f"{operation.method} {operation.path} is there twice"
            methods[operation.method] = operation

    def held(self) -> frozenset[tuple[str, str]]:
        """Methods and paths of the calls that may be held open; their paths have no parameters."""
        return frozenset((op.method, op.path) for op in self.operations if op.held)

    def at(self, method: str, path: str) -> Operation | None:
        """The operation of a method and a path as the table spells it."""
        return self.by_path.get((method, path))

    def routes(self) -> Iterable[tuple[str, list[str]]]:
        """Each route with the methods that any verb of it answers."""
        for route, verbs in self._by_route.items():
            yield route, sorted({method for methods in verbs.values() for method in methods})

    def open_route(self, path: str) -> tuple[str, str, str] | None:
        """Of a path that goes on where a route's last parameter may hold slashes: what comes before that parameter, the
        parameter, and the route."""
        for prefix, route in self._open:
            if path.startswith(prefix) and "/" in path[len(prefix) :]:
                return prefix, path[len(prefix) :], route
        return None

    def find(self, method: str, route: str, raw_params: Mapping[str, str]) -> tuple[Operation, dict[str, str]]:
        """The operation of a request and its decoded parameters. Raises NotFound, MethodNotAllowed, BadRequest."""
        methods, params = self.methods(route, raw_params)
        if method not in methods:
            raise MethodNotAllowed(sorted(methods))
        return methods[method], params

    def methods(self, route: str, raw_params: Mapping[str, str]) -> tuple[Mapping[str, Operation], dict[str, str]]:
        """The operations of one path by method, and its decoded parameters. Raises NotFound, BadRequest."""
        verbs = self._by_route.get(route, {})
        params = {name.removesuffix("_ref"): decode_path(value) for name, value in raw_params.items()}
        verb = _split_verb(route, params) if any(verbs) else ""
        if verb not in verbs or not all(params.values()):
            raise NotFound("there is no such route")
        return verbs[verb], params


def _split_verb(route: str, params: dict[str, str]) -> str:
    """Take the verb off the last parameter of ``route``."""
    name = route[route.rindex("{") + 1 : -1].removesuffix("_ref")
    reference, colon, verb = params[name].rpartition(":")
    if not colon:
        return ""
    params[name] = reference
    return verb or colon  # a colon with nothing behind it is no verb, and not the resource either
