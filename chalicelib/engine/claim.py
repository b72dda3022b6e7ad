"""Claiming: from messages to attempts that this worker owns.

A claim is a conditional write of the schedule's state. It checks the version and takes a fencing token for each firing.
It names the span of instants that this worker now owns (``claim_spans``). What cannot be claimed so gets its record at
once, in a second conditional write: its deterministic id makes a second first attempt impossible. Claims of a
batch share their calls: one batch read of states, one batch write of states, one of records.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core import queue_messages
from chalicelib.core.errors import OutcomeUnknown, Unavailable
from chalicelib.core.executions import journal
from chalicelib.core.executions.execution import CANCELLED, Execution, ExecutionKey
from chalicelib.core.executions.limits import MESSAGE_SPAN_MS
from chalicelib.core.limits import SECOND_MS
from chalicelib.core.policies import catch_up
from chalicelib.core.queue_messages import Firing, Run
from chalicelib.core.schedules import schedule
from chalicelib.core.schedules.claim_span import ClaimSpan
from chalicelib.core.schedules.schedule import Definition, Key, State
from chalicelib.core.schedules.verdict import Verdict
from chalicelib.engine import binding, claim_spans, handoff
from chalicelib.engine.claimed import NOTHING, Claimed, Claims, Item, execution_of, merged
from chalicelib.engine.definitions import load_definitions
from chalicelib.engine.resume import resume, resume_claimed, resume_taken
from chalicelib.ports.services import Services
from chalicelib.ports.stores.schedules import Versioned

log = logging.getLogger(__name__)

OneKind = TypeVar("OneKind", Firing, Run)

CLAIM_ROUNDS = 8


def claim(s: Services, items: Sequence[Item]) -> Claims:
    """Claim what can be claimed; settle what must not fire."""
    firings = [item for item in items if isinstance(item, Firing)]
    runs = [item for item in items if isinstance(item, Run)]
    return merged([_unless_away(s, claim_firings, firings), _unless_away(s, claim_runs, runs)])


def _unless_away(s: Services, step: Callable[[Services, list[OneKind]], Claims], items: list[OneKind]) -> Claims:
    """Claims of one kind of item; when the tables are away, all of them come again later."""
    try:
        return step(s, items) if items else NOTHING
    except Unavailable as problem:
        log.warning("could not claim: %s", problem)
        return Claims(redeliver=tuple(items))


def claim_runs(s: Services, runs: Iterable[Run]) -> Claims:
    """Claim the next attempts of executions that wait for one."""
    wanted = sorted(dict.fromkeys(runs), key=lambda run: run.execution.firing_ms)  # catch-up slots go by instants
    existing = s.stores.executions.get(list({r.execution for r in wanted}))
    absent = Claims(unknown=tuple(r for r in wanted if r.execution not in existing))
    return merged([absent, *(resume(s, r, existing[r.execution]) for r in wanted if r.execution in existing)])


def claim_firings(s: Services, firings: Iterable[Firing]) -> Claims:
    """Claim the first attempts of queued instants; settle those that must not fire."""
    parts = []
    pending: Sequence[Firing] = list(dict.fromkeys(firings))
    for _ in range(CLAIM_ROUNDS):
        if not pending:
            break
        claims, pending = _claim_round(s, pending)
        parts.append(claims)
    return merged([*parts, Claims(redeliver=tuple(pending))])


# -- one round


class _Owed(Struct, frozen=True):
    """An owed firing, by the version in force at its instant; ``deleted``: it gets an end, not a delivery."""

    firing: Firing
    definition: Definition
    state: State
    deleted: bool

    def is_past(self, now_ms: int) -> bool:
        return catch_up.is_past_window(self.definition, self.firing.due_ms, now_ms)

    @property
    def key(self) -> ExecutionKey:
        return execution_of(self.firing)


def _claim_round(s: Services, firings: Sequence[Firing]) -> tuple[Claims, Sequence[Firing]]:
    """One round: the claims, and the firings of schedules whose state moved meanwhile."""
    states = s.stores.schedules.states(list({f.schedule for f in firings}))
    verdicts = binding.verdicts(s, firings, states)
    known, firings = resume_claimed(s, firings, verdicts, states)
    taken_back = _end_taken_back(s, [f for f in firings if verdicts[f] in (Verdict.DROP, Verdict.PAUSED)])
    owed = _owed(s, [f for f in firings if verdicts[f] in (Verdict.FIRE, Verdict.DELETED)], verdicts, states)
    defined = {each.firing for each in owed}
    unknown = tuple(f for f in firings if f not in defined and verdicts[f] not in (Verdict.DROP, Verdict.PAUSED))
    if not owed:
        return merged([Claims(unknown=unknown), known, taken_back]), []
    now_ms = s.clock.now_ms()  # read once: an instant must not be in time for one test and too late for the other
    over = [each for each in owed if each.deleted or each.is_past(now_ms)]
    settled, contended = _settle(s, over, now_ms) if over else (NOTHING, [])
    fire = [each for each in owed if not each.deleted and not each.is_past(now_ms)]
    due = _without_far(s, fire, now_ms)
    repeated, fresh = _without_repeated(s, due, now_ms)
    taken, lost = _take(s, fresh)
    return merged([Claims(unknown=unknown), known, taken_back, settled, repeated, taken]), [*contended, *lost]


def _owed(
    s: Services, firings: Sequence[Firing], verdicts: dict[Firing, Verdict], states: dict[Key, State]
) -> list[_Owed]:
    """Firings with their definitions; those whose definition is not written (yet) are left out."""
    versions = {f: Versioned(f.schedule, f.version) for f in firings}
    definitions = load_definitions(s, set(versions.values()))
    return [
        _Owed(f, definitions[version], states[f.schedule], verdicts[f] is Verdict.DELETED)
        for f, version in versions.items()
        if version in definitions
    ]


def _end_taken_back(s: Services, firings: Sequence[Firing]) -> Claims:
    """These must not fire. One that was claimed before that, and whose worker died since, is still to be ended."""
    if not firings:
        return NOTHING
    by_key = {execution_of(f): f for f in firings}
    found = s.stores.executions.get(list(by_key))
    return merged(resume(s, by_key[key], record) for key, record in found.items() if record.is_open)


def _settle(s: Services, over: Sequence[_Owed], now_ms: int) -> tuple[Claims, list[Firing]]:
    """Write down firings that will not be delivered; and those whose schedule's state was lost to another writer."""
    there = claim_spans.reach(s, [(each.state, each.firing.at_ms) for each in over])
    won = [each for each in over if each.firing.schedule in there]
    settled = _insert(s, [(each.firing, _settled(s, each, now_ms)) for each in won])
    return settled, [each.firing for each in over if each.firing.schedule not in there]


