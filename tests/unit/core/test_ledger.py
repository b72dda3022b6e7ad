"""The ledger calls lost what is lost, and not before."""

from __future__ import annotations

from msgspec.structs import replace

from chalicelib.core.executions.ledger import draw
from chalicelib.core.executions.limits import LOST_AFTER_MS
from tests.unit.core.test_execution import record
from tests.unit.core.test_schedule import T0, definition


def test_an_owed_instant_without_a_trace_is_lost_once_it_had_its_time() -> None:
    done = replace(record(), firing_ms=T0 + 5_000, state="completed")
    early = draw([definition()], [done], T0, T0 + 10_000, T0 + 11_000, 100, None)
    assert [(line.outcome, line.expected) for line in early.lines] == [("completed", True), ("pending", True)]
    assert early.lost == 0
    late = draw([definition()], [done], T0, T0 + 10_000, T0 + 10_000 + LOST_AFTER_MS, 100, None)
    assert ([line.outcome for line in late.lines], late.lost) == (["completed", "lost"], 1)


def test_an_execution_nobody_owed_is_shown_as_such() -> None:
    stray = replace(record(), firing_ms=T0 + 7_000, state="completed")
    drawn = draw([definition()], [stray], T0, T0 + 8_000, T0 + 9_000, 100, None)
    assert [(line.firing_ms, line.expected) for line in drawn.lines] == [(T0 + 5_000, True), (T0 + 7_000, False)]


def test_a_page_says_where_the_next_begins() -> None:
    first = draw([definition()], [], T0, T0 + 60_000, T0 + 60_000, 5, None)
    assert (len(first.lines), first.next_ms) == (5, T0 + 30_000)
    rest = draw([definition()], [], first.next_ms or 0, T0 + 60_000, T0 + 60_000, 100, None)
    assert [line.firing_ms for line in rest.lines] == [T0 + k * 5_000 for k in range(6, 13)]


def test_an_exhausted_schedule_owes_nothing_after_its_last_instant() -> None:
    drawn = draw([definition(max_runs=2)], [], T0, T0 + 60_000, T0 + 60_000, 100, T0 + 10_000)
    assert [line.firing_ms for line in drawn.lines] == [T0 + 5_000, T0 + 10_000]


def test_two_versions_each_answer_for_their_own_time() -> None:
    old = replace(definition(), until_ms=T0 + 12_000)
    new = definition(version="v2", since_ms=T0 + 12_000, expr="rate:3s")
    drawn = draw([old, new], [], T0, T0 + 20_000, T0 + 20_000, 100, None)
    assert [line.firing_ms - T0 for line in drawn.lines] == [5_000, 10_000, 12_000, 15_000, 18_000]


def test_a_pause_is_told_alike_for_what_was_queued_before_it_and_for_what_was_not() -> None:
    active = replace(definition(), until_ms=T0 + 7_000)
    paused = definition(version="v2", since_ms=T0 + 7_000, active=False)
    queued = replace(record(), firing_ms=T0 + 10_000, state="skipped", attempts=())
    retried = replace(record(), firing_ms=T0 + 15_000, state="completed")
    drawn = draw([active, paused], [queued, retried], T0, T0 + 20_000, T0 + 21_000, 100, None)
    assert [line.outcome for line in drawn.lines] == ["pending", "paused", "completed", "paused"]
    assert [line.expected for line in drawn.lines] == [True, False, False, False]
