"""How many threads of one process see calls to their end. Each checks now and then what is over.

Hundreds that check fifty times a second leave no processor time to the calls. So the more there are, the more seldom
each checks: all checks together stay within a thousand a second. But each checks twice a second at least, since checks
renew the claims of what waits before these run out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from chalicelib.core.executions.limits import ATTEMPT_LEASE_MS
from chalicelib.process.limits import RENEW_AFTER_MS

APART_MS: Final = 1  # from one check of any thread to the next; each takes a tenth of it
MOST_MS: Final = 500  # from one check of a thread to its next

assert RENEW_AFTER_MS + MOST_MS < ATTEMPT_LEASE_MS, "a claim is renewed before it runs out"


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
        return min(max(least_ms, len(self._at_work) * APART_MS), MOST_MS)
