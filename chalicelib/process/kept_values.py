"""What never changes under its name and was read before: versions of workflows, and large outputs by their hash."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Final

KEPT_MAX_COUNT: Final = 256
KEPT_MAX_BYTES: Final = 20 * 1024 * 1024  # of JSON; a value read from it takes up to ten times as much memory


class KeptValues:
    """The last so many values, with so many bytes in all; the one that was asked for longest ago goes first."""

    def __init__(self, max_count: int = KEPT_MAX_COUNT, max_bytes: int = KEPT_MAX_BYTES) -> None:
        self._lock = threading.Lock()
        self._values: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._bytes = 0

    def get(self, name: Hashable, read: Callable[[], Any], size: int = 0) -> Any:
        """The value of a name, of ``size`` bytes; ``read`` gives it where it is not kept. None is not kept: it may come
        to be."""
        with self._lock:
            if name in self._values:
                self._values.move_to_end(name)
                return self._values[name][0]
        value = read()
        if value is not None:
            with self._lock:
                self._keep(name, value, size)
        return value

    def _keep(self, name: Hashable, value: Any, size: int) -> None:
        self._bytes += size - self._values.pop(name, (None, 0))[1]
        self._values[name] = value, size
        while len(self._values) > self._max_count or (self._bytes > self._max_bytes and len(self._values) > 1):
            self._bytes -= self._values.popitem(last=False)[1][1]
