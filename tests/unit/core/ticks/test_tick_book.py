"""The book of ticks: runs, pages, who queues what; a walk of producers that die, meet and have wrong clocks."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chalicelib.core.instants import parse_rfc3339
from chalicelib.core.recurrence.zones import zone
from chalicelib.core.ticks import tick_document
from chalicelib.core.ticks.frequencies import FREQUENCIES, Frequency
from chalicelib.core.ticks.limits import (
    TICK_CATCH_UP_LIMIT_COUNT,
    TICK_FINISH_AFTER_MS,
    TICK_OPEN_AHEAD_MS,
    TICK_RESERVE_AHEAD_MS,
    TICK_RESERVE_MAX_COUNT,
    TICK_START_MS,
)
from chalicelib.core.ticks.numbering import Gap, Policy, Reserved, TickCursor, boundaries, skip_to
from chalicelib.core.ticks.tick_book import (
    Advance,
    Book,
    Maker,
    Page,
    Skipped,
    Stream,
    Terms,
    TickRun,
    advance,
    appended,
    confirmed,
    enabled,
    first_coming,
    holds,
    last_passed,
    marked,
    open_runs,
    opened,
    stopped,
    ticks_of,
    unqueued,
)

NOW_MS = parse_rfc3339("2026-11-21T09:20:00Z")
NANOS = 1_000_000_000
ME, YOU = Maker("0.1.0", "me"), Maker("0.1.0", "you")
UTC = zone("UTC")
ALL = Terms(UTC, Policy(), frozenset(FREQUENCIES))
SECONDS = Terms(UTC, Policy(), frozenset({"second"}))


def nanos(ms: int) -> int:
    return ms * 1_000_000


def queued(book: Book) -> Book:
    """The book after its producer came to its end, and all its ticks were published."""
    done = {f: marked(s, s.cursor.sequence) for f, s in book.streams.items()}
    return Book({f: replace(s, opened_sequence=s.cursor.sequence) for f, s in done.items()})


def queued_only(book: Book) -> Book:
    """The book after its producer came to its end, and nothing was published yet."""
    return Book({f: marked(s, s.cursor.sequence) for f, s in book.streams.items()})


# -- runs


@given(st.lists(st.tuples(st.integers(1, 3), st.booleans(), st.sampled_from([ME, YOU])), min_size=1, max_size=60))
def test_runs_give_back_what_was_appended(steps: list[tuple[int, bool, Maker]]) -> None:
    runs: tuple[TickRun, ...] = ()
    at_s, expected = NOW_MS // 1000, []
    for sequence, (step, late, maker) in enumerate(steps, start=1):
        at_s += step
        runs = appended(runs, [Reserved(at_s * NANOS, sequence, late)], maker)
        expected.append((at_s * NANOS, sequence, late, maker))
    found = [
        (t.timestamp, t.sequence, t.caught_up, Maker(t.producer_version, t.instance_id))
        for t in ticks_of("second", runs, 0)
    ]
    assert found == expected
    cut = len(steps) // 2
    parts = [r.until_number(cut) for r in runs if r.first_sequence <= cut]
    parts += [r.from_number(cut + 1) for r in runs if r.last_sequence > cut]
    assert list(ticks_of("second", parts, 0)) == list(ticks_of("second", runs, 0))
    for sequence, (boundary, *_) in enumerate(expected, start=1):
        assert (last_passed(runs, boundary) or Reserved(0, 0, False)).sequence == sequence
        assert (last_passed(runs, boundary - 1) or Reserved(0, 0, False)).sequence == sequence - 1
        assert (first_coming(runs, boundary - 1) or Reserved(0, 0, False)).sequence == sequence
    assert first_coming(runs, expected[-1][0]) is None


def test_a_minute_of_seconds_is_one_line_and_another_producer_begins_the_next() -> None:
    reserved = [Reserved((NOW_MS // 1000 + k) * NANOS, k, False) for k in range(1, 61)]
    runs = appended(appended((), reserved[:30], ME), reserved[30:40], ME)
    assert runs == (TickRun(1, NOW_MS // 1000 + 1, 1, 40, False, ME),)
    assert len(appended(runs, reserved[40:], YOU)) == 2


def test_ticks_end_at_the_instant_asked_for() -> None:
    runs = (TickRun(1, 100, 10, 5, False, ME),)
    assert [t.sequence for t in ticks_of("second", runs, 1, 130 * NANOS)] == [2, 3, 4]
    assert [t.sequence for t in ticks_of("second", runs, 1, 130 * NANOS - 1)] == [2, 3]


# -- advancing


def test_a_fresh_stream_begins_with_what_can_still_be_published_in_time() -> None:
    step = advance(Book(), NOW_MS, SECONDS, ME)
    assert step.new[0].timestamp == nanos(NOW_MS + TICK_START_MS + 1000)
    assert step.new[-1].timestamp == nanos(NOW_MS + TICK_RESERVE_AHEAD_MS)
    assert [t.sequence for t in step.new] == list(range(1, len(step.new) + 1))
    assert (step.left, step.pages, step.more) == ((), (), False)
    assert step.book.stream("second").queued_sequence == 0
    assert set(step.book.streams) == {"second"}


def test_nothing_to_do_leaves_the_book_as_it_is() -> None:
    book = queued(advance(Book(), NOW_MS, ALL, ME).book)
    again = advance(book, NOW_MS, ALL, ME)
    assert again == Advance(book, (), (), (), False)
    assert advance(book, NOW_MS - 90_000, ALL, ME).book == book, "nor does a clock that was stepped back"


def test_what_was_numbered_and_not_queued_is_left_to_the_next_producer() -> None:
    reserved = advance(Book(), NOW_MS, SECONDS, ME)
    later = advance(reserved.book, NOW_MS + 60_000, SECONDS, YOU)
    assert later.left == reserved.new
    assert [t.sequence for t in later.new] == list(range(len(reserved.new) + 1, len(reserved.new) + 61))
    assert {t.instance_id for t in later.left} == {"me"}, "it keeps the name of who numbered it"
    assert {t.instance_id for t in later.new} == {"you"}
    assert later.book.stream("second").queued_sequence == len(reserved.new)


def test_what_was_numbered_a_moment_ago_and_is_not_urgent_is_in_good_hands() -> None:
    first = queued(advance(Book(), NOW_MS, SECONDS, ME).book)
    reserved = advance(first, NOW_MS + 60_000, SECONDS, ME).book
    fresh = NOW_MS + 60_000 + TICK_FINISH_AFTER_MS - 1
    assert advance(reserved, fresh, SECONDS, YOU).left == ()
    assert advance(reserved, fresh + 1, SECONDS, YOU).left
    assert advance(reserved, NOW_MS, SECONDS, YOU).left, "a clock behind the other's cannot tell"
    urgent = advance(Book(), NOW_MS, SECONDS, ME).book
    assert advance(urgent, NOW_MS + 1, SECONDS, YOU).left, "its first ticks are due before the next sweep"


def test_a_stream_in_good_hands_holds_up_no_other() -> None:
    first = queued(advance(Book(), NOW_MS, SECONDS, ME).book)
    reserved = advance(first, NOW_MS + 60_000, SECONDS, ME).book
    step = advance(reserved, NOW_MS + 60_001, ALL, YOU)
    assert {t.frequency for t in step.new} == {"minute"}
    assert step.book.stream("second") == reserved.stream("second")


def test_a_stopped_stream_gives_no_number_and_still_queues_what_has_one() -> None:
    reserved = advance(Book(), NOW_MS, SECONDS, ME)
    stopped = reserved.book.with_stream("second", replace(reserved.book.stream("second"), enabled=False))
    step = advance(stopped, NOW_MS + 60_000, SECONDS, YOU)
    assert (step.left, step.new) == (reserved.new, ())


def test_a_stream_that_starts_again_owes_nothing() -> None:
    stream = Stream(enabled=False, cursor=TickCursor(nanos(NOW_MS), 9), queued_sequence=9)
    assert enabled(stream, NOW_MS + 3_600_000, False).cursor == TickCursor(nanos(NOW_MS + 3_601_000), 9)
    assert enabled(stream, NOW_MS - 3_600_000, False).cursor == stream.cursor, "a cursor never goes back"
    assert enabled(stream, NOW_MS + 3_600_000, True).cursor == stream.cursor, "one that runs is an outage, and owes"


# -- stopping


def second(book: Book) -> Stream:
    return book.stream("second")


def opened_until(book: Book, sequence: int) -> Book:
    stream = second(book)
    [tick] = [t for t in ticks_of("second", stream.runs, 0) if t.sequence == sequence]
    return book.with_stream("second", opened(stream, [tick]))


def test_who_opens_a_tick_opens_what_is_due_a_second_later() -> None:
    book = opened_until(advance(Book(), NOW_MS, SECONDS, ME).book, 5)
    assert second(book).opened_sequence == 5 + TICK_OPEN_AHEAD_MS // 1000
    assert second(opened_until(book, 2)).opened_sequence == second(book).opened_sequence, "an open number stays open"
    assert [r.last_sequence for r in open_runs(second(book))] == [second(book).opened_sequence]


def test_a_stream_that_is_stopped_takes_back_what_nobody_has_seen() -> None:
    numbered = advance(Book(), NOW_MS, SECONDS, ME)
    book = opened_until(queued_only(numbered.book), 5)
    halted = stopped(second(book), NOW_MS)
    lost = numbered.new[6]
    assert (halted.enabled, halted.opened_sequence, halted.queued_sequence) == (False, 6, 6)
    assert halted.cursor == TickCursor(lost.timestamp - 1, lost.sequence - 1)
    assert list(ticks_of("second", halted.runs, 0)) == list(numbered.new[:6])
    assert stopped(halted, NOW_MS + 1) == halted, "stopping twice changes nothing"


def test_what_has_passed_when_a_stream_is_stopped_stays_although_no_worker_opened_it() -> None:
    book = queued_only(advance(Book(), NOW_MS, SECONDS, ME).book)
    halted = stopped(second(book), NOW_MS + 10_999)
    assert [t.timestamp for t in ticks_of("second", halted.runs, 8)] == [nanos(NOW_MS + 10_000)]
    assert halted.opened_sequence == halted.cursor.sequence == 9


def test_numbers_that_were_taken_back_are_given_to_later_boundaries() -> None:
    numbered = advance(Book(), NOW_MS, SECONDS, ME)
    halted = stopped(second(opened_until(queued_only(numbered.book), 5)), NOW_MS + 5_000)
    again = advance(Book({"second": enabled(halted, NOW_MS + 60_000, False)}), NOW_MS + 60_000, SECONDS, YOU)
    first = again.new[0]
    assert (first.sequence, first.timestamp) == (7, nanos(NOW_MS + 62_000))
    assert not holds(second(again.book).runs, numbered.new[6]), "a message of before is not what the book holds"
    assert holds(second(again.book).runs, numbered.new[5])
    assert holds(second(again.book).runs, first)


def test_a_gap_before_a_number_that_was_taken_back_stays_and_one_behind_it_goes() -> None:
    runs = (TickRun(1, NOW_MS // 1000 + 1, 1, 3, False, ME), TickRun(4, NOW_MS // 1000 + 9, 1, 3, True, ME))
    gap = Gap(nanos(NOW_MS + 4_000), nanos(NOW_MS + 8_000), 5)
    stream = Stream(cursor=TickCursor(nanos(NOW_MS + 11_000), 6), opened_sequence=3, runs=runs, gaps=(Skipped(3, gap),))
    halted = stopped(stream, NOW_MS)
    assert (halted.gaps, halted.cursor) == ((Skipped(3, gap),), TickCursor(nanos(NOW_MS + 9_000) - 1, 3))
    assert stopped(replace(stream, opened_sequence=2), NOW_MS).gaps == ()


def test_a_producer_that_stood_still_marks_only_what_the_book_still_holds() -> None:
    numbered = advance(Book(), NOW_MS, SECONDS, ME)
    assert confirmed("second", second(numbered.book), numbered.new).queued_sequence == len(numbered.new)
    halted = stopped(second(opened_until(numbered.book, 5)), NOW_MS)
    assert confirmed("second", halted, numbered.new).queued_sequence == 6
    again = second(advance(Book({"second": enabled(halted, NOW_MS + 60_000, False)}), NOW_MS, SECONDS, YOU).book)
    assert again.cursor.sequence > 6
    assert confirmed("second", again, numbered.new).queued_sequence == 6
    behind = replace(again, queued_sequence=0)
    assert confirmed("second", behind, numbered.new[3:]).queued_sequence == 0, "numbers before these are not queued"


def test_only_what_is_open_moves_to_a_page() -> None:
    book = queued_only(advance(Book(), NOW_MS, SECONDS, ME).book)
    for minute in range(1, 30):
        step = advance(book, NOW_MS + minute * 60_000, SECONDS, ME)
        assert step.pages == ()
        book = queued_only(step.book)
    assert advance(queued(book), NOW_MS + 1_800_000, SECONDS, ME).pages


def test_a_great_debt_is_paid_in_steps() -> None:
    terms = replace(SECONDS, policy=Policy(catch_up_max=TICK_CATCH_UP_LIMIT_COUNT))
    book = Book({"second": Stream(cursor=TickCursor(nanos(NOW_MS), 0))})
    now_ms, sizes, gaps = NOW_MS + 7_200_000, list[int](), list[Skipped]()
    while True:
        step = advance(book, now_ms, terms, ME)
        gaps += [g for p in step.pages for g in p.gaps]
        book = queued(step.book)
        sizes.append(len(step.new))
        if not step.more:
            break
    assert max(sizes) == TICK_RESERVE_MAX_COUNT
    assert sum(sizes) == TICK_CATCH_UP_LIMIT_COUNT + 1 + TICK_RESERVE_AHEAD_MS // 1000
    [(after, gap)] = [*gaps, *book.stream("second").gaps]
    assert (after, gap.count) == (0, 7200 - 1 - TICK_CATCH_UP_LIMIT_COUNT)


def test_gaps_without_a_tick_between_them_are_one() -> None:
    terms = Terms(UTC, Policy(catch_up_max=0), frozenset({"hour"}))
    book = Book({"hour": Stream(cursor=TickCursor(nanos(NOW_MS), 4), queued_sequence=4)})
    for hours in (2, 5, 9):
        book = advance(book, NOW_MS + hours * 3_600_000, terms, ME).book
    [(after, gap)] = book.stream("hour").gaps
    assert (after, gap.count) == (4, 9)
    assert gap.from_nanos == nanos(parse_rfc3339("2026-11-21T10:00:00Z"))
    assert gap.to_nanos == nanos(parse_rfc3339("2026-11-21T18:00:00Z"))


# -- what is stored


@pytest.mark.parametrize("hours", [1, 30])
def test_the_book_of_a_busy_deployment_fits_in_one_write_unit(hours: int) -> None:
    maker = Maker("10.20.30", "01KB0E5T0QJ8Z3V7M4N2X9YRSC")
    book, most, pages = Book(), 0, list[Page]()
    for minute in range(hours * 60):
        step = advance(book, NOW_MS + minute * 60_000, ALL, maker)
        pages += step.pages
        book = queued(step.book)
        most = max(most, len(tick_document.write_book(step.book).encode()))
    assert most < 900
    assert all(len(tick_document.write_page(p).encode()) < 900 for p in pages)
    assert {p.frequency for p in pages} >= ({"second", "minute"} if hours > 1 else {"second"})


def test_documents_are_read_back() -> None:
    stream = Stream(
        enabled=False,
        cursor=TickCursor(nanos(NOW_MS) + 7, 12),
        queued_sequence=11,
        opened_sequence=10,
        reserved_ms=NOW_MS,
        runs=(TickRun(1, 100, 60, 3, True, ME), TickRun(4, 500, 0, 1, False, YOU)),
        gaps=(Skipped(3, Gap(NANOS, 9 * NANOS, 9)),),
        target='{"type":"sqs"}',
    )
    for book in (Book(), Book({"second": Stream(), "day": stream})):
        assert tick_document.read_book(tick_document.write_book(book)) == book
    page = Page("minute", stream.runs, stream.gaps)
    assert tick_document.read_page("minute", tick_document.write_page(page)) == page


def test_all_numbers_of_a_book_from_before_there_were_open_ones_are_open() -> None:
    stored = '{"m":[["0.1.0","me"]],"s":{"second":{"c":[1000000000,7],"q":5,"t":1,"r":[[6,1,1,2,0,0]]}}}'
    stream = tick_document.read_book(stored).stream("second")
    assert (stream.opened_sequence, stream.queued_sequence, stream.cursor) == (7, 5, TickCursor(NANOS, 7))
    assert stopped(stream, 0) == replace(stream, enabled=False)


@pytest.mark.parametrize("document", ["", "[]", "{}", "null", '{"m":[],"s":{"day":{}}}', '{"m":[],"r":[[1]],"s":[]}'])
def test_something_else_is_no_document(document: str) -> None:
    with pytest.raises(ValueError, match=r"not a book|Expecting value"):
        tick_document.read_book(document)
    with pytest.raises(ValueError, match=r"not a page|Expecting value|not enough values"):
        tick_document.read_page("day", document)


# -- the walk


class Walk:
    """Producers over one book, each with its own clock; any of them may die anywhere, or read long before it writes."""

    def __init__(self, seed: str, terms: Terms) -> None:
        self.r = random.Random(seed)
        self.terms = terms
        self.book, self.rev = Book(), 0
        self.pages: list[Page] = []
        self.queue: list[tuple[str, int, int]] = []
        self.stalled: list[tuple[int, Advance]] = []
        self.now_ms = NOW_MS

    def save(self, step: Advance, rev: int) -> bool:
        if rev != self.rev:
            return False
        self.book, self.rev = step.book, self.rev + 1
        self.pages += step.pages
        return True

    def produce(self, name: str) -> None:
        clock_ms = self.now_ms + self.r.choice((0, 0, 0, -90_000, 45_000, 600_000))
        rev, step = self.rev, advance(self.book, clock_ms, self.terms, Maker("v", name))
        self.enqueue(step.left)
        if self.r.random() < 0.2:
            self.stalled.append((rev, step))
            return
        self.finish(rev, step)

    def finish(self, rev: int, step: Advance) -> None:
        if step.book == self.book or not self.save(step, rev) or self.r.random() < 0.2:
            return  # nothing new, another was faster, or it died after numbering
        self.enqueue(step.new)
        if self.r.random() < 0.2:
            return  # it died before it could say so
        done = {t.frequency: t.sequence for t in step.new}
        for frequency, sequence in done.items():
            self.book = self.book.with_stream(frequency, marked(self.book.stream(frequency), sequence))
        self.rev += 1

    def enqueue(self, ticks: tuple[object, ...]) -> None:
        self.queue += [(t.frequency, t.sequence, t.timestamp) for t in ticks]  # type: ignore[attr-defined]

    def go(self, steps: int) -> None:
        for _ in range(steps):
            self.now_ms += self.r.choice((1_000, 30_000, 60_000, 60_000, 300_000, 7_200_000))
            if self.stalled and self.r.random() < 0.7:
                self.finish(*self.stalled.pop(self.r.randrange(len(self.stalled))))
            self.produce(self.r.choice(("a", "b")))


@pytest.mark.parametrize("catch_up", [0, 7, 60])
@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_each_boundary_is_one_tick_or_in_one_gap(seed: int, catch_up: int) -> None:
    terms = Terms(zone("Australia/Lord_Howe"), Policy(catch_up_max=catch_up), frozenset(FREQUENCIES))
    walk = Walk(f"{seed}{catch_up}", terms)
    walk.go(150)
    for frequency in FREQUENCIES:
        check(walk, frequency, terms)


def check(walk: Walk, frequency: Frequency, terms: Terms) -> None:
    stream = walk.book.stream(frequency)
    pages = [p for p in walk.pages if p.frequency == frequency]
    runs = [r for p in pages for r in p.runs] + list(stream.runs)
    gaps = [g for p in pages for g in p.gaps] + list(stream.gaps)
    found = list(ticks_of(frequency, runs, 0))
    assert [t.sequence for t in found] == list(range(1, stream.cursor.sequence + 1))
    stamps = [t.timestamp for t in found]
    missing = [b for _, g in gaps for b in boundaries(g.from_nanos - 1, g.to_nanos, frequency, terms.zone)]
    assert len(missing) == sum(g.count for _, g in gaps)
    begin = nanos(NOW_MS) if not stamps else min([*stamps, *missing]) - 1
    end = stream.cursor.boundary_nanos
    assert sorted(stamps + missing) == list(boundaries(begin, end, frequency, terms.zone))
    for after, gap in gaps:
        assert after == 0 or stamps[after - 1] < gap.from_nanos
        assert after == len(stamps) or gap.to_nanos < stamps[after]
    waiting = {t.sequence for t in unqueued(frequency, stream)}
    sent = {sequence: at for f, sequence, at in walk.queue if f == frequency}
    assert set(range(1, len(stamps) + 1)) <= set(sent) | waiting, "a number is on the queue or still to be queued"
    for name, sequence, at in walk.queue:
        if name == frequency:
            assert stamps[sequence - 1] == at, "and it is what the book says"


def test_skip_to_is_what_enabling_uses() -> None:
    assert enabled(Stream(), NOW_MS, False).cursor == skip_to(TickCursor(), nanos(NOW_MS + TICK_START_MS))
