"""The tables, as Protocols. **Each method is one atomic AWS call**, or one batch whose items are atomic one by one.

Common contract of all methods:

- A batch method takes at most the stated number of items and answers in their order. A conditional write that loses
  is ``False`` in the answer, never an exception: losing a race is ordinary.
- ``Unavailable`` is raised when nothing was written (throttled, refused, unreachable); ``OutcomeUnknown`` when a write
  got no answer, so that it, or for a batch any part of it, may have happened. Callers repeat or re-read; every write
  here is safe to repeat, since it is conditional on ``rev`` or on absence.
- Reads are strongly consistent unless the method says *index*: an index lags by an unbounded, usually small, time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from msgspec import Struct

from chalicelib.core.executions.execution import FAILED, TIMEOUT, Execution, ExecutionKey
from chalicelib.core.policies.monitor import Watch
from chalicelib.core.schedules.capacity import Move, Used
from chalicelib.core.schedules.schedule import Definition, Key, Schedule, State


class Due(NamedTuple):
    """One entry of the due index."""

    next_run_ms: int
    key: Key


class Versioned(NamedTuple):
    """A definition under a version id, current or superseded."""

    key: Key
    version: str


class Change(Struct, frozen=True):
    """A change of a schedule: everything it writes, in one transaction.

    ``expected_rev`` is the state's ``rev`` that was read. ``snapshot`` is the definition being superseded, with its
    ``until_ms`` (None when it was inactive and never needs to be found again). ``definition`` None deletes the current
    definition (the state stays, as a tombstone with ``status`` deleted and an expiry). ``old_name`` and ``new_name``
    are (owner, name) pairs to free and to take; equal pairs are left alone. ``moves`` are what it does to the counters
    of capacity. ``watch`` is the watch that begins with it, over whichever was there (None: that stays).
    """

    state: State
    expected_rev: int
    definition: Definition | None
    snapshot: Definition | None
    old_name: tuple[str, str] | None
    new_name: tuple[str, str] | None
    moves: tuple[Move, ...] = ()
    watch: Watch | None = None


class NameTaken(Exception):
    """Raised by ``create`` and ``change`` when another schedule of the owner holds the name; nothing was written."""


class RevisionLost(Exception):
    """Raised by ``create`` when the id exists and by ``change`` when ``rev`` moved on; nothing was written."""


class NoRoom(Exception):
    """Raised by ``create`` and ``change`` when a counter of capacity has no room; nothing was written."""


class ScheduleFilter(Struct, frozen=True):
    """Which schedules a list wants; None = any. ``tag`` matches one of the tags exactly."""

    owner: str | None = None
    enabled: bool | None = None
    type: str | None = None
    tag: str | None = None
    name_prefix: str | None = None


class KeyPage(NamedTuple):
    """Ids in order, and the position to go on from (None: the end). A page may be short and still go on."""

    ids: list[str]
    after: str | None


class ScheduleStore(Protocol):
    """Definitions, their snapshots, and states."""

    def create(self, schedule: Schedule, moves: Sequence[Move] = (), watch: Watch | None = None) -> None:
        """Write both items, the watch, the name guard when it has a name, and the counters that ``moves`` name, in
        one transaction.

        Raises NameTaken, NoRoom, or RevisionLost when the id exists; the last before the others.
        """
        ...

    def change(self, change: Change) -> None:
        """Write a change in one transaction. Raises RevisionLost, else NameTaken, else NoRoom."""
        ...

    def get(self, keys: Sequence[Key]) -> dict[Key, Schedule]:
        """Both items of at most 50 schedules; missing and deleted ones are left out.

        The two items of one schedule are read by one batch call, which DynamoDB does not isolate: when their versions
        disagree (a change came between), the read is repeated.
        """
        ...

    def states(self, keys: Sequence[Key]) -> dict[Key, State]:
        """The states, tombstones included, of at most 100 schedules."""
        ...

    def epochs(self, keys: Sequence[Key]) -> dict[Key, int]:
        """Only the epochs of at most 100 schedules: the look at the instant."""
        ...

    def definitions(self, keys: Sequence[Key]) -> dict[Key, Definition]:
        """The current definitions of at most 100 schedules."""
        ...

    def snapshots(self, versions: Sequence[Versioned]) -> dict[Versioned, Definition]:
        """Superseded definitions (at most 100) by version."""
        ...

    def history(self, key: Key) -> list[Definition]:
        """All kept snapshots of a schedule, by ``since_ms``."""
        ...

    def write_states(self, writes: Sequence[tuple[State, int]]) -> list[bool]:
        """Replace at most 25 states, each if its stored ``rev`` still is the given one."""
        ...

    def due(self, shard: int, until_ms: int, limit: int, after: Due | None = None) -> list[Due]:
        """*Index*: active schedules of a shard with ``next_run_ms <= until_ms``, earliest first, after a position."""
        ...

    def list(self, tenant: str, wanted: ScheduleFilter, limit: int, after: str | None) -> KeyPage:
        """*Index*: ids of a tenant's schedules that match, newest first, after the id ``after``; bounded work."""
        ...

    def named(self, tenant: str, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """The ids of the schedules that hold at most 100 (owner, name) pairs; free names are left out."""
        ...

    def jobs(self, tenant: str, group: str, limit: int, after: str | None) -> KeyPage:
        """*Index*: ids of a tenant's schedules in a group of ``core.jobs``, newest first, after the id ``after``."""
        ...

    def spent(self, shard: int, until_ms: int, limit: int) -> Sequence[Key]:
        """*Index*: schedules of a shard that still count and whose ``spent_ms <= until_ms``, earliest first."""
        ...

    def release(self, writes: Sequence[tuple[State, int]], moves: Sequence[Move]) -> bool:
        """Replace at most 25 states and move counters, all in one transaction; False, and nothing written, when any
        stored ``rev`` is not the given one."""
        ...

    def used(self) -> dict[int, Used]:
        """Every counter of capacity that was ever moved, by its number."""
        ...

    def watches(self, keys: Sequence[Key]) -> dict[Key, Watch]:
        """The watches of at most 100 monitored schedules; the others are left out."""
        ...

    def due_watches(self, shard: int, until_ms: int, limit: int) -> Sequence[Key]:
        """*Index*: schedules of a shard whose watch has ``look_ms <= until_ms``, earliest first."""
        ...

    def write_watch(self, watch: Watch, expected_rev: int) -> bool:
        """Write a watch if its stored rev still is the given one; it begins with ``create`` or ``change`` alone."""
        ...

    def drop_watch(self, key: Key, expected_rev: int) -> bool:
        """Delete a watch if its stored rev still is the given one."""
        ...


class ExecutionPage(NamedTuple):
    """Keys, newest firing first, and the position to go on from (None: the end)."""

    keys: list[ExecutionKey]
    after: str | None


class ExecutionStore(Protocol):
    """The journal."""

    def insert(self, executions: Sequence[Execution]) -> list[bool]:
        """Write at most 25 new records; False for each whose key exists already."""
        ...

    def update(self, writes: Sequence[tuple[Execution, int]]) -> list[bool]:
        """Replace at most 25 records, each if its stored ``rev`` still is the given one."""
        ...

    def get(self, keys: Sequence[ExecutionKey]) -> dict[ExecutionKey, Execution]:
        """At most 100 records by key; missing ones are left out."""
        ...

    def of_schedule(
        self, schedule: Key, from_ms: int, to_ms: int, limit: int, after: str | None, newest_first: bool = True
    ) -> tuple[list[Execution], str | None]:
        """Records of one schedule with ``from_ms <= firing_ms <= to_ms``: a consistent query of the table itself."""
        ...

    def recent(
        self, tenant: str, shards: Sequence[int], from_ms: int, to_ms: int, limit: int, after: str | None
    ) -> ExecutionPage:
        """*Index*: keys of a tenant's executions by firing instant, newest first, merged over the shards."""
        ...

    def open_until(self, shard: int, until_ms: int, limit: int) -> list[ExecutionKey]:
        """*Index*: open records whose ``open_until_ms <= until_ms``, of those that were written into the open index.

        Records claimed ahead of their instant and finished at once never enter it: see ``in_open_index``.
        """
        ...

    def ended_badly(self, shard: int, from_ms: int, limit: int) -> int:
        """*Index*: how many records of a shard ended as failed or timeout at or after ``from_ms``; counts no further
        than ``limit``."""
        ...


def in_open_index(execution: Execution) -> bool:
    """Whether a record is listed among the open ones, which costs a write when it enters and one when it leaves.

    Most firings are claimed just before their instant and done milliseconds after it; these are found by the scan of
    recent instants should their worker die. Whatever stays open for longer, or was claimed when its instant had long
    passed the scan, is listed: waiting for a retry, written down as running or accepted, manual, or late.
    """
    if not execution.is_open:
        return False
    quick = execution.rev == 1 and not execution.requested and execution.created_ms <= execution.firing_ms
    return not quick


def in_failed_index(execution: Execution) -> bool:
    """Whether a record is listed among those that ended badly: one write for each of these, none for the others."""
    return execution.state in (FAILED, TIMEOUT) and execution.finished_ms is not None


class Cursor(NamedTuple):
    """A small named record of a worker's progress, conditional on its revision."""

    rev: int
    values: Mapping[str, int]


class CursorStore(Protocol):
    """Progress of workers (and the last-seen stamps that /health reports)."""

    def load(self, name: str) -> Cursor:
        """The cursor, or rev 0 and no values when there is none."""
        ...

    def save(self, name: str, values: Mapping[str, int], expected_rev: int) -> bool:
        """Write the cursor if its stored rev still is the given one."""
        ...


class Remembered(Struct, frozen=True):
    """An idempotency record. ``answer`` is None while the first call still runs.

    ``seed`` is the id that the call gives to what it creates: running it again after a crash creates the same thing.
    """

    body_hash: str
    seed: str
    started_ms: int
    answer: str | None = None


class IdempotencyStore(Protocol):
    """First answers by (tenant, key), kept for IDEMPOTENCY_RETENTION_S. The key already includes the subject."""

    def begin(self, tenant: str, key: str, record: Remembered) -> Remembered | None:
        """Write the record if there is none: None when written, otherwise the record that stands."""
        ...

    def take_over(self, tenant: str, key: str, stale: Remembered, record: Remembered) -> bool:
        """Replace a record whose first call died (no answer, same ``started_ms`` as ``stale``)."""
        ...

    def finish(self, tenant: str, key: str, record: Remembered) -> None:
        """Keep the answer."""
        ...

    def forget(self, tenant: str, key: str) -> None:
        """Take back a call that was refused and wrote nothing."""
        ...


class LeaseStore(Protocol):
    """Lease items: serialised by core.leases.lease, replaced whole under their rev."""

    def load(self, tenant: str, name: str) -> tuple[str, int] | None:
        """(document, rev), or None when the lease was never asked for."""
        ...

    def save(self, tenant: str, name: str, document: str, rev: int, expected_rev: int) -> bool:
        """Write the document if the stored rev still is ``expected_rev`` (0: if there is none)."""
        ...

    def list(self, tenant: str, limit: int, after: str | None) -> tuple[list[str], str | None]:
        """Documents of a tenant's leases by name, after a name."""
        ...


class LogLine(Struct, frozen=True):
    """What somebody wrote about an execution; ``number`` counts from 1 within it."""

    number: int
    at_ms: int
    level: str
    message: str


class LogStore(Protocol):
    """Log lines of executions, each an item of its own."""

    def append(self, execution: ExecutionKey, line: LogLine) -> bool:
        """Write a line unless its number is taken: False then."""
        ...

    def last(self, execution: ExecutionKey) -> int:
        """The highest number; 0 when there is no line."""
        ...

    def page(self, execution: ExecutionKey, limit: int, after: int) -> tuple[list[LogLine], int | None]:
        """Lines in order, after a number, and the number to go on from (None: the end)."""
        ...
