"""How many threads of one process see calls to their end. Each checks now and then what is over.

Hundreds that check fifty times a second leave no processor time to the calls. So the more there are, the more seldom
each checks: all checks together stay within a thousand a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

APART_MS: Final = 1  # from one check of any thread to the next; each takes a tenth of it


class Supervisors:
    """Those that are at work. Safe to share between threads."""

    def __init__(self) -> None:
        self._at_work: set[object] = set()  # adding to a set and taking out of it need no lock

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """The caller is at work meanwhile."""
        me = object()
        self._at_work.add(me)
        try:
            yield
        finally:
            self._at_work.discard(me)

    def check_ms(self, least_ms: int) -> int:
        """After how long the caller should check again: ``least_ms`` while few are at work."""
        return max(least_ms, len(self._at_work) * APART_MS)
