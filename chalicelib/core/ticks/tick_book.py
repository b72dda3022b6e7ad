"""What is kept of the tick streams: one small book of all of them, and pages of the past.

The book is replaced whole by one conditional write. The numbers of one reservation share that write over all
frequencies, and of two producers one wins. For each stream it holds the cursor, the newest reserved ticks (the tail),
and up to which number they are on the queue. Reserve, queue, mark: a producer that dies in between leaves numbers that
are reserved and not marked. The next producer queues them again, under the same ids.

A number is *open* once a write of the book said so. Only open ticks are published or shown, and an open number keeps
its boundary for ever. A stream that is stopped takes the others back and may give them out anew. So no clock decides
what may be taken back: a publisher opens first and sends second, however long it stands still in between. A message
with a number that was taken back, or given to another boundary since, is not what the book holds, and is dropped.

Ticks are kept as runs (consecutive numbers, equal steps): a minute of seconds is one line. When a tail has grown, its
older part moves to a page in the same write. Pure: the clock's reading is an argument.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Final, NamedTuple

from msgspec import Struct, field
from msgspec.structs import replace

from chalicelib.core.limits import SWEEP_PERIOD_MS
from chalicelib.core.recurrence.zones import Zone
from chalicelib.core.ticks.frequencies import FREQUENCIES, Frequency
from chalicelib.core.ticks.limits import (
    TICK_FINISH_AFTER_MS,
    TICK_OPEN_AHEAD_MS,
    TICK_RESERVE_MAX_COUNT,
    TICK_START_MS,
    TICK_TAIL_MS,
)
from chalicelib.core.ticks.numbering import (
    Gap,
    Policy,
    Reservation,
    Reserved,
    Tick,
    TickCursor,
    build,
    reserve,
    skip_to,
)

NANOS_PER_S: Final = 1_000_000_000
NANOS_PER_MS: Final = 1_000_000

# A tail's older part moves to a page once it holds so many ticks, or once the tail has so many lines.
PAGE_TICKS: Final[Mapping[Frequency, int]] = {"second": 600, "minute": 60, "hour": 24, "day": 30}
TAIL_LINES_MAX: Final = 12


class Maker(NamedTuple):
    """Who reserved a tick. It stays the same when the tick is published again, also by another producer."""

    producer_version: str
    instance_id: str


class TickRun(Struct, frozen=True):
    """Consecutive numbers whose boundaries lie ``step_s`` apart, from ``first_s`` (unix seconds) on."""

    first_sequence: int
    first_s: int
    step_s: int  # 0 for a run of one
    count: int
    caught_up: bool
    maker: Maker

    @property
    def last_sequence(self) -> int:
        return self.first_sequence + self.count - 1

    def boundary_nanos(self, sequence: int) -> int:
        """The boundary of one of its numbers, in unix nanoseconds."""
        return (self.first_s + (sequence - self.first_sequence) * self.step_s) * NANOS_PER_S

    def count_until(self, until_nanos: int) -> int:
        """How many of its boundaries are not after ``until_nanos``."""
        passed_s = until_nanos // NANOS_PER_S - self.first_s
        if passed_s < 0:
            return 0
        return self.count if self.step_s == 0 else min(self.count, passed_s // self.step_s + 1)

    def reserved(self, sequence: int) -> Reserved:
        """One of its numbers and its boundary."""
        return Reserved(self.boundary_nanos(sequence), sequence, self.caught_up)

    def from_number(self, sequence: int) -> TickRun:
        """The part from ``sequence`` on."""
        skipped = max(0, sequence - self.first_sequence)
        first_s = self.first_s + skipped * self.step_s
        return replace(
            self, first_sequence=self.first_sequence + skipped, first_s=first_s, count=self.count - skipped
        )._tidy()

    def until_number(self, sequence: int) -> TickRun:
        """The part up to ``sequence``."""
        return replace(self, count=min(self.count, sequence - self.first_sequence + 1))._tidy()

    def _tidy(self) -> TickRun:
        return self if self.count > 1 else replace(self, step_s=0)


class Skipped(NamedTuple):
    """Boundaries that got no tick, between the numbers ``after_sequence`` and the next."""

    after_sequence: int
    gap: Gap


class Stream(Struct, frozen=True):
    """One frequency. ``enabled`` None leaves it to the deployment's configuration.

    ``queued_sequence``: every number up to it is on the queue. ``opened_sequence``: every number up to it is open.
    ``reserved_ms`` is when numbers were last given (unix milliseconds). ``target`` is a further destination beside the
    bus, as JSON.
    """

    enabled: bool | None = None
    cursor: TickCursor = field(default_factory=TickCursor)
    queued_sequence: int = 0
    opened_sequence: int = 0
    reserved_ms: int = 0
    runs: tuple[TickRun, ...] = ()
    gaps: tuple[Skipped, ...] = ()
    target: str | None = None


class Page(Struct, frozen=True):
    """An older part of a stream's history: at least one run, ascending, and the gaps before its last number."""

    frequency: Frequency
    runs: tuple[TickRun, ...]
    gaps: tuple[Skipped, ...] = ()

    @property
    def last_sequence(self) -> int:
        return self.runs[-1].last_sequence


