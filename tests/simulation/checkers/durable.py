"""Invariant 6: what the API acknowledged is durable, what it refused changed nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from chalicelib.core.executions.execution import CANCELLED, COMPLETED, MISSED, Execution, ExecutionKey
from chalicelib.core.schedules.schedule import Schedule
from tests.simulation.actors.clients import ACKNOWLEDGED, REFUSED, Operation

CHANGES = frozenset({"create", "edit", "pause", "resume"})


def check(play: Any) -> Iterable[str]:
    """Every answered call against the writes that were made in its course."""
    record = play.world.record
    made: dict[int, list[Any]] = defaultdict(list)
    for writes in record.schedules.values():
        for write in writes:
            if write.op is not None and write.kind != "state":
                made[id(write.op)].append(write)
    for stored in record.executions.values():
        for number, w in enumerate(stored):
            before = stored[number - 1].record if number else None
            if w.op is not None and w.record.state != MISSED and _shows(before, w.record):
                made[id(w.op)].append(w)  # settling what is overdue is nobody's refusal
    for op in record.operations:
        if op.outcome == REFUSED and made[id(op)]:
            yield f"{op.kind} of {op.schedule.id} was refused ({op.error}) and wrote {made[id(op)]}"
        elif op.outcome == ACKNOWLEDGED:
            yield from _kept(record, op)


def _shows(before: Execution | None, after: Execution) -> bool:
    """Whether it went on. (An answer that comes too late is refused, and noted beside its attempt.)"""
    return before is None or _course(before) != _course(after)


def _course(record: Execution) -> tuple[object, ...]:
    outcomes = tuple(attempt.outcome for attempt in record.attempts)
    return record.history, outcomes, record.retry_at_ms, record.result, record.error


def _kept(record: Any, op: Operation) -> Iterable[str]:
    if op.kind in CHANGES:
        yield from _version_kept(record, op)
    elif op.kind == "delete":
        writes = record.schedules[op.schedule]
        if not any(w.kind == "delete" and w.at_ms <= (op.ended_ms or 0) for w in writes):
            yield f"{op.schedule.id} was said to be deleted and is not"
    elif op.kind in ("trigger", "retry", "cancel", "complete", "fail"):
        yield from _execution_kept(record, op)


def _version_kept(record: Any, op: Operation) -> Iterable[str]:
    answer = op.answer
    assert isinstance(answer, Schedule)
    version = answer.definition.version
    stored = [w for w in record.schedules.get(op.schedule, ()) if w.definition is not None]
    if not any(w.definition == answer.definition and w.at_ms <= (op.ended_ms or 0) for w in stored):
        yield f"{op.kind} of {op.schedule.id} answered version {version}, which was not stored"
    wanted = {"resume": {"active": True}}.get(op.kind, dict(op.fields))
    if "enabled" in wanted:
        wanted["active"] = wanted.pop("enabled")
    for name, value in wanted.items():
        if getattr(answer.definition, name) != value and op.kind != "create":
            yield f"{op.kind} of {op.schedule.id} left {name} at {getattr(answer.definition, name)!r}, not {value!r}"


def _execution_kept(record: Any, op: Operation) -> Iterable[str]:
    key: ExecutionKey = op.answer.key
    stored = record.executions.get(key, ())
    mine = [w.record for w in stored if w.at_ms <= (op.ended_ms or 0) and w.record.rev == op.answer.rev]
    if op.answer not in mine:
        yield f"{op.kind} answered {key.id} rev {op.answer.rev} {op.answer.state}, which was not stored"
    wanted = {"cancel": CANCELLED, "complete": COMPLETED}.get(op.kind)
    if wanted is not None and op.answer.state != wanted:
        yield f"{op.kind} of {key.id} answered {op.answer.state}"
