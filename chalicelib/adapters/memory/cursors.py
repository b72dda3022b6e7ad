"""``CursorStore`` in memory."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from chalicelib.ports.stores.cursors import Cursor


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
