"""``ScheduleStore`` in memory."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TypeVar

from msgspec.structs import replace

from chalicelib.adapters.memory.sorted_entries import SortedEntries
from chalicelib.core.jobs import job_status
from chalicelib.core.policies.monitor import MonitorState
from chalicelib.core.schedules.capacity import Limits, Used, uncounted
from chalicelib.core.schedules.limits import LIST_SCAN_MAX_ITEMS
from chalicelib.core.schedules.schedule import Definition, Key, Schedule, State
from chalicelib.ports.stores.policies import EPOCH_ID
from chalicelib.ports.stores.schedules import (
    CapacityFull,
    Census,
    Due,
    KeyPage,
    NameTaken,
    RevisionLost,
    ScheduleChange,
    ScheduleFilter,
    Versioned,
)

V = TypeVar("V")


class MemoryScheduleStore:
    """``ScheduleStore`` in memory; ``policy_epochs``, by tenant, are raised by the store of policies."""

    def __init__(self, policy_epochs: Mapping[str, int] | None = None) -> None:
        self._policy_epochs = {} if policy_epochs is None else policy_epochs
        self._lock = threading.RLock()
        self._states: dict[Key, State] = {}
        self._definitions: dict[Key, Definition] = {}
        self._snapshots: dict[Key, dict[str, Definition]] = defaultdict(dict)
        self._names: dict[tuple[str, str, str], str] = {}
        self._due = SortedEntries()
        self._ids = SortedEntries()
        self._jobs = SortedEntries()
        self._used = Used(0, 0)
        self._monitors: dict[Key, MonitorState] = {}
        self._checks = SortedEntries()

    def create(self, schedule: Schedule, limits: Limits | None = None, monitor: MonitorState | None = None) -> None:
        """Write a new schedule. Raises RevisionLost when the id exists, NameTaken, CapacityFull."""
        definition, at = schedule.definition, schedule.state.key
        name = None if definition.name is None else (definition.owner, definition.name)
        with self._lock:
            if at in self._states or at in self._definitions:
                raise RevisionLost
            self._check_free(at, name)
            self._count(None, schedule.state, limits)
            self._move_name(at, None, name)
            self._put_state(schedule.state)
            self._put_definition(at, definition)
            if monitor is not None:
                self._put_monitor(at, monitor)

    def collect(self, before_ms: int, tenants: Sequence[str]) -> int:
        """A creation leaves nothing behind here."""
        return 0

    def change(self, change: ScheduleChange) -> None:
        """Write a change. Raises RevisionLost, NameTaken or CapacityFull."""
        at = change.state.key
        with self._lock:
            stored = self._states.get(at)
            if stored is None or stored.rev != change.before.rev:
                raise RevisionLost
            if change.old_name != change.new_name:
                if change.old_name is not None and self._names.get((at.tenant, *change.old_name), at.id) != at.id:
                    raise RevisionLost
                self._check_free(at, change.new_name)
            self._count(stored, change.state, change.limits)
            if change.old_name != change.new_name:
                self._move_name(at, change.old_name, change.new_name)
            self._put_state(change.state)
            self._put_definition(at, change.definition)
            if change.snapshot is not None:
                self._snapshots[at][change.snapshot.version] = change.snapshot
            if change.monitor is not None:
                self._put_monitor(at, change.monitor)

    def get(self, keys: Sequence[Key]) -> dict[Key, Schedule]:
        """Both items of schedules; missing and deleted ones are left out."""
        with self._lock:
            both = [(at, self._definitions.get(at), self._states.get(at)) for at in keys]
        return {at: Schedule(d, s) for at, d, s in both if d is not None and s is not None and s.status != "deleted"}

    def states(self, keys: Sequence[Key]) -> dict[Key, State]:
        """The states, tombstones included, of schedules."""
        return self._found(self._states, keys)

    def epochs(self, keys: Sequence[Key]) -> dict[Key, int]:
        """The epochs of schedules."""
        found = {at: state.epoch for at, state in self._found(self._states, keys).items()}
        for at in keys:
            if at.id == EPOCH_ID and at.tenant in self._policy_epochs:
                found[at] = self._policy_epochs[at.tenant]
        return found

    def definitions(self, keys: Sequence[Key]) -> dict[Key, Definition]:
        """The current definitions of schedules."""
        return self._found(self._definitions, keys)

    def snapshots(self, versions: Sequence[Versioned]) -> dict[Versioned, Definition]:
        """Superseded definitions by version."""
        with self._lock:
            found = [(v, self._snapshots.get(v.key, {}).get(v.version)) for v in versions]
        return {version: definition for version, definition in found if definition is not None}

    def history(self, key: Key) -> list[Definition]:
        """All kept snapshots of a schedule, by ``since_ms``."""
        with self._lock:
            kept = list(self._snapshots.get(key, {}).values())
        return sorted(kept, key=lambda d: (d.since_ms, d.version))

    def write_states(self, writes: Sequence[tuple[State, int]]) -> list[bool]:
        """Replace states, each if its stored ``rev`` still is the given one."""
        return [self._write_state(state, expected_rev) for state, expected_rev in writes]

    def due(self, shard: int, until_ms: int, limit: int, after: Due | None = None) -> list[Due]:
        """Active schedules of a shard with ``next_run_ms <= until_ms``, earliest first, after a position."""
        with self._lock:
            entries = self._due.of(shard)
            first = 0 if after is None else bisect_right(entries, after)
            last = bisect_left(entries, (until_ms + 1,))
            return entries[first : min(last, first + limit)]

    def list(self, tenant: str, wanted: ScheduleFilter, limit: int, after: str | None) -> KeyPage:
        """Ids of matching schedules, newest first. Reads no more than LIST_SCAN_MAX_ITEMS: a page may be short."""
        bound = limit + 1 if wanted == ScheduleFilter() else LIST_SCAN_MAX_ITEMS
        with self._lock:
            entries = self._ids.of(tenant)
            end = len(entries) if after is None else bisect_left(entries, after)
            scanned = entries[max(0, end - bound) : end][::-1]
            ids = [i for i in scanned if _matches(self._definitions[Key(tenant, i)], wanted)]
        if len(ids) > limit:
            return KeyPage(ids[:limit], ids[limit - 1])
        return KeyPage(ids, scanned[-1] if end > bound else None)

    def census(self, tenant: str, limit: int, after: str | None) -> Census:
        """How many of a tenant's schedules there are, by type and by whether they fire; of the oldest ids first."""
        with self._lock:
            entries = self._ids.of(tenant)
            begin = 0 if after is None else bisect_right(entries, after)
            page = entries[begin : begin + limit]
            definitions = [self._definitions[Key(tenant, i)] for i in page]
        counts = Counter((str(d.type), d.active) for d in definitions)
        return Census(counts, page[-1] if len(entries) > begin + limit else None)

    def named(self, tenant: str, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """The ids of the schedules that hold the (owner, name) pairs."""
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
        """Schedules of a shard that may have ended by ``until_ms``, earliest first."""
        return [entry.key for entry in self.due(shard, until_ms, limit)]

    def place(self, shard: int, limits: Limits | None) -> int:
        """All count in one place."""
        return 0

    def release(self, spent: Sequence[State]) -> Sequence[bool]:
        """Take schedules off what counts, each if its stored ``rev`` still is that of the given state."""
        return [self._release(state) for state in spent]

    def used(self) -> Used:
        """What counts now."""
        with self._lock:
            return self._used

    def _release(self, spent: State) -> bool:
        with self._lock:
            freed = uncounted(replace(spent, rev=spent.rev + 1))
            if not self._write_state(freed, spent.rev):
                return False
            self._count(spent, freed, None)
            return True

    def monitors(self, keys: Sequence[Key]) -> dict[Key, MonitorState]:
        """The monitors of monitored schedules."""
        return self._found(self._monitors, keys)

    def due_monitors(self, shard: int, until_ms: int, limit: int) -> Sequence[Key]:
        """Schedules of a shard whose monitor has ``look_ms <= until_ms``, earliest first."""
        with self._lock:
            entries = self._checks.of(shard)
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
            self._checks.move(old.shard, (old.look_ms, at), None)
        if new is not None:
            self._monitors[at] = new
            self._checks.move(new.shard, None, (new.look_ms, at))

    def _count(self, old: State | None, new: State, limits: Limits | None) -> None:
        """Count ``new`` in place of ``old``, or raise CapacityFull."""
        now = _counts_for(new)
        was = Used(0, 0) if old is None else _counts_for(old)
        jobs, weight_bytes = now.jobs - was.jobs, now.weight_bytes - was.weight_bytes
        if limits is not None and not limits.allow(self._used, jobs, weight_bytes):
            raise CapacityFull
        self._used = Used(self._used.jobs + jobs, self._used.weight_bytes + weight_bytes)

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
            old = None
        self._due.move(state.shard, None if old is None else _due_entry(old), _due_entry(state))

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
        self._ids.move(at.tenant, _listed(old), _listed(definition))

    def _check_free(self, at: Key, name: tuple[str, str] | None) -> None:
        if name is not None and self._names.get((at.tenant, *name), at.id) != at.id:
            raise NameTaken

    def _move_name(self, at: Key, old: tuple[str, str] | None, new: tuple[str, str] | None) -> None:
        if old is not None:
            self._names.pop((at.tenant, *old), None)
        if new is not None:
            self._names[(at.tenant, *new)] = at.id


def _listed(definition: Definition | None) -> str | None:
    """Its id, where lists of schedules show it."""
    return None if definition is None or definition.by_events else definition.id


def _counts_for(state: State) -> Used:
    return Used(0, 0) if state.counted < 0 else Used(1, state.weight_bytes)


def _due_entry(state: State) -> Due | None:
    at_ms = state.next_run_ms if state.spent_ms is None else state.spent_ms
    return None if state.status != "active" or at_ms is None else Due(at_ms, state.key)


def _matches(definition: Definition, wanted: ScheduleFilter) -> bool:
    return (
        (wanted.owner is None or definition.owner == wanted.owner)
        and (wanted.enabled is None or definition.active == wanted.enabled)
        and (wanted.type is None or definition.type == wanted.type)
        and (wanted.tag is None or wanted.tag in definition.tags)
        and (not wanted.name_prefix or (definition.name or "").startswith(wanted.name_prefix))
    )
