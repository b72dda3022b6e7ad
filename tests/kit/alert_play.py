"""A deployment in memory with monitors and notification rules, whose alerts run in virtual time; its store may fail."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec

from chalicelib.core.errors import NotFound, OutcomeUnknown, Unavailable
from chalicelib.core.notices.rule import Signal
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.engine import notices as engine_notices
from chalicelib.ports.services import Services
from chalicelib.usecases import heartbeats, notices
from chalicelib.usecases.heartbeats import MonitorWish
from chalicelib.usecases.notices import RuleWish
from tests.kit.workflow_play import FakeTarget, Play

TENANT = ANONYMOUS_ADMIN.tenant


class FailingAlerts:
    """A store of alerts whose n-th call from now on fails: before it does anything, or after."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.calls = 0
        self.fails_at: int | None = None
        self.after = False

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method: Callable[..., Any] = getattr(self._inner, name)

        def call(*given: Any) -> Any:
            self.calls += 1
            if self.calls != self.fails_at:
                return method(*given)
            if self.after and name in ("save", "delete"):
                method(*given)
                raise OutcomeUnknown("no answer")
            raise Unavailable("away")

        return call


class AlertPlay(Play):
    """``Play`` with a bus, and calls to what alerts are for."""

    def __init__(self, s: Services | None = None) -> None:
        super().__init__(s)
        self.bus = FakeTarget()
        self.store = FailingAlerts(self.s.stores.alerts)
        stores = msgspec.structs.replace(self.s.stores, alerts=self.store)
        self.s = msgspec.structs.replace(self.s, stores=stores, targets={**self.s.targets, "eventbridge": self.bus})

    def monitor(self, expr: str = "rate:10s", grace_ms: int = 5_000) -> Any:
        s = self.s
        wish = MonitorWish(name="backup", type="RATE", expr=expr, grace_ms=grace_ms, tags=("nightly",))
        return heartbeats.create(s, ANONYMOUS_ADMIN, wish, s.ids.ulid(s.clock.now_ms()))

    def rule(self, **fields: Any) -> Any:
        s = self.s
        channels = tuple({"type": "webhook", "url": f"https://{name}.example/"} for name in "ab")
        wish = {"name": "on call", "when": ("failed", "recovered"), "channels": channels, **fields}
        return notices.create(s, ANONYMOUS_ADMIN, RuleWish(**wish), s.ids.ulid(s.clock.now_ms()))

    def signal(self, signal: Signal) -> None:
        engine_notices.signal(self.s, TENANT, [signal])

    def ping(self, token: str, signal: str = "") -> bool:
        """Whether the ping was acknowledged."""
        try:
            heartbeats.ping(self.s, token, signal, "")
        except (Unavailable, NotFound):
            return False
        return True

    @property
    def events(self) -> list[tuple[str, str]]:
        """Ids and states of the events on the bus."""
        found = [json.loads(delivery.event) for delivery in self.bus.got]
        return [(event["id"], event["data"]["state"]) for event in found]

    @property
    def messages(self) -> list[tuple[str, str, str]]:
        """Keys, hosts and kinds of the webhooks that were sent."""
        return [(d.execution_id, str(d.target["url"])[8], json.loads(d.event)["data"]["kind"]) for d in self.target.got]
