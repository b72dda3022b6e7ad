"""The ledger: the owed instants of a schedule in a span of time, against what became of each.

Which instants were owed is derived from the versions the schedule has had, never from the journal. So an instant that
left no trace shows as ``lost``. The count of these is the service's own measure of its first promise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from chalicelib.core.executions.execution import SKIPPED, Execution
from chalicelib.core.executions.limits import LOST_AFTER_MS
from chalicelib.core.limits import INSTANT_MAX_MS
from chalicelib.core.schedules.schedule import Definition

LOST, PAUSED, EXCLUDED, PENDING = "lost", "paused", "excluded", "pending"


class Line(Struct, frozen=True):
    """One instant and its answer. ``expected`` says whether it was owed."""

    firing_ms: int
    expected: bool
    outcome: str
    lateness_ms: int | None = None
    reason: str | None = None


class Ledger(Struct, frozen=True):
    """Lines in order of time; ``next_ms`` is where to go on (None: the span is covered)."""

    lines: tuple[Line, ...]
    lost: int
    next_ms: int | None


def draw(
    versions: Sequence[Definition],
    executions: Iterable[Execution],
    from_ms: int,
    to_ms: int,
    now_ms: int,
    limit: int,
    owed_until_ms: int | None,
) -> Ledger:
    """The ledger of [from_ms, to_ms] as far as it has come by ``now_ms``, at most ``limit`` lines.

    ``versions`` are all definitions the schedule has had, by ``since_ms``; gaps between them are pauses.
    ``owed_until_ms`` is the last instant of an exhausted schedule.
    """
    to_ms = min(to_ms, now_ms)
    expected = _expected(versions, from_ms, to_ms, limit + 1, owed_until_ms)
    journal = {e.firing_ms: e for e in executions if not e.manual and from_ms <= e.firing_ms <= to_ms}
    instants = sorted(expected.keys() | journal.keys())
    shown = instants[:limit]
    lines = tuple(_line(at, expected.get(at), journal.get(at), now_ms, versions[-1].jitter_ms) for at in shown)
    lost = sum(line.outcome == LOST for line in lines)
    return Ledger(lines, lost, instants[limit] if len(instants) > limit else None)


def _expected(
    versions: Sequence[Definition], from_ms: int, to_ms: int, limit: int, owed_until_ms: int | None
) -> Mapping[int, str]:
    """Instant -> "owed", "paused" or "excluded"."""
    found: dict[int, str] = {}
    for number, version in enumerate(versions):
        if version.type == "DELAY":
            continue
        last = versions[number + 1].since_ms - 1 if number + 1 < len(versions) else INSTANT_MAX_MS
        ends = last if version.until_ms is None else min(last, version.until_ms - 1)
        active_to = min(ends, to_ms) if version.active else version.since_ms - 1
        if owed_until_ms is not None and number + 1 == len(versions):
            active_to = min(active_to, owed_until_ms)
            last = min(last, owed_until_ms)
        compiled = version.compiled()
        start = max(from_ms, version.since_ms)
        owes_from = version.owes_from(start)
        found |= dict.fromkeys(compiled.between(start, min(owes_from - 1, last, to_ms), limit), PAUSED)
        start = owes_from
        found |= dict.fromkeys(compiled.between(start, active_to, limit), "owed")
        found |= dict.fromkeys(compiled.excluded_between(start, active_to, limit), EXCLUDED)
        paused_from = max(start, active_to + 1)
        found |= dict.fromkeys(compiled.between(paused_from, min(last, to_ms), limit), PAUSED)
    return found


def _line(at_ms: int, expected: str | None, execution: Execution | None, now_ms: int, jitter_ms: int) -> Line:
    owed = expected == "owed"
    if execution is not None:
        reason = execution.history[-1].reason if execution.history else None
        # Of the instants of a pause only those have a record that were queued before it: both show as paused.
        idle = expected == PAUSED and execution.state == SKIPPED and not execution.attempts
        return Line(at_ms, owed, PAUSED if idle else execution.state, execution.lateness_ms, reason)
    if expected in (PAUSED, EXCLUDED):
        return Line(at_ms, False, str(expected))
    due_ms = at_ms + jitter_ms if jitter_ms else at_ms
    outcome = PENDING if now_ms - due_ms < LOST_AFTER_MS else LOST
    return Line(at_ms, True, outcome)
