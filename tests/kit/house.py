"""The API as a caller meets it: the real application behind the real edge, over the memory adapter."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from chalicelib.adapters.identity import chain
from chalicelib.api.http import app, edge
from chalicelib.api.http.operations import Table
from chalicelib.api.http.routes import table
from chalicelib.core.executions.execution import Execution
from chalicelib.core.executions.journal import AttemptResult, accepted, claim, finish
from chalicelib.core.schedules.schedule import RetryPolicy
from chalicelib.core.security.source import Network
from chalicelib.core.targets import target_answer
from chalicelib.core.telemetry.telemetry_settings import TelemetrySettings
from chalicelib.ports.identity import Authenticator
from chalicelib.ports.services import Services
from tests.kit.machine import MovableClock
from tests.kit.services import make_services

RATE: dict[str, Any] = {"type": "RATE", "expr": "rate:5s"}


@dataclass
class Answer:
    """One answer, taken apart. ``json`` fails for a body that is none."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of a problem, after checking that it is one."""
        assert self.headers["Content-Type"] == "application/problem+json", self.body
        assert self.json["status"] == self.status
        return str(self.json["code"])

    @property
    def fields(self) -> list[str]:
        """The wrong fields that a 422 names."""
        assert self.status == 422, self.body
        return [error["field"] for error in self.json["errors"]]


@dataclass
class TestSettings:
    """What the API asks of the settings."""

    __test__ = False
    trusted_proxies: tuple[Network, ...] = ()
    public_ops: bool = False
    own_api: bool = False
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)
    secret: str = field(default="0123456789abcdef0123456789abcdef", repr=False)

    def required_page_token_secret(self) -> str:
        return self.secret


class House:
    """A deployment in memory, and callers' hands on it. ``operations``: other calls than the service's own."""

    def __init__(self, operations: Table | None = None) -> None:
        self.services: Services = make_services()
        self.settings = TestSettings()
        self.authenticator: Authenticator = chain.Open()
        self.app = app.build(
            "chronowatch",
            operations or table(),
            lambda: self.services,
            lambda: self.settings,
            lambda: self.authenticator,
        )
        self.edge = edge.Edge(self.app)

    @property
    def clock(self) -> MovableClock:
        assert isinstance(self.services.clock, MovableClock)
        return self.services.clock

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        raw: bytes | None = None,
        query: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        sent = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        known = {"content-type": "application/json"} if sent else {}
        known.update((name.lower(), value) for name, value in (headers or {}).items())
        status, answered, text = self.edge.handle(method, path, query, known, sent)
        answer = Answer(status, answered, text)
        assert answer.headers["traceparent"]
        assert answer.headers["X-Chrono-HLC"]
        return answer

    def make(self, **changes: Any) -> dict[str, Any]:
        """A schedule that exists."""
        answer = self.call("POST", "/api/v1/schedules", RATE | changes)
        assert answer.status == 201, answer.body
        made: dict[str, Any] = answer.json
        return made

    def fire(self, **changes: Any) -> str:
        """The id of a pending execution."""
        schedule_id = self.make(**changes)["id"]
        answer = self.call("POST", f"/api/v1/schedules/{schedule_id}:trigger")
        assert answer.status == 202, answer.body
        return str(answer.json["execution_id"])

    def execution(self, execution_id: str) -> Execution:
        [found] = [e for e in self.all_executions() if e.id == execution_id]
        return found

    def all_executions(self) -> list[Execution]:
        found = self.services.stores.executions.recent(
            "default", range(self.services.config.shards), 0, 1 << 50, 100, None
        )
        return list(self.services.stores.executions.get(found.keys).values())

    def accept(self, execution_id: str) -> None:
        """As if the target had answered 202 with X-Chrono-Async."""
        was = self.execution(execution_id)
        now_ms = self.clock.now_ms()
        running = accepted(claim(was, "worker", 1, now_ms), now_ms, now_ms + 60_000)
        assert self.services.stores.executions.update([(running, was.rev)]) == [True]

    def end(self, execution_id: str, outcome: str) -> None:
        """As if a worker had delivered it once, without retry."""
        was = self.execution(execution_id)
        now_ms = self.clock.now_ms()
        result = AttemptResult(outcome, error_type="http_error", error="HTTP 500", http_status=500, permanent=True)
        result = replace(result, answer=target_answer.keep({"content-type": "text/plain"}, b"out of order"))
        if outcome == "completed":
            result = AttemptResult(outcome, http_status=200)
        ended = finish(claim(was, "worker", 1, now_ms), result, RetryPolicy(), now_ms, now_ms)
        assert self.services.stores.executions.update([(ended, was.rev)]) == [True]
