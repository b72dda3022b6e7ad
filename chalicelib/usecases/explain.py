"""Why an instant of a schedule did or did not fire, as a caller asks for it."""

from __future__ import annotations

from typing import Final, NamedTuple

from chalicelib.core.executions.execution import ExecutionKey
from chalicelib.core.executions.explanation import Explanation, explain
from chalicelib.core.schedules.schedule import Schedule, progress, window
from chalicelib.core.security.caller import Caller
from chalicelib.ports.services import Services
from chalicelib.usecases import schedules
from chalicelib.usecases.backfill import owed_until

_FORESEEN_MAX: Final = 20_000  # runs that are counted to find the last one


class InstantExplained(NamedTuple):
    """The explanation, and when the schedule runs next."""

    explanation: Explanation
    next_run_ms: int | None


def explain_instant(s: Services, caller: Caller, schedule_id: str, at_ms: int | None) -> InstantExplained:
    """Explain an instant; without one the next run, or now when there is none. Raises NotFound."""
    found = schedules.get(s, caller, schedule_id)
    now_ms = s.clock.now_ms()
    next_ms = progress(found, now_ms).next_run_ms
    if at_ms is None:
        at_ms = now_ms if next_ms is None else next_ms
    key = found.definition.key
    versions = [*s.stores.schedules.history(key), found.definition]
    at = ExecutionKey(key.tenant, key.id, at_ms, False)
    manual = at._replace(manual=True)
    records = s.stores.executions.get([at, manual])
    execution = records.get(at) or records.get(manual)
    last_ms = _last_owed(found, at_ms)
    due_ms = found.state.queued_ms if next_ms is None else next_ms  # of a DELAY it stays due until it has begun
    return InstantExplained(explain(versions, execution, at_ms, now_ms, last_ms, due_ms), next_ms)


def _last_owed(found: Schedule, at_ms: int) -> int | None:
    """The last instant that is owed, where its runs are spent by ``at_ms``; None where they are not, or are too many
    to be counted."""
    definition, state = found.definition, found.state
    if definition.max_runs is None or state.next_run_ms is None or at_ms < state.next_run_ms:
        return owed_until(found)
    ahead = window(definition, state.next_run_ms, at_ms, state.run_count, _FORESEEN_MAX)
    return ahead.instants[-1] if ahead.instants and ahead.next_run_ms is None else None
