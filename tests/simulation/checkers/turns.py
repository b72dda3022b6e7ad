"""``overlap``: a schedule that forbids, replaces or queues has one execution at work at a time.

The slot belongs to an execution while its record is open, its retries included. Records tell, not targets: what was
replaced may still be at its target when its successor begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from chalicelib.core.executions.execution import SKIPPED, ExecutionKey
from chalicelib.core.schedules.schedule import Key
from tests.simulation.actors.tables import as_of_execution
from tests.simulation.world import Dispatch, ExecutionWrite

BY_OVERLAP = ("was still running", "replaced by")


def check(play: Any) -> Iterable[str]:
    """Schedules whose policy never changed."""
    record = play.world.record
    for key, writes in record.schedules.items():
        policies = {w.definition.overlap for w in writes if w.definition is not None}
        if len(policies) != 1 or "allow" in policies:
            continue
        runs = {k: w for k, w in record.executions.items() if k.schedule_id == key.id}
        sent = [d for d in record.dispatches if d.key.schedule_id == key.id]
        yield from _one_at_work(key, sent, runs)
        yield from _rightly_skipped(runs)


def _one_at_work(key: Key, sent: Sequence[Dispatch], runs: dict[ExecutionKey, list[ExecutionWrite]]) -> Iterable[str]:
    for number, d in enumerate(sent):
        if _is_stale(d, runs[d.key]):
            continue
        for before in sent[:number]:
            others = runs[before.key]
            if before.key != d.key and _at_work(before, others, d.look_ms) and _at_work(before, others, d.started_ms):
                yield f"{key.id}: {d.key.id} was sent at {d.started_ms} while {before.key.id} was at work"
                break


def _at_work(d: Dispatch, writes: Sequence[ExecutionWrite], at_ms: int) -> bool:
    """Whether a dispatched attempt is under way by its record."""
    now = as_of_execution(writes, at_ms)
    if now is None or not now.is_open or d.started_ms > at_ms:
        return False
    return now.attempt == d.attempt and now.lease_until_ms is not None


def _is_stale(d: Dispatch, writes: Sequence[ExecutionWrite]) -> bool:
    """Sent by a worker that had lost its claim meanwhile: receivers know it by its token."""
    now = as_of_execution(writes, d.started_ms)
    return now is None or now.attempt != d.attempt or not now.is_open


def _rightly_skipped(runs: dict[ExecutionKey, list[ExecutionWrite]]) -> Iterable[str]:
    """What was skipped for another's sake was skipped while that other was open."""
    for key, writes in runs.items():
        for w in writes:
            reason = w.record.history[-1].reason if w.record.history else None
            if w.record.state != SKIPPED or reason is None or BY_OVERLAP[0] not in reason:
                continue
            name = reason.split(" ")[0]
            other = next((ws for k, ws in runs.items() if k.id == name), None)
            if other is None or not any(x.record.is_open and x.at_ms <= w.at_ms for x in other):
                yield f"{key.id} was skipped because {reason}, which is not so"
