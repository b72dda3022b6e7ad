"""Callers of several servers: they change schedules and executions at random, and remember what they were told."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from chalicelib.api.executions.schemas import of_execution
from chalicelib.api.schedules.schemas import of_schedule
from chalicelib.core.executions.execution import OPEN, RETRYABLE, ExecutionKey, parse_id
from chalicelib.core.schedules.schedule import Key, Schedule
from tests.e2e.dev_server import DevServer, wait_for
from tests.simulation.actors.clients import ACKNOWLEDGED, REFUSED, Operation
from tests.simulation.world import Record

TENANT = "default"
CREATED_WITHIN_S = 60.0
# What a change of a schedule looks like to a caller, and what it makes of the stored definition.
EDITS: tuple[tuple[Mapping[str, object], Mapping[str, object]], ...] = (
    ({"payload": "edited"}, {"payload": '"edited"'}),
    ({"sla_ms": 400}, {"sla_ms": 400}),
    ({"enabled": False}, {"active": False}),
    ({"enabled": True}, {"active": True}),
    ({"max_runs": 30}, {"max_runs": 30}),
)
KINDS = ("edit", "edit", "edit", "pause", "resume", "resume", "trigger", "retry", "retry", "cancel", "cancel", "delete")
BODIES: Mapping[str, object] = {
    "cancel": {"reason": "no longer wanted"},
    "complete": {"result": "done"},
    "fail": {"error": "did not work"},
}
WANTED = {"retry": RETRYABLE, "cancel": OPEN}
OF_THE_COURSE = (
    "next_run_unix_ms",
    "last_run_unix_ms",
    "run_count",
    "state",
)  # these go on while nobody changes a thing


class Callers:
    """A few callers at work; each call goes to one of the servers."""

    def __init__(self, servers: Sequence[DevServer], seed: int) -> None:
        self.operations: list[Operation] = []
        self.schedules: list[str] = []
        self._servers = servers
        self._random = random.Random(f"callers/{seed}")
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(4)

    def close(self) -> None:
        """Wait for the calls under way."""
        self._pool.shutdown()

    def create(self, body: Mapping[str, object]) -> None:
        """Create a schedule, asking again under one key until it is there."""
        with self._lock:
            key = f"schedule-{self._random.getrandbits(64)}"
        op = Operation("create", Key(TENANT, ""), {}, _now_ms())

        def ask() -> bool:
            found = self._call("POST", "/api/v1/schedules", body, {"Idempotency-Key": key})
            if found is None or found[0] >= 500 or found[1].get("code") == "idempotency_in_progress":
                time.sleep(0.3)
                return False
            assert found[0] == 201, found
            op.schedule, op.answer = Key(TENANT, found[1]["id"]), found[1]
            return True

        wait_for("a schedule to be created", ask, CREATED_WITHIN_S)
        op.outcome, op.ended_ms = ACKNOWLEDGED, _now_ms()
        with self._lock:
            self.operations.append(op)
            self.schedules.append(op.schedule.id)

    def act(self) -> None:
        """Have somebody do something with some schedule."""
        with self._lock:
            kind, schedule_id = self._random.choice(KINDS), self._random.choice(self.schedules)
            draw = self._random.random()
        self._pool.submit(self._act, kind, schedule_id, draw)

    def report(self, kind: str, execution_id: str, after_s: float) -> None:
        """``complete``, ``fail`` or ``heartbeat``, by whoever answered 202."""
        timer = threading.Timer(after_s, lambda: self._of_execution(kind, execution_id))
        timer.daemon = True
        timer.start()

    def change(self, kind: str, schedule_id: str) -> bool:
        """``pause`` or ``resume``; whether it was acknowledged."""
        path = f"/api/v1/schedules/{schedule_id}:{kind}"
        return self._ask(Operation(kind, Key(TENANT, schedule_id), {}, _now_ms()), "POST", path, {})

    def _act(self, kind: str, schedule_id: str, draw: float) -> None:
        path, key = f"/api/v1/schedules/{schedule_id}", Key(TENANT, schedule_id)
        if kind == "edit":
            body, fields = EDITS[int(draw * len(EDITS))]
            self._ask(Operation(kind, key, fields, _now_ms()), "PATCH", path, body)
        elif kind == "delete":
            if draw < 0.7:  # the others are to live
                self._ask(Operation(kind, key, {}, _now_ms()), "DELETE", path)
        elif kind == "trigger":
            self._ask(Operation(kind, key, {}, _now_ms()), "POST", f"{path}:trigger", {})
        elif kind in WANTED:
            self._on_some_execution(kind, path, draw)
        else:
            self.change(kind, schedule_id)

    def _on_some_execution(self, kind: str, path: str, draw: float) -> None:
        found = self._call("GET", f"{path}/executions?limit=100")
        if found is not None and found[0] == 200:
            ids = [item["id"] for item in found[1]["items"] if item["delivery_state"] in WANTED[kind]]
            if ids:
                self._of_execution(kind, ids[int(draw * len(ids))])

    def _of_execution(self, kind: str, execution_id: str) -> None:
        key = parse_id(TENANT, execution_id)
        assert key is not None
        op = Operation(kind, Key(TENANT, key.schedule_id), {}, _now_ms(), key)
        self._ask(op, "POST", f"/api/v1/executions/{execution_id}:{kind}", BODIES.get(kind, {}))

    def _ask(self, op: Operation, method: str, path: str, body: object = None) -> bool:
        with self._lock:
            self.operations.append(op)
        found = self._call(method, path, body)
        if found is None or found[0] >= 500:
            return False
        op.ended_ms = _now_ms()
        op.answer = found[1]
        op.outcome = ACKNOWLEDGED if found[0] < 300 else REFUSED
        op.error = found[1].get("code", "")
        return op.outcome == ACKNOWLEDGED

    def _call(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any] | None:
        """Some server's answer; None when there was none."""
        with self._lock:
            server = self._random.choice(self._servers)
        try:
            return server.call(method, path, body, headers)
        except (OSError, http.client.HTTPException, ValueError):
            return None


