"""Claiming: from messages to attempts that this worker owns.

A claim is two conditional writes: one of the schedule's state, which checks the version and takes a fencing token for
each firing, then the execution's record, whose deterministic id makes a second first attempt impossible.
Claims of a batch share their calls: one batch read of states, one batch write of states, one of records.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from chalicelib.core import queue_messages
from chalicelib.core.executions import journal
from chalicelib.core.executions.execution import (
    CANCELLED,
    MISSED,
    PENDING,
    SKIPPED,
    Execution,
    ExecutionKey,
    is_listed_open,
)
from chalicelib.core.executions.limits import MESSAGE_SPAN_MS
from chalicelib.core.limits import SECOND_MS
from chalicelib.core.policies import catch_up
from chalicelib.core.queue_messages import Firing, Run
from chalicelib.core.schedules.schedule import Definition, Key, State, Verdict, VersionRef, judge, judge_snapshot
from chalicelib.engine import handoff
from chalicelib.engine.definitions import load_definitions
from chalicelib.engine.follow_ups import follow
from chalicelib.engine.outcomes import Ended, update_surely, write_outcomes
from chalicelib.ports.services import Services
from chalicelib.ports.stores.schedules import Versioned

CLAIM_ROUNDS = 8
SUPERSEDED = "superseded by an edit"


class Claimed(Struct):
    """One attempt that this worker owns, to be sent at ``due_ms``. ``epoch`` is the schedule's when it was claimed."""

    execution: Execution
    definition: Definition
    epoch: int
    due_ms: int

    @property
    def key(self) -> Key:
        return self.definition.key


class Claims(Struct):
    """What became of the firings and runs of a batch.

    ``redeliver``: somebody else's attempt may still live, or a write was lost too often: the queue must bring it again.
    ``unknown``: the version or record is not written (yet). ``notices``: cancelled, and their targets are to be told.
    """

    claimed: list[Claimed] = field(default_factory=list)
    redeliver: set[Firing | Run] = field(default_factory=set)
    unknown: list[Firing | Run] = field(default_factory=list)
    notices: list[tuple[Firing | Run, Execution]] = field(default_factory=list)


def claim_firings(s: Services, firings: Iterable[Firing]) -> Claims:
    """Claim the first attempts of queued instants; settle those that must not fire."""
    claims = Claims()
    pending = list(dict.fromkeys(firings))
    for _ in range(CLAIM_ROUNDS):
        if not pending:
            return claims
        pending = _claim_round(s, pending, claims)
    claims.redeliver.update(pending)
    return claims


def _claim_round(s: Services, firings: Sequence[Firing], claims: Claims) -> list[Firing]:
    """One round; returns the firings of schedules whose state moved meanwhile."""
    states = s.stores.schedules.states(list({f.schedule for f in firings}))
    verdicts = _verdicts(s, firings, states)
    claims.unknown.extend(f for f in firings if verdicts[f] is Verdict.UNKNOWN)
    _taken_back(s, [f for f in firings if verdicts[f] in (Verdict.DROP, Verdict.PAUSED)], claims)
    wanted = [f for f in firings if verdicts[f] in (Verdict.FIRE, Verdict.DELETED)]
    definitions = load_definitions(s, {Versioned(f.schedule, f.version) for f in wanted})
    claims.unknown.extend(f for f in wanted if Versioned(f.schedule, f.version) not in definitions)
    known = [(f, definitions[v]) for f in wanted if (v := Versioned(f.schedule, f.version)) in definitions]
    now_ms = s.clock.now_ms()  # read once: an instant must not be in time for the one test and too late for the other
    _settle(s, known, verdicts, states, now_ms, claims)
    fire = [(f, d) for f, d in known if verdicts[f] is Verdict.FIRE and not handoff.too_late(d, f.at_ms, now_ms)]
    soon_ms = now_ms + s.config.lead_ms + MESSAGE_SPAN_MS + 2 * SECOND_MS
    handoff.enqueue(
        s, queue_messages.pack(f for f, _ in fire if f.due_ms > soon_ms)
    )  # jitter beyond what the queue can hold
    due = [(f, d) for f, d in fire if f.due_ms <= soon_ms]
    return _take(s, _without_known(s, due, now_ms, claims), states, claims)