class Book(Struct, frozen=True):
    """All streams; those that were never started are missing from ``streams``."""

    streams: Mapping[Frequency, Stream] = field(default_factory=dict)

    def stream(self, frequency: Frequency) -> Stream:
        """One stream; a new one when it was never started."""
        found = self.streams.get(frequency)
        return Stream() if found is None else found

    def with_stream(self, frequency: Frequency, stream: Stream) -> Book:
        """The book with one stream replaced."""
        return Book({f: s for f in FREQUENCIES if (s := {**self.streams, frequency: stream}.get(f)) is not None})


class Terms(Struct, frozen=True):
    """What a deployment chose: the zone of its boundaries, the policy, and which streams run until an admin decides."""

    zone: Zone
    policy: Policy
    enabled: frozenset[Frequency] = frozenset()

    def runs(self, frequency: Frequency, stream: Stream) -> bool:
        """Whether a stream gives numbers."""
        return frequency in self.enabled if stream.enabled is None else stream.enabled


class Advance(Struct, frozen=True):
    """A book after one step of a producer.

    ``left``: reserved earlier, perhaps never queued; to be queued *before* the book is written, since it marks them.
    ``new``: to be queued *after* the book was written. ``more``: another step would give further numbers.
    """

    book: Book
    pages: tuple[Page, ...]
    left: tuple[Tick, ...]
    new: tuple[Tick, ...]
    more: bool


def advance(book: Book, now_ms: int, terms: Terms, maker: Maker) -> Advance:
    """Number what is due up to the horizon, in every stream that runs, and take over what others left behind."""
    pages, left, new, more = list[Page](), list[Tick](), list[Tick](), False
    for frequency in FREQUENCIES:
        stream = book.stream(frequency)
        if _in_good_hands(stream, now_ms):
            continue
        left += unqueued(frequency, stream)
        stream = marked(stream, stream.cursor.sequence)
        if terms.runs(frequency, stream):
            got = _reserve(stream, now_ms, frequency, terms)
            stream, page = _turn(frequency, stream, now_ms)
            stream = _with(stream, got, now_ms, maker)
            pages += [page] if page else []
            new += unqueued(frequency, stream)
            more |= len(got.ticks) == TICK_RESERVE_MAX_COUNT
        if stream != book.stream(frequency):
            book = book.with_stream(frequency, stream)
    return Advance(book, tuple(pages), tuple(left), tuple(new), more)


def marked(stream: Stream, sequence: int) -> Stream:
    """With every number up to ``sequence`` known to be on the queue."""
    return replace(stream, queued_sequence=max(stream.queued_sequence, sequence))


def confirmed(frequency: Frequency, stream: Stream, ticks: Sequence[Tick]) -> Stream:
    """Marked with what was queued, as far as the stream still holds just these ticks. It may have been stopped and
    started again since they were numbered."""
    rest = [t for t in ticks if t.sequence > stream.queued_sequence]
    pairs = zip(unqueued(frequency, stream), rest, strict=False)
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return marked(stream, rest[same - 1].sequence) if same else stream


