"""What the lists of the stores in memory are: entries in order, by partition."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from typing import Any


class SortedEntries:
    """Entries in order, by partition: what an index is."""

    def __init__(self) -> None:
        self._entries: dict[Any, list[Any]] = defaultdict(list)

    def of(self, partition: object) -> list[Any]:
        """The entries of a partition, in order; not to be changed."""
        return self._entries.get(partition, [])

    def move(self, partition: object, old: object | None, new: object | None) -> None:
        """Replace an entry; None: there was none, or is to be none."""
        if old == new:
            return
        entries = self._entries[partition]
        if old is not None:
            del entries[bisect_left(entries, old)]
        if new is not None:
            insort(entries, new)
