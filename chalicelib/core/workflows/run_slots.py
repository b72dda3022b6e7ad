"""Concurrency: which runs of one key may take steps. A run says in its log what it wants and has; ``SlotTable`` says
who has what, for all runs of a key.

The table is written before the log says ``slot_taken``, and after it says that the slot is free again. So the log never
has a slot that the table does not count. A slot whose run died on the way back is found by who waits for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.workflows.happenings import GetsSlot, Order
from chalicelib.core.workflows.run_log import RunLog
from chalicelib.core.workflows.run_state import NodeState, RunState

WAITERS_MAX_COUNT = 2_000  # of one key; what comes after asks again each minute
CHECKED_AT_ONCE = 20  # holders of a full table


class SlotHolder(Struct, frozen=True, array_like=True):
    """A run that has a slot, or waits for one, in one turn. It was seen so at ``seen_ms``."""

    run_id: str
    turn: int
    seen_ms: int = 0


class SlotTable(Struct, frozen=True, omit_defaults=True):
    """The slots of one key of one workflow: who has them, and who is next. ``rev`` is another after each change."""

    tenant: str
    name: str
    rev: str = ""
    held: tuple[SlotHolder, ...] = ()
    waiting: tuple[SlotHolder, ...] = ()


class SlotChange(Struct, frozen=True):
    """A table after a change; ``taken``: the run that asked has a slot; ``called``: those that were given one."""

    table: SlotTable
    taken: bool = False
    called: tuple[SlotHolder, ...] = ()


def table_name(workflow: str, key: str) -> str:
    """The name of the table of a key."""
    return hashlib.sha256(f"{workflow}\0{key}".encode()).hexdigest()[:32]


def ask(table: SlotTable, run_id: str, turn: int, limit: int, now_ms: int) -> SlotChange:
    """A run wants a slot. Without a free one it stands in line; asking again changes no place."""
    mine = SlotHolder(run_id, turn, now_ms)
    if any(one.run_id == run_id for one in table.held):
        held = tuple(mine if one.run_id == run_id else one for one in table.held)  # its own, of an earlier turn
        return SlotChange(replace(table, held=held, waiting=_without(table.waiting, run_id)), True)
    if any(one.run_id == run_id for one in table.waiting):
        waiting = tuple(mine if one.run_id == run_id else one for one in table.waiting)
    elif len(table.waiting) < WAITERS_MAX_COUNT:
        waiting = (*table.waiting, mine)
    else:
        waiting = table.waiting
    called = _call(replace(table, waiting=waiting), limit, now_ms)
    taken = any(one.run_id == run_id for one in called.called)
    return replace(called, taken=taken, called=tuple(one for one in called.called if one.run_id != run_id))


def leave(table: SlotTable, run_id: str, turn: int, limit: int, now_ms: int) -> SlotChange:
    """A run gives its slot back, or its place in line. One of a later turn stays."""
    gone = SlotHolder(run_id, turn)
    held = tuple(one for one in table.held if not _is_upto(one, gone))
    waiting = tuple(one for one in table.waiting if not _is_upto(one, gone))
    return _call(replace(table, held=held, waiting=waiting), limit, now_ms)


def to_check(table: SlotTable, limit: int, now_ms: int, every_ms: int) -> Sequence[SlotHolder]:
    """Of a full table the holders that were not checked for so long; their runs may have died with their slots."""
    if len(table.held) < limit:
        return ()
    old = [one for one in table.held if now_ms - one.seen_ms >= every_ms]
    return sorted(old, key=lambda one: one.seen_ms)[:CHECKED_AT_ONCE]


def checked(
    table: SlotTable, seen: Sequence[SlotHolder], holds: Callable[[SlotHolder], bool], now_ms: int
) -> SlotTable:
    """The table without those of ``seen`` that hold nothing any more."""
    verdicts = {one: holds(one) for one in seen}
    held = tuple(
        replace(one, seen_ms=now_ms) if one in verdicts else one for one in table.held if verdicts.get(one, True)
    )
    return replace(table, held=held)


def is_of(state: RunState, holder: SlotHolder) -> bool:
    """Whether a run still has, or still wants, what the table says of it."""
    return bool(state.slot) and state.slot_turn == holder.turn


def take(log: RunLog, given: GetsSlot) -> None:
    """The table has given the run what it wants."""
    if log.state.slot == "wanted" and log.state.slot_turn == given.turn:
        log.write("slot_taken", "", turn=given.turn, key=given.key)


def settle(log: RunLog) -> None:
    """After a decision: whether the run needs a slot now that it has none, or has one that it does not need."""
    state = log.state
    if not state.limited or state.is_ended or not state.events:
        return
    if state.slot == "held" and not _keeps(state):
        log.write("slot_released", "", turn=state.slot_turn)
    elif not state.slot and any(node.status == "running" for node in state.nodes.values()):
        log.write("slot_wanted")


def freed(before: RunState, after: RunState) -> list[Order]:
    """What this decision gives back."""
    if before.slot and (not after.slot or after.slot_turn != before.slot_turn):
        return [Order("free_slot", item=before.slot_turn)]
    return []


def _keeps(state: RunState) -> bool:
    """Who waits at a gate or for an instant needs no slot; who waits for a job, a child or another attempt does."""
    live = [node for node in state.nodes.values() if node.status in ("running", "waiting")]
    idle = all(node.status == "waiting" and _is_idle(node) for node in live)
    return state.slot_kept or not live or not idle


def _is_idle(node: NodeState) -> bool:
    return node.gate is not None or node.stop is not None or node.then == "complete"


def _call(table: SlotTable, limit: int, now_ms: int) -> SlotChange:
    free = max(0, limit - len(table.held))
    called = tuple(replace(one, seen_ms=now_ms) for one in table.waiting[:free])
    return SlotChange(replace(table, held=(*table.held, *called), waiting=table.waiting[free:]), called=called)


def _without(holders: tuple[SlotHolder, ...], run_id: str) -> tuple[SlotHolder, ...]:
    return tuple(one for one in holders if one.run_id != run_id)


def _is_upto(one: SlotHolder, other: SlotHolder) -> bool:
    return one.run_id == other.run_id and one.turn <= other.turn
