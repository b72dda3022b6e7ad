"""Progress of workers. The contract that all stores share is in ``ports.services``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol


class Cursor(NamedTuple):
    """A small named record of a worker's progress, conditional on its revision."""

    rev: int
    values: Mapping[str, int]


class CursorStore(Protocol):
    """Progress of workers (and the last-seen stamps that /health reports)."""

    def load(self, name: str) -> Cursor:
        """The cursor, or rev 0 and no values when there is none."""
        ...

    def save(self, name: str, values: Mapping[str, int], expected_rev: int) -> bool:
        """Write the cursor if its stored rev still is the given one."""
        ...
