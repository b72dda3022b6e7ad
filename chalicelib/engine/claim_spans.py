"""Claims without records: a span in the schedule's state says which worker owns which first attempts.

An ordinary firing is written down once, with its outcome or when it takes long. Until then the span is its only trace.
Two rules keep it from being begun twice:

- Claimed as a span are instants after all that were ever claimed or recorded (``State.reached_ms``). A record of a
  later instant is made otherwise only after that was moved, under the state's ``rev``. So of the two one is first.
- A span stays in the state until each of its firings has a record, and a message is answered only then. So a message
  that comes again meets the span or the record. A firing of a span is left to its owner while the lease lives. Then it
  is taken over, by a record that is inserted if there is none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from msgspec.structs import replace

from chalicelib.core.executions import journal
from chalicelib.core.executions.execution import Execution, ExecutionKey
from chalicelib.core.executions.limits import CLAIM_SHOWN_MS
from chalicelib.core.queue_messages import Firing
from chalicelib.core.schedules.claim_span import ClaimSpan, span_of
from chalicelib.core.schedules.limits import SPANS_MAX
from chalicelib.core.schedules.schedule import Definition, Key, State
from chalicelib.engine import handoff
from chalicelib.engine.definitions import load_definitions
from chalicelib.ports.services import Services
from chalicelib.ports.stores.schedules import Versioned


def shadow(s: Services, definition: Definition, state: State, at_ms: int) -> Execution | None:
    """A claimed firing as the record that was never written says it; None when no span has it."""
    span = state.span_at(at_ms)
    token = None if span is None else span.token_of(at_ms)
    if span is None or token is None:
        return None
    blank = handoff.new_record(s, definition, state.shard, at_ms, at_ms)
    claimed = journal.claim(blank, span.owner, token, at_ms)
    return replace(claimed, rev=0, mends=bool(state.outcome))


def new_span(
    s: Services, state: State, firings: Sequence[Firing], settled: Collection[ClaimSpan], now_ms: int
) -> ClaimSpan | None:
    """These as one span of this worker's claims; None when each needs its record at once. They are in order of time,
    of a schedule that lets its runs overlap: a slot is given by records."""
    instants = [f.at_ms for f in firings]
    # Ahead of its instant its lease follows from the instant alone, and no backfill can have asked for it.
    early = all(f.due_ms >= now_ms for f in firings)
    in_force = all((ref := state.in_force_at(f.at_ms)) is not None and ref.id == f.version for f in firings)
    room = sum(span not in settled for span in state.spans) < SPANS_MAX
    if not (early and in_force and room and instants[0] > state.reached_ms):
        return None
    return span_of(instants, state.fence + 1, s.config.instance)


def settled_spans(s: Services, states: Iterable[State]) -> dict[Key, frozenset[ClaimSpan]]:
    """The spans whose firings all have records. Those of others are looked up when a state has no room for more."""
    found = {state.key: s.process.spans.settled(state.key) for state in states if state.spans}
    unsure = {
        ExecutionKey(*state.key, at_ms): (state.key, span)
        for state in states
        if len(state.spans) >= SPANS_MAX and not found[state.key] & set(state.spans)
        for span in state.spans
        for at_ms in span.instants
    }
    if unsure:
        recorded = s.stores.executions.get(list(unsure))
        missing = {unsure[key] for key in unsure.keys() - recorded.keys()}
        for key, span in set(unsure.values()) - missing:
            found[key] |= {span}
    return found


def reach(s: Services, wanted: Iterable[tuple[State, int]]) -> dict[Key, State]:
    """Move how far schedules have come, before records up to an instant are made of them; the states as they then are.
    Left out are those of which another writer was faster."""
    last: dict[Key, tuple[State, int]] = {}
    for state, at_ms in wanted:
        last[state.key] = (state, max(at_ms, last.get(state.key, (state, at_ms))[1]))
    moves = [(state, state.reached(at_ms)) for state, at_ms in last.values()]
    there = {state.key: state for state, moved in moves if moved is state}
    writes = [(moved, state.rev) for state, moved in moves if moved is not state]
    answers = s.stores.schedules.write_states(writes)
    return there | {moved.key: moved for (moved, _), won in zip(writes, answers, strict=True) if won}


def pending(s: Services, key: ExecutionKey) -> Execution | None:
    """A firing that is claimed and has no record yet, as callers see it; None when there is none."""
    at = Key(key.tenant, key.schedule_id)
    state = None if key.manual else s.stores.schedules.states([at]).get(at)
    if state is None or state.span_at(key.firing_ms) is None:
        return None
    # The version in force may be a deletion, of which there is no definition.
    wanted = [Versioned(at, ref.id) for ref in reversed(state.versions) if ref.since_ms <= key.firing_ms]
    definitions = load_definitions(s, set(wanted))
    definition = next((definitions[version] for version in wanted if version in definitions), None)
    return None if definition is None else shown(s, definition, state, key.firing_ms)


def shown(s: Services, definition: Definition, state: State, at_ms: int) -> Execution | None:
    """``shadow``, unless it is so old that its record may have expired."""
    found = shadow(s, definition, state, at_ms)
    return found if found is not None and s.clock.now_ms() < found.due_ms + CLAIM_SHOWN_MS else None
