"""What the stored versions of a schedule say: which was in force when, and what was owed. Shared by the checkers.

The versions are taken from the writes that the store confirmed; the instants of RATE, AT and DELAY are computed here,
apart from the product's code, those of the calendars by ``core.recurrence``, which has tests of its own against others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from chalicelib.core.instants import parse_rfc3339
from chalicelib.core.schedules.schedule import Definition
from tests.simulation.world import StateWrite

UNITS_MS = {"s": 1000, "m": 60_000, "h": 3_600_000}
INSTANTS_MAX = 3_000


class Span(NamedTuple):
    """A version in force from ``since_ms`` on; without a definition the schedule is deleted from then on."""

    since_ms: int
    committed_ms: int
    version: str
    active: bool
    definition: Definition | None


def spans(writes: Sequence[StateWrite], seen_ms: int | None = None) -> list[Span]:
    """The versions of a schedule in order; with ``seen_ms``, those that were stored before that millisecond."""
    found = []
    for write in writes:
        if write.kind == "state" or (seen_ms is not None and write.at_ms >= seen_ms):
            continue
        ref = write.state.versions[-1]
        found.append(Span(ref.since_ms, write.at_ms, ref.id, ref.active, write.definition))
    return found


def in_force(versions: Sequence[Span], at_ms: int) -> Span | None:
    """The version in force at an instant; None before the first."""
    for span in reversed(versions):
        if span.since_ms <= at_ms:
            return span
    return None


def current_definition(writes: Sequence[StateWrite]) -> Definition:
    """The newest definition stored."""
    return next(w.definition for w in reversed(writes) if w.definition is not None)


def definition_of(writes: Sequence[StateWrite], version: str) -> Definition:
    """The definition of a version."""
    return next(w.definition for w in writes if w.definition is not None and w.definition.version == version)


def duration_ms(expr: str) -> int:
    """The duration of ``rate:30s`` or ``delay:5s``."""
    text = expr.partition(":")[2]
    return int(text[:-1]) * UNITS_MS[text[-1]]


def is_excluded(definition: Definition, at_ms: int) -> bool:
    """Whether a range leaves an instant out (worlds exclude by ranges only)."""
    return any(not isinstance(e, str) and e[0] <= at_ms <= e[1] for e in definition.exclude)


def starts_ms(definition: Definition, from_ms: int) -> int:
    """From when on a definition owes anything: after a pause that ends by itself."""
    return max(from_ms, definition.paused_until_ms or 0)


def rests(definition: Definition, at_ms: int) -> bool:
    """Whether a pause that ends by itself is not over."""
    return at_ms < (definition.paused_until_ms or 0)


def instants(definition: Definition, from_ms: int, until_ms: int) -> Iterator[int]:
    """The instants of a definition in [from, until), before any counting of runs. DELAY has none of its own."""
    end_ms = until_ms if definition.end_at_ms is None else min(until_ms, definition.end_at_ms + 1)
    from_ms = starts_ms(definition, from_ms)
    start_ms = from_ms if definition.start_at_ms is None else max(from_ms, definition.start_at_ms)
    if definition.type == "AT":
        at_ms = parse_rfc3339(definition.expr.partition(":")[2])
        if start_ms <= at_ms < end_ms:
            yield at_ms
    elif definition.type == "RATE":
        yield from _rate(definition, start_ms, end_ms)
    elif definition.type != "DELAY":
        compiled = definition.compiled()
        found = compiled.next_after(from_ms - 1)
        while found is not None and found < end_ms:
            yield found
            found = compiled.next_after(found)


def _rate(definition: Definition, start_ms: int, end_ms: int) -> Iterator[int]:
    interval_ms = duration_ms(definition.expr)
    if definition.start_at_ms is not None:
        anchor_ms, first = definition.start_at_ms, 0
    else:
        anchor_ms, first = definition.created_at_ms, 1
    k = max(first, -(-(start_ms - anchor_ms) // interval_ms))
    while (at_ms := anchor_ms + k * interval_ms) < end_ms:
        if not is_excluded(definition, at_ms):
            yield at_ms
        k += 1


def owed(versions: Sequence[Span], until_ms: int) -> list[tuple[int, Span]]:
    """Every instant owed before ``until_ms`` with the version that owes it, ``max_runs`` counted over all versions."""
    found: list[tuple[int, Span]] = []
    for number, span in enumerate(versions):
        if not span.active or span.definition is None:
            continue
        end_ms = versions[number + 1].since_ms if number + 1 < len(versions) else until_ms
        most = span.definition.max_runs
        for at_ms in instants(span.definition, span.since_ms, min(end_ms, until_ms)):
            if most is not None and len(found) >= most:
                break
            found.append((at_ms, span))
            if len(found) > INSTANTS_MAX:
                return found
    return found
