"""What never changes under its name and was read before: versions of workflows, and large outputs by their hash."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Final

KEPT_MAX_COUNT: Final = 256


class KeptValues:
    """The last so many values; the one that was asked for longest ago goes first."""

    def __init__(self, max_count: int = KEPT_MAX_COUNT) -> None:
        self._lock = threading.Lock()
        self._values: OrderedDict[Hashable, Any] = OrderedDict()
        self._max_count = max_count

    def get(self, name: Hashable, read: Callable[[], Any]) -> Any:
        """The value of a name; ``read`` gives it where it is not kept. None is not kept: it may come to be."""
        with self._lock:
            if name in self._values:
                self._values.move_to_end(name)
                return self._values[name]
        value = read()
        if value is not None:
            with self._lock:
                self._values[name] = value
                if len(self._values) > self._max_count:
                    self._values.popitem(last=False)
        return value