def _taken_back(s: Services, firings: Sequence[Firing], claims: Claims) -> None:
    """These must not fire. One that was claimed before that, and whose worker died since, is still to be ended."""
    by_key = {ExecutionKey(*f.schedule, f.at_ms): f for f in firings}
    for key, found in s.stores.executions.get(list(by_key)).items():
        if found.is_open:
            _resume(s, by_key[key], found, claims)


def _without_known(
    s: Services, due: Sequence[tuple[Firing, Definition]], now_ms: int, claims: Claims
) -> list[tuple[Firing, Definition]]:
    """Without those late ones that have a record already (a repeated message), which must not take up slots."""
    late = {ExecutionKey(*f.schedule, f.at_ms): f for f, d in due if catch_up.is_late(d, f.due_ms, now_ms)}
    if not late:
        return list(due)
    known = s.stores.executions.get(list(late))
    met = {key: found for key, found in known.items() if not handoff.is_taken_out(found, late[key].version)}
    for key, found in met.items():
        _resume(s, late[key], found, claims)
    return [(f, d) for f, d in due if ExecutionKey(*f.schedule, f.at_ms) not in met]


def _verdicts(s: Services, firings: Sequence[Firing], states: Mapping[Key, State]) -> dict[Firing, Verdict]:
    verdicts = {f: judge(states.get(f.schedule), f.version, f.at_ms) for f in firings}
    unsure = [f for f, v in verdicts.items() if v is Verdict.UNKNOWN and f.schedule in states]
    if unsure:
        wanted = list({Versioned(f.schedule, f.version) for f in unsure})
        snapshots = s.stores.schedules.snapshots(wanted)
        for f in unsure:
            snapshot = snapshots.get(Versioned(f.schedule, f.version))
            verdicts[f] = judge_snapshot(states.get(f.schedule), snapshot, f.at_ms)
    return verdicts


def _settle(
    s: Services,
    firings: Sequence[tuple[Firing, Definition]],
    verdicts: Mapping[Firing, Verdict],
    states: Mapping[Key, State],
    now_ms: int,
    claims: Claims,
) -> None:
    """Write down the instants that are owed and will not be delivered: too late, or of a deleted schedule."""
    records: list[tuple[Firing, Execution]] = []
    for f, definition in firings:
        shard = states[f.schedule].shard
        if verdicts[f] is Verdict.DELETED:
            reason = "the schedule was deleted"
            records.append((f, handoff.settled_record(s, definition, shard, f.at_ms, now_ms, CANCELLED, reason)))
        elif handoff.too_late(definition, f.at_ms, now_ms):
            records.append((f, handoff.missed_record(s, definition, shard, f.at_ms, now_ms)))
    answers = s.stores.executions.insert([record for _, record in records])
    taken = [item for item, new in zip(records, answers, strict=True) if not new]
    if taken:
        _meet(s, taken, claims)


def _take(
    s: Services, fire: Sequence[tuple[Firing, Definition]], states: Mapping[Key, State], claims: Claims
) -> list[Firing]:
    """Take tokens, then write records. Returns the firings whose schedule's state was lost to another writer."""
    by_schedule: dict[Key, list[tuple[Firing, Definition]]] = defaultdict(list)
    for f, definition in sorted(fire, key=lambda item: item[0].at_ms):
        by_schedule[f.schedule].append((f, definition))
    now_ms = s.clock.now_ms()
    shares = {key: _share(s, states[key], group, now_ms) for key, group in by_schedule.items()}
    writes = [(share.moved, states[key].rev) for key, share in shares.items()]
    won = dict(zip(shares, s.stores.schedules.write_states(writes), strict=True))
    records = [
        (f, _first_attempt(s, definition, states[key], states[key].fence + 1 + number, f.at_ms))
        for key, share in shares.items()
        if won[key]
        for number, (f, definition) in enumerate(share.now)
    ]
    _insert(s, records, dict(fire), states, claims)
    _hold_back(s, [(held, states[key]) for key, share in shares.items() if won[key] for held in share.held], claims)
    return [f for key, group in by_schedule.items() if not won[key] for f, _ in group]


