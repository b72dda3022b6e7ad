"""Why an instant of a schedule did or did not fire, as a caller asks for it."""

from __future__ import annotations

from typing import NamedTuple

from chalicelib.core.executions.execution import ExecutionKey
from chalicelib.core.executions.explanation import Explanation, explain
from chalicelib.core.schedules.schedule import progress
from chalicelib.core.security.caller import Caller
from chalicelib.ports.services import Services
from chalicelib.usecases import schedules
from chalicelib.usecases.backfill import owed_until


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
    return InstantExplained(explain(versions, execution, at_ms, now_ms, owed_until(found), next_ms), next_ms)
