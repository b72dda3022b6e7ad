"""Firing many schedules through the real dev server, or the peer, and judging what happened."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench import arrivals
from bench.arrivals import Receiver
from bench.peer import PeerRun, at_instants
from bench.product import Product, cpu_between, is_over
from bench.report import spread
from chalicelib.core.instants import to_rfc3339

EVENTBRIDGE = "eventbridge"
WEBHOOK = "webhook"
SETTLE_S = 1.0  # after the last instant, before the journal is asked
ENDED_TIMEOUT_S = 60.0
CREATED_PER_S = 25  # what a busy machine creates for certain
RUN_UP_MS = 7000  # the dev server's workers begin five seconds before an instant


@dataclass(frozen=True, slots=True)
class Fired:
    """What one system did with a set of firings. Lateness in milliseconds: ``started`` as the system itself says,
    ``arrived`` by the consumer's clock (empty without one), ``accepted`` when the target's answer was written down."""

    label: str
    asked: int
    started: list[float]
    arrived: list[float]
    accepted: list[float]
    faults: list[str]
    creating_s: float
    cpu_creating_s: float
    cpu_firing_s: float

    def as_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "asked": self.asked,
            "started_ms": spread(self.started),
            "arrived_ms": spread(self.arrived),
            "accepted_ms": spread(self.accepted),
            "exactly_once": not self.faults,
            "creating_s": round(self.creating_s, 2),
            "cpu_creating_s": round(self.cpu_creating_s, 3),
            "cpu_firing_s": round(self.cpu_firing_s, 3),
            "cpu_firing_ms_each": round(self.cpu_firing_s * 1000 / max(1, self.asked), 3),
        }


def now_ms() -> int:
    """This machine's clock."""
    return time.time_ns() // 1_000_000


def first_instant_ms(count: int) -> int:
    """An instant far enough away to create ``count`` schedules before its run-up begins."""
    return now_ms() + RUN_UP_MS + 3000 + count * 1000 // CREATED_PER_S


def target_of(kind: str, receiver: Receiver) -> dict[str, Any]:
    """The target as the API takes it."""
    return {"type": EVENTBRIDGE} if kind == EVENTBRIDGE else {"type": WEBHOOK, "url": receiver.url}


def fire_at(product: Product, receiver: Receiver, kind: str, instants: Sequence[int]) -> Fired:
    """Create one AT schedule for each instant, wait for all, and judge. Instants must leave time to create them."""
    receiver.take()
    wanted = [
        {"type": "AT", "expr": f"at:{to_rfc3339(at_ms)}", "payload": {"n": n}, "target": target_of(kind, receiver)}
        for n, at_ms in enumerate(instants)
    ]
    begun, cpu_begun = time.monotonic(), product.cpu_s()
    ids = [answer["id"] for answer in product.create(wanted)]
    created, cpu_created = time.monotonic(), product.cpu_s()
    faults = _in_time("", min(instants), now_ms() + RUN_UP_MS - 2000)
    _sleep_until_ms(max(instants) + SETTLE_S * 1000)
    cpu_fired = _after_idling(product)
    found = product.ended(min(instants), max(instants), ids, len(ids), ENDED_TIMEOUT_S)
    arrived = receiver.take()
    faults += judge(found, dict(zip(ids, instants, strict=True)), arrived if kind == WEBHOOK else None)
    executions = [e for several in found.values() for e in several]
    return Fired(
        label=f"chronowatch → {kind}",
        asked=len(instants),
        started=[_started(e) for e in executions if e["attempts"]],
        arrived=list(arrivals.lateness_ms(arrived).values()),
        accepted=[_accepted(e) for e in executions if e["attempts"] and is_over(e)],
        faults=faults,
        creating_s=created - begun,
        cpu_creating_s=cpu_between(cpu_begun, cpu_created),
        cpu_firing_s=cpu_between(cpu_created, cpu_fired),
    )


def _after_idling(product: Product) -> dict[str, float]:
    """CPU readings once the processes have come to rest: a herd's journal is written after its dispatch."""
    reading = product.cpu_s()
    for _ in range(30):
        time.sleep(0.5)
        later = product.cpu_s()
        if cpu_between(reading, later) < 0.1:
            return later
        reading = later
    return reading


def _started(execution: dict[str, Any]) -> float:
    return float(execution["attempts"][0]["started_unix_ms"] - execution["firing_time_unix_ms"])


def _accepted(execution: dict[str, Any]) -> float:
    return float(execution["attempts"][-1]["finished_unix_ms"] - execution["firing_time_unix_ms"])


def judge(
    found: dict[str, list[dict[str, Any]]], instants: dict[str, int], arrived: dict[str, list[int]] | None
) -> list[str]:
    """Every schedule fired exactly once, at its instant, with one attempt, and arrived once: what is otherwise."""
    faults = []
    for schedule_id, at_ms in instants.items():
        executions = found.get(schedule_id, [])
        if len(executions) != 1 or executions[0]["firing_time_unix_ms"] != at_ms:
            faults.append(f"{schedule_id}: {len(executions)} executions instead of one at {at_ms}")
        elif executions[0]["delivery_state"] != "completed" or len(executions[0]["attempts"]) != 1:
            state, attempts = executions[0]["delivery_state"], len(executions[0]["attempts"])
            faults.append(f"{schedule_id}: {state} after {attempts} attempts")
        if arrived is not None and len(arrived.get(f"{schedule_id}-{at_ms}", [])) != 1:
            faults.append(f"{schedule_id}: arrived {len(arrived.get(f'{schedule_id}-{at_ms}', []))} times")
    return faults


def peer_at(receiver: Receiver, instants: Sequence[int], post: bool) -> Fired:
    """The same by APScheduler: jobs that only note the time, or that post to the receiver."""
    receiver.take()
    begun = time.monotonic()
    ran = at_instants(instants, receiver.port if post else 0)
    arrived = receiver.take()
    return Fired(
        label="apscheduler + sqlite → " + ("http post" if post else "function"),
        asked=len(instants),
        started=list(arrivals.lateness_ms(ran.started).values()),
        arrived=list(arrivals.lateness_ms(arrived).values()),
        accepted=[],
        faults=_in_time("peer: ", min(instants), ran.added_unix_ms)
        + _peer_faults(ran, arrived if post else None, instants),
        creating_s=ran.added_unix_ms / 1000 - (time.time() - (time.monotonic() - begun)),
        cpu_creating_s=ran.cpu_adding_s,
        cpu_firing_s=ran.cpu_firing_s,
    )


def _peer_faults(ran: PeerRun, arrived: dict[str, list[int]] | None, instants: Sequence[int]) -> list[str]:
    faults = [f"peer: {name} twice" for name in arrivals.doubled(ran.started)]
    for what, times in (("started", ran.started), ("arrived", arrived)):
        if times is not None and len(times) != len(instants):
            faults.append(f"peer: {len(times)} of {len(instants)} {what}")
    return faults


def _in_time(who: str, first_ms: int, ready_ms: int) -> list[str]:
    late_ms = ready_ms - first_ms
    return [f"{who}created {late_ms} ms too late to be measured: use fewer"] if late_ms > 0 else []


def _sleep_until_ms(unix_ms: float) -> None:
    while (left_s := unix_ms / 1000 - time.time()) > 0:
        time.sleep(min(left_s, 1.0))
