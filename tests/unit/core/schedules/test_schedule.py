"""What is owed, and how a queued instant is judged."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.core.schedules.claim_span import ClaimSpan, span_of
from chalicelib.core.schedules.schedule import (
    Definition,
    Schedule,
    State,
    VersionRef,
    Window,
    first_from,
    progress,
    queued_after,
    window,
)
from chalicelib.core.schedules.sharding import shard_of
from chalicelib.core.schedules.verdict import Verdict, judge, judge_snapshot

T0 = 1_795_252_800_000


def definition(**changes: object) -> Definition:
    fields: dict[str, object] = {
        "tenant": "default",
        "id": "S",
        "version": "v1",
        "since_ms": T0,
        "type": "RATE",
        "expr": "rate:5s",
        "created_at_ms": T0,
        "updated_at_ms": T0,
    }
    return Definition(**{**fields, **changes})  # type: ignore[arg-type]


def state(*versions: VersionRef, **changes: object) -> State:
    refs = versions or (VersionRef("v1", T0, True),)
    return State(tenant="default", id="S", shard=0, versions=refs, **changes)  # type: ignore[arg-type]


def test_an_instant_is_judged_by_the_version_in_force_at_it_not_by_the_newest() -> None:
    edited = state(VersionRef("v1", T0, True), VersionRef("v2", T0 + 60_000, True))
    assert judge(edited, "v1", T0 + 59_999) is Verdict.FIRE
    assert judge(edited, "v1", T0 + 60_000) is Verdict.DROP
    assert judge(edited, "v2", T0 + 60_000) is Verdict.FIRE


def test_a_pause_stops_what_lies_after_it_only() -> None:
    paused = state(VersionRef("v1", T0, True), VersionRef("v2", T0 + 60_000, False), status="paused")
    assert judge(paused, "v1", T0 + 59_999) is Verdict.FIRE
    assert judge(paused, "v1", T0 + 60_000) is Verdict.PAUSED


def test_a_deleted_schedule_owes_an_answer_for_what_came_before() -> None:
    deleted = state(VersionRef("v1", T0, True), VersionRef("v2", T0 + 60_000, False), status="deleted")
    assert judge(deleted, "v1", T0 + 5_000) is Verdict.DELETED
    assert judge(deleted, "v1", T0 + 65_000) is Verdict.DROP


def test_an_unknown_version_is_never_judged_by_the_state_alone() -> None:
    assert judge(None, "v1", T0) is Verdict.UNKNOWN
    assert judge(state(), "orphan", T0 + 5_000) is Verdict.UNKNOWN
    assert judge(state(VersionRef("v9", T0 + 60_000, True)), "v1", T0 + 5_000) is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("instant_ms", "verdict"),
    [(T0 - 1, Verdict.DROP), (T0, Verdict.FIRE), (T0 + 59_999, Verdict.FIRE), (T0 + 60_000, Verdict.DROP)],
)
def test_a_snapshot_tells_what_its_version_owed(instant_ms: int, verdict: Verdict) -> None:
    snapshot = replace(definition(), until_ms=T0 + 60_000)
    assert judge_snapshot(state(VersionRef("v9", T0 + 90_000, True)), snapshot, instant_ms) is verdict


def test_a_window_says_where_the_next_one_begins() -> None:
    found = window(definition(), T0 + 5_000, T0 + 20_000, 0, 1000)
    assert found == Window((T0 + 5_000, T0 + 10_000, T0 + 15_000, T0 + 20_000), T0 + 25_000)
    assert window(definition(), T0 + 5_000, T0 + 20_000, 0, 2) == Window((T0 + 5_000, T0 + 10_000), T0 + 15_000)


def test_a_window_ends_with_max_runs() -> None:
    bounded = definition(max_runs=3)
    assert window(bounded, T0 + 5_000, T0 + 60_000, 1, 1000) == Window((T0 + 5_000, T0 + 10_000), None)
    assert window(bounded, T0 + 5_000, T0 + 60_000, 3, 1000) == Window((), None)


def test_callers_do_not_see_that_the_queue_runs_ahead_of_the_clock() -> None:
    queued = state(next_run_ms=T0 + 125_000, queued_ms=T0 + 120_000, run_count=24)
    seen = progress(Schedule(definition(), queued), T0 + 12_000)
    assert (seen.state, seen.next_run_ms, seen.run_count) == ("active", T0 + 15_000, 2)


def test_a_schedule_is_completed_only_when_its_last_instant_has_passed() -> None:
    last = state(next_run_ms=None, queued_ms=T0 + 15_000, run_count=3)
    assert progress(Schedule(definition(max_runs=3), last), T0 + 14_000).state == "active"
    assert progress(Schedule(definition(max_runs=3), last), T0 + 15_000).state == "completed"


def test_a_delay_that_waits_for_its_execution_is_active_and_one_with_nothing_left_is_completed() -> None:
    delay = definition(type="DELAY", expr="delay:30s")
    waiting = progress(Schedule(delay, state(queued_ms=T0 + 30_000, run_count=1)), T0 + 31_000)
    assert (waiting.state, waiting.next_run_ms, waiting.run_count) == ("active", None, 1)
    assert progress(Schedule(delay, state(run_count=1)), T0 + 31_000).state == "completed"


def test_the_last_run_is_told_from_the_spans_of_the_last_claims() -> None:
    claimed = state(claims=((T0 + 5_000, T0 + 10_000), (T0 + 15_000, T0 + 20_000)), next_run_ms=T0 + 25_000)
    for now_ms, last in ((T0 + 4_999, None), (T0 + 7_000, T0 + 5_000), (T0 + 16_000, T0 + 15_000)):
        assert progress(Schedule(definition(), claimed), now_ms).last_run_ms == last


def test_the_last_run_is_told_from_claims_that_have_no_records_yet() -> None:
    early = state(claims=((T0 + 5_000, T0 + 5_000),), spans=(ClaimSpan(T0 + 10_000, 5_000, 3, 2, "me"),))
    early = replace(early, next_run_ms=T0 + 25_000)
    for now_ms, last in ((9_999, 5_000), (10_000, 10_000), (19_999, 15_000), (30_000, 20_000)):
        assert progress(Schedule(definition(), early), T0 + now_ms).last_run_ms == T0 + last


PAUSE = VersionRef("v2", T0 + 12_000, False)
EDIT = VersionRef("v2", T0 + 12_000, True)
CLAIMS_AHEAD: list[dict[str, Any]] = [  # of the seconds 10, 15 and 20
    {"spans": (ClaimSpan(T0 + 10_000, 5_000, 3, 2, "me"),)},
    {"claims": ((T0 + 10_000, T0 + 20_000),)},
    {"claims": tuple((T0 + at, T0 + at) for at in (10_000, 15_000, 20_000))},
]


@pytest.mark.parametrize("claims", CLAIMS_AHEAD)
def test_what_a_pause_took_back_is_no_last_run(claims: dict[str, Any]) -> None:
    paused = definition(version="v2", since_ms=PAUSE.since_ms, active=False, overlap="forbid")
    found = state(VersionRef("v1", T0, True), PAUSE, status="paused", **claims)
    for now_ms, last in ((9_999, None), (10_000, T0 + 10_000), (25_000, T0 + 10_000)):
        assert progress(Schedule(paused, found), T0 + now_ms).last_run_ms == last


@pytest.mark.parametrize("claims", CLAIMS_AHEAD[:2])
@pytest.mark.parametrize(
    "edit",
    [
        {"expr": "rate:1h"},
        {"exclude": ((T0, T0 + 60_000),)},
        {"exclude": ((T0 + 12_000, T0 + 60_000),)},
        {"max_runs": 2},
    ],
)
def test_nor_is_what_an_edit_took_back(edit: dict[str, Any], claims: dict[str, Any]) -> None:
    edited = definition(version="v2", since_ms=EDIT.since_ms, **edit)
    more = None if "max_runs" in edit else T0 + 3_600_000
    found = state(VersionRef("v1", T0, True), EDIT, next_run_ms=more, run_count=2, **claims)
    assert progress(Schedule(edited, found), T0 + 25_000).last_run_ms == T0 + 10_000


def test_what_an_edit_left_is_the_last_run() -> None:
    edited = definition(version="v2", since_ms=EDIT.since_ms, payload="1")
    found = state(VersionRef("v1", T0, True), EDIT, next_run_ms=T0 + 25_000, **CLAIMS_AHEAD[0])
    assert progress(Schedule(edited, found), T0 + 21_000).last_run_ms == T0 + 20_000


@pytest.mark.parametrize("overlap", ["allow", "forbid"])
def test_a_run_by_hand_during_a_pause_is_the_last_run(overlap: str) -> None:
    paused = definition(version="v2", since_ms=PAUSE.since_ms, active=False, overlap=overlap)
    by_hand = T0 + 13_123
    found = state(VersionRef("v1", T0, True), PAUSE, status="paused", claims=((by_hand, by_hand),))
    assert progress(Schedule(paused, found), T0 + 25_000).last_run_ms == by_hand


def test_a_span_is_made_of_instants_one_step_apart_and_knows_the_token_of_each() -> None:
    span = span_of([T0, T0 + 1_000, T0 + 2_000], 7, "me")
    assert span == ClaimSpan(T0, 1_000, 3, 7, "me")
    assert [span.token_of(T0 + at) for at in (-1_000, 0, 500, 1_000, 2_000, 3_000)] == [None, 7, None, 8, 9, None]
    assert span_of([T0], 7, "me") == ClaimSpan(T0, 0, 1, 7, "me")
    assert ClaimSpan(T0, 0, 1, 7, "me").token_of(T0 + 1) is None
    assert span_of([T0, T0 + 1_000, T0 + 3_000], 7, "me") is None


def test_a_claim_names_its_span_and_forgets_those_that_are_settled() -> None:
    old, live, new = (ClaimSpan(T0 + n * 10_000, 1_000, 10, 1 + n * 10, "me") for n in range(3))
    claimed = state(fence=20, spans=(old, live)).claimed_as(new, {old})
    assert (claimed.spans, claimed.fence, claimed.reached_ms) == ((live, new), 30, new.last_ms)
    assert claimed.claims == ((old.first_ms, old.last_ms),)
    assert claimed.span_at(T0 + 15_000) == live
    assert claimed.span_at(T0 + 5_000) is None


def test_how_far_a_schedule_has_come_only_grows() -> None:
    moved = state(rev=4).reached(T0)
    assert (moved.reached_ms, moved.rev) == (T0, 5)
    assert moved.reached(T0) is moved
    assert moved.claimed(1, T0 - 5, T0 - 5).reached_ms == T0


def test_a_change_takes_back_what_was_queued_after_it() -> None:
    queued = state(next_run_ms=T0 + 125_000, queued_ms=T0 + 120_000, run_count=24)
    assert queued_after(definition(), queued, T0 + 20_000) == 21  # 20 s itself belongs to the new version


def test_shards_are_stable_and_spread() -> None:
    assert shard_of("beat", 16) == shard_of("beat", 16)
    counts = [0] * 16
    for number in range(16_000):
        counts[shard_of(f"key-{number}", 16)] += 1
    assert min(counts) > 800
    assert max(counts) < 1200


@pytest.mark.parametrize(
    ("fields", "limit_ms"),
    [
        ({}, 60_000),
        ({"catch_up_window_ms": 5_000}, 5_000),
        ({"catch_up_window_ms": 0, "sla_ms": 700}, 700),
        ({"type": "AT", "expr": "at:2030-01-01T00:00:00Z"}, None),
        ({"type": "DELAY", "expr": "delay:1s"}, None),
    ],
)
def test_how_late_an_instant_may_be_delivered(fields: dict[str, object], limit_ms: int | None) -> None:
    assert definition(**fields).late_limit_ms == limit_ms


def test_a_pause_that_ends_by_itself_is_over_at_its_instant() -> None:
    resting = definition(paused_until_ms=T0 + 10_000)
    assert [resting.is_paused_at(T0 + at) for at in (0, 9_999, 10_000)] == [True, True, False]
    assert first_from(resting, T0) == T0 + 10_000
    assert first_from(resting, T0 + 10_001) == T0 + 15_000
    ahead = state(next_run_ms=T0 + 125_000, queued_ms=T0 + 120_000, run_count=23)
    seen = progress(Schedule(resting, ahead), T0 + 2_000)
    assert (seen.state, seen.next_run_ms, seen.run_count) == ("paused", T0 + 10_000, 0)
    assert progress(Schedule(resting, ahead), T0 + 10_000).state == "active"


def test_a_delay_goes_on_after_its_pause_as_if_it_was_resumed_then() -> None:
    assert first_from(definition(type="DELAY", expr="delay:30s", paused_until_ms=T0 + 5_000), T0) == T0 + 35_000


def test_what_a_pause_swallowed_is_completed_after_it() -> None:
    once = definition(type="AT", expr="at:2026-11-21T00:00:05Z", paused_until_ms=T0 + 90_000)
    assert progress(Schedule(once, state()), T0 + 89_999).state == "paused"
    assert progress(Schedule(once, state()), T0 + 90_000).state == "completed"