def holds(runs: Sequence[TickRun], tick: Tick) -> bool:
    """Whether these runs gave the tick its number, and to just this boundary by just this maker."""
    return next(ticks_of(tick.frequency, runs, tick.sequence - 1), None) == tick


def opened(stream: Stream, ticks: Sequence[Tick]) -> Stream:
    """With ticks open that it holds, and what is due within TICK_OPEN_AHEAD_MS after the last of them."""
    last = max(ticks, key=lambda t: t.sequence)
    ahead = last_passed(stream.runs, last.timestamp + TICK_OPEN_AHEAD_MS * NANOS_PER_MS)
    return replace(stream, opened_sequence=max(stream.opened_sequence, last.sequence, ahead.sequence if ahead else 0))


def open_runs(stream: Stream) -> tuple[TickRun, ...]:
    """The part of the tail that may be shown."""
    until = stream.opened_sequence
    return tuple(r.until_number(until) for r in stream.runs if r.first_sequence <= until)


def stopped(stream: Stream, now_ms: int) -> Stream:
    """Stopped. Numbers that are open or whose boundaries have passed stay and are published. The others are taken back,
    and the cursor goes back to just before the first of them."""
    halted = replace(stream, enabled=False)
    passed = last_passed(stream.runs, now_ms * NANOS_PER_MS)
    last = max(stream.opened_sequence, passed.sequence if passed else 0)
    run = next((r for r in stream.runs if r.last_sequence > last), None)
    if run is None:
        return replace(halted, opened_sequence=stream.cursor.sequence)
    return replace(
        halted,
        cursor=TickCursor(run.boundary_nanos(max(run.first_sequence, last + 1)) - 1, last),
        queued_sequence=min(stream.queued_sequence, last),
        opened_sequence=last,
        runs=tuple(r.until_number(last) for r in stream.runs if r.first_sequence <= last),
        gaps=tuple(g for g in stream.gaps if g.after_sequence <= last),
    )


def enabled(stream: Stream, now_ms: int, was_running: bool) -> Stream:
    """Started; a pause leaves nothing owed. It begins with the next boundary that can still be published in time."""
    started = replace(stream, enabled=True)
    if was_running:
        return started
    return replace(started, cursor=skip_to(stream.cursor, (now_ms + TICK_START_MS) * NANOS_PER_MS))


def unqueued(frequency: Frequency, stream: Stream) -> list[Tick]:
    """The reserved ticks that are not known to be on the queue."""
    return list(ticks_of(frequency, stream.runs, stream.queued_sequence))


def ticks_of(
    frequency: Frequency, runs: Sequence[TickRun], after_sequence: int, until_nanos: int | None = None
) -> Iterator[Tick]:
    """The ticks after a number whose boundaries are not after ``until_nanos`` (None: all), ascending."""
    for run in runs:
        for sequence in range(max(run.first_sequence, after_sequence + 1), run.last_sequence + 1):
            boundary = run.boundary_nanos(sequence)
            if until_nanos is not None and boundary > until_nanos:
                return
            yield build(frequency, boundary, sequence, *run.maker, caught_up=run.caught_up)


def last_passed(runs: Sequence[TickRun], until_nanos: int) -> Reserved | None:
    """The newest tick whose boundary is not after ``until_nanos``."""
    for run in reversed(runs):
        passed = run.count_until(until_nanos)
        if passed:
            return run.reserved(run.first_sequence + passed - 1)
    return None


def first_coming(runs: Sequence[TickRun], after_nanos: int) -> Reserved | None:
    """The oldest tick whose boundary is after ``after_nanos``."""
    coming: Reserved | None = None
    for run in reversed(runs):
        passed = run.count_until(after_nanos)
        if passed < run.count:
            coming = run.reserved(run.first_sequence + passed)
        if passed:
            break
    return coming


