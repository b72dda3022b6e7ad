"""How often a trigger fires: at most ``limit`` times in any span of ``per_ms``. What is more is dropped, and counted.

The instants of the last firings are kept. A count for each span of the clock would let twice as many through around
its edge.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace


class Passed(NamedTuple):
    """A firing that was let through."""

    at_ms: int
    digest: str


class ThrottleState(Struct, frozen=True):
    """The last firings of a trigger, the oldest first, and how many events were dropped since it exists."""

    tenant: str
    trigger_id: str
    rev: int = 0
    passed: tuple[Passed, ...] = ()
    dropped: int = 0


def admit(state: ThrottleState, digest: str, limit: int, per_ms: int, now_ms: int) -> tuple[ThrottleState, bool]:
    """The state after an event, and whether it may fire. One that was let through before may again, since its worker
    may have died. A clock that went back counts as standing still."""
    if any(one.digest == digest for one in state.passed):
        return state, True
    at_ms = max([now_ms, *(one.at_ms for one in state.passed[-1:])])
    recent = tuple(one for one in state.passed if one.at_ms > at_ms - per_ms)
    if len(recent) >= limit:
        return replace(state, rev=state.rev + 1, dropped=state.dropped + 1), False
    return replace(state, rev=state.rev + 1, passed=(*recent, Passed(at_ms, digest))), True
