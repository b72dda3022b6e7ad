"""Claims without records, as a schedule's state names them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class ClaimSpan(NamedTuple):
    """First attempts that one worker owns, of instants one step apart: the only trace of a claim until its firings have
    records. The firing at ``first_ms`` has the fencing token ``token``, each further one the next."""

    first_ms: int
    step_ms: int
    size: int
    token: int
    owner: str

    @property
    def last_ms(self) -> int:
        return self.first_ms + (self.size - 1) * self.step_ms

    @property
    def instants(self) -> range:
        return self.until(self.last_ms)

    def until(self, at_ms: int) -> range:
        """Those of the instants that are not after ``at_ms``."""
        return range(self.first_ms, min(at_ms, self.last_ms) + 1, self.step_ms or 1)

    def token_of(self, at_ms: int) -> int | None:
        """The token of the firing at ``at_ms``; None when that is not one of these."""
        if not self.first_ms <= at_ms <= self.last_ms:
            return None
        number, rest = divmod(at_ms - self.first_ms, self.step_ms or 1)
        return None if rest else self.token + number


def span_of(instants: Sequence[int], token: int, owner: str) -> ClaimSpan | None:
    """Ascending instants as one span; None when they are not all as far apart."""
    step_ms = instants[1] - instants[0] if len(instants) > 1 else 0
    span = ClaimSpan(instants[0], step_ms, len(instants), token, owner)
    return span if list(span.instants) == list(instants) else None
