"""Making a restored backup safe to serve: what the deployment may have fired since the backup is not fired again.

A backup knows nothing of the time after it. So every instant until ``settled_ms`` counts as had, and what was under way
counts as ended. Every schedule that fires is paused, so that an operator looks before anything fires. Fencing tokens
are raised above all that can have been given out, so that receivers take the restored deployment's word.

Runs of workflows that were under way are cancelled: no step runs twice. A redrive lets one go on, under the same keys.

The queues are in no backup, and must be empty: what lies there would fire.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from chalicelib.core.batches import chunks
from chalicelib.core.errors import NotFound, TooMany
from chalicelib.core.executions import journal
from chalicelib.core.executions.execution import Execution, ExecutionKey
from chalicelib.core.schedules.schedule import Definition, Key, Schedule, State
from chalicelib.engine import schedule_change
from chalicelib.engine.tenants import known_tenants
from chalicelib.engine.workflows import restored_runs
from chalicelib.engine.workflows.restored_runs import RestoredRun
from chalicelib.ports.services import Services
from chalicelib.ports.stores.schedules import ScheduleFilter

# More than a deployment gives out between a backup and its loss: 1,000 tokens a second for a name, for 49 days.
TOKENS_RAISED: Final = 1 << 32
NOTE: Final = "restored from a backup"
REASON: Final = "was under way when the backup was made: it may have ended well"
_PAGE: Final = 100
_WRITE_TRIES: Final = 12


class Settled(NamedTuple):
    """How many were settled, how many of them were paused, and how many executions and runs ended."""

    schedules: int
    paused: int
    executions: int
    runs: int


def settle(
    s: Services, settled_ms: int, under_way: Iterable[ExecutionKey], runs: Iterable[RestoredRun] = ()
) -> Settled:
    """Settle every schedule, the executions ``under_way``, and ``runs``. May be repeated. Raises TooMany, where workers
    write."""
    schedules = paused = 0
    for key in list(_keys(s)):
        try:
            found = settle_schedule(s, key, settled_ms)
        except NotFound:
            continue
        schedules += 1
        if found.definition.active:
            schedule_change.pause(s, key, NOTE)
            paused += 1
        elif found.definition.note == NOTE:
            paused += 1  # by a run before this one, which died; or the backup is of a stage that was never resumed
    executions = sum(_end(s, some) for some in chunks(list(under_way), _PAGE))
    return Settled(schedules, paused, executions, restored_runs.settle(s, runs, REASON))


def resume(s: Services) -> int:
    """Resume what ``settle`` paused, unless it was changed since; how many."""
    resumed = 0
    for key in list(_keys(s)):
        found = s.stores.schedules.get([key]).get(key)
        if found is not None and not found.definition.active and found.definition.note == NOTE:
            schedule_change.change(s, key, None, lambda d: replace(d, active=True, note=None))
            resumed += 1
    return resumed


def settle_schedule(s: Services, key: Key, settled_ms: int) -> Schedule:
    """One schedule as if it had fired everything until ``settled_ms``. Raises NotFound, TooMany.

    Done again it raises the token again. It does not look whether it was done: a note may come with the backup.
    """
    for _ in range(_WRITE_TRIES):
        found = schedule_change.load(s, key)
        state = _settled(found.definition, found.state, settled_ms)
        if s.stores.schedules.write_states([(state, found.state.rev)])[0]:
            return Schedule(found.definition, state)
    raise TooMany("workers write to the schedules while they are settled: stop them first", code="contended")


def _settled(definition: Definition, state: State, settled_ms: int) -> State:
    return replace(
        state,
        rev=state.rev + 1,
        epoch=state.epoch + 1,
        next_run_ms=None,
        queued_ms=None,
        run_count=state.run_count + _missed(definition, state, settled_ms),
        fence=state.fence + TOKENS_RAISED,
        claims=(),
        spans=(),
        reached_ms=max(state.reached_ms, settled_ms),
        running=None,
        waiting=None,
        paced_ms=None,
    )


def cut_short(execution: Execution, now_ms: int) -> Execution:
    """An execution that was under way, cancelled. Its target gets no notice: it may have ended the execution well."""
    return replace(journal.cancel(execution, now_ms, REASON), notice=0)


def _missed(definition: Definition, state: State, settled_ms: int) -> int:
    """How many instants of the time in between count against ``max_runs``: none may be had twice."""
    if definition.max_runs is None or state.next_run_ms is None or state.next_run_ms > settled_ms:
        return 0
    left = max(0, definition.max_runs - state.run_count)
    if definition.type == "DELAY" or left == 0:
        return min(left, 1)
    return len(definition.compiled().between(state.next_run_ms, settled_ms, left))


def _keys(s: Services) -> Iterator[Key]:
    for tenant in known_tenants(s):
        after: str | None = None
        while True:
            page = s.stores.schedules.list(tenant, ScheduleFilter(), _PAGE, after)
            yield from (Key(tenant, schedule_id) for schedule_id in page.ids)
            after = page.after
            if after is None:
                break


def _end(s: Services, keys: Sequence[ExecutionKey]) -> int:
    now_ms = s.clock.now_ms()
    found = [execution for execution in s.stores.executions.get(keys).values() if execution.is_open]
    ended = [cut_short(each, now_ms) for each in found]
    written = s.stores.executions.update([(new, old.rev) for new, old in zip(ended, found, strict=True)])
    return len([done for done in written if done])