def _settled(s: Services, owed: _Owed, now_ms: int) -> Execution:
    """The record of an instant that is owed and will not be delivered: too late, or of a deleted schedule."""
    definition, shard, at_ms = owed.definition, owed.state.shard, owed.firing.at_ms
    if owed.deleted:
        return handoff.settled_record(s, definition, shard, at_ms, now_ms, CANCELLED, binding.DELETED)
    return handoff.missed_record(s, definition, shard, at_ms, now_ms)


def _insert(s: Services, records: Sequence[tuple[Firing, Execution]]) -> Claims:
    """Insert records of which nothing more is to be done here; what exists already is gone on with."""
    answers = s.stores.executions.insert([record for _, record in records])
    return resume_taken(s, [item for item, new in zip(records, answers, strict=True) if not new])


def _without_far(s: Services, fire: Sequence[_Owed], now_ms: int) -> Sequence[_Owed]:
    """Those that are due soon; jitter beyond what the queue can hold goes back onto it."""
    soon_ms = now_ms + s.config.lead_ms + MESSAGE_SPAN_MS + 2 * SECOND_MS
    far = [each.firing for each in fire if each.firing.due_ms > soon_ms]
    if not far:
        return fire
    handoff.enqueue(s, queue_messages.pack(far))
    return [each for each in fire if each.firing.due_ms <= soon_ms]


