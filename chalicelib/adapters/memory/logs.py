"""``LogStore`` in memory."""

from __future__ import annotations

import threading
from collections import defaultdict

from chalicelib.core.executions.execution import ExecutionKey
from chalicelib.ports.stores.logs import LogLine


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
