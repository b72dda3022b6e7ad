"""Whether a firing may run while another of its schedule does: ``forbid``, ``replace`` and ``queue``.

The schedule's state names the execution that holds its slot (``running``) and, for ``queue``, the one that waits for it
(``waiting``). A name counts only while the record behind it is open. So nothing has to be written when an execution
ends: the next one to come reads the record. Retries belong to the execution that holds the slot.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.executions.execution import CANCELLED, IN_PROGRESS, SKIPPED, Execution, ExecutionKey
from chalicelib.core.schedules.schedule import RunRef, State


class SlotVerdict(StrEnum):
    """What becomes of a firing whose instant has come."""

    RUN = "run"  # it takes the slot
    SKIP = "skip"  # it ends without an attempt
    REPLACE = "replace"  # the one that holds the slot is cancelled first
    WAIT = "wait"  # it is handed back until the slot is free


class SlotDecision(Struct, frozen=True):
    """``state`` is what to write (under its old ``rev``) before acting; None when nothing changes."""

    verdict: SlotVerdict
    state: State | None = None
    reason: str = ""


def ref_of(execution: Execution | ExecutionKey) -> RunRef:
    """How a schedule's state names an execution."""
    return RunRef(execution.firing_ms, execution.manual)


def key_of(state: State, ref: RunRef) -> ExecutionKey:
    """The execution that ``ref`` names in ``state``."""
    return ExecutionKey(state.tenant, state.id, ref.firing_ms, ref.manual)


def refs(state: State) -> list[ExecutionKey]:
    """The executions whose records show whether the slot and the place behind it are taken."""
    return [key_of(state, ref) for ref in (state.running, state.waiting) if ref is not None]


def decide(policy: str, newcomer: Execution, state: State, records: Mapping[ExecutionKey, Execution]) -> SlotDecision:
    """What becomes of ``newcomer``, which is claimed and due, under ``policy``; ``records`` holds those of ``refs``."""
    me = ref_of(newcomer)
    if state.running == me:
        return _run(me, state)
    running = _open(state.running, me, state, records)
    waiting = _open(state.waiting, me, state, records)
    if policy == "queue":
        return _queue(me, state, running, waiting)
    if running is None:
        return _run(me, state)
    if policy == "forbid":
        return SlotDecision(SlotVerdict.SKIP, reason=f"{running.id} was still running")
    return _replace(newcomer, running)


def _open(ref: RunRef | None, me: RunRef, state: State, records: Mapping[ExecutionKey, Execution]) -> Execution | None:
    """The record behind ``ref`` when it is another's and open."""
    if ref is None or ref == me:
        return None
    found = records.get(key_of(state, ref))
    return found if found is not None and found.is_open else None


def _run(me: RunRef, state: State) -> SlotDecision:
    waiting = None if state.waiting == me else state.waiting
    if state.running == me:
        return SlotDecision(SlotVerdict.RUN)
    return SlotDecision(SlotVerdict.RUN, replace(state, rev=state.rev + 1, running=me, waiting=waiting))


def _replace(newcomer: Execution, running: Execution) -> SlotDecision:
    """The later instant wins, whichever came first; what a caller started or asked to be retried comes as of now."""
    asked_for = newcomer.manual or bool(newcomer.history)
    if running.firing_ms > newcomer.firing_ms and not asked_for:
        return SlotDecision(SlotVerdict.SKIP, reason=f"replaced by {running.id}, which is later")
    return SlotDecision(SlotVerdict.REPLACE, reason=f"replaced by {newcomer.id}")


def _queue(me: RunRef, state: State, running: Execution | None, waiting: Execution | None) -> SlotDecision:
    """First come, first served: a slot that has become free belongs to the one that waited for it."""
    if running is None and waiting is None:
        return _run(me, state)
    if running is None and waiting is not None:
        return SlotDecision(SlotVerdict.WAIT, replace(state, rev=state.rev + 1, running=ref_of(waiting), waiting=me))
    if waiting is not None and running is not None:
        return SlotDecision(SlotVerdict.SKIP, reason=f"{running.id} was still running and {waiting.id} waits already")
    moved = None if state.waiting == me else replace(state, rev=state.rev + 1, waiting=me)
    return SlotDecision(SlotVerdict.WAIT, moved)


def end_state(newcomer: Execution) -> str:
    """How a firing ends that gets no slot: skipped, or cancelled when it had begun before."""
    return CANCELLED if newcomer.state == IN_PROGRESS else SKIPPED
