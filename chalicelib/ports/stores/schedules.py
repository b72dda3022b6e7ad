"""Definitions, their snapshots, and states. The contract that all stores share is in ``ports.services``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from msgspec import Struct

from chalicelib.core.policies.monitor import MonitorState
from chalicelib.core.schedules.capacity import Limits, Used
from chalicelib.core.schedules.schedule import Definition, Key, Schedule, State


class Due(NamedTuple):
    """A schedule and when it is due."""

    next_run_ms: int
    key: Key


class Versioned(NamedTuple):
    """A definition under a version id, current or superseded."""

    key: Key
    version: str


class ScheduleChange(Struct, frozen=True):
    """A change of a schedule: everything it writes, all or nothing.

    ``before`` is the state that was read; the stored one must still have its ``rev``. ``snapshot`` is the definition
    being superseded, with its ``until_ms`` (None when it was inactive and never needs to be found again).
    ``definition`` None deletes the current definition; the state stays, as a tombstone with ``status`` deleted that
    expires. ``old_name`` and ``new_name`` are (owner, name) pairs to free and to take; equal pairs are left alone.
    ``limits`` judge what it adds to what counts. ``monitor`` is the monitor that begins with it, over whichever was
    there (None: that stays).
    """

    state: State
    before: State
    definition: Definition | None
    snapshot: Definition | None
    old_name: tuple[str, str] | None
    new_name: tuple[str, str] | None
    limits: Limits | None = None
    monitor: MonitorState | None = None


class NameTaken(Exception):
    """Raised by ``create`` and ``change`` when another schedule of the owner holds the name; nothing was written."""


class RevisionLost(Exception):
    """Raised by ``create`` when the id exists and by ``change`` when ``rev`` moved on; nothing was written."""


class CapacityFull(Exception):
    """Raised by ``create`` and ``change`` when what counts would be above its limits; nothing was written."""


class HalfMade(Exception):
    """Raised by ``create`` when the id has a definition and no state: an earlier creation died, or is still under way.
    A schedule of that very definition may be created instead; of the two one comes true."""

    def __init__(self, definition: Definition) -> None:
        super().__init__(definition.version)
        self.definition = definition


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


class Census(NamedTuple):
    """Schedules by type and by whether they fire, and the position to go on from (None: the end)."""

    counts: Mapping[tuple[str, bool], int]
    after: str | None


class ScheduleStore(Protocol):
    """Definitions, their snapshots, and states."""

    def create(self, schedule: Schedule, limits: Limits | None = None, monitor: MonitorState | None = None) -> None:
        """Write the definition, the state, the monitor and the claim on the name, and count it: for readers, all or
        nothing. What a process that died had written before the state, ``collect`` takes back.

        Raises NameTaken, CapacityFull, or RevisionLost when the id exists; the last before the others. Raises HalfMade.
        """
        ...

    def collect(self, before_ms: int, tenants: Sequence[str]) -> int:
        """Take back what creations of ``tenants`` left behind that were begun before ``before_ms`` and never came true;
        how many. One that is still under way then can no longer come true."""
        ...

    def change(self, change: ScheduleChange) -> None:
        """Write a change, all or nothing. Raises RevisionLost, else NameTaken, else CapacityFull."""
        ...

    def get(self, keys: Sequence[Key]) -> dict[Key, Schedule]:
        """Definition and state of schedules, of one and the same moment each; missing and deleted ones are left out."""
        ...

    def states(self, keys: Sequence[Key]) -> dict[Key, State]:
        """The states, tombstones included, of schedules."""
        ...

    def epochs(self, keys: Sequence[Key]) -> dict[Key, int]:
        """Only the epochs of schedules: the check at the instant. Also of a tenant's policies, which have a key of
        their own: ``ports.stores.policies.epoch_key``."""
        ...

    def definitions(self, keys: Sequence[Key]) -> dict[Key, Definition]:
        """The current definitions of schedules."""
        ...

    def snapshots(self, versions: Sequence[Versioned]) -> dict[Versioned, Definition]:
        """Superseded definitions by version."""
        ...

    def history(self, key: Key) -> list[Definition]:
        """All kept snapshots of a schedule, by ``since_ms``."""
        ...

    def write_states(self, writes: Sequence[tuple[State, int]]) -> list[bool]:
        """Replace states, each if its stored ``rev`` still is the given one."""
        ...

    def due(self, shard: int, until_ms: int, limit: int, after: Due | None = None) -> list[Due]:
        """*May lag*: active schedules of a shard with ``next_run_ms <= until_ms``, earliest first, after a position.
        Also those that have had their last instant and are not released: the state decides."""
        ...

    def list(self, tenant: str, wanted: ScheduleFilter, limit: int, after: str | None) -> KeyPage:
        """*May lag*: ids of a tenant's schedules that match, newest first, after the id ``after``; bounded work."""
        ...

    def census(self, tenant: str, limit: int, after: str | None) -> Census:
        """*May lag*: how many of a tenant's schedules there are with ids above ``after``. Counts at most ``limit``."""
        ...

    def named(self, tenant: str, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """The ids of the schedules that hold the (owner, name) pairs; free names are left out."""
        ...

    def jobs(self, tenant: str, group: str, limit: int, after: str | None) -> KeyPage:
        """*May lag*: ids of a tenant's schedules in a group of ``core.jobs``, newest first, after the id ``after``."""
        ...

    def spent(self, shard: int, until_ms: int, limit: int) -> Sequence[Key]:
        """*May lag*: schedules of a shard with ``spent_ms <= until_ms`` that are not released yet, earliest first. Also
        those that are due: the state decides."""
        ...

    def place(self, shard: int, limits: Limits | None) -> int:
        """Where a schedule of a shard counts that begins to count: ``counted`` of its state from then on. Not negative;
        what the number means is the store's own. Reads nothing."""
        ...

    def release(self, spent: Sequence[State]) -> Sequence[bool]:
        """Take schedules off what counts and off the spent ones, each if its stored ``rev`` still is that of the given
        state. Each is then stored ``uncounted`` under the next rev."""
        ...

    def used(self) -> Used:
        """What counts now; never negative."""
        ...

    def monitors(self, keys: Sequence[Key]) -> dict[Key, MonitorState]:
        """The monitors of monitored schedules; the others are left out."""
        ...

    def due_monitors(self, shard: int, until_ms: int, limit: int) -> Sequence[Key]:
        """*May lag*: schedules of a shard whose monitor has ``look_ms <= until_ms``, earliest first."""
        ...

    def write_monitor(self, monitor: MonitorState, expected_rev: int) -> bool:
        """Write a monitor if its stored rev still is the given one; it begins with ``create`` or ``change`` alone."""
        ...

    def drop_monitor(self, key: Key, expected_rev: int) -> bool:
        """Delete a monitor if its stored rev still is the given one."""
        ...
