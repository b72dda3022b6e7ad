"""Which works this process had done within seconds when it had their turn last.

A work that takes longer is to be shared with other calls. So the next call takes its shards one by one, as it comes to
them, and others find those that it has not come to.
"""

from __future__ import annotations


class TurnMemory:
    """One call at a time uses it."""

    def __init__(self) -> None:
        self._heavy: set[str] = set()

    def is_light(self, work: str) -> bool:
        """Whether one call is enough for it, as far as this process knows."""
        return work not in self._heavy

    def keep(self, work: str, *, is_light: bool) -> None:
        """How it was this time."""
        if is_light:
            self._heavy.discard(work)
        else:
            self._heavy.add(work)
