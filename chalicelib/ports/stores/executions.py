"""The journal of executions. The contract that all stores share is in ``ports.services``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from chalicelib.core.executions.execution import FAILED, TIMEOUT, Execution, ExecutionKey
from chalicelib.core.schedules.schedule import Key


class ExecutionPage(NamedTuple):
    """Keys, newest firing first, and the position to go on from (None: the end)."""

    keys: list[ExecutionKey]
    after: str | None


class ExecutionStore(Protocol):
    """The journal."""

    def insert(self, executions: Sequence[Execution]) -> list[bool]:
        """Write new records; False for each whose key exists already."""
        ...

    def update(self, writes: Sequence[tuple[Execution, int]]) -> list[bool]:
        """Replace records, each if its stored ``rev`` still is the given one."""
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
