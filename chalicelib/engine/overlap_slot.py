"""Taking the slot, at the instant, for schedules that do not let their runs overlap.

The slot is taken by one conditional write of the schedule's state, so of two newcomers one is first. Schedules with
``overlap`` ``allow`` never come here.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from enum import Enum

from chalicelib.core.errors import Conflict, Unavailable
from chalicelib.core.executions import journal
from chalicelib.core.executions.execution import Execution, ExecutionKey
from chalicelib.core.executions.limits import RUNNING_MARK_MS
from chalicelib.core.policies import overlap
from chalicelib.core.policies.limits import WAITER_CHECK_MS
from chalicelib.core.policies.overlap import SlotVerdict
from chalicelib.core.queue_messages import Run
from chalicelib.core.schedules.schedule import State
from chalicelib.engine.claimed import Claimed
from chalicelib.engine.execution_change import cancel_running
from chalicelib.engine.follow_ups import follow, wake
from chalicelib.engine.handoff import enqueue
from chalicelib.engine.outcomes import update_surely
from chalicelib.engine.recheck import rebound
from chalicelib.ports.services import Services

log = logging.getLogger(__name__)

SLOT_ATTEMPTS = 12


class SlotAnswer(Enum):
    """What came of one try to take a slot."""

    GRANTED = "granted"  # the firing may be sent
    REFUSED = "refused"  # it was ended or handed back, or was no longer ours
    AGAIN = "again"  # another writer was faster, or the run in the slot has just been cancelled: try once more


def take_slot(s: Services, claimed: Claimed) -> bool:
    """Whether a claimed firing may be sent now. If not, it is ended, handed back, or was no longer ours.

    Raises Unavailable when that could not be found out; the claim then stays, until it has expired and is taken over.
    """
    for tried in range(SLOT_ATTEMPTS):
        try:
            answer = _try(s, claimed, fresh=tried == 0)
        except Unavailable as problem:
            log.info("trying again to take a slot: %s", problem)
            s.clock.sleep_until(s.clock.now_ms() + RUNNING_MARK_MS)
            continue
        if answer is not SlotAnswer.AGAIN:
            return answer is SlotAnswer.GRANTED
    raise Unavailable("too many workers ask for the slot of a schedule at once")


def _try(s: Services, claimed: Claimed, fresh: bool) -> SlotAnswer:
    """One try. ``fresh``: nothing was tried before, so that the claim cannot have been handed back. After that a slot
    in our name may be that of a later claim of the execution."""
    newcomer = claimed.execution
    state = s.stores.schedules.states([claimed.key]).get(claimed.key)
    unchanged = state is not None and state.epoch == claimed.epoch
    if fresh and unchanged and _has_slot(state, newcomer):
        return SlotAnswer.GRANTED
    records = s.stores.executions.get(list(dict.fromkeys([newcomer.key, *(overlap.refs(state) if state else ())])))
    mine = records.get(newcomer.key)
    if mine is None or mine.rev != newcomer.rev:
        return SlotAnswer.REFUSED  # cancelled, or taken over by another worker
    if not unchanged and not _still_owed(s, claimed, state):
        return SlotAnswer.REFUSED
    assert state is not None
    return SlotAnswer.GRANTED if _has_slot(state, newcomer) else _decided(s, claimed, state, records)


def _has_slot(state: State | None, newcomer: Execution) -> bool:
    return state is not None and state.running == overlap.ref_of(newcomer)


def _decided(s: Services, claimed: Claimed, state: State, records: Mapping[ExecutionKey, Execution]) -> SlotAnswer:
    """Decide by the schedule's policy, and do what that says."""
    newcomer = claimed.execution
    decision = overlap.decide(claimed.definition.overlap, newcomer, state, records)
    if decision.verdict is SlotVerdict.SKIP:
        _end(s, claimed, decision.reason)
        return SlotAnswer.REFUSED
    if decision.verdict is SlotVerdict.REPLACE:
        assert state.running is not None
        _cancel(s, records[overlap.key_of(state, state.running)], decision.reason)
        return SlotAnswer.AGAIN
    if decision.state is not None and not s.stores.schedules.write_states([(decision.state, state.rev)])[0]:
        return SlotAnswer.AGAIN
    if decision.verdict is SlotVerdict.RUN:
        return SlotAnswer.GRANTED
    _wait(s, newcomer)
    return SlotAnswer.REFUSED


def _still_owed(s: Services, claimed: Claimed, state: State | None) -> bool:
    """Judge a firing whose schedule was changed since the claim. One that runs under another version now is handed
    back, to be claimed under that."""
    newcomer, now_ms = claimed.execution, s.clock.now_ms()
    definition = rebound(s, state, newcomer)
    if definition is None or definition.version == claimed.definition.version:
        return definition is not None
    if update_surely(s, [(journal.hand_back(newcomer, now_ms), newcomer.rev)])[0]:
        enqueue(s, [Run(newcomer.key, newcomer.attempt, now_ms)])
    return False


def _end(s: Services, claimed: Claimed, reason: str) -> None:
    newcomer = claimed.execution
    ended = journal.settle(newcomer, overlap.end_state(newcomer), s.clock.now_ms(), reason)
    if update_surely(s, [(ended, newcomer.rev)])[0]:
        follow(s, ended, claimed.definition)


def _cancel(s: Services, running: Execution, reason: str) -> None:
    try:
        cancel_running(s, running, reason)
    except Conflict:
        log.debug("the execution to be replaced has already ended")  # as good


def _wait(s: Services, newcomer: Execution) -> None:
    """Hand the claim back. The one that ran may have ended before this wait was written, so check once more."""
    waiting = journal.hand_back(newcomer, s.clock.now_ms() + WAITER_CHECK_MS)
    if update_surely(s, [(waiting, newcomer.rev)])[0]:
        wake(s, newcomer.key_of_schedule)
