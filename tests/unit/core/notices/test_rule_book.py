"""One notification an incident and channel, whatever the order of signals, looks and deaths of workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chalicelib.core.notices import rule_book
from chalicelib.core.notices.limits import INCIDENTS_MAX, SEND_ATTEMPTS_MAX, SEND_LEASE_MS
from chalicelib.core.notices.rule import NotificationRule, Quiet, RuleMatch, Signal, concerns, quiet_until
from chalicelib.core.notices.rule_book import Notice, RuleBook, claim, claimable, compose, finish, hastened, note

T0 = 1_795_740_000_000  # 00:40 UTC


def rule(**fields: object) -> NotificationRule:
    made = NotificationRule(
        tenant="t",
        id="R",
        version="v",
        name="on call",
        when=("failed", "recovered"),
        channels=({"type": "webhook", "url": "https://a.example/"}, {"type": "webhook", "url": "https://b.example/"}),
        owner="o",
        every_owner=True,
        created_ms=T0,
        updated_ms=T0,
    )
    return replace(made, **fields)


def bad(subject: str, at_ms: int, source: str = "", **fields: object) -> Signal:
    made = Signal(
        subject=subject,
        name=subject,
        owner="o",
        causes=("failed",),
        at_ms=at_ms,
        source=source or f"{subject}{at_ms}",
    )
    return replace(made, **fields)


def good(subject: str, at_ms: int) -> Signal:
    return bad(subject, at_ms, f"{subject}{at_ms}ok", causes=(), success=True)


def sent(book: RuleBook, at_ms: int) -> tuple[RuleBook, list[tuple[Notice, int]]]:
    """Send all that may be sent."""
    told = []
    for number, channel in claimable(book, at_ms):
        book = claim(book, number, channel, at_ms)
        notice = next(n for n in book.notices if n.number == number)
        told.append((notice, channel))
        book = finish(book, number, channel, 1, None, False, at_ms)
    return book, told


def test_an_incident_is_told_once_and_so_is_its_end() -> None:
    r, book = rule(), RuleBook(tenant="t", id="R")
    for n in range(3):
        book = note(book, r, bad("s", T0 + n), T0 + n)
    book, first = sent(compose(book, r, T0 + 5), T0 + 5)
    assert [(notice.kind, channel) for notice, channel in first] == [("alert", 0), ("alert", 1)]
    assert first[0][0].incidents[0].count == 3
    book = note(book, r, bad("s", T0 + 10), T0 + 10)
    assert sent(compose(book, r, T0 + 11), T0 + 11)[1] == []
    book, over = sent(compose(note(book, r, good("s", T0 + 20), T0 + 20), r, T0 + 20), T0 + 20)
    assert [notice.kind for notice, _ in over] == ["recovery", "recovery"]
    assert over[0][0].incidents[0].id == first[0][0].incidents[0].id
    assert (book.incidents, book.notices, book.next_ms) == ((), (), None)
    book = note(book, r, bad("s", T0 + 30), T0 + 30)
    assert book.incidents[0].id != first[0][0].incidents[0].id


def test_without_recovered_an_end_closes_in_silence() -> None:
    r = rule(when=("failed",))
    book, _ = sent(compose(note(RuleBook(tenant="t", id="R"), r, bad("s", T0), T0), r, T0), T0)
    book = compose(note(book, r, good("s", T0 + 1), T0 + 1), r, T0 + 1)
    assert (book.incidents, book.notices) == ((), ())


def test_a_repeat_of_the_feed_counts_nothing_twice() -> None:
    r, signal = rule(), bad("s", T0)
    book = note(RuleBook(tenant="t", id="R"), r, signal, T0)
    assert note(book, r, signal, T0) is book


def test_a_group_is_one_message_and_quiet_ends_in_a_digest() -> None:
    r = rule(group_ms=1_000, quiet=Quiet("0 1 * * *", 3_600_000))
    book = RuleBook(tenant="t", id="R")
    for subject in "abc":
        book = note(book, r, bad(subject, T0), T0)
    assert compose(book, r, T0 + 999) is book
    book, told = sent(compose(book, r, T0 + 1_000), T0 + 1_000)
    assert [len(notice.incidents) for notice, _ in told] == [3, 3]
    night_ms = T0 + 30 * 60_000
    book = note(note(book, r, bad("d", night_ms), night_ms), r, good("a", night_ms), night_ms)
    book = compose(book, r, night_ms + 1_000)
    assert (claimable(book, night_ms + 1_000), book.due_ms) == ([], T0 + 80 * 60_000)
    book, digest = sent(compose(book, r, T0 + 80 * 60_000), T0 + 80 * 60_000)
    assert [(notice.kind, [i.subject for i in notice.incidents]) for notice, _ in digest] == [
        ("digest", ["d", "a"])
    ] * 2


def test_what_is_tried_again_waits_for_the_end_of_a_quiet_time_and_a_test_does_not() -> None:
    r = rule(quiet=Quiet("0 1 * * *", 3_600_000))
    night_ms, morning_ms = T0 + 20 * 60_000, T0 + 80 * 60_000
    book = compose(
        note(RuleBook(tenant="t", id="R"), r, bad("s", night_ms - 1_000), night_ms - 1_000), r, night_ms - 1_000
    )
    number = book.notices[0].number
    book = claim(book, number, 0, night_ms - 1_000)
    book = compose(finish(book, number, 0, 1, "503", False, night_ms - 900), r, night_ms + 60_000)
    assert (claimable(book, morning_ms - 1), book.next_ms) == ([], morning_ms)
    tried = rule_book.test(book, r, night_ms + 60_000)
    assert [n for n, _ in claimable(compose(tried, r, night_ms + 60_000), night_ms + 60_000)] == [tried.counter] * 2
    assert claimable(compose(book, r, morning_ms), morning_ms) == [(number, 0), (number, 1)]


def test_when_quiet_times_change_what_they_held_is_looked_at() -> None:
    r = rule(quiet=Quiet("0 1 * * *", 3_600_000))
    night_ms = T0 + 30 * 60_000
    held = compose(note(RuleBook(tenant="t", id="R"), r, bad("s", night_ms), night_ms), r, night_ms)
    assert held.next_ms == T0 + 80 * 60_000
    now = hastened(held, night_ms + 5)
    assert now.next_ms == night_ms + 5
    _, told = sent(compose(now, rule(), night_ms + 5), night_ms + 5)
    assert [notice.kind for notice, _ in told] == ["digest", "digest"]
    busy = claim(compose(note(RuleBook(tenant="t", id="R"), rule(), bad("s", T0), T0), rule(), T0), 2, 0, T0)
    claimed = next(send for send in hastened(busy, T0 + 1).notices[0].sends if send.channel == 0)
    assert claimed.next_ms == T0 + SEND_LEASE_MS, "a worker has it"


def test_recovered_alone_hears_of_the_ends_of_everything() -> None:
    r, book = rule(when=("recovered",)), RuleBook(tenant="t", id="R")
    book = compose(note(note(book, r, bad("s", T0), T0), r, bad("q", T0, causes=("quota",)), T0), r, T0)
    assert (book.notices, len(book.incidents)) == ((), 2)
    for subject in "sq":
        book = note(book, r, good(subject, T0 + 5), T0 + 5)
    book = note(note(book, r, bad("x", T0 + 5), T0 + 5), r, good("x", T0 + 6), T0 + 6)
    _, ends = sent(compose(book, r, T0 + 6), T0 + 6)
    assert [(notice.kind, [i.subject for i in notice.incidents]) for notice, _ in ends] == [
        ("recovery", ["s", "q", "x"])
    ] * 2


def test_quiet_times() -> None:
    r = rule(quiet=Quiet("0 22 * * *", 8 * 3_600_000, "Europe/Berlin"))
    assert quiet_until(r, T0) == T0 + 260 * 60_000  # 01:40 in Berlin; it ends at six
    assert quiet_until(r, T0 + 260 * 60_000 - 1) == T0 + 260 * 60_000
    assert quiet_until(r, T0 + 260 * 60_000) is None
    assert quiet_until(rule(), T0) is None


def test_a_claim_keeps_others_away_until_its_worker_must_be_dead() -> None:
    r = rule()
    book = compose(note(RuleBook(tenant="t", id="R"), r, bad("s", T0), T0), r, T0)
    number = book.notices[0].number
    taken = claim(book, number, 0, T0)
    assert claim(taken, number, 0, T0 + SEND_LEASE_MS - 1) is taken
    assert claim(taken, number, 0, T0 + SEND_LEASE_MS) is not taken


def test_a_failing_channel_is_tried_again_and_given_up() -> None:
    r = rule(channels=({"type": "webhook", "url": "https://a.example/"},))
    book = compose(note(RuleBook(tenant="t", id="R"), r, bad("s", T0), T0), r, T0)
    number, now_ms, tries = book.notices[0].number, T0, 0
    while book.notices:
        assert book.next_ms is not None
        now_ms = max(now_ms, book.next_ms)
        tries += 1
        book = finish(claim(book, number, 0, now_ms), number, 0, tries, "no", False, now_ms)
    assert tries == SEND_ATTEMPTS_MAX


@pytest.mark.parametrize("final", [False, True])
def test_a_try_that_was_taken_over_fails_for_itself_alone(final: bool) -> None:
    r = rule(channels=({"type": "webhook", "url": "https://a.example/"},))
    book = compose(note(RuleBook(tenant="t", id="R"), r, bad("s", T0), T0), r, T0)
    number = book.notices[0].number
    book = claim(claim(book, number, 0, T0), number, 0, T0 + SEND_LEASE_MS)
    assert finish(book, number, 0, 1, "timed out", final, T0 + SEND_LEASE_MS + 1) == book
    assert finish(book, number, 0, 1, None, False, T0 + SEND_LEASE_MS + 1).notices == (), "it was sent after all"
    assert finish(book, number, 0, 2, "503", True, T0 + SEND_LEASE_MS + 1).notices == ()


def test_too_many_incidents_are_counted_and_named() -> None:
    r, book = rule(), RuleBook(tenant="t", id="R")
    for n in range(INCIDENTS_MAX + 7):
        book = note(book, r, bad(f"s{n}", T0), T0)
    [notice] = compose(book, r, T0).notices
    assert (len(notice.incidents), notice.incidents[-1].count) == (INCIDENTS_MAX + 1, 7)


def test_a_rule_is_about_what_it_matches_and_what_its_owner_may_see() -> None:
    signal = bad("s", T0, tags=("a",))
    assert concerns(rule(match=RuleMatch(tag="a", owner="o", name_prefix="s")), signal)
    for match in (RuleMatch(tag="b"), RuleMatch(owner="p"), RuleMatch(name_prefix="t")):
        assert not concerns(rule(match=match), signal)
    assert not concerns(rule(enabled=False), signal)
    assert not concerns(rule(every_owner=False, owner="p"), signal)


STEPS = st.lists(
    st.tuples(st.sampled_from(["bad", "good", "send", "die", "again"]), st.sampled_from("abc"), st.integers(0, 90_000)),
    max_size=40,
)


@given(STEPS, st.booleans(), st.sampled_from([0, 20_000]))
def test_one_notification_an_incident_and_channel(
    steps: Sequence[tuple[str, str, int]], quiet: bool, group_ms: int
) -> None:
    """A worker that dies after its claim sends nothing, and the next one does: still one, and none is lost."""
    r = rule(group_ms=group_ms, quiet=Quiet("41 * * * *", 120_000) if quiet else None)
    book, now_ms, last = RuleBook(tenant="t", id="R"), T0, bad("a", T0)
    told: Counter[tuple[str, bool, int]] = Counter()
    opened: set[str] = set()

    def run(book: RuleBook, dies: bool) -> RuleBook:
        book = compose(book, r, now_ms)
        for number, channel in claimable(book, now_ms):
            book = claim(book, number, channel, now_ms)
            if dies:
                continue
            notice = next(n for n in book.notices if n.number == number)
            for i in notice.incidents:
                assert not (quiet and quiet_until(r, notice.made_ms))
                told[i.id, notice.kind == "recovery", channel] += 1
            book = finish(book, number, channel, 1, None, False, now_ms)
        return book

    for step, subject, wait_ms in steps:
        now_ms += wait_ms
        match step:
            case "bad":
                last = bad(subject, now_ms)
                book = note(book, r, last, now_ms)
            case "good":
                book = note(book, r, good(subject, now_ms), now_ms)
            case "again":
                book = note(book, r, last, now_ms)
            case _:
                book = run(book, step == "die")
        opened |= {i.id for i in book.incidents}
    while book.next_ms is not None:
        now_ms = max(now_ms, book.next_ms)
        book = run(book, False)
    assert all(times == 1 or (quiet and times == 2) for times in told.values())
    assert {(i, c) for i, over, c in told if not over} >= {(i, c) for i in opened for c in (0, 1)}
