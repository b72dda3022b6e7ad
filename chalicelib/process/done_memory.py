"""Which executions this process has seen completed, with all that follows from them.

It spares reads. Reconcile scans the recent instants again and again, since the list of them lags.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable
from threading import Lock

from chalicelib.core.executions.execution import ExecutionKey

MEMORY_MAX_EXECUTIONS = 65_536


class DoneMemory:
    """A bounded set of executions; safe to share between threads."""

    def __init__(self, max_executions: int = MEMORY_MAX_EXECUTIONS) -> None:
        self._done: OrderedDict[ExecutionKey, None] = OrderedDict()
        self._max_executions = max_executions
        self._lock = Lock()

    def keep(self, keys: Iterable[ExecutionKey]) -> None:
        """These are completed."""
        with self._lock:
            self._done.update(dict.fromkeys(keys))
            while len(self._done) > self._max_executions:
                self._done.popitem(last=False)

    def without(self, keys: Collection[ExecutionKey]) -> list[ExecutionKey]:
        """Those of ``keys`` that are not known to be completed."""
        with self._lock:
            return [key for key in keys if key not in self._done]
