"""Handing off what is owed: instants go onto the queue, or into the journal as ``missed``.

Queue first, write second: callers advance a schedule only after this returned, so a crash in between repeats messages
and never loses one. A repeated message is harmless, since an execution's id is the schedule and the instant.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core import queue_messages, trace
from chalicelib.core.executions.execution import MISSED, SKIPPED, Execution, ExecutionState, Transition
from chalicelib.core.policies import catch_up
from chalicelib.core.queue_messages import Firing, Message
from chalicelib.core.schedules import jitter
from chalicelib.core.schedules.schedule import Definition, State
from chalicelib.ports.services import Services
from chalicelib.ports.work_queue import Outgoing


class Owed(Struct, frozen=True):
    """Some instants of one schedule that must be handed off."""

    definition: Definition
    state: State
    instants: Sequence[int]


def enqueue(s: Services, messages: Sequence[Message]) -> None:
    """Queue messages, each held back until shortly before it is due. Returns when all are durable."""
    now_ms = s.clock.now_ms()
    outgoing = [Outgoing(m, queue_messages.delay_s(m.due_ms, now_ms, s.config.lead_ms)) for m in messages]
    if outgoing:
        s.queue.send(outgoing)


def too_old(definition: Definition, instants: Sequence[int], now_ms: int) -> list[int]:
    """Those of ``instants`` that must not be delivered any more."""
    due = [(at_ms, firing_of(definition, at_ms).due_ms) for at_ms in instants]
    return [at_ms for at_ms, due_ms in due if catch_up.is_past_window(definition, due_ms, now_ms)]


def hand_off(s: Services, owed: Sequence[Owed], now_ms: int) -> None:
    """Queue the instants that may still be delivered; write those that are too old into the journal as missed. The
    states must have reached these: see ``claim_spans``."""
    firings: list[Firing] = []
    missed: list[tuple[Execution, Definition]] = []
    for item in owed:
        # What was claimed may be without a record: that is for a claim to end, or to put back.
        gone = {at_ms for at_ms in too_old(item.definition, item.instants, now_ms) if not item.state.span_at(at_ms)}
        firings += [firing_of(item.definition, at_ms) for at_ms in item.instants if at_ms not in gone]
        missed += [
            (missed_record(s, item.definition, item.state.shard, at_ms, now_ms), item.definition)
            for at_ms in sorted(gone)
        ]
    enqueue(s, queue_messages.pack(firings, s.config.slot_gap_ms))
    answers = s.stores.executions.insert([record for record, _ in missed])
    _put_back(s, [item for item, new in zip(missed, answers, strict=True) if not new])


def _put_back(s: Services, missed: Sequence[tuple[Execution, Definition]]) -> None:
    """These have records already, which need no other; those that an edit took out are for a claim to end anew."""
    if not missed:
        return
    existing = s.stores.executions.get([record.key for record, _ in missed])
    again = [
        firing_of(definition, record.firing_ms)
        for record, definition in missed
        if (found := existing.get(record.key)) is not None and is_taken_out(found, definition.version)
    ]
    enqueue(s, queue_messages.pack(again))


def is_taken_out(found: Execution, version: str) -> bool:
    """Whether an edit took an instant out that another, which made ``version``, puts back in."""
    return found.state == SKIPPED and found.version != version


def firing_of(definition: Definition, at_ms: int) -> Firing:
    """An instant of a definition as it goes onto the queue."""
    offset_ms = jitter.offset_ms(definition.id, at_ms, definition.jitter_ms)
    return Firing(definition.key, definition.version, at_ms, offset_ms)


def new_record(s: Services, definition: Definition, shard: int, at_ms: int, now_ms: int) -> Execution:
    """The record of a firing as it begins: pending, without an attempt."""
    return Execution(
        tenant=definition.tenant,
        schedule_id=definition.id,
        firing_ms=at_ms,
        offset_ms=jitter.offset_ms(definition.id, at_ms, definition.jitter_ms),
        shard=shard,
        version=definition.version,
        owner=definition.owner,
        target_type=str(definition.target["type"]),
        sla_ms=definition.sla_ms,
        monitored=definition.monitor is not None,
        trace_id=trace.trace_id_of(f"{definition.id}-{at_ms}"),
        depth=definition.depth,
        created_ms=now_ms,
        hlc=s.ids.hlc(),
        origin=s.config.origin,
    )


def missed_record(s: Services, definition: Definition, shard: int, at_ms: int, now_ms: int) -> Execution:
    """The record of an instant that was not delivered in time."""
    return settled_record(s, definition, shard, at_ms, now_ms, MISSED, catch_up.TOO_LATE)


def settled_record(
    s: Services, definition: Definition, shard: int, at_ms: int, now_ms: int, state: ExecutionState, reason: str
) -> Execution:
    """The record of an instant that ends without an attempt."""
    record = new_record(s, definition, shard, at_ms, now_ms)
    step = Transition(record.state, state, now_ms, reason)
    return replace(record, state=state, history=(step,), finished_ms=now_ms)