class _Share(Struct, frozen=True):
    """The firings of one schedule in a batch: those to claim now, the late ones to hold back until their slots, and the
    state to write first."""

    now: Sequence[tuple[Firing, Definition]]
    held: Sequence[tuple[Firing, Definition, int]]
    moved: State


def _share(s: Services, state: State, group: Sequence[tuple[Firing, Definition]], now_ms: int) -> _Share:
    late = [item for item in group if catch_up.is_late(item[1], item[0].due_ms, now_ms)]
    if not late:
        return _Share(group, (), state.claimed(len(group), group[0][0].at_ms, group[-1][0].at_ms))
    slots = catch_up.slots(len(late), state.paced_ms, now_ms, s.config.catch_up_per_minute)
    held = [(f, d, slot_ms) for (f, d), slot_ms in zip(late, slots, strict=True) if slot_ms > now_ms]
    waiting = {f for f, _, _ in held}
    now = [(f, d) for f, d in group if f not in waiting]
    moved = state.claimed(len(now), now[0][0].at_ms, now[-1][0].at_ms) if now else replace(state, rev=state.rev + 1)
    return _Share(now, held, replace(moved, paced_ms=slots[-1]))


def _hold_back(s: Services, held: Sequence[tuple[tuple[Firing, Definition, int], State]], claims: Claims) -> None:
    """Write late instants down as pending and queue them for their slots. The slots are taken already: should this
    process die, the message that brought the instants comes again, and they get later ones."""
    if not held:
        return
    now_ms = s.clock.now_ms()
    records = [
        (f, replace(handoff.new_record(s, definition, state.shard, f.at_ms, now_ms), retry_at_ms=slot_ms))
        for (f, definition, slot_ms), state in held
    ]
    handoff.enqueue(s, [Run(record.key, 1, record.due_ms) for _, record in records])
    answers = s.stores.executions.insert([record for _, record in records])
    taken = [item for item, new in zip(records, answers, strict=True) if not new]
    if taken:
        _meet(s, taken, claims)


def _first_attempt(s: Services, definition: Definition, state: State, token: int, at_ms: int) -> Execution:
    now_ms = s.clock.now_ms()
    record = handoff.new_record(s, definition, state.shard, at_ms, now_ms)
    return replace(journal.claim(record, s.config.instance, token, now_ms), rev=1, mends=bool(state.outcome))


def _insert(
    s: Services,
    records: Sequence[tuple[Firing, Execution]],
    definitions: Mapping[Firing, Definition],
    states: Mapping[Key, State],
    claims: Claims,
) -> None:
    answers = s.stores.executions.insert([record for _, record in records])
    taken = []
    for (f, record), new in zip(records, answers, strict=True):
        if new:
            claims.claimed.append(Claimed(record, definitions[f], states[f.schedule].epoch, record.due_ms))
        else:
            taken.append((f, record))
    if taken:
        _meet(s, taken, claims)


def _meet(s: Services, taken: Sequence[tuple[Firing, Execution]], claims: Claims) -> None:
    """These firings have records already: finished ones are done, abandoned ones are taken over."""
    existing = s.stores.executions.get([record.key for _, record in taken])
    for f, record in taken:
        found = existing.get(record.key)
        if found is None:
            claims.redeliver.add(f)
        elif handoff.is_taken_out(found, f.version):
            _owe_again(s, f, record, found, claims)
        else:
            _resume(s, f, found, claims)


def _owe_again(s: Services, f: Firing, record: Execution, found: Execution, claims: Claims) -> None:
    """It ends, or runs, as ``f``'s version wants, if that still is in force: this worker may have stood still since it
    looked. A record that somebody changed meanwhile was decided by a later look than ours."""
    states = s.stores.schedules.states([f.schedule])
    if _verdicts(s, [f], states)[f] not in (Verdict.FIRE, Verdict.DELETED):
        return
    now_ms = s.clock.now_ms()
    reopened = replace(journal.reopen(found, now_ms, "owed again after an edit"), version=f.version)
    if record.is_open:
        _attempt(s, f, reopened, found.rev, claims)
        return
    ended = replace(journal.settle(reopened, record.state, now_ms, record.history[-1].reason), rev=found.rev + 1)
    s.stores.executions.update([(ended, found.rev)])


