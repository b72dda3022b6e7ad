"""Each code of an explanation, and that an instant is owed exactly when nothing speaks against it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.core.executions.execution import SUPERSEDED, Attempt, Execution, Transition
from chalicelib.core.executions.explanation import REASON_CODES, Explanation, explain
from chalicelib.core.executions.limits import LOST_AFTER_MS
from chalicelib.core.instants import to_rfc3339
from chalicelib.core.schedules.schedule import Definition, Key
from tests.kit.records import START_MS, definition
from tests.kit.records import execution as record

KEY = Key("default", "01KB0E5T0QJ8Z3V7M4N2X9YRSC")
MADE = definition(KEY)  # every five seconds from START_MS on
S = 1000
REJECTED = (Attempt(1, 1, START_MS, error_type="rejected"),)
NOON = START_MS + 50 * S  # an instant of it
SPRING = 1_774_746_000_000  # 2026-03-29T01:00Z: Berlin's clocks go from 02:00 to 03:00
AUTUMN = 1_792_890_000_000  # 2026-10-25T01:00Z: Berlin's clocks go from 03:00 to 02:00


def ask(
    *versions: Definition,
    at_ms: int = NOON,
    now_ms: int = NOON + 1,
    execution: Execution | None = None,
    owed_until_ms: int | None = None,
    delay_next_ms: int | None = None,
) -> Explanation:
    return explain(versions or (MADE,), execution, at_ms, now_ms, owed_until_ms, delay_next_ms)


def codes(found: Explanation) -> list[str]:
    return [reason.code for reason in found.reasons]


def ended(state: str, **fields: Any) -> Execution:
    made = record(KEY, NOON, **fields)
    return replace(made, state=state, finished_ms=NOON + 5, first_started_ms=NOON + 2)


def test_what_is_no_longer_kept_is_not_taken_for_the_beginning() -> None:
    edited = replace(MADE, version="v9", since_ms=NOON, created_at_ms=START_MS)
    [kept_no_more] = ask(edited, at_ms=NOON - 5 * S).reasons
    assert kept_no_more.code == "before_start"
    assert "is no longer kept" in kept_no_more.detail
    [before] = ask(edited, at_ms=START_MS - 5 * S).reasons
    assert before.detail == f"the schedule was made at {to_rfc3339(START_MS)}, after this instant"


def test_one_that_comes_is_not_yet() -> None:
    found = ask(now_ms=NOON - 1)
    assert (found.owed, found.outcome, codes(found), found.version) == (True, None, ["not_yet"], "v1")


def test_one_that_just_passed_is_pending_and_one_long_past_is_lost() -> None:
    assert (ask().outcome, codes(ask())) == ("pending", ["pending"])
    late = ask(now_ms=NOON + LOST_AFTER_MS)
    assert (late.owed, late.outcome, codes(late)) == (True, "lost", ["pending"])


@pytest.mark.parametrize(
    ("versions", "more", "code"),
    [
        ((MADE,), {"at_ms": NOON + 1}, "not_on_grid"),
        ((replace(MADE, exclude=((NOON, NOON),)),), {}, "excluded"),
        ((replace(MADE, until_ms=NOON), replace(MADE, version="v2", since_ms=NOON, active=False)), {}, "paused"),
        ((replace(MADE, until_ms=NOON), replace(MADE, version="v2", since_ms=NOON + 1)), {}, "paused"),
        ((replace(MADE, paused_until_ms=NOON + 1),), {}, "paused"),
        ((MADE,), {"at_ms": START_MS - 5 * S}, "before_start"),
        ((replace(MADE, start_at_ms=NOON + 5 * S),), {}, "before_start"),
        ((replace(MADE, end_at_ms=NOON - 5 * S),), {}, "after_end"),
        ((replace(MADE, max_runs=2),), {"owed_until_ms": START_MS + 10 * S}, "max_runs_reached"),
        ((replace(MADE, type="DELAY", expr="delay:5s"),), {"delay_next_ms": NOON + 1}, "not_on_grid"),
    ],
)
def test_what_speaks_against_an_instant(versions: tuple[Definition, ...], more: dict[str, Any], code: str) -> None:
    found = ask(*versions, **more)
    assert (found.owed, found.outcome, codes(found)) == (False, None, [code])


def test_the_version_in_force_then_decides_and_not_the_newest() -> None:
    edited = replace(MADE, version="v2", since_ms=NOON + 1, expr="rate:7s")
    found = ask(replace(MADE, until_ms=NOON + 1), edited)
    assert (found.owed, found.version) == (True, "v1")


def test_a_note_and_the_next_instant_are_said() -> None:
    assert "deploying" in ask(replace(MADE, active=False, note="deploying")).reasons[0].detail
    assert "2100-01-01T00:00:55" in ask(at_ms=NOON + 1).reasons[0].detail


def test_the_end_of_a_pause_is_said_and_at_it_the_schedule_owes() -> None:
    resting = replace(MADE, paused_until_ms=NOON, note="deploying")
    assert (ask(resting).owed, codes(ask(resting))) == (True, ["pending"])
    [reason] = ask(resting, at_ms=NOON - 5 * S).reasons
    assert reason.detail.endswith("until 2100-01-01T00:00:50.000Z: deploying"), reason.detail


def test_a_delay_is_owed_at_its_next_instant() -> None:
    assert ask(replace(MADE, type="DELAY", expr="delay:5s"), delay_next_ms=NOON).owed


@pytest.mark.parametrize(
    ("at_ms", "minute", "code"), [(SPRING, "30 2", "dst_gap"), (AUTUMN - 1_800_000, "30 2", "dst_overlap")]
)
def test_the_nights_of_a_clock_change_are_marked(at_ms: int, minute: str, code: str) -> None:
    nightly = definition(
        KEY, type="CRON", expr="30 2 * * *", timezone="Europe/Berlin", since_ms=0, created_at_ms=0, updated_at_ms=0
    )
    found = ask(nightly, at_ms=at_ms, now_ms=at_ms - 1)
    assert (found.owed, codes(found)) == (True, [code, "not_yet"])


@pytest.mark.parametrize(
    ("at_ms", "fields", "expected"),
    [
        (SPRING, {"dst_gap": "skip"}, ["dst_gap", "not_on_grid"]),  # where it runs by default
        (SPRING + 1_800_000, {"dst_gap": "skip"}, ["dst_gap", "not_on_grid"]),  # half past two as it would have been
        (SPRING + 1_800_000, {}, ["dst_gap", "not_on_grid"]),
        (SPRING, {"dst_gap": "shift"}, ["dst_gap", "not_on_grid"]),
        (SPRING + 900_000, {"dst_gap": "skip"}, ["not_on_grid"]),
        (SPRING + 86_400_000, {"dst_gap": "skip"}, ["not_on_grid"]),
        (AUTUMN + 1_800_000, {}, ["dst_overlap", "not_on_grid"]),  # the second half past two
        (AUTUMN + 1_800_000, {"dst_overlap": "twice"}, ["dst_overlap", "not_yet"]),
    ],
)
def test_what_a_clock_change_leaves_out_is_said(at_ms: int, fields: dict[str, Any], expected: list[str]) -> None:
    since: dict[str, Any] = {"since_ms": 0, "created_at_ms": 0, "updated_at_ms": 0}
    nightly = definition(KEY, type="CRON", expr="30 2 * * *", timezone="Europe/Berlin", **since, **fields)
    found = ask(nightly, at_ms=at_ms, now_ms=at_ms - 1)
    assert (found.owed, codes(found)) == ("not_yet" in expected, expected)
    if "not_on_grid" in expected[1:]:
        assert all(policy in found.reasons[0].detail for policy in fields.values())


def test_one_whose_record_is_written_ahead_is_pending_and_not_yet() -> None:
    found = ask(now_ms=NOON - 1, execution=record(KEY, NOON))
    assert (found.owed, found.outcome, codes(found)) == (True, "pending", ["pending", "not_yet"])


@pytest.mark.parametrize(
    ("execution", "code"),
    [
        (ended("completed"), "delivered"),
        (ended("missed"), "missed_window"),
        (ended("skipped", history=(Transition("pending", "skipped", NOON, "x-1 still ran"),)), "overlap_skipped"),
        (ended("skipped", history=(Transition("pending", "skipped", NOON, "paused"),)), "paused"),
        (ended("failed", error="HTTP 500"), "failed"),
        (ended("failed", error="policy p: rule r", attempts=REJECTED), "policy_denied"),
        (ended("failed", error="not allowed", attempts=REJECTED), "failed"),
        (ended("timeout"), "timeout"),
        (ended("cancelled"), "cancelled"),
        (record(KEY, NOON, waits=True), "waiting_for_limit"),
        (record(KEY, NOON, state="in_progress"), "pending"),
        (record(KEY, NOON, retry_at_ms=NOON + 5), "pending"),
    ],
)  # fmt: skip
def test_what_became_of_it_is_said(execution: Execution, code: str) -> None:
    found = ask(execution=execution)
    assert (found.owed, found.outcome, codes(found)) == (True, execution.state, [code])


def test_one_that_was_not_owed_and_ran_says_both() -> None:
    found = ask(at_ms=NOON + 1, execution=ended("completed"))
    assert (found.owed, codes(found)) == (False, ["not_on_grid", "delivered"])


def test_the_codes_are_those_that_callers_may_rely_on() -> None:
    assert set(REASON_CODES) == {
        "not_on_grid", "excluded", "paused", "before_start", "after_end", "max_runs_reached", "dst_gap", "dst_overlap",
        "missed_window", "overlap_skipped", "policy_denied", "waiting_for_limit", "delivered", "pending", "not_yet",
        "failed", "timeout", "cancelled",
    }  # fmt: skip


def test_what_an_edit_took_back_was_not_owed_and_no_other_run_was_in_its_way() -> None:
    superseded = replace(ended("skipped"), history=(Transition("pending", "skipped", NOON, SUPERSEDED),))
    for edited in ({"type": "DELAY", "expr": "delay:9s"}, {"expr": "rate:7s"}):
        found = ask(replace(MADE, **edited), execution=superseded)
        assert (found.owed, found.outcome, codes(found)) == (False, "skipped", ["not_on_grid"])
