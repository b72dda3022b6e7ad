"""Backfill runs the owed instants that a schedule missed. The ledger shows each owed instant with what became of it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from chalicelib.core import trace
from chalicelib.core.errors import InvalidField, NotFound, TooMany
from chalicelib.core.executions.execution import Execution
from chalicelib.core.executions.ledger import Ledger, draw
from chalicelib.core.limits import PAGE_MAX_ITEMS
from chalicelib.core.queue_messages import Run
from chalicelib.core.schedules.limits import BACKFILL_MAX_INSTANTS
from chalicelib.core.schedules.schedule import Definition, Key, Schedule, State, runs_left
from chalicelib.core.security.caller import Caller
from chalicelib.engine import claim_spans, handoff
from chalicelib.engine.schedule_change import check_match
from chalicelib.ports.services import Services
from chalicelib.usecases import schedules
from chalicelib.usecases.policy_gate import check_schedule

LEDGER_DEFAULT_MS = 86_400_000
REACH_ATTEMPTS = 12


def backfill(
    s: Services, caller: Caller, schedule_id: str, from_ms: int, to_ms: int, if_match: str | None = None
) -> int:
    """Fire the instants of [from_ms, to_ms] that have no execution, up to now; returns how many.

    Instants before the schedule's creation count too: the grid of the current definition decides. Raises NotFound,
    PreconditionFailed, and InvalidField when the range is empty, or holds more than BACKFILL_MAX_INSTANTS instants.
    """
    found = schedules.get(s, caller, schedule_id, "schedules:trigger")
    definition = found.definition
    check_match(definition, if_match)
    _check(definition, from_ms, to_ms)
    check_schedule(s, caller, definition, "schedules:trigger")
    now_ms = s.clock.now_ms()
    most = BACKFILL_MAX_INSTANTS + 1
    instants = definition.compiled().backwards_between(from_ms, min(to_ms, now_ms), most)
    if len(instants) == most:
        message = f"the range holds more than {BACKFILL_MAX_INSTANTS} instants: ask in parts"
        raise InvalidField.of("to_unix_ms", message)
    taken = {e.firing_ms for e in executions_between(s, found.definition.key, from_ms, to_ms)}
    return _request(s, caller, found, [i for i in instants if i not in taken], now_ms)


def _check(definition: Definition, from_ms: int, to_ms: int) -> None:
    if to_ms < from_ms:
        raise InvalidField.of("to_unix_ms", "must not be before from_unix_ms")
    if definition.type == "DELAY":
        raise InvalidField.of("type", "a DELAY schedule has no grid, so it cannot be backfilled")


def _request(s: Services, caller: Caller, found: Schedule, instants: Sequence[int], now_ms: int) -> int:
    """Queue and write requested records; the ones that got a record meanwhile are not repeated. What is claimed has no
    record yet, and nothing can be claimed without one that is asked for here: see ``claim_spans``."""
    if not instants:
        return 0
    state = reached(s, found.definition.key, instants[-1])
    instants = [at_ms for at_ms in instants if claim_spans.shown(s, found.definition, state, at_ms) is None]
    records = [
        replace(
            handoff.new_record(s, found.definition, found.state.shard, at_ms, now_ms),
            requested=True,
            offset_ms=0,
            retry_at_ms=now_ms,
            traceparent="" if trace.parse(caller.traceparent) is None else caller.traceparent,
        )
        for at_ms in instants
    ]
    handoff.enqueue(s, [Run(record.key, 1, now_ms) for record in records])
    return sum(s.stores.executions.insert(records))


def reached(s: Services, key: Key, at_ms: int) -> State:
    """The schedule's state, when it has come as far as an instant. Raises NotFound, TooMany."""
    for _ in range(REACH_ATTEMPTS):
        state = s.stores.schedules.states([key]).get(key)
        if state is None:
            raise NotFound(f"there is no schedule {key.id}")
        if there := claim_spans.reach(s, [(state, at_ms)]):
            return there[key]
    raise TooMany("the schedule is being changed by many callers at once", code="contended")


def executions_between(s: Services, key: Key, from_ms: int, to_ms: int) -> list[Execution]:
    """All executions of a schedule in a range of firing instants."""
    found: list[Execution] = []
    after: str | None = None
    while True:
        page, after = s.stores.executions.of_schedule(key, from_ms, to_ms, PAGE_MAX_ITEMS, after)
        found += page
        if after is None:
            return found


def ledger(s: Services, caller: Caller, schedule_id: str, from_ms: int | None, to_ms: int | None, limit: int) -> Ledger:
    """Every instant owed in [from_ms, to_ms] (default: the last day) against what became of it. Raises NotFound,
    InvalidField."""
    now_ms = s.clock.now_ms()
    to_ms = now_ms if to_ms is None else to_ms
    from_ms = max(0, to_ms - LEDGER_DEFAULT_MS) if from_ms is None else from_ms
    if to_ms < from_ms:
        raise InvalidField.of("to_unix_ms", "must not be before from_unix_ms")
    found = schedules.get(s, caller, schedule_id)
    versions = [*s.stores.schedules.history(found.definition.key), found.definition]
    drawn = draw(versions, (), from_ms, to_ms, now_ms, limit, owed_until(found))
    until_ms = to_ms if drawn.next_ms is None else drawn.next_ms
    executions = executions_between(s, found.definition.key, from_ms, min(until_ms, now_ms))
    awaited_ms = found.state.queued_ms if found.definition.type == "DELAY" else None
    return draw(versions, executions, from_ms, to_ms, now_ms, limit, owed_until(found), awaited_ms)


def owed_until(found: Schedule) -> int | None:
    """The last instant of a schedule whose ``max_runs`` are spent; one before its version when that began with none
    left. None: more is to come, or its grid says where it ends."""
    definition, state = found.definition, found.state
    if not definition.active or state.next_run_ms is not None or runs_left(definition, state.run_count) != 0:
        return None
    began_spent = state.queued_ms is None and definition.type != "DELAY"
    return definition.since_ms - 1 if began_spent else state.queued_ms
