"""Log lines of executions. The contract that all stores share is in ``ports.services``."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from chalicelib.core.executions.execution import ExecutionKey


class LogLine(Struct, frozen=True):
    """What a caller wrote about an execution; ``number`` counts from 1 within it."""

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
