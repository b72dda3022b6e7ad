"""The stores of the memory adapter behind a gate: latency and faults before and after each call, one item at a time.

Each method is one atomic change, or a batch whose items are atomic one by one: so a batch goes to the store item by
item, and may stop, or let others in, between them. What the store confirmed is put into the world's record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from chalicelib.core.executions.execution import Execution, ExecutionKey, is_listed_open
from chalicelib.core.policies.monitor import MonitorState
from chalicelib.core.schedules.capacity import Limits, Used, uncounted
from chalicelib.core.schedules.schedule import Definition, Key, Schedule, State
from chalicelib.ports.stores.cursors import Cursor
from chalicelib.ports.stores.executions import ExecutionPage
from chalicelib.ports.stores.schedules import Due, KeyPage, ScheduleChange, ScheduleFilter, Versioned
from tests.simulation.faults import Fault
from tests.simulation.world import ExecutionWrite, StateWrite, World


class Gate:
    """What every port call passes."""

    __slots__ = ("world",)

    def __init__(self, world: World) -> None:
        self.world = world

    def enter(self, name: str, size: int = 1) -> Fault | None:
        """Before a call: time passes, and something may go wrong."""
        world = self.world
        if not world.current.instance.alive:
            world.die()
        world.latency()
        faults = world.faults
        if world.now >= faults.alert_ms:
            return faults.strike(name, size)  # type: ignore[no-any-return]
        return None

    def leave(self, fault: Fault | None) -> None:
        """After a call."""
        if fault is not None:
            self.world.faults.after(fault)
        self.world.latency()

    def each(self, name: str, items: Sequence[Any]) -> Iterator[Any]:
        """The items of a batch; others may run between them. A batch of nothing makes no call."""
        if not items:
            return
        fault = self.enter(name, len(items))
        stop = None
        if fault is not None and fault.kind in ("partial", "crash_partial"):
            stop = 1 + fault.slot % (len(items) - 1)
        for number, item in enumerate(items):
            if number == stop:
                assert fault is not None
                self.world.faults.between(fault)
            if number:
                self.world.pause(0)
            yield item
        self.leave(fault)


class Schedules:
    """``ports.stores.ScheduleStore``."""

    def __init__(self, gate: Gate, inner: Any) -> None:
        self._gate = gate
        self._inner = inner
        self._world = gate.world

    def _looked(self) -> None:
        self._world.current.look_ms = self._world.now

    def create(self, schedule: Schedule, limits: Limits | None = None, monitor: MonitorState | None = None) -> None:
        fault = self._gate.enter("create")
        self._inner.create(schedule, limits, monitor)
        self._world.saw_state(schedule.state, "create", schedule.definition)
        self._gate.leave(fault)

    def collect(self, before_ms: int, tenants: Sequence[str]) -> int:
        fault = self._gate.enter("collect")
        found = self._inner.collect(before_ms, tenants)
        self._gate.leave(fault)
        return found  # type: ignore[no-any-return]

    def change(self, change: ScheduleChange) -> None:
        fault = self._gate.enter("change")
        self._inner.change(change)
        kind = "delete" if change.definition is None else "change"
        self._world.saw_state(change.state, kind, change.definition)
        self._gate.leave(fault)

    def get(self, keys: Sequence[Key]) -> dict[Key, Schedule]:
        if not keys:
            return {}
        fault = self._gate.enter("get_schedules")
        found = self._inner.get(keys)
        self._looked()
        self._gate.leave(fault)
        return found  # type: ignore[no-any-return]

    def states(self, keys: Sequence[Key]) -> dict[Key, State]:
        if not keys:
            return {}
        fault = self._gate.enter("states")
        found = self._inner.states(keys)
        self._looked()
        self._gate.leave(fault)
        return found  # type: ignore[no-any-return]

    def epochs(self, keys: Sequence[Key]) -> dict[Key, int]:
        if not keys:
            return {}
        fault = self._gate.enter("epochs")
        found = self._inner.epochs(keys)
        self._looked()
        self._world.current.ruled_ms = self._world.now
        self._world.current.rechecks += 1
        self._gate.leave(fault)
        return found  # type: ignore[no-any-return]

    def definitions(self, keys: Sequence[Key]) -> dict[Key, Definition]:
        if not keys:
            return {}
        fault = self._gate.enter("definitions")
        found = self._inner.definitions(keys)
        self._gate.leave(fault)
        return found  # type: ignore[no-any-return]

    def snapshots(self, versions: Sequence[Versioned]) -> dict[Versioned, Definition]:
        if not versions:
            return {}
        fault = self._gate.enter("snapshots")
        found = self._inner.snapshots(versions)
        self._gate.leave(fault)
        return found  # type: ignore[no-any-return]

    def history(self, key: Key) -> list[Definition]:
        fault = self._gate.enter("history")
        found = self._inner.history(key)
        self._gate.leave(fault)
        return found  # type: ignore[no-any-return]

    def write_states(self, writes: Sequence[tuple[State, int]]) -> list[bool]:
        answers = []
        for item in self._gate.each("write_states", writes):
            won = self._inner.write_states([item])[0]
            answers.append(won)
            if won:
                self._world.saw_state(item[0], "state")
            else:
                self._world.hit("race:write_states lost")
        return answers

    def due(self, shard: int, until_ms: int, limit: int, after: Due | None = None) -> list[Due]:
        fault = self._gate.enter("due")
        found = self._due(shard, until_ms, limit, after)
        self._gate.leave(fault)
        return found

    def _due(self, shard: int, until_ms: int, limit: int, after: Due | None) -> list[Due]:
        seen_ms = past(self._world)
        if seen_ms is None:
            return self._inner.due(shard, until_ms, limit, after)  # type: ignore[no-any-return]
        entries = []
        for key, writes in self._world.record.schedules.items():
            state = as_of_state(writes, seen_ms)
            if state is None or state.shard != shard or state.status != "active" or state.next_run_ms is None:
                continue
            if state.next_run_ms <= until_ms:
                entries.append(Due(state.next_run_ms, key))
        entries.sort()
        return [e for e in entries if after is None or e > after][:limit]

    def spent(self, shard: int, until_ms: int, limit: int) -> Sequence[Key]:
        fault = self._gate.enter("spent")
        found = self._inner.spent(shard, until_ms, limit)
        self._gate.leave(fault)
        return found  # type: ignore[no-any-return]

    def monitors(self, keys: Sequence[Key]) -> dict[Key, MonitorState]:
        fault = self._gate.enter("monitors")
        found = self._inner.monitors(keys)
        self._gate.leave(fault)
        return found  # type: ignore[no-any-return]

    def due_monitors(self, shard: int, until_ms: int, limit: int) -> Sequence[Key]:
        fault = self._gate.enter("due_monitors")
        found = self._inner.due_monitors(shard, until_ms, limit)
        self._gate.leave(fault)
        return found  # type: ignore[no-any-return]

    def write_monitor(self, monitor: MonitorState, expected_rev: int) -> bool:
        fault = self._gate.enter("write_monitor")
        before = self._inner.monitors([monitor.key]).get(monitor.key)
        won = self._inner.write_monitor(monitor, expected_rev)
        if won:
            self._world.saw_monitor(before, monitor)
        else:
            self._world.hit("race:write_monitor lost")
        self._gate.leave(fault)
        return won  # type: ignore[no-any-return]

    def drop_monitor(self, key: Key, expected_rev: int) -> bool:
        fault = self._gate.enter("drop_monitor")
        won = self._inner.drop_monitor(key, expected_rev)
        self._world.hit("watch:dropped" if won else "race:drop_monitor lost")
        self._gate.leave(fault)
        return won  # type: ignore[no-any-return]

    def place(self, shard: int, limits: Limits | None) -> int:
        return self._inner.place(shard, limits)  # type: ignore[no-any-return]

    def release(self, spent: Sequence[State]) -> list[bool]:
        answers = []
        for state in self._gate.each("release", spent):
            won = self._inner.release([state])[0]
            answers.append(won)
            if won:
                self._world.saw_state(uncounted(replace(state, rev=state.rev + 1)), "state")
        return answers

    def used(self) -> Used:
        fault = self._gate.enter("used")
        found = self._inner.used()
        self._gate.leave(fault)
        return found  # type: ignore[no-any-return]

    def list(self, tenant: str, wanted: ScheduleFilter, limit: int, after: str | None) -> KeyPage:
        fault = self._gate.enter("list")
        found = self._inner.list(tenant, wanted, limit, after)
        self._gate.leave(fault)
        return found  # type: ignore[no-any-return]


class Executions:
    """``ports.stores.ExecutionStore``."""

    def __init__(self, gate: Gate, inner: Any) -> None:
        self._gate = gate
        self._inner = inner
        self._world = gate.world

    def insert(self, executions: Sequence[Execution]) -> list[bool]:
        answers = []
        for record in self._gate.each("insert", executions):
            won = self._inner.insert([record])[0]
            answers.append(won)
            if won:
                self._world.saw_execution(record)
            else:
                self._world.hit("race:insert lost")
        return answers

    def update(self, writes: Sequence[tuple[Execution, int]]) -> list[bool]:
        answers = []
        for item in self._gate.each("update", writes):
            won = self._inner.update([item])[0]
            answers.append(won)
            if won:
                self._world.saw_execution(item[0])
            else:
                self._world.hit("race:update lost")
        return answers

    def get(self, keys: Sequence[ExecutionKey]) -> dict[ExecutionKey, Execution]:
        if not keys:
            return {}
        fault = self._gate.enter("get_executions")
        found = self._inner.get(keys)
        self._gate.leave(fault)
        return found  # type: ignore[no-any-return]

    def of_schedule(
        self, schedule: Key, from_ms: int, to_ms: int, limit: int, after: str | None, newest_first: bool = True
    ) -> tuple[list[Execution], str | None]:
        fault = self._gate.enter("of_schedule")
        if after is None:
            self._world.current.journal_ms = self._world.now
        found = self._inner.of_schedule(schedule, from_ms, to_ms, limit, after, newest_first)
        self._gate.leave(fault)
        return found  # type: ignore[no-any-return]

    def recent(
        self, tenant: str, shards: Sequence[int], from_ms: int, to_ms: int, limit: int, after: str | None
    ) -> ExecutionPage:
        fault = self._gate.enter("recent")
        seen_ms = past(self._world)
        if seen_ms is None or after is not None:
            found = self._inner.recent(tenant, shards, from_ms, to_ms, limit, after)
        else:
            keys = [
                key
                for key, writes in self._world.record.executions.items()
                if writes[0].at_ms <= seen_ms and from_ms <= key.firing_ms <= to_ms and writes[0].record.shard in shards
            ]
            found = ExecutionPage(sorted(keys, key=lambda k: -k.firing_ms)[:limit], None)
        self._gate.leave(fault)
        return found

    def open_until(self, shard: int, until_ms: int, limit: int, after: str | None = None) -> ExecutionPage:
        fault = self._gate.enter("open_until")
        seen_ms = past(self._world)
        if seen_ms is None or after is not None:
            found = self._inner.open_until(shard, until_ms, limit, after)
        else:
            keys = []
            for key, writes in self._world.record.executions.items():
                record = as_of_execution(writes, seen_ms)
                if record is None or record.shard != shard or not is_listed_open(record):
                    continue
                if record.open_until_ms is not None and record.open_until_ms <= until_ms:
                    keys.append(key)
            found = ExecutionPage(keys[:limit], None)
        self._gate.leave(fault)
        return found


class Cursors:
    """``ports.stores.CursorStore``."""

    def __init__(self, gate: Gate, inner: Any) -> None:
        self._gate = gate
        self._inner = inner

    def load(self, name: str) -> Cursor:
        fault = self._gate.enter("cursor_load")
        found = self._inner.load(name)
        self._gate.leave(fault)
        return found  # type: ignore[no-any-return]

    def save(self, name: str, values: Mapping[str, int], expected_rev: int) -> bool:
        fault = self._gate.enter("cursor_save")
        won = self._inner.save(name, values, expected_rev)
        self._gate.leave(fault)
        return won  # type: ignore[no-any-return]


class Leases:
    """``ports.stores.LeaseStore``: here the leases of shards."""

    def __init__(self, gate: Gate, inner: Any) -> None:
        self._gate = gate
        self._inner = inner

    def load(self, tenant: str, name: str) -> tuple[str, int] | None:
        fault = self._gate.enter("lease_load")
        found = self._inner.load(tenant, name)
        self._gate.leave(fault)
        return found  # type: ignore[no-any-return]

    def save(self, tenant: str, name: str, document: str, rev: int, expected_rev: int) -> bool:
        fault = self._gate.enter("lease_save")
        won = self._inner.save(tenant, name, document, rev, expected_rev)
        self._gate.leave(fault)
        return won  # type: ignore[no-any-return]

    def list(self, tenant: str, limit: int, after: str | None) -> tuple[list[str], str | None]:
        fault = self._gate.enter("lease_list")
        found = self._inner.list(tenant, limit, after)
        self._gate.leave(fault)
        return found  # type: ignore[no-any-return]


class QueuePauses:
    """``ports.stores.QueueStore``."""

    def __init__(self, gate: Gate, inner: Any) -> None:
        self._gate = gate
        self._inner = inner

    def load(self, tenant: str) -> tuple[str, int] | None:
        fault = self._gate.enter("queue_load")
        found = self._inner.load(tenant)
        self._gate.leave(fault)
        return found  # type: ignore[no-any-return]

    def save(self, tenant: str, document: str, rev: int, expected_rev: int) -> bool:
        fault = self._gate.enter("queue_save")
        won = self._inner.save(tenant, document, rev, expected_rev)
        self._gate.leave(fault)
        return won  # type: ignore[no-any-return]


class Ticks:
    """``ports.ticks.TickStore``; in worlds of firings no stream runs, but every sweep looks."""

    def __init__(self, gate: Gate, inner: Any) -> None:
        self._gate = gate
        self._inner = inner

    def load(self) -> Any:
        fault = self._gate.enter("ticks_load")
        found = self._inner.load()
        self._gate.leave(fault)
        return found

    def save(self, book: Any, pages: Sequence[Any], expected_rev: int) -> bool:
        fault = self._gate.enter("ticks_save")
        won = self._inner.save(book, pages, expected_rev)
        self._gate.leave(fault)
        return won  # type: ignore[no-any-return]

    def pages(self, frequency: Any, after_sequence: int, limit: int) -> Any:
        fault = self._gate.enter("ticks_pages")
        found = self._inner.pages(frequency, after_sequence, limit)
        self._gate.leave(fault)
        return found


def past(world: World) -> int | None:
    """The moment that index reads show now; None = the present."""
    faults = world.faults
    if world.now >= faults.lag_until_ms:
        return None
    world.hit("fault:index_lag")
    return world.now - faults.lag_ms  # type: ignore[no-any-return]


def as_of_state(writes: Sequence[StateWrite], at_ms: int) -> State | None:
    """A schedule's state as stored at a moment."""
    for write in reversed(writes):
        if write.at_ms <= at_ms:
            return write.state
    return None


def as_of_execution(writes: Sequence[ExecutionWrite], at_ms: int) -> Execution | None:
    """A record as stored at a moment."""
    for write in reversed(writes):
        if write.at_ms <= at_ms:
            return write.record
    return None
