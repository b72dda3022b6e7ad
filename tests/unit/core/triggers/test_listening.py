"""What is known of a source, from what several workers say of it."""

from __future__ import annotations

from msgspec.structs import replace

from chalicelib.core.triggers.listening import (
    CHANGED_MS,
    ERROR_MAX_CHARS,
    RENEW_MS,
    STALE_MS,
    Listening,
    reported,
    shown,
)
from chalicelib.core.triggers.trigger import Trigger, TriggerRules

T0 = 1_795_252_800_000
ID = "01KB" + "0" * 22
TRIGGER = Trigger(tenant="t", id=ID, name="n", rules=TriggerRules(source={"type": "sqs", "queue_url": "q"}), since_ms=5)
REFUSED = "refused the credentials"


def said(before: Listening | None, problem: str | None, at_ms: int, by: str = "a") -> Listening:
    found = reported(before, TRIGGER, by, problem, at_ms)
    assert found is not None
    return found


def test_the_first_word_of_a_worker() -> None:
    heard = said(None, None, T0)
    assert (heard.state, heard.since_ms, heard.seen_ms, heard.last_error, heard.rev) == ("listening", T0, T0, None, 1)
    failing = said(None, REFUSED, T0)
    assert (failing.state, failing.since_ms, failing.last_error, failing.last_error_ms) == ("failing", T0, REFUSED, T0)


def test_what_is_no_news_is_written_once_a_minute() -> None:
    for problem in (None, REFUSED):
        first = said(None, problem, T0)
        assert reported(first, TRIGGER, "a", problem, T0 + RENEW_MS - 1) is None
        again = said(first, problem, T0 + RENEW_MS)
        assert (again.since_ms, again.seen_ms, again.rev) == (T0, T0 + RENEW_MS, 2)


def test_one_of_many_workers_renews_for_all() -> None:
    first = said(None, None, T0)
    assert reported(first, TRIGGER, "b", None, T0 + 1) is None
    assert said(first, None, T0 + RENEW_MS, "b").by == "b"


def test_an_error_stays_when_it_is_over() -> None:
    heard = said(said(None, REFUSED, T0), None, T0 + 700)
    assert (heard.state, heard.since_ms) == ("listening", T0 + 700)
    assert (heard.last_error, heard.last_error_ms) == (REFUSED, T0)


def test_other_words_are_written_but_not_with_each_try() -> None:
    first = said(None, REFUSED, T0)
    assert reported(first, TRIGGER, "a", "away", T0 + CHANGED_MS - 1) is None
    other = said(first, "away", T0 + CHANGED_MS)
    assert (other.last_error, other.since_ms, other.last_error_ms) == ("away", T0, T0 + CHANGED_MS)


def test_a_source_is_heard_while_any_worker_reads_it() -> None:
    heard = said(None, None, T0, "a")
    beside = said(heard, REFUSED, T0 + 10, "b")
    assert (beside.state, beside.by, beside.seen_ms) == ("listening", "a", T0)
    assert (beside.last_error, beside.last_error_ms) == (REFUSED, T0 + 10)
    assert reported(beside, TRIGGER, "b", REFUSED, T0 + 20) is None
    assert said(beside, REFUSED, T0 + 30, "a").state == "failing"
    assert said(beside, REFUSED, T0 + STALE_MS, "b").state == "failing"


def test_another_source_begins_anew_and_a_worker_that_reads_the_old_one_says_nothing_of_it() -> None:
    newer = replace(TRIGGER, since_ms=6)
    old = said(None, REFUSED, T0)
    begun = reported(old, newer, "a", None, T0 + 1)
    assert begun is not None
    assert (begun.state, begun.last_error, begun.source_since_ms, begun.rev) == ("listening", None, 6, 2)
    assert reported(begun, TRIGGER, "b", REFUSED, T0 + RENEW_MS) is None


def test_an_error_is_one_line_of_bounded_length() -> None:
    assert said(None, "two\n lines\x00", T0).last_error == "two lines"
    long = said(None, "x" * 5_000, T0)
    assert len(long.last_error or "") == ERROR_MAX_CHARS
    assert reported(long, TRIGGER, "a", "x" * 5_000, T0 + CHANGED_MS) is None


def test_what_a_caller_sees() -> None:
    assert shown(None, TRIGGER, True, T0).state == "unattended"
    assert shown(None, TRIGGER, False, T0).state == "paused"
    heard = said(said(None, REFUSED, T0), None, T0 + 5)
    seen = shown(heard, TRIGGER, True, T0 + 6)
    assert (seen.state, seen.since_ms, seen.seen_ms, seen.last_error) == ("listening", T0 + 5, T0 + 5, REFUSED)
    assert shown(heard, TRIGGER, False, T0 + 6).state == "paused"
    gone = shown(heard, TRIGGER, True, T0 + 5 + STALE_MS)
    assert (gone.state, gone.since_ms) == ("unattended", T0 + 5)
    assert shown(heard, replace(TRIGGER, since_ms=6), True, T0 + 6).state == "unattended"
