"""Going on with records that exist: repeated messages, retries that are due, attempts whose worker died.

Part of the claim. A message is a hint, and the record decides: nothing, the next attempt, or the end of an attempt
whose lease has run out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from chalicelib.core.executions import journal
from chalicelib.core.executions.execution import MISSED, RETRY_REQUESTED, Execution, is_listed_open
from chalicelib.core.executions.limits import ATTEMPT_LEASE_MS
from chalicelib.core.limits import SECOND_MS
from chalicelib.core.policies import catch_up
from chalicelib.core.queue_messages import Firing, Run
from chalicelib.core.schedules.schedule import Definition, Key, State
from chalicelib.core.schedules.verdict import Verdict
from chalicelib.engine import attempt_spans, binding, claim_spans, handoff
from chalicelib.engine.binding import Unbound
from chalicelib.engine.claimed import NOTHING, Claimed, Claims, Item, Leased, OwedNotice, execution_of, merged
from chalicelib.engine.definitions import load_definitions
from chalicelib.engine.follow_ups import follow
from chalicelib.engine.outcomes import Ended, write_outcomes
from chalicelib.ports.services import Services
from chalicelib.ports.stores.schedules import Versioned

TOKEN_ATTEMPTS = 8


def resume(s: Services, item: Item, found: Execution) -> Claims:
    """Go on with a record: nothing when it is over, the next attempt when one is due and none lives."""
    now_ms = s.clock.now_ms()
    if not found.is_open:
        if isinstance(item, Run) and item.attempt > found.attempt + 1:
            return Claims(unknown=(item,))  # queued by a caller's retry, whose write is about to come
        follow(s, found, s.process.versions.find(found.version), just_now=False)
        return Claims(notices=(OwedNotice(item, found),)) if found.notice else NOTHING
    if found.is_held:
        return _go_on_held(s, item, found, now_ms)
    if found.retry_at_ms is not None:
        return _retry_when_due(s, item, found, now_ms)
    if found.leased(now_ms - s.config.max_drift_ms):
        return _left_to_its_owner(s, item, found)
    return _take_over(s, item, found, now_ms)


def resume_taken(s: Services, taken: Sequence[tuple[Firing, Execution]]) -> Claims:
    """Go on with firings whose records were to be inserted (each beside its firing) and exist already."""
    if not taken:
        return NOTHING
    existing = s.stores.executions.get([record.key for _, record in taken])
    parts = []
    for firing, record in taken:
        found = existing.get(record.key)
        if found is None:
            parts.append(Claims(redeliver=(firing,)))
        elif handoff.is_taken_out(found, firing.version):
            parts.append(_put_back(s, firing, record, found))
        else:
            parts.append(resume(s, firing, found))
    return merged(parts)


def resume_claimed(
    s: Services, firings: Sequence[Firing], verdicts: Mapping[Firing, Verdict], states: Mapping[Key, State]
) -> tuple[Claims, Sequence[Firing]]:
    """Go on with firings that were claimed before; and those that were not. One whose record an edit took out is none
    of either: it may have to be put back."""
    known = [f for f in firings if verdicts[f] is not Verdict.UNKNOWN and states[f.schedule].span_at(f.at_ms)]
    if not known:
        return NOTHING, firings
    records = s.stores.executions.get([execution_of(f) for f in known])
    unwritten = {Versioned(f.schedule, f.version) for f in known if execution_of(f) not in records}
    definitions = load_definitions(s, unwritten) if unwritten else {}
    parts, gone_on = [], set()
    for firing in known:
        found = records.get(execution_of(firing))
        definition = definitions.get(Versioned(firing.schedule, firing.version))
        if found is None and definition is not None:
            found = claim_spans.shadow(s, definition, states[firing.schedule], firing.at_ms)
        if found is None:
            parts.append(Claims(unknown=(firing,)))
        elif handoff.is_taken_out(found, firing.version):
            continue
        elif found.is_open or verdicts[firing] not in (Verdict.DROP, Verdict.PAUSED):
            parts.append(resume(s, firing, found))
        gone_on.add(firing)
    return merged(parts), [f for f in firings if f not in gone_on]


def _left_to_its_owner(s: Services, item: Item, found: Execution) -> Claims:
    """Its attempt lives, so only its owner may end it."""
    if isinstance(item, Run) and item.attempt > found.attempt:
        return Claims(unknown=(item,))  # queued before the attempt before it was written off, which is about to happen
    until_ms = found.lease_until_ms
    if is_listed_open(found) and (until_ms is None or until_ms > s.clock.now_ms() + ATTEMPT_LEASE_MS):
        return NOTHING  # reconcile finds it; what is soon over is not left to the minute, should its worker be dead
    assert until_ms is not None
    return Claims(leased=(Leased(item, until_ms + s.config.max_drift_ms),))


def _put_back(s: Services, firing: Firing, record: Execution, found: Execution) -> Claims:
    """``found`` was taken out by an edit, and ends or runs as the version of ``firing`` wants, if that still is in
    force. This worker may have stood still since it read. A record that was changed meanwhile was decided by a later
    read than ours."""
    states = s.stores.schedules.states([firing.schedule])
    if binding.verdicts(s, [firing], states)[firing] not in (Verdict.FIRE, Verdict.DELETED):
        return NOTHING
    now_ms = s.clock.now_ms()
    reopened = replace(journal.reopen(found, now_ms, "owed again after an edit"), version=firing.version)
    if record.is_open:
        return _next_attempt(s, firing, reopened, found.rev)
    reason = catch_up.too_late(found) if record.state == MISSED else record.history[-1].reason
    ended = replace(journal.settle(reopened, record.state, now_ms, reason), rev=found.rev + 1)
    s.stores.executions.update([(ended, found.rev)])
    return NOTHING


def _retry_when_due(s: Services, item: Item, found: Execution, now_ms: int) -> Claims:
    if not isinstance(item, Run):
        return NOTHING
    waiting = journal.awakened(found, now_ms) if found.waits else found
    assert waiting.retry_at_ms is not None
    if waiting.retry_at_ms > now_ms + s.config.lead_ms + SECOND_MS:  # the queue holds 15 minutes at most
        handoff.enqueue(s, [Run(waiting.key, waiting.attempt + 1, waiting.retry_at_ms)])
        return NOTHING
    return _next_attempt(s, item, waiting, waiting.rev)


def _go_on_held(s: Services, item: Item, found: Execution, now_ms: int) -> Claims:
    """The pause of its queue holds it: it goes on when that is over, and ends when its window has passed."""
    from chalicelib.engine import queue_pause  # loaded with the first pause

    state = s.stores.schedules.states([found.key_of_schedule]).get(found.key_of_schedule)
    bound = binding.bind(s, state, found)
    if isinstance(bound, Unbound):
        return _end(s, item, binding.ended_unbound(found, bound, now_ms), found.rev)
    if catch_up.is_expired(bound.definition, found, now_ms):
        missed = replace(journal.settle(found, MISSED, now_ms, catch_up.too_late(found)), hlc=s.ids.hlc())
        if not s.stores.executions.update([(missed, found.rev)])[0]:
            return Claims(redeliver=(item,))
        follow(s, missed, bound.definition)
        return NOTHING
    queue = queue_pause.current(s, found.tenant)
    if not queue.holds(now_ms):
        return _next_attempt(s, item, journal.freed(found, now_ms), found.rev, was_held=True)
    check_ms = found.retry_at_ms or now_ms
    if check_ms <= now_ms:
        queue_pause.hold_on(s, found, bound.definition, queue)
        return NOTHING
    if not isinstance(item, Run) or item.due_ms < check_ms:
        return NOTHING  # another message checks it then
    if check_ms <= now_ms + s.config.lead_ms + SECOND_MS:
        return Claims(leased=(Leased(item, check_ms),))
    handoff.enqueue(s, [Run(found.key, found.attempt + 1, check_ms)])
    return NOTHING


def _take_over(s: Services, item: Item, found: Execution, now_ms: int) -> Claims:
    """Its worker died: end the lost attempt and begin the next."""
    version = Versioned(found.key_of_schedule, found.version)
    definition = load_definitions(s, {version}).get(version)
    if definition is None:
        return Claims(unknown=(item,))
    lost = journal.lose(found, definition.retry_policy, max(now_ms, found.lease_until_ms or 0))
    if lost.is_open:
        claims = _next_attempt(s, item, lost, found.rev, dead=found)
        if claims.claimed:
            attempt_spans.lost(s, lost, definition)
        return claims
    if not write_outcomes(s, [Ended(lost, found.rev, definition)])[0]:
        return Claims(redeliver=(item,))
    attempt_spans.lost(s, lost, definition)
    follow(s, lost, definition)
    return NOTHING


def _next_attempt(
    s: Services, item: Item, record: Execution, expected_rev: int, dead: Execution | None = None, was_held: bool = False
) -> Claims:
    """Claim the next attempt of ``record`` (not yet written in this form) over the stored ``expected_rev``. Whether it
    may still run is judged by ``dead``, the record as a dead worker left it: what only was claimed has not begun."""
    judged = dead or record
    for _ in range(TOKEN_ATTEMPTS):
        state = s.stores.schedules.states([record.key_of_schedule]).get(record.key_of_schedule)
        bound = binding.bind(s, state, judged)
        if isinstance(bound, Unbound):
            return _end(s, item, binding.ended_unbound(judged, bound, s.clock.now_ms()), expected_rev)
        if dead is not None and catch_up.is_expired(bound.definition, dead, now_ms := s.clock.now_ms()):
            missed = journal.settle(dead, MISSED, now_ms, catch_up.too_late(dead))
            return _end(s, item, replace(missed, version=bound.definition.version), expected_rev)
        assert state is not None
        slot_ms = _slot_ms(s, state, bound.definition, record if was_held else dead)
        if slot_ms is not None and slot_ms > s.clock.now_ms():
            if s.stores.schedules.write_states([(replace(state, rev=state.rev + 1, paced_ms=slot_ms), state.rev)])[0]:
                return _put_off(s, item, record, expected_rev, slot_ms)
            continue
        token, moved = state.fence + 1, state.claimed(1, record.firing_ms, record.firing_ms)
        moved = moved if slot_ms is None else replace(moved, paced_ms=slot_ms)
        if s.stores.schedules.write_states([(moved, state.rev)])[0]:
            begun = _begun(s, record, bound.definition, state, token, expected_rev)
            if not s.stores.executions.update([(begun, expected_rev)])[0]:
                return Claims(redeliver=(item,))
            return Claims(claimed=(Claimed(begun, bound.definition, state.epoch, record.due_ms),))
        # Another claim of the schedule was faster: the token after its own is as good.
    return Claims(redeliver=(item,))


def _slot_ms(s: Services, state: State, definition: Definition, judged: Execution | None) -> int | None:
    """The catch-up slot of what dead workers had only claimed, or a pause had held. None: it is not late by now, and
    needs none."""
    now_ms = s.clock.now_ms()
    if judged is None or not _is_owed_by_time(judged) or not catch_up.is_late(definition, judged.due_ms, now_ms):
        return None
    return catch_up.slots(1, state.paced_ms, now_ms, s.config.catch_up_per_minute)[0]


def _is_owed_by_time(judged: Execution) -> bool:
    """Whether the next attempt still is the first that is known to begin, however many workers died, and no caller
    asked for it."""
    asked = judged.requested or any(step.reason == RETRY_REQUESTED for step in judged.history)
    return judged.first_started_ms is None and not asked


def _put_off(s: Services, item: Item, record: Execution, expected_rev: int, slot_ms: int) -> Claims:
    """Let a late firing wait for its slot: queued first, written second."""
    waiting = replace(record, rev=expected_rev + 1, retry_at_ms=slot_ms, hlc=s.ids.hlc())
    handoff.enqueue(s, [Run(record.key, record.attempt + 1, slot_ms)])
    won = s.stores.executions.update([(waiting, expected_rev)])[0]
    return NOTHING if won else Claims(redeliver=(item,))


def _end(s: Services, item: Item, ended: Execution, expected_rev: int) -> Claims:
    won = s.stores.executions.update([(replace(ended, rev=expected_rev + 1), expected_rev)])[0]
    return NOTHING if won else Claims(redeliver=(item,))


def _begun(
    s: Services, record: Execution, definition: Definition, state: State, token: int, expected_rev: int
) -> Execution:
    bound = replace(record, version=definition.version, mends=record.mends or bool(state.outcome))
    begun = journal.claim(bound, s.config.instance, token, s.clock.now_ms())
    return replace(begun, rev=expected_rev + 1, hlc=s.ids.hlc())
