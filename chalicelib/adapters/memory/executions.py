"""``ExecutionStore`` in memory."""

from __future__ import annotations

import json
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence

from chalicelib.adapters.memory.sorted_entries import SortedEntries
from chalicelib.core.executions.execution import Execution, ExecutionKey, has_ended_badly, is_listed_open
from chalicelib.core.schedules.schedule import Key
from chalicelib.ports.stores.executions import ExecutionPage


class MemoryExecutionStore:
    """``ExecutionStore`` in memory."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._records: dict[ExecutionKey, Execution] = {}
        self._of_schedule = SortedEntries()
        self._recent = SortedEntries()
        self._open = SortedEntries()
        self._failed = SortedEntries()

    def insert(self, executions: Sequence[Execution]) -> list[bool]:
        """Write new records; False for each whose key exists already."""
        return [self._insert(execution) for execution in executions]

    def update(self, writes: Sequence[tuple[Execution, int]]) -> list[bool]:
        """Replace records, each if its stored ``rev`` still is the given one (0: if there is none)."""
        return [self._update(execution, rev) if rev else self._insert(execution) for execution, rev in writes]

    def get(self, keys: Sequence[ExecutionKey]) -> dict[ExecutionKey, Execution]:
        """Records by key; missing ones are left out."""
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

    def count_recent(self, tenant: str, from_ms: Mapping[int, int], to_ms: int, limit: int) -> int:
        """How many executions of a tenant have a firing instant in each shard's range, up to ``limit`` of a shard."""
        with self._lock:
            found = 0
            for shard, first_ms in from_ms.items():
                entries = self._recent.of((tenant, shard))
                end = bisect_left(entries, (_instant(to_ms + 1),))
                found += max(0, min(limit, end - bisect_left(entries, (_instant(first_ms),))))
            return found

    def open_until(self, shard: int, until_ms: int, limit: int, after: str | None = None) -> ExecutionPage:
        """Records that are listed open with ``open_until_ms <= until_ms``, earliest first."""
        with self._lock:
            entries = self._open.of(shard)
            first = 0 if after is None else bisect_right(entries, _open_place(after))
            end = bisect_left(entries, (until_ms + 1,))
            found = entries[first : min(first + limit, end)]
        last = json.dumps(found[-1]) if found else None
        return ExecutionPage([at for _, at in found], last if first + limit < end else None)

    def ended_badly(self, shards: Sequence[int], from_ms: int, limit: int) -> int:
        """How many records ended as failed or timeout at or after ``from_ms``, up to ``limit`` of a shard."""
        with self._lock:
            several = [self._failed.of(shard) for shard in shards]
            return sum(min(limit, len(entries) - bisect_left(entries, (from_ms,))) for entries in several)

    def oldest_bad_ms(self, shard: int, from_ms: int) -> int | None:
        """When the first record of a shard ended badly at or after ``from_ms``; None when none did."""
        with self._lock:
            entries = self._failed.of(shard)
            place = bisect_left(entries, (from_ms,))
            return entries[place][0] if place < len(entries) else None

    def _insert(self, execution: Execution) -> bool:
        at = execution.key
        with self._lock:
            if at in self._records:
                return False
            self._records[at] = execution
            if not at.event:
                self._of_schedule.move(execution.key_of_schedule, None, (_instant(at.firing_ms) + "-m" * at.manual, at))
            self._recent.move((at.tenant, execution.shard), None, (f"{_instant(execution.firing_ms)}#{at.id}", at))
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


def _open_place(after: str) -> tuple[int, ExecutionKey]:
    until_ms, at = json.loads(after)
    return until_ms, ExecutionKey(*at)


def _open_entry(execution: Execution) -> tuple[int, ExecutionKey] | None:
    if not is_listed_open(execution) or execution.open_until_ms is None:
        return None
    return execution.open_until_ms, execution.key


def _failed_entry(execution: Execution) -> tuple[int, ExecutionKey] | None:
    if not has_ended_badly(execution) or execution.finished_ms is None:
        return None
    return execution.finished_ms, execution.key