def settle_answers(record: Record, operations: Sequence[Operation]) -> list[str]:
    """Put the operations into the record, each with the stored thing that its answer showed; those that showed what was
    never stored."""
    problems = []
    for op in operations:
        shown = op.answer
        if op.outcome == ACKNOWLEDGED and op.kind != "delete":
            found = _stored(record, op)
            if found is None:
                problems.append(f"{op.kind} of {op.schedule.id} answered what was never stored: {json.dumps(shown)}")
                continue
            op = Operation(
                op.kind, op.schedule, op.fields, op.started_ms, op.execution, op.outcome, op.ended_ms, found, op.error
            )
        record.operations.append(op)
    return problems


def _stored(record: Record, op: Operation) -> object:
    if op.kind == "trigger":
        return _of_key(record, parse_id(TENANT, op.answer["execution_id"]))
    if op.execution is not None:
        for write in record.executions.get(op.execution, ()):
            if _plain(of_execution(write.record, with_answers=True)) == op.answer:
                return write.record
        return None
    for write in record.schedules.get(op.schedule, ()):
        if write.definition is not None and write.definition.version == op.answer["version"]:
            found = Schedule(write.definition, write.state)
            view = _plain(of_schedule(found, write.at_ms))
            same = all(view[name] == value for name, value in op.answer.items() if name not in OF_THE_COURSE)
            return found if same else None
    return None


def _of_key(record: Record, key: ExecutionKey | None) -> object:
    writes = record.executions.get(key, ()) if key is not None else ()
    return writes[0].record if writes else None


def _plain(view: object) -> Any:
    return json.loads(msgspec.json.encode(view))


def _now_ms() -> int:
    return int(time.time() * 1000)
