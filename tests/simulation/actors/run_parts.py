"""What steps of workflows meet outside: calls, targets, expressions and scripts, each with a temper of the plan."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from zlib import crc32

from chalicelib.ports.target import Delivery, Outcome
from chalicelib.ports.workflow_steps import HttpReply, HttpRequest, StepFailed
from tests.simulation.actors.run_tables import Effect, RunRecord
from tests.simulation.actors.tables import Gate
from tests.simulation.workflow_plan import PAD

PICKY_ABOVE = 2  # what is picky refuses items from here on
FLAKY_ATTEMPTS = 2  # so many attempts fail


class Outside:
    """``ports.workflow_steps.HttpCalls``, and the kind of target ``webhook``."""

    max_batch = 1

    def __init__(self, gate: Gate, record: RunRecord, tempers: Mapping[str, str], large: frozenset[str]) -> None:
        self._gate = gate
        self._record = record
        self._tempers = tempers
        self._large = large

    def call(self, request: HttpRequest) -> HttpReply:
        node = request.url.removeprefix("https://out.example/").partition("/")[0]
        mended = request.url.endswith("/mended")
        temper = "ok" if mended else self._tempers[node]
        fault = self._gate.enter("dispatch")
        effect = self._begin(request.key, node, request.attempt)
        takes_ms = self._takes_ms(temper, request.key, request.attempt)
        self._gate.world.pause(min(takes_ms, request.timeout_ms))
        effect.ended_ms = self._gate.world.now
        if takes_ms > request.timeout_ms:
            effect.said = "timeout"
            self._gate.leave(fault)
            raise StepFailed("timeout", "no answer in time", retryable=True)
        status = self._status(temper, request.key, request.attempt)
        effect.said = str(status)
        self._gate.leave(fault)
        said = {"key": request.key, **({"pad": PAD} if node in self._large else {})}
        return HttpReply(status, {"content-type": "application/json"}, json.dumps(said).encode())

    def _begin(self, key: str, node: str, attempt: int) -> Effect:
        world = self._gate.world
        claim = self._record.claims.get(world.current)
        effect = Effect(key, node, attempt, world.now, world.current.instance, claim)
        self._record.effects.append(effect)
        if claim is not None and world.now - claim.at_ms > 5_000:
            world.hit("claim: answered too late")
        if world.told is not None:
            world.tell("outside", f"{world.current.instance.name} calls {node}, key {key}, attempt {attempt}")
        return effect

    def _takes_ms(self, temper: str, key: str, attempt: int) -> int:
        draw = crc32(f"takes/{self._gate.world.seed}/{key}/{attempt}".encode())
        if temper == "hang":
            return 120_000
        return 5_500 + draw % 4_000 if temper == "slow" else draw % 60

    def _status(self, temper: str, key: str, attempt: int) -> int:
        if temper == "picky":
            return 400 if int(key.split("/")[2].partition("#")[0]) >= PICKY_ABOVE else 200
        if temper == "flaky":
            return 503 if attempt <= FLAKY_ATTEMPTS else 200
        return {"refuse": 400, "down": 500}.get(temper, 200)

    # -- as a target

    def prepare(self, delivery: Delivery) -> None:
        return

    def cancel(self, execution_id: str, attempt: int) -> bool:
        return False

    def dispatch(self, deliveries: Sequence[Delivery]) -> list[Outcome]:
        [delivery] = deliveries
        node = str(delivery.target["url"]).rpartition("/")[2]
        fault = self._gate.enter("dispatch")
        effect = self._begin(delivery.execution_id, node, delivery.attempt)
        self._gate.world.pause(self._takes_ms("ok", delivery.execution_id, delivery.attempt))
        effect.ended_ms = self._gate.world.now
        outcome = {
            "async": Outcome("accepted", 202),
            "refuse": Outcome("failed", 400, "rejected", "refused", permanent=True),
        }.get(self._tempers[node], Outcome("completed", 200))
        effect.said = outcome.kind
        self._gate.leave(fault)
        return [outcome]


class RunBus:
    """The bus that hears of runs that are late: ``heard`` are run, node and instant."""

    max_batch = 10

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.heard: list[tuple[str, str, int]] = []

    def prepare(self, delivery: Delivery) -> None:
        return

    def cancel(self, execution_id: str, attempt: int) -> bool:
        return False

    def dispatch(self, deliveries: Sequence[Delivery]) -> list[Outcome]:
        fault = self._gate.enter("dispatch")
        for delivery in deliveries:
            run_id, _, _ = delivery.execution_id.rpartition("-")[0].rpartition("-")
            said = json.loads(delivery.event)["data"]
            name = said["node"] or ""
            self.heard.append((run_id.removesuffix(f"/{name}") if name else run_id, name, said["due_unix_ms"]))
            self._gate.world.hit("sla: announced")
        self._gate.leave(fault)
        return [Outcome("completed", 200) for _ in deliveries]


class Paths:
    """``ports.workflow_steps.Expressions`` of names with dots: what CEL does is not judged here."""

    def check(self, text: str, names: Mapping[str, str]) -> str | None:
        return None

    def evaluate(self, text: str, values: Mapping[str, Any]) -> Any:
        found: Any = values
        for name in text.split("."):
            if name not in found:
                raise StepFailed("expression_error", f"no such key: {name}")
            found = found[name]
        return found


class Echo:
    """``ports.workflow_steps.Scripts`` that give back what they are given."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def check(self, language: str, code: str) -> str | None:
        return None

    def run(self, language: str, code: str, value: Any, timeout_ms: int) -> Any:
        self._gate.world.latency()
        return value
