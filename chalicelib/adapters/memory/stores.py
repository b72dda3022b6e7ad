"""The stores in memory, with the semantics of the DynamoDB ones: for examples, tests and the simulation.

Every method is atomic, batches item by item; everything is gone with the process. Indexes never lag here, and nothing
fails: who wants that wraps these stores. Safe to share between threads.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from msgspec.structs import replace

from chalicelib.adapters.memory.ticks import MemoryTickStore
from chalicelib.core.executions.execution import Execution, ExecutionKey
from chalicelib.core.executions.limits import IDEMPOTENCY_RETENTION_S
from chalicelib.core.jobs import job_status
from chalicelib.core.policies.monitor import MonitorState
from chalicelib.core.schedules.capacity import Move, Used
from chalicelib.core.schedules.limits import LIST_SCAN_MAX_ITEMS
from chalicelib.core.schedules.schedule import Definition, Key, Schedule, State
from chalicelib.ports.services import Stores
from chalicelib.ports.stores.cursors import Cursor
from chalicelib.ports.stores.executions import ExecutionPage, in_failed_index, in_open_index
from chalicelib.ports.stores.idempotency import Remembered
from chalicelib.ports.stores.logs import LogLine
from chalicelib.ports.stores.schedules import (
    CapacityFull,
    Due,
    KeyPage,
    NameTaken,
    RevisionLost,
    ScheduleChange,
    ScheduleFilter,
    Versioned,
)

V = TypeVar("V")


class _Sorted:
    """Entries in order, by partition: what an index is."""

    def __init__(self) -> None:
        self._entries: dict[Any, list[Any]] = defaultdict(list)

    def of(self, partition: object) -> list[Any]:
        """The entries of a partition, in order; not to be changed."""
        return self._entries.get(partition, [])

    def move(self, partition: object, old: object | None, new: object | None) -> None:
        """Replace an entry; None: there was none, or is to be none."""
        if old == new:
            return
        entries = self._entries[partition]
        if old is not None:
            del entries[bisect_left(entries, old)]
        if new is not None:
            insort(entries, new)


class MemoryScheduleStore:
    """``ScheduleStore`` in memory."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._states: dict[Key, State] = {}
        self._definitions: dict[Key, Definition] = {}
        self._snapshots: dict[Key, dict[str, Definition]] = defaultdict(dict)
        self._names: dict[tuple[str, str, str], str] = {}
        self._due = _Sorted()
        self._ids = _Sorted()
        self._jobs = _Sorted()
        self._spent = _Sorted()
        self._used: dict[int, Used] = {}
        self._monitors: dict[Key, MonitorState] = {}
        self._looks = _Sorted()

    def create(self, schedule: Schedule, moves: Sequence[Move] = (), monitor: MonitorState | None = None) -> None:
        """Write a new schedule. Raises RevisionLost when the id exists, NameTaken, CapacityFull."""
        definition, at = schedule.definition, schedule.state.key
        name = None if definition.name is None else (definition.owner, definition.name)
        with self._lock:
            if at in self._states or at in self._definitions:
                raise RevisionLost
            self._check_free(at, name)
            self._move(moves)
            self._move_name(at, None, name)
            self._put_state(schedule.state)
            self._put_definition(at, definition)
            if monitor is not None:
                self._put_monitor(at, monitor)

    def change(self, change: ScheduleChange) -> None:
        """Write a change. Raises RevisionLost, NameTaken or CapacityFull."""
        at = change.state.key
        with self._lock:
            stored = self._states.get(at)
            if stored is None or stored.rev != change.expected_rev:
                raise RevisionLost
            if change.old_name != change.new_name:
                if change.old_name is not None and self._names.get((at.tenant, *change.old_name), at.id) != at.id:
                    raise RevisionLost
                self._check_free(at, change.new_name)
            self._move(change.moves)
            if change.old_name != change.new_name:
                self._move_name(at, change.old_name, change.new_name)
            self._put_state(change.state)
            self._put_definition(at, change.definition)
            if change.snapshot is not None:
                self._snapshots[at][change.snapshot.version] = change.snapshot
            if change.monitor is not None:
                self._put_monitor(at, change.monitor)

    def get(self, keys: Sequence[Key]) -> dict[Key, Schedule]:
        """Both items of at most 50 schedules; missing and deleted ones are left out."""
        with self._lock:
            both = [(at, self._definitions.get(at), self._states.get(at)) for at in keys]
        return {at: Schedule(d, s) for at, d, s in both if d is not None and s is not None and s.status != "deleted"}

    def states(self, keys: Sequence[Key]) -> dict[Key, State]:
        """The states, tombstones included, of at most 100 schedules."""
        return self._found(self._states, keys)

    def epochs(self, keys: Sequence[Key]) -> dict[Key, int]:
        """The epochs of at most 100 schedules."""
        return {at: state.epoch for at, state in self._found(self._states, keys).items()}

    def definitions(self, keys: Sequence[Key]) -> dict[Key, Definition]:
        """The current definitions of at most 100 schedules."""
        return self._found(self._definitions, keys)

    def snapshots(self, versions: Sequence[Versioned]) -> dict[Versioned, Definition]:
        """Superseded definitions (at most 100) by version."""
        with self._lock:
            found = [(v, self._snapshots.get(v.key, {}).get(v.version)) for v in versions]
        return {version: definition for version, definition in found if definition is not None}

    def history(self, key: Key) -> list[Definition]:
        """All kept snapshots of a schedule, by ``since_ms``."""
        with self._lock:
            kept = list(self._snapshots.get(key, {}).values())
        return sorted(kept, key=lambda d: (d.since_ms, d.version))

    def write_states(self, writes: Sequence[tuple[State, int]]) -> list[bool]:
        """Replace at most 25 states, each if its stored ``rev`` still is the given one."""
        return [self._write_state(state, expected_rev) for state, expected_rev in writes]

    def due(self, shard: int, until_ms: int, limit: int, after: Due | None = None) -> list[Due]:
        """Active schedules of a shard with ``next_run_ms <= until_ms``, earliest first, after a position."""
        with self._lock:
            entries = self._due.of(shard)
            first = 0 if after is None else bisect_right(entries, after)
            last = bisect_left(entries, (until_ms + 1,))
            return entries[first : min(last, first + limit)]

    def list(self, tenant: str, wanted: ScheduleFilter, limit: int, after: str | None) -> KeyPage:
        """Ids of matching schedules, newest first. Looks at no more than LIST_SCAN_MAX_ITEMS: a page may be short."""
        bound = limit + 1 if wanted == ScheduleFilter() else LIST_SCAN_MAX_ITEMS
        with self._lock:
            entries = self._ids.of(tenant)
            end = len(entries) if after is None else bisect_left(entries, after)
            looked_at = entries[max(0, end - bound) : end][::-1]
            ids = [i for i in looked_at if _matches(self._definitions[Key(tenant, i)], wanted)]
        if len(ids) > limit:
            return KeyPage(ids[:limit], ids[limit - 1])
        return KeyPage(ids, looked_at[-1] if end > bound else None)

    def named(self, tenant: str, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """The ids of the schedules that hold at most 100 (owner, name) pairs."""
        with self._lock:
            return {name: self._names[(tenant, *name)] for name in names if (tenant, *name) in self._names}

    def jobs(self, tenant: str, group: str, limit: int, after: str | None) -> KeyPage:
        """Ids of a tenant's schedules in a group, newest first."""
        with self._lock:
            entries = self._jobs.of((tenant, group))
            end = len(entries) if after is None else bisect_left(entries, after)
            ids = entries[max(0, end - limit) : end][::-1]
        return KeyPage(ids, ids[-1] if end > limit else None)

    def spent(self, shard: int, until_ms: int, limit: int) -> Sequence[Key]:
        """Schedules of a shard that still count and whose ``spent_ms <= until_ms``, earliest first."""
        with self._lock:
            entries = self._spent.of(shard)
            return [at for _, at in entries[: min(limit, bisect_left(entries, (until_ms + 1,)))]]

    def release(self, writes: Sequence[tuple[State, int]], moves: Sequence[Move]) -> bool:
        """Replace at most 25 states and move counters, all or nothing."""
        with self._lock:
            stored = [(self._states.get(state.key), rev) for state, rev in writes]
            if any(old is None or old.rev != rev for old, rev in stored):
                return False
            for state, _ in writes:
                self._put_state(state)
            self._move(moves)
            return True

    def used(self) -> dict[int, Used]:
        """Every counter that was ever moved."""
        with self._lock:
            return dict(self._used)

    def monitors(self, keys: Sequence[Key]) -> dict[Key, MonitorState]:
        """The monitors of at most 100 monitored schedules."""
        return self._found(self._monitors, keys)

    def due_monitors(self, shard: int, until_ms: int, limit: int) -> Sequence[Key]:
        """Schedules of a shard whose monitor has ``look_ms <= until_ms``, earliest first."""
        with self._lock:
            entries = self._looks.of(shard)
            return [at for _, at in entries[: min(limit, bisect_left(entries, (until_ms + 1,)))]]

    def write_monitor(self, monitor: MonitorState, expected_rev: int) -> bool:
        """Write a monitor if its stored rev still is the given one."""
        return self._replace_monitor(monitor.key, monitor, expected_rev)

    def drop_monitor(self, key: Key, expected_rev: int) -> bool:
        """Delete a monitor if its stored rev still is the given one."""
        return self._replace_monitor(key, None, expected_rev)

    def _replace_monitor(self, at: Key, new: MonitorState | None, expected_rev: int) -> bool:
        with self._lock:
            old = self._monitors.get(at)
            if old is None or old.rev != expected_rev:
                return False
            self._put_monitor(at, new)
            return True

    def _put_monitor(self, at: Key, new: MonitorState | None) -> None:
        old = self._monitors.pop(at, None)
        if old is not None:
            self._looks.move(old.shard, (old.look_ms, at), None)
        if new is not None:
            self._monitors[at] = new
            self._looks.move(new.shard, None, (new.look_ms, at))

    def _move(self, moves: Sequence[Move]) -> None:
        """Move all counters, or none and raise CapacityFull."""
        moved = {}
        for move in moves:
            old = self._used.get(move.counter, Used(0, 0))
            new = moved[move.counter] = Used(old.jobs + move.jobs, old.weight_bytes + move.weight_bytes)
            room = move.room
            if room is not None and room.jobs is not None and new.jobs > room.jobs:
                raise CapacityFull
            if room is not None and room.weight_bytes is not None and new.weight_bytes > room.weight_bytes:
                raise CapacityFull
        self._used |= moved

    def _found(self, items: Mapping[Key, V], keys: Sequence[Key]) -> dict[Key, V]:
        with self._lock:
            return {at: items[at] for at in keys if at in items}

    def _write_state(self, state: State, expected_rev: int) -> bool:
        with self._lock:
            stored = self._states.get(state.key)
            if stored is None or stored.rev != expected_rev:
                return False
            self._put_state(state)
            return True

    def _put_state(self, state: State) -> None:
        old = self._states.get(state.key)
        self._states[state.key] = state
        self._list_job(old, state)
        if old is not None and old.shard != state.shard:
            self._due.move(old.shard, _due_entry(old), None)
            self._spent.move(old.shard, _spent_entry(old), None)
            old = None
        self._due.move(state.shard, None if old is None else _due_entry(old), _due_entry(state))
        self._spent.move(state.shard, None if old is None else _spent_entry(old), _spent_entry(state))

    def _list_job(self, old: State | None, new: State) -> None:
        before, after = (None if old is None else job_status.group(old)), job_status.group(new)
        if before != after:
            if before is not None:
                self._jobs.move((new.tenant, before), new.id, None)
            if after is not None:
                self._jobs.move((new.tenant, after), None, new.id)

    def _put_definition(self, at: Key, definition: Definition | None) -> None:
        old = self._definitions.pop(at, None)
        if definition is not None:
            self._definitions[at] = definition
        self._ids.move(at.tenant, at.id if old is not None else None, at.id if definition is not None else None)

    def _check_free(self, at: Key, name: tuple[str, str] | None) -> None:
        if name is not None and self._names.get((at.tenant, *name), at.id) != at.id:
            raise NameTaken

    def _move_name(self, at: Key, old: tuple[str, str] | None, new: tuple[str, str] | None) -> None:
        if old is not None:
            self._names.pop((at.tenant, *old), None)
        if new is not None:
            self._names[(at.tenant, *new)] = at.id


def _due_entry(state: State) -> Due | None:
    if state.status != "active" or state.next_run_ms is None:
        return None
    return Due(state.next_run_ms, state.key)


def _spent_entry(state: State) -> tuple[int, Key] | None:
    return None if state.spent_ms is None else (state.spent_ms, state.key)


def _matches(definition: Definition, wanted: ScheduleFilter) -> bool:
    return (
        (wanted.owner is None or definition.owner == wanted.owner)
        and (wanted.enabled is None or definition.active == wanted.enabled)
        and (wanted.type is None or definition.type == wanted.type)
        and (wanted.tag is None or wanted.tag in definition.tags)
        and (not wanted.name_prefix or (definition.name or "").startswith(wanted.name_prefix))
    )


class MemoryExecutionStore:
    """``ExecutionStore`` in memory."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._records: dict[ExecutionKey, Execution] = {}
        self._of_schedule = _Sorted()
        self._recent = _Sorted()
        self._open = _Sorted()
        self._failed = _Sorted()

    def insert(self, executions: Sequence[Execution]) -> list[bool]:
        """Write at most 25 new records; False for each whose key exists already."""
        return [self._insert(execution) for execution in executions]

    def update(self, writes: Sequence[tuple[Execution, int]]) -> list[bool]:
        """Replace at most 25 records, each if its stored ``rev`` still is the given one."""
        return [self._update(execution, expected_rev) for execution, expected_rev in writes]

    def get(self, keys: Sequence[ExecutionKey]) -> dict[ExecutionKey, Execution]:
        """At most 100 records by key; missing ones are left out."""
        with self._lock:
            return {at: self._records[at] for at in keys if at in self._records}

    def of_schedule(
        self, schedule: Key, from_ms: int, to_ms: int, limit: int, after: str | None, newest_first: bool = True
    ) -> tuple[list[Execution], str | None]:
        """Records of one schedule with ``from_ms <= firing_ms <= to_ms``, and the position to go on from."""
        with self._lock:
            entries = self._of_schedule.of(schedule)
            found = entries[bisect_left(entries, (_instant(from_ms),)) : bisect_left(entries, (_instant(to_ms + 1),))]
            if newest_first:
                found = [e for e in reversed(found) if after is None or e[0] < after]
            elif after is not None:
                found = [e for e in found if e[0] > after]
            records = [self._records[at] for _, at in found[:limit]]
        return records, found[limit - 1][0] if len(found) > limit else None

    def recent(
        self, tenant: str, shards: Sequence[int], from_ms: int, to_ms: int, limit: int, after: str | None
    ) -> ExecutionPage:
        """Keys of a tenant's executions by firing instant, newest first, merged over the shards."""
        lowest, highest = _instant(from_ms), _instant(to_ms + 1)
        if after is not None:
            highest = min(highest, after)
        merged: list[tuple[str, ExecutionKey]] = []
        with self._lock:
            for shard in shards:
                entries = self._recent.of((tenant, shard))
                end = bisect_left(entries, (highest,))
                merged += entries[max(bisect_left(entries, (lowest,)), end - limit - 1) : end]
        merged.sort(reverse=True)
        keys = [at for _, at in merged[:limit]]
        return ExecutionPage(keys, merged[limit - 1][0] if len(merged) > limit else None)

    def open_until(self, shard: int, until_ms: int, limit: int) -> list[ExecutionKey]:
        """Open records in the index whose ``open_until_ms <= until_ms``, earliest first."""
        with self._lock:
            entries = self._open.of(shard)
            return [at for _, at in entries[: min(limit, bisect_left(entries, (until_ms + 1,)))]]

    def ended_badly(self, shard: int, from_ms: int, limit: int) -> int:
        """How many records of a shard ended as failed or timeout at or after ``from_ms``, up to ``limit``."""
        with self._lock:
            entries = self._failed.of(shard)
            return min(limit, len(entries) - bisect_left(entries, (from_ms,)))

    def _insert(self, execution: Execution) -> bool:
        at = execution.key
        with self._lock:
            if at in self._records:
                return False
            self._records[at] = execution
            self._of_schedule.move(execution.key_of_schedule, None, (_instant(at.firing_ms) + "-m" * at.manual, at))
            self._recent.move((at.tenant, execution.shard), None, (f"{_instant(at.firing_ms)}#{at.id}", at))
            self._open.move(execution.shard, None, _open_entry(execution))
            self._failed.move(execution.shard, None, _failed_entry(execution))
            return True

    def _update(self, execution: Execution, expected_rev: int) -> bool:
        with self._lock:
            stored = self._records.get(execution.key)
            if stored is None or stored.rev != expected_rev:
                return False
            self._records[execution.key] = execution
            self._open.move(execution.shard, _open_entry(stored), _open_entry(execution))
            self._failed.move(execution.shard, _failed_entry(stored), _failed_entry(execution))
            return True


def _instant(unix_ms: int) -> str:
    """As text that sorts as time does."""
    return f"{max(unix_ms, 0):015d}"


def _open_entry(execution: Execution) -> tuple[int, ExecutionKey] | None:
    if not in_open_index(execution) or execution.open_until_ms is None:
        return None
    return execution.open_until_ms, execution.key


def _failed_entry(execution: Execution) -> tuple[int, ExecutionKey] | None:
    if not in_failed_index(execution) or execution.finished_ms is None:
        return None
    return execution.finished_ms, execution.key


class MemoryCursorStore:
    """``CursorStore`` in memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cursors: dict[str, Cursor] = {}

    def load(self, name: str) -> Cursor:
        """The cursor, or rev 0 and no values when there is none."""
        with self._lock:
            return self._cursors.get(name, Cursor(0, {}))

    def save(self, name: str, values: Mapping[str, int], expected_rev: int) -> bool:
        """Write the cursor under the next rev if its stored rev still is the given one."""
        with self._lock:
            if self._cursors.get(name, Cursor(0, {})).rev != expected_rev:
                return False
            self._cursors[name] = Cursor(expected_rev + 1, dict(values))
            return True


class MemoryLeaseStore:
    """``LeaseStore`` in memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._leases: dict[tuple[str, str], tuple[str, int]] = {}

    def load(self, tenant: str, name: str) -> tuple[str, int] | None:
        """(document, rev), or None when the lease was never asked for."""
        with self._lock:
            return self._leases.get((tenant, name))

    def save(self, tenant: str, name: str, document: str, rev: int, expected_rev: int) -> bool:
        """Write the document if the stored rev still is ``expected_rev`` (0: if there is none)."""
        with self._lock:
            if self._leases.get((tenant, name), ("", 0))[1] != expected_rev:
                return False
            self._leases[tenant, name] = (document, rev)
            return True

    def list(self, tenant: str, limit: int, after: str | None) -> tuple[list[str], str | None]:
        """Documents of a tenant's leases by name, after a name."""
        with self._lock:
            names = sorted(n for t, n in self._leases if t == tenant and (after is None or n > after))
            documents = [self._leases[tenant, name][0] for name in names[:limit]]
        return documents, names[limit - 1] if len(names) > limit else None


class MemoryIdempotencyStore:
    """``IdempotencyStore`` in memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: dict[tuple[str, str], tuple[Remembered, int]] = {}

    def begin(self, tenant: str, key: str, record: Remembered) -> Remembered | None:
        """Write the record if there is none (or an expired one): None when written, otherwise the one that stands."""
        with self._lock:
            standing, expires_s = self._records.get((tenant, key), (None, 0))
            if standing is not None and expires_s > record.started_ms // 1000 and standing != record:
                return standing
            self._records[tenant, key] = (record, _expiry_s(record))
            return None

    def take_over(self, tenant: str, key: str, stale: Remembered, record: Remembered) -> bool:
        """Replace a record whose first call died (no answer, same ``started_ms`` as ``stale``); its expiry stays."""
        with self._lock:
            standing, expires_s = self._records.get((tenant, key), (None, 0))
            if standing is None or standing.answer is not None or standing.started_ms != stale.started_ms:
                return False
            self._records[tenant, key] = (replace(record, answer=None), expires_s)
            return True

    def finish(self, tenant: str, key: str, record: Remembered) -> None:
        """Keep the answer. Where an answer stands already, the first one stays."""
        assert record.answer is not None, "a finished call has an answer"
        with self._lock:
            standing, expires_s = self._records.get((tenant, key), (None, _expiry_s(record)))
            if standing is None or standing.answer is None:
                self._records[tenant, key] = (record, expires_s)

    def forget(self, tenant: str, key: str) -> None:
        """Take back a call that was refused and wrote nothing; an answer that another call gave stays."""
        with self._lock:
            standing, _ = self._records.get((tenant, key), (None, 0))
            if standing is not None and standing.answer is None:
                del self._records[tenant, key]


def _expiry_s(record: Remembered) -> int:
    return record.started_ms // 1000 + IDEMPOTENCY_RETENTION_S


class MemoryLogStore:
    """``LogStore`` in memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[ExecutionKey, dict[int, LogLine]] = defaultdict(dict)

    def append(self, execution: ExecutionKey, line: LogLine) -> bool:
        """Write a line unless its number is taken."""
        with self._lock:
            if line.number in self._lines[execution]:
                return False
            self._lines[execution][line.number] = line
            return True

    def last(self, execution: ExecutionKey) -> int:
        """The highest number; 0 when there is no line."""
        with self._lock:
            return max(self._lines.get(execution, {}), default=0)

    def page(self, execution: ExecutionKey, limit: int, after: int) -> tuple[list[LogLine], int | None]:
        """Lines in order, after a number."""
        with self._lock:
            lines = sorted(self._lines.get(execution, {}).items())
        found = [line for number, line in lines if number > after]
        return found[:limit], found[limit - 1].number if len(found) > limit else None


def open_stores() -> Stores:
    """Empty stores."""
    return Stores(
        schedules=MemoryScheduleStore(),
        executions=MemoryExecutionStore(),
        cursors=MemoryCursorStore(),
        leases=MemoryLeaseStore(),
        idempotency=MemoryIdempotencyStore(),
        logs=MemoryLogStore(),
        ticks=MemoryTickStore(),
    )
