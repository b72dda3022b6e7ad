"""When a schedule fires: one interface over six kinds of recurrence.

``compile`` turns the part of a schedule that decides its instants into a ``Recurrence``, which answers which instants
it owns. Nothing here reads a clock: "after when" is always an argument. The same spec gives the same instants for ever,
whatever was paused, resumed or asked in between. All instants are unix milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, Literal, NamedTuple, Protocol, get_args

from chalicelib.core.errors import InvalidField
from chalicelib.core.instants import parse_rfc3339
from chalicelib.core.limits import DURATION_MAX_MS, INSTANT_MAX_MS
from chalicelib.core.recurrence import exclusions, zones
from chalicelib.core.recurrence.calendar_days import NEVER
from chalicelib.core.recurrence.calendar_periods import UNBOUNDED, CalendarSteps, Steps, parse_anchor, parse_repetition
from chalicelib.core.recurrence.exclusions import Exclusion, Exclusions
from chalicelib.core.recurrence.limits import RATE_MIN_MS
from chalicelib.core.recurrence.walltime import GAP_POLICIES, OVERLAP_POLICIES, DstGap, DstOverlap, WallClock, WallGrid
from chalicelib.core.recurrence.zones import Zone

__all__ = ["KINDS", "Exclusion", "Recurrence", "RecurrenceType", "Spec", "compile", "parse_duration"]

RecurrenceType = Literal["CRON", "RATE", "DELAY", "ISO8601", "AT", "RRULE"]
KINDS: Final = get_args(RecurrenceType)
COMPILED_KEPT: Final = 4_096
_DURATION: Final = re.compile(r"(\d{1,15})(ms|s|m|h|d)", re.ASCII)
_UNITS_MS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class Spec(NamedTuple):
    """What the recurrence of a schedule is made of. ``anchor_ms`` (its creation) counts when there is no start.

    A tuple, because it is made and hashed for every look-up of a compiled recurrence, and a tuple does both in C.
    """

    type: RecurrenceType
    expr: str
    timezone: str = "UTC"
    anchor_ms: int = 0
    start_at_ms: int | None = None
    end_at_ms: int | None = None
    max_runs: int | None = None
    dst_gap: DstGap = "run_after"
    dst_overlap: DstOverlap = "once"
    exclude: tuple[Exclusion, ...] = ()


class Grid(Protocol):
    """The instants of an expression, before start, end and exclusions."""

    def next_after(self, after_ms: int) -> int:
        """The first instant > ``after_ms``, or NEVER."""
        ...


class Recurrence:
    """The instants that a spec owns. Immutable, shared between threads; make it with ``compile``."""

    __slots__ = ("_end", "_exclusions", "_grid", "_raw", "_start", "delay_ms", "spec")

    def __init__(self, spec: Spec, grid: Grid, raw: Grid, excluded: Exclusions | None, delay_ms: int | None) -> None:
        self.spec = spec
        self.delay_ms = delay_ms
        self._grid = grid
        self._raw = raw  # the same before exclusions
        self._exclusions = excluded
        self._start = spec.start_at_ms
        self._end = INSTANT_MAX_MS if spec.end_at_ms is None else spec.end_at_ms

    def next_after(self, after_ms: int) -> int | None:
        """The first instant > ``after_ms`` within start and end (both included) and not excluded; None: exhausted.

        A DELAY has no grid and always gives None: see ``first_ms`` and ``after_end``. ``max_runs`` is the caller's to
        count; the repetitions of ``R<n>/`` and the COUNT of an RRULE are part of the grid.
        """
        start = self._start
        if start is not None and after_ms < start:
            after_ms = start - 1
        found = self._grid.next_after(after_ms)
        if self._exclusions is not None:
            found = self._skip_excluded(found, self._exclusions)
        return found if found <= self._end else None

    def _skip_excluded(self, found: int, excluded: Exclusions) -> int:
        for _ in range(excluded.steps_max):
            if found > self._end:
                return NEVER
            end = excluded.end_of(found)
            if end is None:
                return found
            if end == NEVER:
                return NEVER
            found = self._grid.next_after(end - 1)
        return NEVER

    @property
    def first_ms(self) -> int | None:
        """The first run: at or after the start when there is one, else after the anchor; an AT's own instant."""
        if self.delay_ms is not None:
            start = self._start
            return self._allowed(start if start is not None else self.spec.anchor_ms + self.delay_ms)
        if self.spec.type == "AT":
            return self.next_after(-1)
        return self.next_after(self.spec.anchor_ms if self._start is None else self._start - 1)

    def after_end(self, ended_ms: int) -> int | None:
        """The next run of a DELAY whose last execution ended at ``ended_ms``; None when past its end (or no DELAY)."""
        return None if self.delay_ms is None else self._allowed(ended_ms + self.delay_ms)

    def _allowed(self, at_ms: int) -> int | None:
        """``at_ms``, or when that is excluded the first instant after it that is not."""
        if self._exclusions is not None:
            for _ in range(self._exclusions.steps_max):
                end = self._exclusions.end_of(at_ms)
                if end is None:
                    break
                at_ms = end
            else:
                return None
        return at_ms if at_ms <= self._end else None

    def between(self, from_ms: int, to_ms: int, limit: int) -> list[int]:
        """The instants in [from, to], both included, ascending, at most ``limit``."""
        if self._exclusions is None and isinstance(self._grid, Steps):
            start = from_ms if self._start is None else max(from_ms, self._start)
            return self._grid.run(start, min(to_ms, self._end), limit)
        runs: list[int] = []
        found = self.next_after(from_ms - 1)
        while found is not None and found <= to_ms and len(runs) < limit:
            runs.append(found)
            found = self.next_after(found)
        return runs

    def backwards_between(self, from_ms: int, to_ms: int, limit: int) -> list[int]:
        """As ``between``, with a grid that is counted from the anchor continued to before it, for backfills.

        Only where the anchor is the creation: a start that the caller chose stays the start.
        """
        if self._start is None and isinstance(self._grid, Steps | CalendarSteps) and self._grid.from_creation:
            grid = self._grid.unbounded()
            return Recurrence(self.spec, grid, grid, self._exclusions, None).between(from_ms, to_ms, limit)
        return self.between(from_ms, to_ms, limit)

    def dst_notes(self, runs: Sequence[int]) -> list[tuple[int, str]]:
        """Those of ``runs`` that a clock change moved (``gap``) or whose wall time occurs twice (``overlap``)."""
        grid = self._grid
        if not isinstance(grid, WallClock | CalendarSteps):
            return []
        return [(run, note) for run in runs if (note := grid.note(run)) is not None]

    def excluded_between(self, from_ms: int, to_ms: int, limit: int) -> list[int]:
        """The instants in [from, to] that exclusions removed, ascending, at most ``limit``."""
        excluded = self._exclusions
        runs: list[int] = []
        if excluded is None:
            return runs
        to_ms = min(to_ms, self._end)
        at = from_ms if self._start is None else max(from_ms, self._start)
        for _ in range(limit + excluded.steps_max):
            if at > to_ms or len(runs) >= limit:
                break
            found = self._raw.next_after(min(excluded.next_start(at), self._next_change(at)) - 1)
            if found <= to_ms and self.next_after(found - 1) != found:
                runs.append(found)
            at = found + 1
        return runs

    def _next_change(self, at_ms: int) -> int:
        """Where the clock may next change: a run moved out of a gap goes with the minute it was meant for."""
        return zones.zone(self.spec.timezone).segment(at_ms // 1000)[1] * 1000


def parse_duration(text: str) -> int:
    """Milliseconds of ``500ms``, ``5s``, ``10m``, ``2h`` or ``1d``. Raises ValueError."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ValueError("must be a whole number with a unit: ms, s, m, h or d, such as 5s")
    return int(found[1]) * _UNITS_MS[found[2]]


@lru_cache(maxsize=COMPILED_KEPT)
def compile(spec: Spec) -> Recurrence:
    """The recurrence of ``spec``; kept, so that asking again costs a look-up.

    Raises InvalidField (422) naming ``expr``, ``timezone``, ``exclude.<i>``, ``dst_gap``, ``dst_overlap``, ``type`` or
    ``end_at_unix_ms``. An expression that can never fire, or of which all is excluded, is refused on ``expr``.
    """
    return compile_uncached(spec)


def compile_uncached(spec: Spec) -> Recurrence:
    """As ``compile``, without keeping anything (what a first call costs)."""
    zone = _zone(spec)
    _check_choices(spec)
    excluded = exclusions.read(spec.exclude, zone)
    raw, delay_ms = _read(spec, zone)
    grid = raw.without(excluded.crons) if excluded is not None and isinstance(raw, WallClock | CalendarSteps) else raw
    made = Recurrence(spec, grid, raw, excluded, delay_ms)
    if (excluded is not None or spec.end_at_ms is not None) and made.first_ms is None:
        why = "every instant is excluded" if excluded is not None else "its end comes first"
        raise InvalidField.of("expr", f"can never fire: {why}")
    return made


zones.when_forgotten(compile.cache_clear)


def _zone(spec: Spec) -> Zone:
    try:
        return zones.zone(spec.timezone)
    except ValueError as error:
        raise InvalidField.of("timezone", str(error)) from None


def _check_choices(spec: Spec) -> None:
    if spec.dst_gap not in GAP_POLICIES:
        raise InvalidField.of("dst_gap", "must be one of " + ", ".join(GAP_POLICIES))
    if spec.dst_overlap not in OVERLAP_POLICIES:
        raise InvalidField.of("dst_overlap", "must be one of " + ", ".join(OVERLAP_POLICIES))
    if spec.type not in KINDS:
        raise InvalidField.of("type", "must be one of " + ", ".join(KINDS))
    if spec.start_at_ms is not None and spec.end_at_ms is not None and spec.end_at_ms < spec.start_at_ms:
        raise InvalidField.of("end_at_unix_ms", "must not be before start_at_unix_ms")


def _read(spec: Spec, zone: Zone) -> tuple[Grid, int | None]:
    if spec.expr.startswith("\ufeff"):  # a byte order mark, as files begin with
        spec = spec._replace(expr=spec.expr[1:])
    try:
        match spec.type:
            case "CRON":
                return _cron(spec, zone), None
            case "RATE":
                return _rate(spec), None
            case "DELAY":
                return Steps(0, 1, 1, 0), _delay_ms(spec.expr)
            case "ISO8601":
                return _iso8601(spec, zone), None
            case "AT":
                return _at(spec.expr), None
            case _:
                return _rrule(spec, zone), None
    except (ValueError, OverflowError) as error:  # CronError and RuleError are ValueErrors
        raise InvalidField.of("expr", str(error)) from None


def _cron(spec: Spec, zone: Zone) -> WallClock:
    from chalicelib.core.recurrence.cron import Cron  # loaded with the first schedule that needs it

    cron = Cron(spec.expr)
    return _clock(cron, cron.elapsed, zone, spec)


def _clock(grid: WallGrid, elapsed: bool, zone: Zone, spec: Spec) -> WallClock:
    return WallClock(grid, zone, elapsed=elapsed, gap=spec.dst_gap, overlap=spec.dst_overlap)


def _after_colon(expr: str, prefix: str) -> str:
    head, colon, tail = expr.strip().partition(":")
    if head.lower() != prefix or not colon:
        raise ValueError(f"must begin with {prefix}:")
    return tail.strip()


def _bounded_duration(expr: str, prefix: str, least_ms: int) -> int:
    duration_ms = parse_duration(_after_colon(expr, prefix))
    if not least_ms <= duration_ms <= DURATION_MAX_MS:
        raise ValueError(f"must be from {least_ms} ms to {DURATION_MAX_MS // 86_400_000} d")
    return duration_ms


def _delay_ms(expr: str) -> int:
    return _bounded_duration(expr, "delay", 1)


def _rate(spec: Spec) -> Steps:
    interval_ms = _bounded_duration(spec.expr, "rate", RATE_MIN_MS)
    return _steps(spec, interval_ms)


def _steps(spec: Spec, interval_ms: int) -> Steps:
    if spec.start_at_ms is not None:
        return Steps(spec.start_at_ms, interval_ms, 0, UNBOUNDED)
    return Steps(spec.anchor_ms, interval_ms, 1, UNBOUNDED)


def _at(expr: str) -> Steps:
    return Steps(parse_rfc3339(_after_colon(expr, "at")), 1, 0, 0)


def _iso8601(spec: Spec, zone: Zone) -> Grid:
    read = parse_repetition(spec.expr)
    if read.anchor is not None:
        anchor_ms, first = parse_anchor(read.anchor, zone), 0
    elif spec.start_at_ms is not None:
        anchor_ms, first = spec.start_at_ms, 0
    else:
        anchor_ms, first = spec.anchor_ms, 1
    last = UNBOUNDED if read.times is None else first + read.times - 1
    period = read.period
    if period.average_ms < RATE_MIN_MS:
        raise ValueError(f"the period must be at least {RATE_MIN_MS} ms")
    if not (period.months or period.days):
        return Steps(anchor_ms, period.time_ms, first, last)
    return CalendarSteps(anchor_ms, period, zone, first=first, last=last, gap=spec.dst_gap, overlap=spec.dst_overlap)


def _rrule(spec: Spec, zone: Zone) -> WallClock:
    from chalicelib.core.recurrence import rrule_text
    from chalicelib.core.recurrence.rrule_times import When

    read = rrule_text.read(spec.expr, zone)
    start = read.start
    if start is None:
        # the anchor itself lies in the past of the first search: the first whole second after it is the first to come
        start_s = -(-spec.start_at_ms // 1000) if spec.start_at_ms is not None else spec.anchor_ms // 1000 + 1
        start = When(start_s + zone.offset(start_s), zone, is_date=False)
    grid = read.grid(start)
    return _clock(grid, grid.elapsed, read.zone, spec)