def _without_repeated(s: Services, due: Sequence[_Owed], now_ms: int) -> tuple[Claims, Sequence[_Owed]]:
    """Those without a record. Only late ones are looked up: a repeated message must not take up catch-up slots."""
    late = {each.key: each for each in due if catch_up.is_late(each.definition, each.firing.due_ms, now_ms)}
    if not late:
        return NOTHING, due
    found = s.stores.executions.get(list(late))
    met = {key: record for key, record in found.items() if not handoff.is_taken_out(record, late[key].firing.version)}
    claims = merged(resume(s, late[key].firing, record) for key, record in met.items())
    return claims, [each for each in due if each.key not in met]


# -- taking: tokens first, then records


class _Share(Struct, frozen=True):
    """The firings of one schedule in a batch: those to claim ``now``, and the late ones to hold back until their slots.
    With them the state to write first, in place of ``state``, and the ``span`` that it names (None: records follow)."""

    state: State
    now: Sequence[_Owed]
    held: Sequence[tuple[_Owed, int]]
    moved: State
    span: ClaimSpan | None = None
    settled: frozenset[ClaimSpan] = frozenset()


def _take(s: Services, fresh: Sequence[_Owed]) -> tuple[Claims, list[Firing]]:
    """Take tokens, then write records; and the firings whose schedule's state was lost to another writer."""
    by_schedule: dict[Key, list[_Owed]] = defaultdict(list)
    for each in sorted(fresh, key=lambda one: one.firing.at_ms):
        by_schedule[each.firing.schedule].append(each)
    now_ms = s.clock.now_ms()
    settled = claim_spans.settled_spans(s, [group[0].state for group in by_schedule.values()])
    shares = [_share(s, group, settled.get(key, frozenset()), now_ms) for key, group in by_schedule.items()]
    answers = _write_shares(s, shares)
    won = [share for share, is_won in zip(shares, answers, strict=True) if is_won]
    begun = _begin(s, won)
    late = [held for share in won for held in share.held]
    held = _hold_back(s, late, now_ms) if late else NOTHING
    lost = [share for share, is_won in zip(shares, answers, strict=True) if not is_won]
    contended = [each.firing for share in lost for each in by_schedule[share.state.key]]
    return merged([begun, held]), contended


def _write_shares(s: Services, shares: Sequence[_Share]) -> list[bool]:
    """Write the states. Where no answer came, a span that is stored is ours: it names this process and its tokens. A
    share without one is claimed anew, since two workers may have written the same."""
    try:
        return s.stores.schedules.write_states([(share.moved, share.state.rev) for share in shares])
    except OutcomeUnknown:
        stored = s.stores.schedules.states([share.state.key for share in shares])
        return [share.span in stored[share.state.key].spans for share in shares]


def _share(s: Services, group: Sequence[_Owed], settled: frozenset[ClaimSpan], now_ms: int) -> _Share:
    state = group[0].state
    late = [each for each in group if catch_up.is_late(each.definition, each.firing.due_ms, now_ms)]
    if not late and all(each.definition.overlap == "allow" for each in group):
        span = claim_spans.new_span(s, state, [each.firing for each in group], settled, now_ms)
        if span is not None:
            return _Share(state, group, (), _moved_on(group, state.claimed_as(span, settled)), span, settled)
    if not late:
        moved = state.claimed(len(group), group[0].firing.at_ms, group[-1].firing.at_ms)
        return _Share(state, group, (), _moved_on(group, moved))
    slots = catch_up.slots(len(late), state.paced_ms, now_ms, s.config.catch_up_per_minute)
    held = [(each, slot_ms) for each, slot_ms in zip(late, slots, strict=True) if slot_ms > now_ms]
    waiting = {each.firing for each, _ in held}
    now = [each for each in group if each.firing not in waiting]
    if now:
        moved = state.claimed(len(now), now[0].firing.at_ms, now[-1].firing.at_ms)
    else:
        moved = replace(state, rev=state.rev + 1)
    reached_ms = max(state.reached_ms, group[-1].firing.at_ms)
    return _Share(state, now, held, replace(moved, paced_ms=slots[-1], reached_ms=reached_ms))


