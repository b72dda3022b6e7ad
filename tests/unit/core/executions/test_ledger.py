"""The ledger calls lost what is lost, and not before."""

from __future__ import annotations

from msgspec.structs import replace

from chalicelib.core.executions.execution import SUPERSEDED, Execution, Transition
from chalicelib.core.executions.ledger import draw
from chalicelib.core.executions.limits import LOST_AFTER_MS
from chalicelib.core.schedules.schedule import Definition, Key
from tests.kit import records
from tests.kit.records import START_MS

KEY = Key("default", "S")


def definition(version: str = "v1", **fields: object) -> Definition:
    return records.definition(KEY, version, **fields)


def record(firing_ms: int, state: str) -> Execution:
    return records.execution(KEY, firing_ms, state=state)


def test_an_owed_instant_without_a_trace_is_lost_once_it_had_its_time() -> None:
    done = record(START_MS + 5_000, "completed")
    early = draw([definition()], [done], START_MS, START_MS + 10_000, START_MS + 11_000, 100, None)
    assert [(line.outcome, line.expected) for line in early.lines] == [("completed", True), ("pending", True)]
    assert early.lost == 0
    late = draw([definition()], [done], START_MS, START_MS + 10_000, START_MS + 10_000 + LOST_AFTER_MS, 100, None)
    assert ([line.outcome for line in late.lines], late.lost) == (["completed", "lost"], 1)


def test_an_execution_nobody_owed_is_shown_as_such() -> None:
    stray = record(START_MS + 7_000, "completed")
    drawn = draw([definition()], [stray], START_MS, START_MS + 8_000, START_MS + 9_000, 100, None)
    assert [(line.firing_ms, line.expected) for line in drawn.lines] == [
        (START_MS + 5_000, True),
        (START_MS + 7_000, False),
    ]


def test_a_page_says_where_the_next_begins() -> None:
    first = draw([definition()], [], START_MS, START_MS + 60_000, START_MS + 60_000, 5, None)
    assert (len(first.lines), first.next_ms) == (5, START_MS + 30_000)
    rest = draw([definition()], [], first.next_ms or 0, START_MS + 60_000, START_MS + 60_000, 100, None)
    assert [line.firing_ms for line in rest.lines] == [START_MS + k * 5_000 for k in range(6, 13)]


def test_an_exhausted_schedule_owes_nothing_after_its_last_instant() -> None:
    drawn = draw([definition(max_runs=2)], [], START_MS, START_MS + 60_000, START_MS + 60_000, 100, START_MS + 10_000)
    assert [line.firing_ms for line in drawn.lines] == [START_MS + 5_000, START_MS + 10_000]


def test_two_versions_each_answer_for_their_own_time() -> None:
    old = replace(definition(), until_ms=START_MS + 12_000)
    new = definition(version="v2", since_ms=START_MS + 12_000, expr="rate:3s")
    drawn = draw([old, new], [], START_MS, START_MS + 20_000, START_MS + 20_000, 100, None)
    assert [line.firing_ms - START_MS for line in drawn.lines] == [5_000, 10_000, 12_000, 15_000, 18_000]


def test_a_pause_is_told_alike_for_what_was_queued_before_it_and_for_what_was_not() -> None:
    active = replace(definition(), until_ms=START_MS + 7_000)
    paused = definition(version="v2", since_ms=START_MS + 7_000, active=False)
    queued = record(START_MS + 10_000, "skipped")
    retried = record(START_MS + 15_000, "completed")
    drawn = draw([active, paused], [queued, retried], START_MS, START_MS + 20_000, START_MS + 21_000, 100, None)
    assert [line.outcome for line in drawn.lines] == ["pending", "paused", "completed", "paused"]
    assert [line.expected for line in drawn.lines] == [True, False, False, False]


def test_the_pause_of_a_version_ends_at_its_instant() -> None:
    active = replace(definition(), until_ms=START_MS + 7_000)
    resting = definition(version="v2", since_ms=START_MS + 7_000, paused_until_ms=START_MS + 15_000)
    drawn = draw([active, resting], [], START_MS, START_MS + 20_000, START_MS + 20_000, 100, None)
    assert [(line.firing_ms - START_MS, line.outcome, line.expected) for line in drawn.lines] == [
        (5_000, "pending", True),
        (10_000, "paused", False),
        (15_000, "pending", True),
        (20_000, "pending", True),
    ]


def test_a_delay_owes_no_instant_that_an_edit_took_back_or_a_caller_asked_for() -> None:
    delays = definition(version="v2", since_ms=START_MS + 6_000, type="DELAY", expr="delay:9s")
    took_back = (Transition("pending", "skipped", START_MS + 10_000, SUPERSEDED),)
    found = [
        replace(record(START_MS + 10_000, "skipped"), history=took_back),
        replace(record(START_MS + 12_000, "completed"), requested=True),
        record(START_MS + 15_000, "completed"),
    ]
    versions = [replace(definition(), until_ms=START_MS + 6_000), delays]
    drawn = draw(versions, found, START_MS + 6_000, START_MS + 20_000, START_MS + 20_000, 100, None)
    assert [(line.firing_ms - START_MS, line.expected) for line in drawn.lines] == [
        (10_000, False),
        (12_000, False),
        (15_000, True),
    ]
