"""A deployment in memory whose workflows run in virtual time: hints are received, the minute rule calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from chalicelib.adapters.memory.machine import MemoryQueue
from chalicelib.adapters.workflows.cel_expressions import CelExpressions
from chalicelib.adapters.workflows.sandboxed_scripts import SandboxedScripts
from chalicelib.core.security.caller import ANONYMOUS_ADMIN, Caller
from chalicelib.core.workflows.run_state import RunState
from chalicelib.engine.workflows.run_access import load
from chalicelib.ports.services import Services
from chalicelib.ports.target import Delivery, Outcome
from chalicelib.ports.workflow_steps import HttpReply, HttpRequest, WorkflowParts
from chalicelib.usecases import runs, workflows
from chalicelib.workers import workflow
from tests.kit.services import make_services

ROUNDS_MAX = 20_000


class FakeCalls:
    """Answers calls by URL, and remembers their keys."""

    def __init__(self) -> None:
        self.asked: list[HttpRequest] = []
        self.answers: dict[str, Callable[[HttpRequest], HttpReply]] = {}

    def call(self, request: HttpRequest) -> HttpReply:
        self.asked.append(request)
        answer = self.answers.get(request.url)
        return (
            HttpReply(200, {"content-type": "application/json"}, b'{"ok": true}') if answer is None else answer(request)
        )

    @property
    def keys(self) -> list[str]:
        return [request.key for request in self.asked]


class FakeTarget:
    """A kind of target that answers as told."""

    max_batch = 1

    def __init__(self) -> None:
        self.got: list[Delivery] = []
        self.outcome = Outcome("completed", 200)

    def prepare(self, delivery: Delivery) -> None:
        return

    def dispatch(self, deliveries: Any) -> list[Outcome]:
        self.got += deliveries
        return [self.outcome for _ in deliveries]

    def cancel(self, execution_id: str, attempt: int) -> bool:
        return False


class Play:
    """The deployment. ``settle`` lets everything happen that is due, ``until`` lets time pass."""

    def __init__(self, s: Services | None = None) -> None:
        base = s or make_services()
        self.queue = MemoryQueue(base.clock.now_ms)
        self.calls, self.target = FakeCalls(), FakeTarget()
        self.s = msgspec.structs.replace(
            base,
            workflows=WorkflowParts(self.queue, CelExpressions(), self.calls, SandboxedScripts()),
            targets={"webhook": self.target, "log": self.target},
        )
        self.next_minute_ms = base.clock.now_ms() + 60_000

    def publish(self, name: str, nodes: list[dict[str, Any]], edges: list[Any], **more: Any) -> None:
        document = {
            "name": name,
            "nodes": nodes,
            "edges": [
                e if isinstance(e, dict) else {"from": e[0], "to": e[1], **(e[2] if len(e) > 2 else {})} for e in edges
            ],
            **more,
        }
        workflows.create(self.s, ANONYMOUS_ADMIN, document)

    def start(self, name: str, given: Any = None, caller: Caller = ANONYMOUS_ADMIN, **how: Any) -> str:
        return runs.start(self.s, caller, name, given, **how)

    def settle(self) -> None:
        """Handle what is visible until nothing is."""
        for _ in range(ROUNDS_MAX):
            batch = self.queue.receive(10)
            if not batch:
                return
            again = workflow.run(self.s, batch)
            for incoming in batch:
                if incoming.receipt not in again:
                    self.queue.delete(incoming.receipt)
        raise AssertionError("it never settles")

    def until(self, unix_ms: int) -> None:
        """Let time pass: messages come in time, and the minute rule calls."""
        clock = self.s.clock
        while True:
            self.settle()
            visible = self.queue.next_visible_ms()
            nxt = min(unix_ms, self.next_minute_ms, unix_ms if visible is None else max(visible, clock.now_ms()))
            clock.sleep_until(nxt)
            if clock.now_ms() >= self.next_minute_ms:
                workflow.reconcile(self.s)
                self.next_minute_ms += 60_000
            if clock.now_ms() >= unix_ms:
                self.settle()
                return

    def advance(self, ms: int) -> None:
        self.until(self.s.clock.now_ms() + ms)

    def state(self, run_id: str) -> RunState:
        return load(self.s, "default", run_id).state

    def statuses(self, run_id: str) -> dict[str, str]:
        return {name: node.status for name, node in self.state(run_id).nodes.items()}

    def shown(self, run_id: str) -> runs.ShownRun:
        return runs.get(self.s, ANONYMOUS_ADMIN, run_id)
