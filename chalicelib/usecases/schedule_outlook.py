"""What schedules were, version by version, and what they will run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

from chalicelib.core.errors import InvalidField
from chalicelib.core.limits import PAGE_MAX_ITEMS
from chalicelib.core.policies.catch_up import MINUTE_MS
from chalicelib.core.schedules import schedule
from chalicelib.core.schedules.schedule import Definition, Schedule
from chalicelib.core.security.caller import Caller
from chalicelib.ports.services import Services
from chalicelib.ports.stores.schedules import ScheduleFilter
from chalicelib.usecases import schedules

VERSIONS_SHOWN: Final = 100
SPAN_MAX_MS: Final = 86_400_000
SPAN_DEFAULT_MS: Final = 6 * 3_600_000
SCHEDULES_MAX: Final = 1_000  # of which one answer is made
INSTANTS_MAX: Final = 20_000
INSTANTS_SHOWN: Final = 100  # of one schedule


class VersionsFound(NamedTuple):
    """The schedule, and its versions, the one in force first. ``more``: it had others before."""

    schedule: Schedule
    versions: Sequence[Definition]
    more: bool


class ScheduleAhead(NamedTuple):
    """A schedule, when it runs, and how often in all: only the first INSTANTS_SHOWN are listed."""

    definition: Definition
    instants: Sequence[int]
    total: int


class Outlook(NamedTuple):
    """What will run, the soonest schedule first. ``minutes`` counts by minute. ``complete``: nothing was left out."""

    from_ms: int
    to_ms: int
    ahead: Sequence[ScheduleAhead]
    minutes: Sequence[tuple[int, int]]
    complete: bool


def versions(s: Services, caller: Caller, schedule_id: str) -> VersionsFound:
    """The versions of a schedule that are still kept, newest first. Raises NotFound, Forbidden."""
    found = schedules.get(s, caller, schedule_id)
    history = s.stores.schedules.history(found.definition.key)
    earlier = [d for d in reversed(history) if d.version != found.definition.version]
    every = [found.definition, *earlier]
    return VersionsFound(found, every[:VERSIONS_SHOWN], len(every) > VERSIONS_SHOWN)


def upcoming(s: Services, caller: Caller, from_ms: int | None, to_ms: int | None) -> Outlook:
    """What the caller's schedules will run. Jitter and waits are not foreseen; of a DELAY only the next run is known.

    Raises Forbidden, InvalidField.
    """
    now_ms = s.clock.now_ms()
    start_ms = now_ms if from_ms is None else max(from_ms, now_ms)
    end_ms = start_ms + SPAN_DEFAULT_MS if to_ms is None else to_ms
    if not 0 <= end_ms - start_ms <= SPAN_MAX_MS:
        raise InvalidField.of("to_unix_ms", "must be within 24 hours after from_unix_ms, and not before now")
    ahead: list[ScheduleAhead] = []
    minutes: Counter[int] = Counter()
    left, seen, after, complete = INSTANTS_MAX, 0, None, True
    while True:
        page, after = schedules.page(s, caller, ScheduleFilter(enabled=True), PAGE_MAX_ITEMS, after)
        for found in page:
            instants, whole = _instants(found, start_ms, end_ms, left, now_ms)
            complete, left = complete and whole, left - len(instants)
            minutes.update(at_ms // MINUTE_MS * MINUTE_MS for at_ms in instants)
            if instants:
                ahead.append(ScheduleAhead(found.definition, instants[:INSTANTS_SHOWN], len(instants)))
        seen += len(page)
        if after is None or seen >= SCHEDULES_MAX or left <= 0:
            break
    complete = complete and after is None
    ahead.sort(key=lambda each: (each.instants[0], each.definition.id))
    return Outlook(start_ms, end_ms, ahead, sorted(minutes.items()), complete)


def _instants(found: Schedule, start_ms: int, end_ms: int, left: int, now_ms: int) -> tuple[Sequence[int], bool]:
    """The instants of a schedule, at most ``left``, and whether these are all."""
    course = schedule.progress(found, now_ms)
    if course.next_run_ms is None or course.next_run_ms > end_ms:
        return (), True
    if found.definition.type == "DELAY" and course.next_run_ms < start_ms:
        return (), True  # what follows its next run is not known
    if left <= 0:
        return (), False
    first_ms = course.next_run_ms
    skipped = 0 if start_ms <= first_ms else len(_window(found, first_ms, start_ms - 1, course.run_count, INSTANTS_MAX))
    from_ms = max(start_ms, first_ms)
    instants = _window(found, from_ms, end_ms, course.run_count + skipped, left)
    return instants, len(instants) < left


def _window(found: Schedule, from_ms: int, to_ms: int, run_count: int, limit: int) -> Sequence[int]:
    return schedule.window(found.definition, from_ms, to_ms, run_count, limit).instants
