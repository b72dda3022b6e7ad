"""The journal of executions. The contract that all stores share is in ``ports.services``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from chalicelib.core.executions.execution import Execution, ExecutionKey
from chalicelib.core.schedules.schedule import Key


class ExecutionPage(NamedTuple):
    """Keys in the order of their list, and the position to go on from (None: the end)."""

    keys: list[ExecutionKey]
    after: str | None


class ExecutionStore(Protocol):
    """The journal."""

    def insert(self, executions: Sequence[Execution]) -> list[bool]:
        """Write new records; False for each whose key exists already."""
        ...

    def update(self, writes: Sequence[tuple[Execution, int]]) -> list[bool]:
        """Replace records, each if its stored ``rev`` still is the given one (0: write it, if there is none)."""
        ...

    def get(self, keys: Sequence[ExecutionKey]) -> dict[ExecutionKey, Execution]:
        """Records by key; missing ones are left out."""
        ...

    def of_schedule(
        self, schedule: Key, from_ms: int, to_ms: int, limit: int, after: str | None, newest_first: bool = True
    ) -> tuple[list[Execution], str | None]:
        """Records of one schedule with ``from_ms <= firing_ms <= to_ms``: a consistent query of the table itself."""
        ...

    def recent(
        self, tenant: str, shards: Sequence[int], from_ms: int, to_ms: int, limit: int, after: str | None
    ) -> ExecutionPage:
        """*May lag*: keys of a tenant's executions by firing instant, newest first, merged over the shards."""
        ...

    def count_recent(self, tenant: str, from_ms: Mapping[int, int], to_ms: int, limit: int) -> int:
        """*May lag*: how many executions of a tenant have a firing instant up to ``to_ms``. ``from_ms`` names the
        shards, with the first instant of each. At most ``limit`` of a shard are counted."""
        ...

    def open_until(self, shard: int, until_ms: int, limit: int, after: str | None = None) -> ExecutionPage:
        """*May lag*: records with ``open_until_ms <= until_ms``, earliest first, of those that ``is_listed_open``."""
        ...

    def ended_badly(self, shards: Sequence[int], from_ms: int, limit: int) -> int:
        """*May lag*: how many records of some shards ended at or after ``from_ms``, of those that ``has_ended_badly``;
        at most ``limit`` of a shard are counted."""
        ...

    def oldest_bad_ms(self, shard: int, from_ms: int) -> int | None:
        """*May lag*: when the first record of a shard ended that ended at or after ``from_ms``, of those that
        ``has_ended_badly``; None when there is none."""
        ...
