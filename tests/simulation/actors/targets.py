"""Targets: quick, slow, failing, timing out, answering 202 and reporting later (or never), gone for good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from zlib import crc32

from chalicelib.core.executions.execution import parse_id
from chalicelib.core.targets.registry import destination_of
from chalicelib.ports.target import Delivery, Outcome
from tests.simulation.actors.tables import Gate
from tests.simulation.world import Dispatch, Job, Told

# What a target does with a delivery, by the temper of its schedule; drawn from the execution id and attempt, so that
# leaving out a fault does not change what other deliveries meet.
TEMPERS: dict[str, tuple[str, ...]] = {
    "good": ("ok",),
    "slow": ("ok", "slow", "slow", "very_slow"),
    "flaky": ("ok", "error", "error", "later", "ok"),
    "broken": ("error",),
    "mute": ("hang", "ok"),
    "async": ("accept_complete", "accept_fail", "accept_never", "accept_beat", "ok"),
    "gone": ("ok", "ok", "ok", "ok", "gone"),
    "steady": ("steady",),
    "sour": ("slow_error", "slow_error", "slow_error", "error", "ok"),
    "mixed": ("ok", "ok", "ok", "slow", "error", "hang", "accept_complete", "accept_never", "later", "refused"),
}


def temper_of(target: Mapping[str, object]) -> str:
    """The temper is hidden where the product does not look: in the name of the bus or the last part of the URL."""
    return str(target.get("bus") or target["url"]).rpartition("/")[2]


class Targets:
    """All kinds of target in one: one instance for each value of ``max_batch``."""

    def __init__(self, gate: Gate, max_batch: int, reporter: Any) -> None:
        self.max_batch = max_batch
        self._gate = gate
        self._reporter = reporter  # plays the callers that answered 202
        self._flying: dict[tuple[str, int], Job] = {}
        self._cut: set[tuple[str, int]] = set()

    def prepare(self, delivery: Delivery) -> None:
        self._gate.enter("prepare")

    def cancel(self, execution_id: str, attempt: int) -> bool:
        """Close the connection of a delivery under way in the caller's own process."""
        world = self._gate.world
        job = self._flying.get((execution_id, attempt))
        if job is None or job.done or job.instance is not world.current.instance:
            return False
        world.hit("client:connection closed")
        self._cut.add((execution_id, attempt))
        world.wake(job, 0)
        return True

    def dispatch(self, deliveries: Sequence[Delivery]) -> list[Outcome]:
        fault = self._gate.enter("dispatch")
        world = self._gate.world
        if parse_id(deliveries[0].tenant, deliveries[0].execution_id) is None:  # a notice: a clock jumped, a run ended
            self._gate.leave(fault)
            world.record.told += [Told(world.now, d.execution_id, d.event_type, d.schedule_id) for d in deliveries]
            return [Outcome("completed") for _ in deliveries]
        sent = [self._sent(d) for d in deliveries]
        for delivery in deliveries:
            delivery.sent()
        waits = [self._wait_ms(d, s.kind) for d, s in zip(deliveries, sent, strict=True)]
        alone = (deliveries[0].execution_id if len(deliveries) == 1 else "", deliveries[0].attempt)
        self._flying[alone] = world.current
        world.pause(max(waits))
        self._flying.pop(alone, None)
        for dispatch in sent:
            dispatch.ended_ms = world.now
        if alone in self._cut:
            self._cut.discard(alone)
            outcomes = [Outcome("failed", error_type="connection_error", error="closed by a cancel")]
        else:
            outcomes = [self._outcome(d, s.kind) for d, s in zip(deliveries, sent, strict=True)]
        self._gate.leave(fault)
        return outcomes

    def _sent(self, delivery: Delivery) -> Dispatch:
        world = self._gate.world
        job = world.current
        key = parse_id(delivery.tenant, delivery.execution_id)
        assert key is not None
        tempers = TEMPERS[temper_of(delivery.target)]
        kind = tempers[crc32(f"{world.seed}/{delivery.execution_id}/{delivery.attempt}".encode()) % len(tempers)]
        if world.resting:
            kind = "ok"
        clock_ms = job.instance.clock.now_ms()
        sent = Dispatch(
            key, delivery.attempt, delivery.fencing_token, world.now, clock_ms, job.look_ms, job.instance, kind,
            destination_of(delivery.target), ruled_ms=job.ruled_ms, rechecks=job.rechecks,
        )  # fmt: skip
        world.record.dispatches.append(sent)
        if world.told is not None:
            world.tell(job.instance.name, f"SENT {key.id[-24:]} attempt {sent.attempt} token {sent.token}: {kind}")
        return sent

    def _wait_ms(self, delivery: Delivery, kind: str) -> int:
        draw = crc32(f"wait/{self._gate.world.seed}/{delivery.execution_id}/{delivery.attempt}".encode())
        if kind in ("slow", "slow_error"):
            return min(delivery.timeout_ms, 120 + draw % 4_000)
        if kind == "steady":  # over just when a later second begins
            return 1_000 * (1 + draw % 3) - (draw >> 4) % 60
        if kind == "very_slow":
            return min(delivery.timeout_ms, 10_000 + draw % 30_000)
        if kind == "hang":
            return delivery.timeout_ms
        return draw % 30

    def _outcome(self, delivery: Delivery, kind: str) -> Outcome:
        if kind in ("ok", "slow", "steady", "very_slow"):
            return Outcome("completed", http_status=200)
        if kind == "hang":
            return Outcome("failed", error_type="timeout", error="no answer")
        if kind == "later":
            return Outcome("failed", http_status=503, error_type="http_error", error="later", retry_after_ms=7_000)
        if kind == "gone":
            return Outcome(
                "failed", http_status=410, error_type="http_error", error="gone", permanent=True, pause_schedule=True
            )
        if kind == "refused":
            return Outcome("failed", error_type="rejected", error="not allowed", permanent=True)
        if kind.startswith("accept"):
            key = parse_id(delivery.tenant, delivery.execution_id)
            assert key is not None
            self._reporter.will_report(delivery.execution_id, delivery.attempt, kind, key)
            return Outcome("accepted", http_status=202)
        return Outcome("failed", http_status=500, error_type="http_error", error="it broke")
