"""Clients: they create, edit, pause, trigger, retry, cancel, report and so on, and remember what they were told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from chalicelib.core.errors import ChronoError, Unavailable
from chalicelib.core.executions.execution import OPEN, RETRYABLE, ExecutionKey
from chalicelib.core.schedules.request import ScheduleRequest
from chalicelib.core.schedules.schedule import Key
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.usecases import backfill, executions, queues, schedules
from tests.simulation import claims
from tests.simulation.actors import freezer
from tests.simulation.scenario import PlannedOp, PlannedSchedule, Scenario
from tests.simulation.world import World

ACKNOWLEDGED, REFUSED, UNKNOWN = "acknowledged", "refused", "unknown"
CALLER = ANONYMOUS_ADMIN
REPEATS_MAX = 3
PATIENCE_MS = 60_000
RESTS_MS = (40, 700, 2_500, 9_000, 30_000, 80_000)
API_LIMIT_MS = 29_000  # the time limits of the functions, as .chalice/config.json sets them


@dataclass(slots=True)
class Operation:
    """One call of the API as its client knows it. Without an answer its outcome is unknown."""

    kind: str
    schedule: Key
    fields: Any
    started_ms: int
    execution: ExecutionKey | None = None
    outcome: str = UNKNOWN
    ended_ms: int | None = None
    answer: Any = None
    error: str = ""


class Clients:
    """Everybody who calls the API."""

    def __init__(self, world: World, fleet: Any, scenario: Scenario, left_out: frozenset[str]) -> None:
        self._world = world
        self._fleet = fleet
        for planned in scenario.schedules:
            if f"schedule {planned.number}" in left_out:
                continue
            world.call_at(planned.at_ms, self._creation(planned))
        for op in scenario.ops:
            if f"op {op.number}" not in left_out:
                world.call_at(op.at_ms, self._planned(op))

    # -- the plan

    def _creation(self, planned: PlannedSchedule) -> Callable[[], None]:
        def act(times: int = 0) -> None:
            fields = dict(planned.fields)
            done = self._again(act, times)
            self.call(
                "create",
                Key("default", planned.id),
                fields,
                lambda s: schedules.create(s, CALLER, ScheduleRequest(**fields), planned.id),
                done,
                must=True,
            )

        return act

    def _again(self, act: Callable[[int], None], times: int) -> Callable[[Operation], None]:
        """Clients repeat a call that got no answer, as HTTP clients do on 503."""

        def done(op: Operation) -> None:
            if op.outcome == UNKNOWN and times < REPEATS_MAX and not self._world.faults.over:
                self._world.call_at(self._world.now + 1_500, lambda: act(times + 1))

        return done

    def _planned(self, op: PlannedOp) -> Callable[[], None]:
        def act(times: int = 0) -> None:
            if self._world.told is not None and not times:
                self._world.tell("client", str(op))
            self._act(op, self._again(act, times))

        return act

    def _act(self, op: PlannedOp, done: Callable[[Operation], None]) -> None:
        key = Key("default", op.schedule.id)
        name = op.schedule.id
        fields = dict(op.fields)
        kind = op.kind
        if kind == "edit":
            self.call(
                "edit", key, fields, lambda s: schedules.edit(s, CALLER, name, ScheduleRequest(**fields), None), done
            )
        elif kind == "pause":
            self.pause(key, done, rest_ms=_rest_ms(op.draw))
        elif kind == "resume":
            self.call("resume", key, {}, lambda s: schedules.resume(s, CALLER, name, None), done)
        elif kind == "delete":
            self.call("delete", key, {}, lambda s: schedules.delete(s, CALLER, name, None), done)
        elif kind == "trigger":
            self.call("trigger", key, {}, lambda s: schedules.trigger(s, CALLER, name, None, None), done)
        elif kind == "backfill":
            from_ms, to_ms = fields["from_ms"], fields["to_ms"]
            self.call("backfill", key, fields, lambda s: backfill.backfill(s, CALLER, name, from_ms, to_ms), done)
        elif kind == "queue_pause":
            self.call("queue_pause", key, {}, lambda s: queues.pause(s, CALLER), done)
        elif kind == "queue_resume":
            self.resume_queue(key, done)
        elif kind == freezer.FREEZE:
            self.call(kind, key, {}, freezer.freeze, done)
        elif kind == freezer.THAW:
            self.call(kind, key, {}, freezer.thaw, done)
        elif kind == "burst":
            self._burst(op, key)
        else:
            self._on_execution(op, key, done)

    def _burst(self, op: PlannedOp, key: Key) -> None:
        for number in range(10):
            fields = {"payload": f'"burst {number}"'}
            self._world.call_at(
                self._world.now + number * 300,
                lambda fields=fields: self.call(  # type: ignore[misc]
                    "edit", key, fields, lambda s: schedules.edit(s, CALLER, key.id, ScheduleRequest(**fields), None)
                ),
            )

    def _on_execution(self, op: PlannedOp, key: Key, done: Callable[[Operation], None]) -> None:
        wanted = {"retry": RETRYABLE, "cancel": OPEN, "report": OPEN}[op.kind]
        known = [
            k
            for k, writes in self._world.record.executions.items()
            if k.schedule_id == key.id and writes[-1].record.state in wanted
        ]
        if wanted is OPEN:
            known += claims.unwritten(self._world.record, key)
        if not known:
            self._look_again(op, key, done)
            return
        chosen = known[int(op.draw * len(known))]
        self._execution_call(op.kind if op.kind != "report" else "complete", chosen, done)

    def _look_again(self, op: PlannedOp, key: Key, done: Callable[[Operation], None]) -> None:
        """Nothing to act on yet: somebody who wants to retry or cancel looks again soon."""
        world = self._world
        if world.now < op.at_ms + PATIENCE_MS and not world.resting:
            world.call_at(world.now + 150 + int(op.draw * 900), lambda: self._on_execution(op, key, done))

    def _execution_call(self, kind: str, key: ExecutionKey, done: Callable[[Operation], None] | None = None) -> None:
        name = key.id
        calls: dict[str, Callable[[Any], Any]] = {
            "retry": lambda s: executions.retry(s, CALLER, name),
            "cancel": lambda s: executions.cancel(s, CALLER, name, "no longer wanted"),
            "complete": lambda s: executions.complete(s, CALLER, name, '"done"'),
            "fail": lambda s: executions.fail(s, CALLER, name, "did not work"),
            "heartbeat": lambda s: executions.heartbeat(s, CALLER, name),
        }
        self.call(kind, Key("default", key.schedule_id), {}, calls[kind], done, execution=key)

    # -- calls

    def resume_queue(self, key: Key, done: Callable[[Operation], None] | None = None, must: bool = False) -> None:
        """Resume the tenant's queue."""
        self.call("queue_resume", key, {}, lambda s: queues.resume(s, CALLER), done, must=must)

    def pause(
        self,
        key: Key,
        done: Callable[[Operation], None] | None = None,
        must: bool = False,
        rest_ms: int | None = None,
    ) -> None:
        """Pause a schedule, for good or for so long."""
        until_ms = None if rest_ms is None else self._world.now + rest_ms
        if until_ms is not None:
            self._world.hit("change:paused until an instant")
        fields = {"active": until_ms is not None, "paused_until_ms": until_ms}
        self.call(
            "pause", key, fields, lambda s: schedules.pause(s, CALLER, key.id, None, None, until_ms), done, must=must
        )

    def call(
        self,
        kind: str,
        key: Key,
        fields: Any,
        use_case: Callable[[Any], Any],
        done: Callable[[Operation], None] | None = None,
        execution: ExecutionKey | None = None,
        must: bool = False,
    ) -> None:
        """Call the API on some instance. ``must``: come again while no instance answers."""
        world = self._world
        instance = self._fleet.any_alive()
        if instance is None:
            if must:
                world.call_at(world.now + 1_000, lambda: self.call(kind, key, fields, use_case, done, execution, must))
            return
        op = Operation(kind, key, fields, world.now, execution)
        world.record.operations.append(op)

        def work() -> None:
            try:
                op.answer = use_case(instance.services)
                op.outcome = ACKNOWLEDGED
            except Unavailable as error:
                op.error = error.code
            except ChronoError as error:
                op.outcome = REFUSED
                op.error = error.code
            op.ended_ms = world.now
            world.hit(f"client:{kind} {op.outcome}")
            if world.told is not None:
                world.tell("client", f"{kind} …{key.id[-4:]}: {op.outcome} {op.error}")
            if done is not None:
                done(op)

        job = world.invoke(instance, work, API_LIMIT_MS, op=op)
        if world.told is not None:
            world.tell(job.instance.name, f"API {kind} …{key.id[-4:]}")

    def will_report(self, execution_id: str, attempt: int, kind: str, key: ExecutionKey) -> None:
        """A target that answered 202 comes back later (or never)."""
        draw = crc32(f"report/{self._world.seed}/{execution_id}/{attempt}".encode())
        first_ms = self._world.now + 20 + draw % 6_000
        if kind == "accept_complete":
            self._world.call_at(first_ms, lambda: self._execution_call("complete", key))
        elif kind == "accept_fail":
            self._world.call_at(first_ms, lambda: self._execution_call("fail", key))
        elif kind == "accept_beat":
            self._world.call_at(first_ms, lambda: self._execution_call("heartbeat", key))
            self._world.call_at(first_ms + 2_500, lambda: self._execution_call("complete", key))


def _rest_ms(draw: float) -> int | None:
    """How long a pause lasts that ends by itself: one of two does."""
    number = int(draw * len(RESTS_MS) * 2)
    return RESTS_MS[number] if number < len(RESTS_MS) else None
