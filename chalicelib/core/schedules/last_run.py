"""The last run of a schedule, worked out from its claims. Workers claim instants ahead of them, and a change may take
some of those back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from chalicelib.core.limits import MESSAGE_MAX_INSTANTS
from chalicelib.core.schedules.limits import CLAIMED_AHEAD_MAX_MS

if TYPE_CHECKING:
    from chalicelib.core.schedules.schedule import Definition, State


def last_run_ms(definition: Definition, state: State, now_ms: int) -> int | None:
    """The newest instant up to ``now_ms`` of those that were claimed, without those that a change has taken back."""
    found = [_last_owed(definition, state, span.until(now_ms)) for span in state.spans]
    found += [_last_of_claim(definition, state, first, last, now_ms) for first, last in state.claims]
    return max((at_ms for at_ms in found if at_ms is not None), default=None)


def _last_owed(definition: Definition, state: State, instants: Sequence[int]) -> int | None:
    return next((at for at in reversed(instants) if _is_owed_still(definition, state, at)), None)


def _last_of_claim(definition: Definition, state: State, first: int, last: int, now_ms: int) -> int | None:
    if first > now_ms:
        return None
    if first == last:
        return None if _may_be_taken_back(definition, state, first) else first
    if last <= now_ms and last < definition.since_ms:
        return last
    runs = definition.compiled().between(first, min(last, now_ms), MESSAGE_MAX_INSTANTS * 2)
    found = _last_owed(definition, state, runs)
    return _before(definition, first) if found is None and first < definition.since_ms else found


def _before(definition: Definition, first: int) -> int:
    """The last instant from a claimed one on that came before a version, if the grid before it was like its own."""
    like = replace(definition, exclude=(), end_at_ms=None).compiled()
    runs = like.between(first, definition.since_ms - 1, MESSAGE_MAX_INSTANTS * 2)
    return runs[-1] if runs else first


def _may_be_taken_back(definition: Definition, state: State, at_ms: int) -> bool:
    """Whether a claim of one instant looks like one that was made ahead of it. What callers ask for is claimed so too:
    it stands, and lies on no grid or, backfilled, mostly elsewhere. With ``allow`` what is ahead is claimed in spans.
    """
    soon_after = definition.since_ms <= at_ms < definition.since_ms + CLAIMED_AHEAD_MAX_MS
    if not soon_after or definition.overlap == "allow" or definition.type == "DELAY":
        return False
    return bool(definition.compiled().between(at_ms, at_ms, 1)) and not _is_owed_still(definition, state, at_ms)


def _is_owed_still(definition: Definition, state: State, at_ms: int) -> bool:
    """Whether a claimed instant that no caller asked for is owed under the version in force at it. Of a version before
    the current one, and of a DELAY, it is known only whether it was paused."""
    if at_ms < definition.since_ms:
        ref = state.in_force_at(at_ms)
        return ref is None or ref.active
    if definition.type == "DELAY":
        return at_ms == state.queued_ms or not definition.is_paused_at(at_ms)
    return (
        state.has_runs_until(at_ms)
        and not definition.is_paused_at(at_ms)
        and bool(definition.compiled().between(at_ms, at_ms, 1))
    )
