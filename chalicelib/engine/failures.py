"""Pausing a schedule whose executions fail one after the other (``pause_after_failures``).

Judged twice: by the process that ended the execution, at once and as far as it can (``judge_promptly``), and by the
feed. The feed sees every record that was written, also by a process that died after writing it. Both read the same
journal and make the same conditional change, so only one of them pauses.
"""

from __future__ import annotations

import logging
from functools import partial

from chalicelib.core.errors import ChronoError, NotFound, PreconditionFailed, TooMany
from chalicelib.core.executions.execution import Execution
from chalicelib.core.limits import INSTANT_MAX_MS
from chalicelib.core.policies import failures
from chalicelib.core.policies.limits import FAILURES_CHECK_MAX_RECORDS
from chalicelib.core.schedules import schedule
from chalicelib.core.schedules.schedule import Definition, FailurePause, Schedule
from chalicelib.engine.schedule_change import pause_failing
from chalicelib.ports.services import Services

log = logging.getLogger(__name__)

JUDGE_ATTEMPTS = 6
PAGE_RECORDS = 100


def judge_promptly(s: Services, ended: Execution, definition: Definition) -> None:
    """``judge`` on the way of a firing: nothing for schedules without the policy; trouble is left to the feed."""
    if definition.pause_after_failures is None or ended.state not in failures.FAILURES:
        return
    try:
        judge(s, ended)
    except ChronoError as problem:
        log.info("the feed will decide about a pause: %s", problem, extra={"schedule_id": ended.schedule_id})


def judge(s: Services, ended: Execution) -> Definition | None:
    """Pause the schedule of an execution that failed, if as many as its policy allows have failed in a row.

    The definition as it then stands; None when the schedule is gone. Idempotent. The policy is that of the present
    definition. Raises Unavailable, TooMany.
    """
    key = ended.key_of_schedule
    for _ in range(JUDGE_ATTEMPTS):
        found = s.stores.schedules.get([key]).get(key)
        if found is None:
            return None
        most = found.definition.pause_after_failures
        if most is None or not _can_be_paused(s, found) or not _keeps_failing(s, found.definition, most):
            return found.definition
        try:
            return _pause(s, found.definition, most, ended.id)
        except (NotFound, PreconditionFailed):
            continue  # changed between the check and the pause: judged again as it now stands
    raise TooMany("the schedule is being changed by many callers at once", code="contended")


def _can_be_paused(s: Services, found: Schedule) -> bool:
    """Whether it is active and has anything left that a pause would stop."""
    return schedule.progress(found, s.clock.now_ms()).state == "active"


def count(s: Services, definition: Definition, most: int) -> int:
    """How many executions have failed in a row, up to ``most``; instants before ``failures_from_ms`` do not count."""
    found, checked = 0, 0
    after: str | None = None
    while checked < FAILURES_CHECK_MAX_RECORDS:
        size = min(PAGE_RECORDS, most - found)
        records, after = s.stores.executions.of_schedule(
            definition.key, definition.failures_from_ms, INSTANT_MAX_MS, size, after
        )
        page = failures.streak(records, most - found)
        found += page.failures
        checked += len(records)
        if page.broken or after is None or found >= most:
            break
    return found


def _pause(s: Services, definition: Definition, number: int, execution_id: str) -> Definition:
    cause = FailurePause(execution_id, number, s.clock.now_ms())
    # Judged once more with every try to write: a worker that stood still would pause what has gone well since.
    still_so = partial(_keeps_failing, s, definition, number)
    return pause_failing(s, definition, cause, still_so).definition


def _keeps_failing(s: Services, definition: Definition, most: int) -> bool:
    return count(s, definition, most) >= most