def claim_runs(s: Services, runs: Iterable[Run]) -> Claims:
    """Claim the next attempts of executions that wait for one."""
    claims = Claims()
    wanted = list(dict.fromkeys(runs))
    existing = s.stores.executions.get(list({r.execution for r in wanted}))
    for run in wanted:
        found = existing.get(run.execution)
        if found is None:
            claims.unknown.append(run)
        else:
            _resume(s, run, found, claims)
    return claims


def _resume(s: Services, item: Firing | Run, found: Execution, claims: Claims) -> None:
    """Go on with an existing record: nothing when it is over, the next attempt when one is due and none lives."""
    now_ms = s.clock.now_ms()
    if not found.is_open:
        if found.notice:
            claims.notices.append((item, found))
        follow(s, found, s.process.versions.find(found.version), just_now=False)
    elif found.retry_at_ms is not None:
        _retry_when_due(s, item, found, now_ms, claims)
    elif found.leased(now_ms - s.config.max_drift_ms):
        if isinstance(item, Run) and item.attempt > found.attempt:
            claims.unknown.append(item)  # queued before the attempt before it was written off, which is about to happen
        elif not is_listed_open(found):  # what is listed open, reconcile finds
            claims.redeliver.add(item)
    else:
        _take_over(s, item, found, now_ms, claims)


def _retry_when_due(s: Services, item: Firing | Run, found: Execution, now_ms: int, claims: Claims) -> None:
    if found.waits:
        found = journal.awakened(found, now_ms)
    assert found.retry_at_ms is not None
    if isinstance(item, Run) and found.retry_at_ms > now_ms + s.config.lead_ms + SECOND_MS:
        handoff.enqueue(s, [Run(found.key, found.attempt + 1, found.retry_at_ms)])  # it came early: see delay_s
    elif isinstance(item, Run):
        _attempt(s, item, found, found.rev, claims)


def _take_over(s: Services, item: Firing | Run, found: Execution, now_ms: int, claims: Claims) -> None:
    """Its worker died: end the lost attempt and begin the next."""
    definition = load_definitions(s, {Versioned(found.key_of_schedule, found.version)}).get(
        Versioned(found.key_of_schedule, found.version)
    )
    if definition is None:
        claims.unknown.append(item)
        return
    if handoff.given_up(definition, found, now_ms):
        if not s.stores.executions.update([(journal.settle(found, MISSED, now_ms, handoff.TOO_LATE), found.rev)])[0]:
            claims.redeliver.add(item)
        return
    lost = journal.lose(found, definition.retry_policy, max(now_ms, found.lease_until_ms or 0))
    if lost.is_open:
        _attempt(s, item, lost, found.rev, claims, judged=found)
    elif write_outcomes(s, [Ended(lost, found.rev, definition)])[0]:
        follow(s, lost, definition)
    else:
        claims.redeliver.add(item)


def _attempt(
    s: Services,
    item: Firing | Run,
    record: Execution,
    expected_rev: int,
    claims: Claims,
    judged: Execution | None = None,
) -> None:
    """Claim the next attempt of ``record`` (not yet written in this form) over the stored ``expected_rev``. Whether it
    is owed is judged by ``judged``, the record as stored: what only was claimed when its worker died has not begun."""
    judged = judged or record
    key = record.key_of_schedule
    for _ in range(CLAIM_ROUNDS):
        state = s.stores.schedules.states([key]).get(key)
        binding = bind(s, state, judged)
        if isinstance(binding, str):
            ended = settled(judged, binding, s.clock.now_ms())
            won = s.stores.executions.update([(replace(ended, rev=expected_rev + 1), expected_rev)])[0]
        else:
            assert state is not None
            token = state.fence + 1
            if not s.stores.schedules.write_states([(state.claimed(1, record.firing_ms, record.firing_ms), state.rev)])[
                0
            ]:
                continue  # another claim of the schedule was faster: the token after its own is as good
            mending = replace(record, mends=record.mends or bool(state.outcome))
            won = _begin_attempt(s, binding, token, state.epoch, mending, expected_rev, claims)
        if not won:
            claims.redeliver.add(item)
        return
    claims.redeliver.add(item)


