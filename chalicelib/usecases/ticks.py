"""Numbering ticks, and what callers can ask of them.

Reserve, queue, mark. One conditional write of the book gives numbers to boundaries and so decides between producers.
Then the ticks go onto the delay queue. Then the book says that they are there. A producer that dies in between leaves
numbers that are not marked. The next producer, a minute later and still early enough, queues the same ticks again.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from chalicelib import VERSION
from chalicelib.core import queue_messages
from chalicelib.core.clock import clock_bound
from chalicelib.core.clock.clock_bound import ClockReading
from chalicelib.core.clock.limits import QUARTZ_PPM
from chalicelib.core.content_version import content_version
from chalicelib.core.errors import NotFound, PreconditionFailed, TooMany
from chalicelib.core.queue_messages import BUS, TARGET, DueTick
from chalicelib.core.recurrence import zones
from chalicelib.core.schedules import validation
from chalicelib.core.security.authorize import authorize, authorize_deployment
from chalicelib.core.security.caller import Caller
from chalicelib.core.ticks import tick_book
from chalicelib.core.ticks.frequencies import FREQUENCIES, Frequency
from chalicelib.core.ticks.limits import TICK_CLOCK_AHEAD_MAX_MS
from chalicelib.core.ticks.numbering import Policy, Reserved, Tick, next_boundary
from chalicelib.core.ticks.tick_book import NANOS_PER_MS, Book, Maker, Skipped, Stream, Terms, TickRun
from chalicelib.engine.handoff import enqueue
from chalicelib.ports.services import Services
from chalicelib.usecases.target_offer import check_offered

log = logging.getLogger(__name__)

ROUNDS = 8
HISTORY_PAGES = 4


# -- the producer


def produce(s: Services) -> None:
    """Number and queue what is due within TICK_RESERVE_AHEAD_MS, and finish what another producer left behind.

    Raises Unavailable when the tables or the queue are away; what was numbered by then, the next call queues.
    """
    maker = Maker(VERSION, s.config.instance)
    for _ in range(ROUNDS):
        if not is_sane(s):
            return
        kept = s.stores.ticks.load()
        step = tick_book.advance(kept.book, s.clock.now_ms(), terms_of(s), maker)
        _enqueue(s, kept.book, step.left)  # before the write that says so
        if step.book == kept.book:
            return
        if not s.stores.ticks.save(step.book, step.pages, kept.rev):
            continue  # another producer was faster: read again
        if step.new:
            _enqueue(s, step.book, step.new)
            _mark(s, step.book, step.new)
        if not step.more:
            return


def terms_of(s: Services) -> Terms:
    """What this deployment chose."""
    return Terms(
        zones.zone(s.config.default_timezone),
        Policy(catch_up_max=s.config.tick_catch_up),
        frozenset(f for f in FREQUENCIES if f in s.config.ticks),
    )


def is_sane(s: Services) -> bool:
    """Whether this instance's clock may number ticks: not when others prove that it is far ahead of true time.

    A cursor that such a clock had moved would silence its stream until that time. A clock that is behind does no harm:
    it numbers nothing that is not ahead of the cursor.
    """
    before, now = s.clock.read(), s.clock.read()
    reading = ClockReading(now.wall_unix_nanos, before.monotonic_nanos, now.monotonic_nanos)
    proven = clock_bound.estimate(s.time_sources.observations(), reading, QUARTZ_PPM)
    if proven is None or proven.drift_nanos <= TICK_CLOCK_AHEAD_MAX_MS * NANOS_PER_MS:
        return True
    log.error("no ticks are numbered: the clock is at least %d ms ahead", proven.drift_nanos // NANOS_PER_MS)
    return False


def _enqueue(s: Services, book: Book, ticks: Sequence[Tick]) -> None:
    due = [DueTick(t, (BUS, TARGET) if book.stream(t.frequency).target else (BUS,)) for t in ticks]
    enqueue(s, queue_messages.pack_ticks(due))


def _mark(s: Services, book: Book, ticks: Sequence[Tick]) -> None:
    """Say that these are on the queue. Where that cannot be said, the next producer queues them once more."""
    queued: dict[Frequency, list[Tick]] = defaultdict(list)
    for tick in ticks:
        queued[tick.frequency].append(tick)
    for _ in range(ROUNDS):
        kept = s.stores.ticks.load()
        marked = kept.book
        for frequency, sent in queued.items():
            stream = tick_book.confirmed(frequency, marked.stream(frequency), sent)
            marked = marked.with_stream(frequency, stream)
        if marked == kept.book or s.stores.ticks.save(marked, (), kept.rev):
            return


# -- switching


def enable(
    s: Services,
    caller: Caller,
    frequency: str,
    target: Mapping[str, object] | UnsetType | None = UNSET,
    versions: Sequence[str] | None = None,
) -> TickStreamStatus:
    """Start a stream, or leave it running. ``target`` is where its ticks go beside the bus: UNSET leaves it as it is,
    None takes it away. ``versions``, here and below: those that the stream may have when it is written (None: any).
    Raises Forbidden, InvalidField, NotFound, PreconditionFailed, TooMany, Unavailable."""
    terms = terms_of(s)
    if isinstance(target, Mapping):
        check_offered(s, target)
        validation.check_target(target, s.config.webhook_allow, s.config.secrets)

    def started(name: Frequency, stream: Stream) -> Stream:
        running = tick_book.enabled(stream, s.clock.now_ms(), terms.runs(name, stream))
        if isinstance(target, UnsetType):
            return running
        return replace(running, target=None if target is None else json.dumps(target))

    _switch(s, caller, frequency, started, versions)
    produce(s)
    return _view(s, s.stores.ticks.load().book, frequency_of(frequency))


def disable(s: Services, caller: Caller, frequency: str, versions: Sequence[str] | None = None) -> TickStreamStatus:
    """Stop a stream. It ends within TICK_END_MAX_MS: numbers that no subscriber has seen are taken back.

    Raises Forbidden, NotFound, PreconditionFailed, TooMany, Unavailable.
    """
    _switch(s, caller, frequency, lambda _, stream: tick_book.stopped(stream, s.clock.now_ms()), versions)
    return _view(s, s.stores.ticks.load().book, frequency_of(frequency))


def _switch(
    s: Services,
    caller: Caller,
    frequency: str,
    change: Callable[[Frequency, Stream], Stream],
    versions: Sequence[str] | None,
) -> None:
    authorize_deployment(caller, "ticks:write")
    name = frequency_of(frequency)
    for _ in range(ROUNDS):
        kept = s.stores.ticks.load()
        if versions is not None and (version := _version(s, kept.book, name)) not in versions:
            raise PreconditionFailed(f"the stream is at version {version}")
        changed = change(name, kept.book.stream(name))
        if changed == kept.book.stream(name) or s.stores.ticks.save(kept.book.with_stream(name, changed), (), kept.rev):
            return
    raise TooMany("too many callers change the tick streams at once", code="contended")


# -- reading


class TickStreamStatus(Struct, frozen=True):
    """Where a stream stands; boundaries in unix nanoseconds.

    ``last_sequence`` and ``last_nanos`` are the newest tick whose boundary has passed (0, None: there was none).
    ``reserved_sequence`` is the last number given. ``next_nanos`` is the next boundary that gets a tick, None while the
    stream stands still. ``version`` changes with the switch and the target, and not with the ticks.
    """

    version: str
    frequency: Frequency
    enabled: bool
    last_sequence: int
    last_nanos: int | None
    reserved_sequence: int
    next_nanos: int | None
    target: Mapping[str, object] | None


class TickHistory(Struct, frozen=True):
    """Some ticks of a stream, ascending, the gaps before or between them, and whether there are further ones by now.
    ``version`` is that of the stream."""

    ticks: tuple[Tick, ...]
    gaps: tuple[Skipped, ...]
    more: bool
    version: str = ""


def frequency_of(text: str) -> Frequency:
    """The frequency of this name. Raises NotFound."""
    for frequency in FREQUENCIES:
        if frequency == text:
            return frequency
    raise NotFound(f"no such tick stream; the streams are {', '.join(FREQUENCIES)}")


def views(s: Services, caller: Caller) -> list[TickStreamStatus]:
    """Where each stream stands. Raises Forbidden."""
    authorize(caller, "ticks:read")
    book = s.stores.ticks.load().book
    return [_view(s, book, frequency) for frequency in FREQUENCIES]


def view(s: Services, caller: Caller, frequency: str) -> TickStreamStatus:
    """Where one stream stands. Raises Forbidden, NotFound."""
    authorize(caller, "ticks:read")
    return _view(s, s.stores.ticks.load().book, frequency_of(frequency))


def _view(s: Services, book: Book, frequency: Frequency) -> TickStreamStatus:
    stream, terms = book.stream(frequency), terms_of(s)
    now_nanos = s.clock.now_ms() * NANOS_PER_MS
    last, running = tick_book.last_passed(tick_book.open_runs(stream), now_nanos), terms.runs(frequency, stream)
    return TickStreamStatus(
        _version(s, book, frequency),
        frequency,
        running,
        last.sequence if last else _number_before(stream),
        last.boundary_nanos if last else None,
        stream.cursor.sequence,
        _next_nanos(stream, frequency, now_nanos, terms, running),
        json.loads(stream.target) if stream.target else None,
    )


def _version(s: Services, book: Book, frequency: Frequency) -> str:
    stream = book.stream(frequency)
    target = json.loads(stream.target) if stream.target else None
    return content_version(terms_of(s).runs(frequency, stream), target)


def _number_before(stream: Stream) -> int:
    """The number before all that the tail holds."""
    return stream.runs[0].first_sequence - 1 if stream.runs else stream.cursor.sequence


def _next_nanos(stream: Stream, frequency: Frequency, now_nanos: int, terms: Terms, running: bool) -> int | None:
    coming = tick_book.first_coming(stream.runs, now_nanos)
    if coming is not None:
        return coming.boundary_nanos
    return next_boundary(max(now_nanos, stream.cursor.boundary_nanos), frequency, terms.zone) if running else None


def history(s: Services, caller: Caller, frequency: Frequency, after_sequence: int, limit: int) -> TickHistory:
    """As ``read_history``, for a caller. Raises Forbidden."""
    authorize(caller, "ticks:read")
    book = s.stores.ticks.load().book
    found = read_history(s, frequency, after_sequence, limit, book)
    return replace(found, version=_version(s, book, frequency))


def read_history(
    s: Services, frequency: Frequency, after_sequence: int, limit: int, book: Book | None = None
) -> TickHistory:
    """At most ``limit`` ticks whose boundaries have passed, after a number; the oldest kept when that one has expired.

    Only what is open is shown: all else may still be taken back. ``book`` may be one that was read a moment ago.
    """
    stream = (book or s.stores.ticks.load().book).stream(frequency)
    runs, gaps, complete = _since(s, frequency, stream, after_sequence)
    now_nanos = s.clock.now_ms() * NANOS_PER_MS
    found: list[Tick] = []
    more = not complete
    for tick in tick_book.ticks_of(frequency, runs, after_sequence, now_nanos):
        if len(found) == limit:
            more = True
            break
        found.append(tick)
    end = found[-1].sequence if found and more else stream.opened_sequence + 1
    passed = tuple(g for g in gaps if after_sequence <= g.after_sequence < end)
    return TickHistory(tuple(found), passed, more and bool(found))


def _since(
    s: Services, frequency: Frequency, stream: Stream, after_sequence: int
) -> tuple[Sequence[TickRun], Sequence[Skipped], bool]:
    """Runs and gaps after a number, and whether they reach up to now. The book was read before the pages: a page that
    was made in between holds what the tail still holds, and is left out."""
    first = _number_before(stream) + 1
    if after_sequence + 1 >= first:
        return tick_book.open_runs(stream), stream.gaps, True
    pages = s.stores.ticks.pages(frequency, after_sequence, HISTORY_PAGES)
    old = [p for p in pages if p.last_sequence < first]
    runs, gaps = [r for p in old for r in p.runs], [g for p in old for g in p.gaps]
    if len(old) == HISTORY_PAGES:
        return runs, gaps, False
    return [*runs, *tick_book.open_runs(stream)], [*gaps, *stream.gaps], True


def newest(s: Services, frequency: Frequency, book: Book) -> Reserved | None:
    """The newest tick whose boundary has passed, as far as the tail holds it."""
    return tick_book.last_passed(tick_book.open_runs(book.stream(frequency)), s.clock.now_ms() * NANOS_PER_MS)


def lags(s: Services, frequency: Frequency, book: Book) -> bool:
    """Whether a tick has passed that was not open when the book was read."""
    stream = book.stream(frequency)
    passed = tick_book.last_passed(stream.runs, s.clock.now_ms() * NANOS_PER_MS)
    return passed is not None and passed.sequence > stream.opened_sequence


def wakes_at_ms(s: Services, frequency: Frequency, book: Book) -> int | None:
    """When the next reserved tick of a stream is due, unix milliseconds; None when none is reserved."""
    coming = tick_book.first_coming(book.stream(frequency).runs, s.clock.now_ms() * NANOS_PER_MS)
    return None if coming is None else coming.boundary_nanos // NANOS_PER_MS
