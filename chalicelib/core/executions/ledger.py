"""The ledger: the owed instants of a schedule in a span of time, against what became of each.

Which instants were owed is derived from the versions the schedule has had, never from the journal. So an instant that
left no trace shows as ``lost``. The count of these is the service's own measure of its first promise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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
    awaited_ms: int | None = None,
) -> Ledger:
    """The ledger of [from_ms, to_ms] as far as it has come by ``now_ms``, at most ``limit`` lines.

    ``versions`` are all definitions the schedule has had, by ``since_ms``; gaps between them are pauses, or what
    ``max_runs`` left out. ``owed_until_ms`` is the last instant of an exhausted schedule. A DELAY has no grid: it owed
    the runs that it has had, and ``awaited_ms``, whose end its next one follows.
    """
    to_ms = min(to_ms, now_ms)
    expected = _expected(versions, from_ms, to_ms, limit + 1, owed_until_ms)
    journal = {e.firing_ms: e for e in executions if not e.manual and from_ms <= e.firing_ms <= to_ms}
    runs = [at for at, e in journal.items() if e.is_due_by_itself]
    if awaited_ms is not None and from_ms <= awaited_ms <= to_ms:
        runs.append(awaited_ms)
    expected |= {at: "owed" for at in runs if at not in expected and _owes_delay(versions, at)}
    instants = sorted(expected.keys() | journal.keys())
    shown = instants[:limit]
    lines = tuple(_line(at, expected.get(at), journal.get(at), now_ms, versions[-1].jitter_ms) for at in shown)
    lost = sum(line.outcome == LOST for line in lines)
    return Ledger(lines, lost, instants[limit] if len(instants) > limit else None)


def _owes_delay(versions: Sequence[Definition], at_ms: int) -> bool:
    version = next((v for v in reversed(versions) if v.since_ms <= at_ms), None)
    return version is not None and version.type == "DELAY" and not version.is_paused_at(at_ms)


def spent_before(version: Definition, next_ms: int) -> int | None:
    """The last instant that a superseded version owed, where its runs were spent before ``next_ms``."""
    if not version.active or version.max_runs is None or version.until_ms is None or version.until_ms >= next_ms:
        return None
    return version.until_ms - 1


def _expected(
    versions: Sequence[Definition], from_ms: int, to_ms: int, limit: int, owed_until_ms: int | None
) -> dict[int, str]:
    """Instant -> "owed", "paused" or "excluded"."""
    found: dict[int, str] = {}
    for number, version in enumerate(versions):
        if version.type == "DELAY":
            continue
        last = versions[number + 1].since_ms - 1 if number + 1 < len(versions) else INSTANT_MAX_MS
        ends = last if version.until_ms is None else min(last, version.until_ms - 1)
        active_to = min(ends, to_ms) if version.active else version.since_ms - 1
        spent_ms = owed_until_ms if number + 1 == len(versions) else spent_before(version, last + 1)
        if spent_ms is not None:
            active_to = min(active_to, spent_ms)
            last = min(last, spent_ms)
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
