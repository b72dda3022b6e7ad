"""The state machine of an execution: attempts are leases, and nothing leaves the table."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from chalicelib.core.errors import Conflict
from chalicelib.core.executions import journal
from chalicelib.core.executions.execution import STATES, TRANSITIONS, Execution, ExecutionKey, parse_id
from chalicelib.core.executions.journal import AttemptResult
from chalicelib.core.executions.limits import ATTEMPT_LEASE_MS
from chalicelib.core.executions.retry import backoff_ms
from chalicelib.core.schedules.schedule import RetryPolicy

T = 1_795_252_805_000
POLICY = RetryPolicy(max_attempts=3, base_ms=1000, jitter=False)


def record(**changes: object) -> Execution:
    fields: dict[str, object] = {
        "tenant": "default",
        "schedule_id": "S",
        "firing_ms": T,
        "shard": 0,
        "version": "v1",
        "owner": "anonymous",
        "target_type": "webhook",
        "created_ms": T - 1000,
    }
    return Execution(**{**fields, **changes})  # type: ignore[arg-type]


def claimed(**changes: object) -> Execution:
    return journal.claim(record(**changes), "worker", 7, T - 1000)


def test_a_first_success_goes_through_both_transitions() -> None:
    done = journal.finish(claimed(), AttemptResult("completed", http_status=200), POLICY, T + 2, T + 6)
    assert [(h.source, h.target, h.at_ms) for h in done.history] == [
        ("pending", "in_progress", T + 2),
        ("in_progress", "completed", T + 6),
    ]
    assert (done.state, done.lateness_ms, done.late, done.fencing_token) == ("completed", 2, False, 7)
    assert (done.attempts[0].started_ms, done.attempts[0].finished_ms) == (T + 2, T + 6)
    assert done.open_until_ms is None


def test_a_claim_outlasts_the_instant() -> None:
    assert claimed().lease_until_ms == T + ATTEMPT_LEASE_MS
    assert claimed().leased(T + ATTEMPT_LEASE_MS - 1)
    assert not claimed().leased(T + ATTEMPT_LEASE_MS)


def test_a_claim_ends_a_hold_also_of_what_was_skipped_meanwhile() -> None:
    held = journal.hold(claimed(), T - 900, T + 60_000)
    assert held.is_held
    skipped = journal.settle(held, "skipped", T - 500, "the schedule was paused")
    again = journal.claim(replace(journal.reopen(skipped, T, "owed again"), retry_at_ms=None), "worker", 8, T)
    assert (again.is_held, again.held_until_ms) == (False, T)
    assert not claimed().is_held


def test_a_failure_waits_in_progress_for_its_next_attempt_until_they_are_spent() -> None:
    failed = AttemptResult("failed", error_type="http_error", http_status=500)
    first = journal.finish(claimed(), failed, POLICY, T, T + 10)
    assert (first.state, first.retry_at_ms) == ("in_progress", T + 1010)
    second = journal.finish(journal.claim(first, "worker", 8, T + 1010), failed, POLICY, T + 1010, T + 1020)
    assert second.retry_at_ms == T + 3020
    third = journal.finish(journal.claim(second, "worker", 9, T + 3020), failed, POLICY, T + 3020, T + 3030)
    assert (third.state, third.retry_at_ms, len(third.attempts)) == ("failed", None, 3)
    assert [a.fencing_token for a in third.attempts] == [7, 8, 9]


def test_retry_after_prolongs_the_wait_and_permanent_ends_it() -> None:
    asked = journal.finish(claimed(), AttemptResult("failed", retry_after_ms=5000), POLICY, T, T + 10)
    assert asked.retry_at_ms == T + 5010
    rejected = journal.finish(
        claimed(), AttemptResult("failed", error_type="rejected", permanent=True), POLICY, T, T + 10
    )
    assert rejected.state == "failed"


def test_a_last_attempt_that_timed_out_is_a_timeout() -> None:
    done = journal.finish(
        claimed(), AttemptResult("timeout", error_type="timeout"), RetryPolicy(max_attempts=1), T, T + 10
    )
    assert done.state == "timeout"


def test_a_lost_worker_does_not_count_against_the_policy() -> None:
    expired = claimed()
    lost = journal.lose(expired, RetryPolicy(max_attempts=1), T + ATTEMPT_LEASE_MS)
    assert (lost.state, lost.attempts[0].outcome) == ("in_progress", "lost")
    assert lost.retry_at_ms == T + ATTEMPT_LEASE_MS


def test_a_lost_attempt_says_nothing_about_lateness() -> None:
    """Nobody knows whether it was sent: the one after it, or one that was written down as begun before it, does."""
    end_ms = T + ATTEMPT_LEASE_MS
    lost = journal.lose(claimed(), POLICY, end_ms)
    assert (lost.lateness_ms, lost.late) == (None, False)
    taken_over = journal.claim(lost, "b", 9, end_ms)
    done = journal.finish(taken_over, AttemptResult("completed"), POLICY, end_ms + 7, end_ms + 9)
    assert (done.lateness_ms, done.late) == (end_ms + 7 - T, True)
    failed = journal.finish(claimed(), AttemptResult("failed"), POLICY, T + 3, T + 10)
    again = journal.claim(failed, "b", 9, end_ms)
    assert journal.lose(again, POLICY, again.lease_until_ms or 0).lateness_ms == 3


def test_an_accepted_attempt_that_is_never_completed_times_out() -> None:
    accepted = journal.accepted(claimed(), T + 1, T + 5000)
    assert accepted.asynchronous
    assert journal.lose(accepted, RetryPolicy(max_attempts=1), T + 5000).state == "timeout"


def test_a_running_attempt_is_listed_once() -> None:
    running = journal.running(claimed(), T + 1, T + 40_000)
    done = journal.finish(running, AttemptResult("completed"), POLICY, T + 1, T + 500)
    assert len(done.attempts) == 1
    assert [h.target for h in done.history] == ["in_progress", "completed"]


def test_cancel_ends_the_running_attempt_and_refuses_what_is_over() -> None:
    cancelled = journal.cancel(journal.running(claimed(), T, T + 40_000), T + 100, "enough")
    assert (cancelled.state, cancelled.attempts[0].outcome) == ("cancelled", "cancelled")
    assert cancelled.history[-1].reason == "enough"
    with pytest.raises(Conflict, match="already cancelled"):
        journal.cancel(cancelled, T + 200, None)


def test_reopening_is_for_what_is_over_without_success() -> None:
    with pytest.raises(Conflict):
        journal.reopen(claimed(), T)
    with pytest.raises(Conflict):
        journal.reopen(journal.finish(claimed(), AttemptResult("completed"), POLICY, T, T), T)
    again = journal.reopen(journal.cancel(claimed(), T, None), T + 9)
    assert (again.state, again.retry_at_ms, again.finished_ms) == ("pending", T + 9, None)


def test_no_function_takes_a_step_outside_the_table() -> None:
    for state in STATES:
        for target in STATES:
            start = replace(claimed(), state=state)
            if target in TRANSITIONS[state]:
                assert journal._move(start, target, T).state == target
            else:
                with pytest.raises(Conflict):
                    journal._move(start, target, T)


def test_jitter_moves_the_due_time_and_is_not_lateness() -> None:
    spread = claimed(offset_ms=300)
    assert spread.due_ms == T + 300
    assert journal.finish(spread, AttemptResult("completed"), POLICY, T + 302, T + 303).lateness_ms == 2


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("S-5", ExecutionKey("t", "S", 5)),
        ("S-5-m", ExecutionKey("t", "S", 5, True)),
        ("S", None),
        ("S--5", None),
        ("S-5-x", None),
        ("S-٥", None),
        ("S-0", ExecutionKey("t", "S", 0)),
        ("S-05", None),
        ("S-00-m", None),
        ("S-5-m-m", None),
    ],
)
def test_ids_are_read_strictly(text: str, key: ExecutionKey | None) -> None:
    assert parse_id("t", text) == key


def test_backoff_doubles_to_its_bound_and_jitter_is_a_tenth() -> None:
    plain = RetryPolicy(base_ms=1000, max_ms=5000, jitter=False)
    assert [backoff_ms(plain, n, "x") for n in (1, 2, 3, 4, 100)] == [1000, 2000, 4000, 5000, 5000]
    assert backoff_ms(RetryPolicy(backoff="fixed", base_ms=700, jitter=False), 9, "x") == 700
    waits = {backoff_ms(RetryPolicy(base_ms=1000), 1, f"e{n}") for n in range(500)}
    assert 900 <= min(waits) < 950
    assert 1050 < max(waits) <= 1100