def _in_good_hands(stream: Stream, now_ms: int) -> bool:
    """Reserved by a producer a moment ago, which is about to queue it; if it dies, there is time to notice.

    Only spares the second of two producers that meet from queueing everything once more.
    """
    age_ms = now_ms - stream.reserved_ms
    if stream.queued_sequence >= stream.cursor.sequence or not 0 <= age_ms < TICK_FINISH_AFTER_MS:
        return False
    first = next((r for r in stream.runs if r.last_sequence > stream.queued_sequence), None)
    if first is None:
        return False
    due_ms = first.boundary_nanos(max(first.first_sequence, stream.queued_sequence + 1)) // NANOS_PER_MS
    return due_ms - now_ms > SWEEP_PERIOD_MS + TICK_FINISH_AFTER_MS


def _reserve(stream: Stream, now_ms: int, frequency: Frequency, terms: Terms) -> Reservation:
    now_nanos = now_ms * NANOS_PER_MS
    cursor = stream.cursor
    if cursor == TickCursor():
        cursor = skip_to(cursor, now_nanos + TICK_START_MS * NANOS_PER_MS)
    return reserve(cursor, now_nanos, frequency, terms.zone, TICK_RESERVE_MAX_COUNT, terms.policy)


def _with(stream: Stream, got: Reservation, now_ms: int, maker: Maker) -> Stream:
    """The stream after a reservation; the same one when it gave nothing."""
    if got.new_cursor == stream.cursor:
        return stream
    return replace(
        stream,
        cursor=got.new_cursor,
        reserved_ms=now_ms,
        runs=appended(stream.runs, got.ticks, maker),
        gaps=stream.gaps if got.gap is None else _skipping(stream, got.gap),
    )


def _skipping(stream: Stream, gap: Gap) -> tuple[Skipped, ...]:
    """The gaps with one more; two without a tick between them are one."""
    if not stream.gaps or stream.gaps[-1].after_sequence != stream.cursor.sequence:
        return (*stream.gaps, Skipped(stream.cursor.sequence, gap))
    *older, (after, last) = stream.gaps
    return (*older, Skipped(after, Gap(last.from_nanos, gap.to_nanos, last.count + gap.count)))


def appended(runs: Sequence[TickRun], reserved: Sequence[Reserved], maker: Maker) -> tuple[TickRun, ...]:
    """The runs with further ticks behind them, in as few lines as they make."""
    grown = list(runs)
    for tick in reserved:
        longer = _lengthened(grown[-1], tick, maker) if grown else None
        if longer is not None:
            grown[-1] = longer
        else:
            grown.append(TickRun(tick.sequence, tick.boundary_nanos // NANOS_PER_S, 0, 1, tick.caught_up, maker))
    return tuple(grown)


def _lengthened(run: TickRun, tick: Reserved, maker: Maker) -> TickRun | None:
    """The run with one tick more, or None when it does not continue it."""
    if tick.sequence != run.last_sequence + 1 or (tick.caught_up, maker) != (run.caught_up, run.maker):
        return None
    at_s = tick.boundary_nanos // NANOS_PER_S
    step_s = at_s - run.first_s if run.count == 1 else run.step_s
    if at_s != run.first_s + run.count * step_s:
        return None
    return replace(run, step_s=step_s, count=run.count + 1)


def _turn(frequency: Frequency, stream: Stream, now_ms: int) -> tuple[Stream, Page | None]:
    """Move the older part of a long tail to a page. What was published lately stays: most readers ask for that."""
    cut = last_passed(stream.runs, (now_ms - TICK_TAIL_MS) * NANOS_PER_MS)
    upto = min(cut.sequence - 1, stream.queued_sequence, stream.opened_sequence - 1) if cut else 0
    held = upto - stream.runs[0].first_sequence + 1 if stream.runs else 0
    many = len(stream.runs) + len(stream.gaps) >= TAIL_LINES_MAX
    if held <= 0 or (held < PAGE_TICKS[frequency] and not many):
        return stream, None
    old = tuple(r.until_number(upto) for r in stream.runs if r.first_sequence <= upto)
    page = Page(frequency, old, tuple(g for g in stream.gaps if g.after_sequence < upto))
    kept = tuple(r.from_number(upto + 1) for r in stream.runs if r.last_sequence > upto)
    return replace(stream, runs=kept, gaps=tuple(g for g in stream.gaps if g.after_sequence >= upto)), page
