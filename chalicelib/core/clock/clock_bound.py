"""How wrong the wall clock can be: what it did beside the monotonic clock, and what sources of true time prove.

Everything is an interval of integers in nanoseconds. A source says that true time lay in an interval at some moment. It
is kept relative to the monotonic clock, so a step of the wall clock spoils nothing that was learnt before it. With age
an interval widens by what an unwatched quartz may wander. Pure: clock readings are arguments.

Finding where intervals agree: Marzullo, "Maintaining the Time in a Distributed System" (Stanford, 1984), and RFC 5905
section 11.2.1. Time as an interval: Corbett et al., "Spanner" (OSDI 2012).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from msgspec import Struct

from chalicelib.core.clock.limits import DRIFT_SAMPLES_MAX, OBSERVATIONS_MAX

_NANOS_PER_S = 1_000_000_000
_PPM = 1_000_000


class Interval(Struct, frozen=True, order=True):
    """All values from ``low`` to ``high``, both included. Raises ValueError when there are none."""

    low: int
    high: int

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"an interval from {self.low} to {self.high} is empty")

    def shifted(self, by: int) -> Interval:
        """Both ends moved by ``by``."""
        return Interval(self.low + by, self.high + by)

    def minus(self, other: Interval) -> Interval:
        """Every difference of a value of this one and a value of the other."""
        return Interval(self.low - other.high, self.high - other.low)

    def widened(self, by: int) -> Interval:
        """Both ends moved apart by ``by``."""
        return Interval(self.low - by, self.high + by)

    def common(self, other: Interval) -> Interval | None:
        """What lies in both, or None."""
        low, high = max(self.low, other.low), min(self.high, other.high)
        return Interval(low, high) if low <= high else None

    @property
    def nearest_to_zero(self) -> int:
        """The value closest to zero: 0 when zero is inside."""
        return max(self.low, min(0, self.high))

    @property
    def farthest_from_zero(self) -> int:
        """The largest absolute value inside."""
        return max(abs(self.low), abs(self.high))


# -- the wall clock beside the monotonic clock


class ClockReading(Struct, frozen=True):
    """The wall clock (unix nanoseconds), read between two readings of the monotonic clock.

    A process that is put to sleep between two clocks would otherwise see a drift that is none.
    """

    wall_nanos: int
    before_nanos: int
    after_nanos: int

    @property
    def monotonic(self) -> Interval:
        """The monotonic time of the reading."""
        return Interval(self.before_nanos, self.after_nanos)

    @property
    def wall_minus_monotonic(self) -> Interval:
        """How far the wall was ahead of the monotonic clock."""
        return Interval(self.wall_nanos - self.after_nanos, self.wall_nanos - self.before_nanos)


class WallStep(Struct, frozen=True):
    """The wall clock jumped by at least ``nanos`` (signed) before the reading at ``wall_nanos``."""

    wall_nanos: int
    nanos: int


class Drift(Struct, frozen=True):
    """How far the wall clock moved against the monotonic one since the oldest reading: at least ``nanos``, signed."""

    nanos: int
    samples: int
    steps: tuple[WallStep, ...]


def remember(readings: Sequence[ClockReading], new: ClockReading) -> tuple[ClockReading, ...]:
    """The readings with ``new`` at the end, the oldest gone when there are more than DRIFT_SAMPLES_MAX."""
    return (*readings, new)[-DRIFT_SAMPLES_MAX:]


def drift_of(readings: Sequence[ClockReading], step_nanos: int) -> Drift:
    """What the readings (oldest first) prove. Changes of ``step_nanos`` and more from one to the next are steps.

    Reading the clocks takes time; that uncertainty is taken off, so a busy machine shows no drift of its own making.
    """
    if not readings:
        return Drift(0, 0, ())
    changes = [(b.wall_nanos, moved(a, b)) for a, b in pairwise(readings)]
    steps = tuple(WallStep(wall, nanos) for wall, nanos in changes if abs(nanos) >= step_nanos)
    return Drift(moved(readings[0], readings[-1]), len(readings), steps)


def moved(earlier: ClockReading, later: ClockReading) -> int:
    """By how many nanoseconds, signed, the wall clock moved against the monotonic one from one reading to the other. It
    moved by at least that, since the uncertainty of both is taken off."""
    return later.wall_minus_monotonic.minus(earlier.wall_minus_monotonic).nearest_to_zero


# -- what sources of true time say


class Observation(Struct, frozen=True):
    """``source`` proved that true time minus monotonic time lay in ``interval`` at ``monotonic_nanos``."""

    source: str
    interval: Interval
    monotonic_nanos: int


def from_date_header(source: str, date_unix_s: int, sent_monotonic: int, received_monotonic: int) -> Observation:
    """From an HTTP answer: its ``Date`` was written between sending and receiving (monotonic nanoseconds).

    ``Date`` names whole seconds (RFC 9110, 6.6.1) and servers cut off the fraction: true time then lay in
    [date, date + 1 s]. Raises ValueError when the answer came before the question.
    """
    date = Interval(date_unix_s * _NANOS_PER_S, (date_unix_s + 1) * _NANOS_PER_S)
    return Observation(source, date.minus(Interval(sent_monotonic, received_monotonic)), received_monotonic)


def from_bound(source: str, earliest_nanos: int, latest_nanos: int, reading: ClockReading) -> Observation:
    """From a daemon that names the interval of true time (unix nanoseconds), such as ClockBound, at ``reading``."""
    return Observation(source, Interval(earliest_nanos, latest_nanos).minus(reading.monotonic), reading.after_nanos)


def from_chrony(
    source: str, slow_nanos: int, root_delay_nanos: int, root_dispersion_nanos: int, reading: ClockReading
) -> Observation:
    """From ``chronyc tracking``: the clock is ``slow_nanos`` slow (negative: fast). The error is half the root delay
    plus the root dispersion (chronyc(1), "tracking"; RFC 5905's root distance)."""
    true_nanos = reading.wall_nanos + slow_nanos
    distance = -(-root_delay_nanos // 2) + root_dispersion_nanos
    return from_bound(source, true_nanos - distance, true_nanos + distance, reading)


def keep(observations: Sequence[Observation], new: Observation) -> tuple[Observation, ...]:
    """The observations with ``new`` at the end, the oldest gone when there are more than OBSERVATIONS_MAX."""
    return (*observations, new)[-OBSERVATIONS_MAX:]


def assumed(source: str, max_drift_nanos: int, moved_nanos: int, now: ClockReading) -> Observation:
    """What the operator of this machine states: its wall clock is kept within ``max_drift_nanos`` of true time.

    Where the wall has ``moved_nanos`` against the monotonic clock, either the wall before or the one now was meant.
    """
    low, high = min(0, -moved_nanos) - max_drift_nanos, max(0, -moved_nanos) + max_drift_nanos
    ahead = now.wall_minus_monotonic
    return Observation(source, Interval(low + ahead.low, high + ahead.high), now.after_nanos)


def narrowed(observations: Sequence[Observation], now: ClockReading, drift_ppm: int) -> tuple[Observation, ...]:
    """One observation for each source, as of ``now``: all that ``estimate`` would make of them, in fewer."""
    found = _by_source(observations, now, drift_ppm)
    return tuple(Observation(source, interval, now.after_nanos) for source, interval in found.items())


# -- where they agree


class Agreement(Struct, frozen=True):
    """The smallest interval that the largest number of intervals share, and that number."""

    interval: Interval
    count: int


def marzullo(intervals: Sequence[Interval]) -> Agreement | None:
    """Marzullo's intersection: the first interval on which most of ``intervals`` agree. None without intervals."""
    best: Agreement | None = None
    edges = _edges(intervals)
    for (at, _, count), (until, _, _) in pairwise(edges):
        if best is None or count > best.count:
            best = Agreement(Interval(at, until), count)
    return best


def shared_by(intervals: Sequence[Interval], quorum: int) -> Interval | None:
    """From the first to the last value that at least ``quorum`` of ``intervals`` hold, or None.

    With n intervals of which fewer than half are false, and quorum n // 2 + 1, the truth is inside: that many true
    intervals hold it. The smallest interval with the most votes does not promise so much.
    """
    points = [(at, until) for (at, _, count), (until, _, _) in pairwise(_edges(intervals)) if count >= quorum]
    return Interval(points[0][0], points[-1][1]) if points else None


def _edges(intervals: Iterable[Interval]) -> list[tuple[int, int, int]]:
    """(value, kind, how many intervals hold what follows) in order. An interval that begins where another ends
    shares that value with it, so beginnings (kind 0) come before ends (kind 1)."""
    events = sorted([(i.low, 0) for i in intervals] + [(i.high, 1) for i in intervals])
    found, count = [], 0
    for at, kind in events:
        count += 1 if kind == 0 else -1
        found.append((at, kind, count))
    return found


# -- the bound


class Estimate(Struct, frozen=True):
    """True time minus wall time lies in ``offset``. ``agreeing`` of ``sources`` say so; without a majority it is
    the hull of what all of them say."""

    offset: Interval
    agreeing: int
    sources: int

    @property
    def error_bound_nanos(self) -> int:
        """The wall clock is at most this wrong."""
        return self.offset.farthest_from_zero

    @property
    def drift_nanos(self) -> int:
        """The wall clock is at least this wrong: how far it is ahead of true time, negative when it is behind."""
        return -self.offset.nearest_to_zero


def estimate(observations: Sequence[Observation], now: ClockReading, drift_ppm: int) -> Estimate | None:
    """How wrong the wall clock is at ``now``, the monotonic clock being at most ``drift_ppm`` fast or slow.

    ``observations`` are oldest first. None without observations.
    """
    if not observations:
        return None
    intervals = list(_by_source(observations, now, drift_ppm).values())
    quorum = len(intervals) // 2 + 1
    shared = shared_by(intervals, quorum)
    most = marzullo(intervals)
    assert most is not None
    if shared is None:
        shared = Interval(min(i.low for i in intervals), max(i.high for i in intervals))
    return Estimate(shared.minus(now.wall_minus_monotonic), most.count, len(intervals))


def _by_source(observations: Sequence[Observation], now: ClockReading, drift_ppm: int) -> dict[str, Interval]:
    """One interval for each source: the newest, narrowed by those older ones that do not contradict it."""
    found: dict[str, Interval] = {}
    for seen in reversed(observations):
        aged = _aged(seen, now, drift_ppm)
        newer = found.get(seen.source)
        found[seen.source] = aged if newer is None else newer.common(aged) or newer
    return found


def _aged(seen: Observation, now: ClockReading, drift_ppm: int) -> Interval:
    """The observation's interval, wider by how far the monotonic clock may have wandered since (rounded up)."""
    age_nanos = max(0, now.after_nanos - seen.monotonic_nanos)
    return seen.interval.widened(-(-age_nanos * drift_ppm // _PPM))