def settled(record: Execution, reason: str, now_ms: int) -> Execution:
    """An open record that must not run, ended: cancelled when it had begun or its schedule is gone, else skipped."""
    state = CANCELLED if reason == DELETED or record.state != PENDING else SKIPPED
    return journal.settle(record, state, now_ms, reason)


def _begin_attempt(
    s: Services, definition: Definition, token: int, epoch: int, record: Execution, expected_rev: int, claims: Claims
) -> bool:
    bound = replace(record, version=definition.version)
    begun = journal.claim(bound, s.config.instance, token, s.clock.now_ms())
    begun = replace(begun, rev=expected_rev + 1, hlc=s.ids.hlc())
    if not s.stores.executions.update([(begun, expected_rev)])[0]:
        return False
    claims.claimed.append(Claimed(begun, definition, epoch, record.due_ms))
    return True


DELETED = "the schedule was deleted"
PAUSED = "the schedule was paused"


def bind(s: Services, state: State | None, record: Execution) -> Definition | str:
    """The definition an open record runs under now, or the reason why it must not run.

    A record that is bound to its version runs unless the schedule is deleted. One that only was claimed is owed under
    the version in force at its instant, whichever that is.
    """
    if state is None or state.status == "deleted":
        return DELETED
    version = record.version
    if not record.is_bound:
        ref = _in_force_at(s, state, record.firing_ms)
        version = ref.id if ref is not None else version
        if ref is not None and not ref.active:
            return PAUSED
    wanted = Versioned(record.key_of_schedule, version)
    definition = load_definitions(s, {wanted}).get(wanted)
    if definition is None:
        return DELETED
    owed = version == record.version or _owes(s, state, definition, record.firing_ms)
    return definition if owed else SUPERSEDED


def rebind(s: Services, state: State | None, claimed: Execution) -> Definition | None:
    """The definition a claimed record runs under after its schedule changed. None when it must not run: it is ended."""
    binding = bind(s, state, claimed)
    if not isinstance(binding, str):
        return binding
    update_surely(s, [(settled(claimed, binding, s.clock.now_ms()), claimed.rev)])
    return None


def _in_force_at(s: Services, state: State, at_ms: int) -> VersionRef | None:
    """The version in force at an instant, also after more changes since than the state names."""
    ref = state.in_force_at(at_ms)
    if ref is not None:
        return ref
    earlier = [d for d in s.stores.schedules.history(state.key) if d.since_ms <= at_ms]
    return VersionRef(earlier[-1].version, earlier[-1].since_ms, earlier[-1].active) if earlier else None


def _owes(s: Services, state: State, definition: Definition, at_ms: int) -> bool:
    """Whether a version owes an instant that another had queued. A DELAY schedule has no grid: it owes the one instant
    that it waits for, and an edit, which begins a new wait, takes back the one before. A version that has spent its
    ``max_runs`` owes nothing after its last instant, though its grid goes on."""
    if definition.type == "DELAY":
        return state.queued_ms == at_ms
    if definition.compiled().next_after(at_ms - 1) != at_ms:
        return False
    if definition.version == state.current.id:
        return state.next_run_ms is not None or state.queued_ms is None or at_ms <= state.queued_ms
    return at_ms < _until_ms(s, Versioned(definition.key, definition.version), at_ms + 1)


def _until_ms(s: Services, version: Versioned, otherwise_ms: int) -> int:
    """When a version ceased to be in force, as stored: it may be known here from when it still was."""
    found = s.stores.schedules.snapshots([version]).get(version)
    return otherwise_ms if found is None or found.until_ms is None else found.until_ms