def _moved_on(group: Sequence[_Owed], claimed: State) -> State:
    """The state of a claim, moved on to the run after it where the sweep has left that to the claim. A version that is
    not in force yet has its own next run."""
    firing, definition = group[0].firing, group[0].definition
    if len(group) > 1 or claimed.next_run_ms != firing.at_ms or claimed.current.id != firing.version:
        return claimed
    window = schedule.window(definition, firing.at_ms, firing.at_ms, claimed.run_count, 1)
    return replace(claimed.advanced(window), rev=claimed.rev) if window.instants == (firing.at_ms,) else claimed


def _begin(s: Services, won: Sequence[_Share]) -> Claims:
    """Begin the first attempts: their schedules' tokens are taken. Those of no span are written."""
    # Two threads with copies of one message may write the same span. The one without an answer finds it stored, and
    # does not show who wrote it. Who begins it first has it, and the other has nothing to send.
    won = [
        share
        for share in won
        if share.span is None or s.process.spans.begin(share.state.key, share.span, share.settled)
    ]
    owned = [_claimed(each, record) for each, record in _first_attempts(s, [share for share in won if share.span])]
    begun = _first_attempts(s, [share for share in won if share.span is None])
    answers = s.stores.executions.insert([record for _, record in begun])
    owned += [_claimed(each, record) for (each, record), new in zip(begun, answers, strict=True) if new]
    taken = [(each.firing, record) for (each, record), new in zip(begun, answers, strict=True) if not new]
    return merged([Claims(claimed=tuple(owned)), resume_taken(s, taken)])


def _claimed(owed: _Owed, record: Execution) -> Claimed:
    return Claimed(record, owed.definition, owed.state.epoch, record.due_ms)


def _first_attempts(s: Services, shares: Sequence[_Share]) -> list[tuple[_Owed, Execution]]:
    return [
        (each, _first_attempt(s, each, share.state.fence + 1 + number, in_span=share.span is not None))
        for share in shares
        for number, each in enumerate(share.now)
    ]


def _first_attempt(s: Services, owed: _Owed, token: int, in_span: bool) -> Execution:
    """The record of a claim. One reading of the clock decides when it was made and how long it protects the attempt:
    see ``catch_up.keeps_its_time``. What is claimed in a span is not written. It is protected from its
    instant on, as others work that out, although this process may have stood still since."""
    now_ms = s.clock.now_ms()
    record = handoff.new_record(s, owed.definition, owed.state.shard, owed.firing.at_ms, now_ms)
    claimed = journal.claim(record, s.config.instance, token, record.due_ms if in_span else now_ms)
    return replace(claimed, rev=0 if in_span else 1, mends=bool(owed.state.outcome))


def _hold_back(s: Services, held: Sequence[tuple[_Owed, int]], now_ms: int) -> Claims:
    """Write late instants down as pending and queue them for their slots. The slots are taken already: should this
    process die, the message that brought the instants comes again, and they get later ones."""
    records = [(each.firing, replace(_new_record(s, each, now_ms), retry_at_ms=slot_ms)) for each, slot_ms in held]
    handoff.enqueue(s, [Run(record.key, 1, record.due_ms) for _, record in records])
    return _insert(s, records)


def _new_record(s: Services, owed: _Owed, now_ms: int) -> Execution:
    return handoff.new_record(s, owed.definition, owed.state.shard, owed.firing.at_ms, now_ms)
