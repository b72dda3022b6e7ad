"""From wall-clock times to instants, through daylight saving.

What a rule says is a grid of wall-clock times; what fires is an instant. In the hour that a zone skips (the gap) a wall
time has no instant. In the hour that it repeats (the overlap) it has two. Each schedule chooses what then happens:

========  ============================================================================================
gap       ``run_after``: once, at the end of the gap · ``skip``: not at all · ``shift``: later by the gap
overlap   ``once``: at the first of the two · ``twice``: at both
========  ============================================================================================

Grids that follow elapsed time (cron jobs with ``*`` in minute or hour) match the clock on the wall at every instant. So
neither choice concerns them: nothing falls into a gap, and both passes of an overlap match. The default is Debian
cron's behaviour (cron(8), "Daylight Saving Time and other time changes").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal, Protocol, get_args

from chalicelib.core.recurrence.calendar_days import NEVER
from chalicelib.core.recurrence.zones import Zone

if TYPE_CHECKING:
    from chalicelib.core.recurrence.cron import Cron

DstGap = Literal["run_after", "skip", "shift"]
DstOverlap = Literal["once", "twice"]
GAP_POLICIES: Final = get_args(DstGap)
OVERLAP_POLICIES: Final = get_args(DstOverlap)
_FAR_S: Final = 2 * 86_400  # more than any zone ever jumped (Samoa skipped one day)


class WallGrid(Protocol):
    """Wall-clock times that a rule names, in seconds."""

    def next_wall(self, wall_s: int) -> int:
        """The first of them at or after ``wall_s``, or NEVER."""
        ...


class WallClock:
    """The instants of a grid in a zone under the policies."""

    __slots__ = ("_elapsed", "_gap", "_grid", "_removed", "_twice", "_zone")

    def __init__(
        self, grid: WallGrid, zone: Zone, *, elapsed: bool, gap: str, overlap: str, removed: Sequence[Cron] = ()
    ) -> None:
        """``removed``: what no gap moves, since it was left out at the time it was meant for."""
        self._grid = grid
        self._removed = tuple(removed)
        self._zone = zone
        self._elapsed = elapsed
        self._gap = gap
        self._twice = overlap == "twice"

    def without(self, removed: Sequence[Cron]) -> WallClock:
        """The instants left when cron expressions are taken away from a cron grid; of another grid, all but moved ones.

        What is taken away is a time on the wall, before a gap moves it.
        """
        if not removed:
            return self
        from chalicelib.core.recurrence.cron import Cron
        from chalicelib.core.recurrence.cron_without import CronWithout

        grid, overlap = self._grid, "twice" if self._twice else "once"
        if isinstance(grid, Cron):
            left = CronWithout(grid, removed)
            return WallClock(left, self._zone, elapsed=self._elapsed, gap=self._gap, overlap=overlap)
        return WallClock(grid, self._zone, elapsed=self._elapsed, gap=self._gap, overlap=overlap, removed=removed)

    def next_after(self, after_ms: int) -> int:
        """The first instant > ``after_ms``, or NEVER; both in milliseconds."""
        found = self.next_from(after_ms // 1000 + 1)
        return found * 1000 if found < NEVER else NEVER

    def next_from(self, unix_s: int) -> int:
        """The first instant at or after ``unix_s``, or NEVER; both in seconds."""
        next_wall, segment = self._grid.next_wall, self._zone.segment
        while True:
            start, end, offset, before = segment(unix_s)
            wall, moved = unix_s + offset, NEVER
            if unix_s - start < _FAR_S and before != offset and not self._elapsed:
                wall, moved = self._near_change(unix_s, start, offset, before)
            found = next_wall(wall)
            instant = found - offset if found < NEVER else NEVER
            if moved < instant:
                instant = moved
            if instant < end:
                return instant
            if end - unix_s < _FAR_S:
                unix_s = end  # the overlap after `end` may repeat wall times that lie behind us: do not jump over it
            elif instant == NEVER:
                return NEVER
            else:
                unix_s = max(end, instant - _FAR_S)

    def _near_change(self, unix_s: int, start: int, offset: int, before: int) -> tuple[int, int]:
        """Where to go on searching on the wall clock, and the instant that a job in the gap was moved to (or NEVER)."""
        wall = unix_s + offset
        if before > offset:
            return (wall if self._twice else max(wall, start + before)), NEVER
        if self._gap == "run_after" and unix_s == start:
            return wall, start if self._first_moved(start + before, start + offset) < start + offset else NEVER
        if self._gap == "shift" and wall < start + 2 * offset - before:
            found = self._first_moved(unix_s + before, start + offset)
            return wall, found - before if found < start + offset else NEVER
        return wall, NEVER

    def _first_moved(self, wall_s: int, end_s: int) -> int:
        """The first time at or after ``wall_s`` that a gap until ``end_s`` moves; one behind the gap: there is none."""
        found = self._grid.next_wall(wall_s)
        while self._removed and found < end_s and any(cron.matches_wall(found) for cron in self._removed):
            found = self._grid.next_wall(found + 1)
        return found

    def note(self, unix_ms: int) -> str | None:
        """``gap`` when a clock change moved the run to ``unix_ms``, ``overlap`` when its wall time occurs twice."""
        unix_s = unix_ms // 1000
        start, end, offset, before = self._zone.segment(unix_s)
        if start + offset <= unix_s + offset < start + before:
            return "overlap"
        after = self._zone.segment(end)[2]
        if end + after <= unix_s + offset < end + offset:
            return "overlap"
        if self._elapsed or not start + before <= unix_s + before < start + offset:
            return None
        return "gap" if self._moved_here(unix_s, start, offset, before) else None

    def _moved_here(self, unix_s: int, start: int, offset: int, before: int) -> bool:
        if self._gap == "run_after":
            return unix_s == start and self._first_moved(start + before, start + offset) < start + offset
        return self._gap == "shift" and self._first_moved(unix_s + before, start + offset) == unix_s + before
