"""Executions as people see them: under the names of their schedules, found by words, and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, NamedTuple, get_args

import msgspec
from msgspec import Struct

from chalicelib.core.decoders import decoder_of
from chalicelib.core.executions.error_fingerprint import fingerprint
from chalicelib.core.executions.execution import FAILED, IN_PROGRESS, PENDING, TIMEOUT, Execution, ExecutionState
from chalicelib.core.schedules.schedule import Definition
from chalicelib.core.security.authorize import authorize, only_owner
from chalicelib.core.security.caller import Caller
from chalicelib.engine.definitions import load_definitions
from chalicelib.ports.services import Services
from chalicelib.ports.stores.logs import LogLine
from chalicelib.ports.stores.schedules import Versioned
from chalicelib.usecases import executions
from chalicelib.usecases.executions import ExecutionFilter

SORTED_MAX: Final = 1_000  # the newest tasks, among which a sort is made: the tables know no order but time
SCANNED_TOGETHER: Final = 100
FEW_MATCH_PAGES: Final = 10  # pages read for one page of answers: a rare filter gives short pages, not long calls
COUNTED_MAX: Final = 2_000  # the newest executions, of which the day's numbers are made
ERRORS_SHOWN: Final = 20  # the most frequent of the day
LOG_LINES_SHOWN: Final = 100
METRICS_AGE_MAX_MS: Final = 5_000  # how old the numbers may be that a process gives again
DAY_MS: Final = 86_400_000

SortField = Literal["id", "name", "status", "owner", "created_at_unix_ms", "duration_ms"]
SORT_FIELDS: Final[tuple[SortField, ...]] = get_args(SortField)


_SortKey = Callable[["Task"], tuple[bool, Any]]


class Task(NamedTuple):
    """An execution and the definition that it ran under; None when that is kept no longer."""

    execution: Execution
    definition: Definition | None

    @property
    def name(self) -> str | None:
        return None if self.definition is None else self.definition.name

    @property
    def duration_ms(self) -> int | None:
        """From the start of its first attempt to its end; None while it has not ended, or never started."""
        e = self.execution
        if e.first_started_ms is None or e.finished_ms is None or e.is_open:
            return None
        return max(0, e.finished_ms - e.first_started_ms)


class TaskFilter(Struct, frozen=True):
    """Which tasks a list wants; None = any. ``name`` may end with ``*``; ``id_prefix`` is how ids begin."""

    status: ExecutionState | None = None
    name: str | None = None
    owner: str | None = None
    id_prefix: str | None = None

    def matches(self, task: Task) -> bool:
        """Whether a task is wanted, as far as its list has not judged."""
        if self.id_prefix is not None and not task.execution.id.startswith(self.id_prefix):
            return False
        if self.name is None:
            return True
        if self.name.endswith("*"):
            return (task.name or "").startswith(self.name[:-1])
        return task.name == self.name


class TaskDetail(NamedTuple):
    """A task with all that a person wants to see of it; ``more_logs``: the log goes on."""

    task: Task
    logs: Sequence[LogLine]
    more_logs: bool


class ErrorCount(Struct, frozen=True):
    """How often an error occurred, and the newest task that has it."""

    fingerprint: str
    count: int
    newest_id: str


class TaskNumbers(Struct, frozen=True):
    """How a caller's tasks are doing. All is of the newest COUNTED_MAX of the day: ``more`` says
    that the day has others. Percentage and mean are None while none ended. ``errors`` are the ERRORS_SHOWN most
    frequent, ``other_errors`` counts the tasks with any other."""

    queued: int
    active: int
    failure_percent_24h: float | None
    mean_duration_ms_24h: float | None
    errors: Sequence[ErrorCount] = ()
    other_errors: int = 0
    more: bool = False


def with_definitions(s: Services, found: Sequence[Execution]) -> list[Task]:
    """Executions as tasks."""
    definitions = load_definitions(s, {_version_of(e) for e in found}) if found else {}
    return [Task(e, definitions.get(_version_of(e))) for e in found]


def _version_of(execution: Execution) -> Versioned:
    return Versioned(execution.key_of_schedule, execution.version)


def page(
    s: Services, caller: Caller, wanted: TaskFilter, limit: int, after: str | None
) -> tuple[list[Task], str | None]:
    """Tasks that match and that the caller may see, newest instant first, and the position to go on from."""
    listed = ExecutionFilter(state=wanted.status, owner=wanted.owner)
    if wanted.name is None and wanted.id_prefix is None:
        found, after = executions.page(s, caller, listed, limit, after)
        return with_definitions(s, found), after
    tasks: list[Task] = []
    for _ in range(FEW_MATCH_PAGES):
        # No more is read than fits: the position stands behind the last that was read.
        found, after = executions.page(s, caller, listed, limit - len(tasks), after)
        tasks += [task for task in with_definitions(s, found) if wanted.matches(task)]
        if after is None or len(tasks) >= limit:
            break
    return tasks, after


def sorted_page(
    s: Services, caller: Caller, wanted: TaskFilter, sort: SortField, descending: bool, limit: int, after: str | None
) -> tuple[list[Task], str | None]:
    """The same among the newest SORTED_MAX, in the order of a field, then of ids. ``after`` is where a page ended."""
    newest: list[Task] = []
    begun = None if after is None else decoder_of(_Place).decode(after)
    until_ms = s.clock.now_ms() if begun is None else begun.until_ms
    position: str | None = None
    listed = ExecutionFilter(state=wanted.status, owner=wanted.owner, to_ms=until_ms)
    for _ in range(SORTED_MAX // SCANNED_TOGETHER):
        found, position = executions.page(s, caller, listed, SCANNED_TOGETHER, position)
        newest += with_definitions(s, found)
        if position is None:
            break
    key = _sort_key(sort)
    ordered = sorted(sorted(newest, key=lambda t: t.execution.id), key=key, reverse=descending)
    matching = [task for task in ordered if wanted.matches(task) and _is_behind(task, begun, key, descending)]
    if len(matching) <= limit:
        return matching, None
    last = matching[limit - 1]
    place = _Place(until_ms, *key(last), last.execution.id)
    return matching[:limit], msgspec.json.encode(place).decode()


class _Place(Struct, array_like=True):
    """Where a sorted page ended: the newest instant that the pages show, the key and the id of its last task."""

    until_ms: int
    has_value: bool
    value: str | int
    id: str


def _is_behind(task: Task, place: _Place | None, key: _SortKey, descending: bool) -> bool:
    if place is None:
        return True
    here, there = key(task), (place.has_value, place.value)
    if here == there:
        return task.execution.id > place.id
    return (here < there) is descending


def _sort_key(sort: SortField) -> _SortKey:
    """What lacks the field comes first, or last where the order descends."""
    keys: dict[SortField, Callable[[Task], str | int | None]] = {
        "id": lambda task: task.execution.id,
        "name": lambda task: task.name,
        "status": lambda task: task.execution.state,
        "owner": lambda task: task.execution.owner,
        "created_at_unix_ms": lambda task: task.execution.created_ms,
        "duration_ms": lambda task: task.duration_ms,
    }
    of, blank = keys[sort], -1 if sort.endswith("_ms") else ""

    def key(task: Task) -> tuple[bool, Any]:
        value = of(task)
        return value is not None, blank if value is None else value

    return key


def get(s: Services, caller: Caller, task_id: str) -> TaskDetail:
    """One task whole. Raises NotFound, Forbidden."""
    found = executions.get(s, caller, task_id)
    logs, more = s.stores.logs.page(found.key, LOG_LINES_SHOWN, 0)
    return TaskDetail(with_definitions(s, [found])[0], logs, more is not None)


def one(s: Services, execution: Execution) -> Task:
    """An execution that is at hand, as a task."""
    return with_definitions(s, [execution])[0]


def numbers(s: Services, caller: Caller) -> TaskNumbers:
    """The numbers of what the caller may see, at most METRICS_AGE_MAX_MS old. Raises Forbidden, Unavailable."""
    authorize(caller, "executions:read")
    own, now_ms = only_owner(caller, "executions:read"), s.clock.now_ms()
    remembered: TaskNumbers = s.process.task_numbers.read(
        (caller.tenant, own), now_ms, METRICS_AGE_MAX_MS, lambda: _count(s, caller, own, now_ms)
    )
    return remembered


def _count(s: Services, caller: Caller, own: str | None, now_ms: int) -> TaskNumbers:
    records = s.stores.executions
    recent = records.recent(caller.tenant, range(s.config.shards), now_ms - DAY_MS, now_ms, COUNTED_MAX, None)
    found = [e for e in records.get(recent.keys).values() if own in (None, e.owner)]
    ended = [e for e in found if e.finished_ms is not None and not e.is_open and e.finished_ms >= now_ms - DAY_MS]
    ran = [e for e in ended if e.attempts]
    durations = [d for e in ran if (d := Task(e, None).duration_ms) is not None]
    errors = _errors(found)
    return TaskNumbers(
        queued=sum(e.state == PENDING for e in found),
        active=sum(e.state == IN_PROGRESS for e in found),
        failure_percent_24h=100 * sum(e.state in (FAILED, TIMEOUT) for e in ran) / len(ran) if ran else None,
        mean_duration_ms_24h=sum(durations) / len(durations) if durations else None,
        errors=errors[:ERRORS_SHOWN],
        other_errors=sum(each.count for each in errors[ERRORS_SHOWN:]),
        more=recent.after is not None,
    )


def _errors(found: Sequence[Execution]) -> list[ErrorCount]:
    """The errors of executions, the most frequent first."""
    by_age = sorted((e for e in found if e.error is not None), key=lambda e: (e.firing_ms, e.id))
    prints = [(fingerprint(e.error or ""), e.id) for e in by_age]
    newest, counts = dict(prints), Counter(name for name, _ in prints)
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    return [ErrorCount(name, count, newest[name]) for name, count in ordered]
