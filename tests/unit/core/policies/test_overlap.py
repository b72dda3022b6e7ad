"""Whose turn it is, as a table: policy, what runs, what waits, and what becomes of the newcomer."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from chalicelib.core.executions.execution import (
    CANCELLED,
    COMPLETED,
    IN_PROGRESS,
    OPEN,
    PENDING,
    STATES,
    Execution,
    Transition,
)
from chalicelib.core.policies.overlap import SlotVerdict, decide, end_state, ref_of, refs
from chalicelib.core.schedules.schedule import RunRef, State, VersionRef

T = 1_795_252_800_000
STATE = State(tenant="t", id="s", shard=0, rev=7, versions=(VersionRef("v", 0, True),))


def record(second: int, state: str = PENDING, **changes: object) -> Execution:
    made = Execution(
        tenant="t",
        schedule_id="s",
        firing_ms=T + second * 1000,
        shard=0,
        version="v",
        owner="o",
        target_type="webhook",
        created_ms=T,
        state=state,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def turn(
    policy: str, newcomer: Execution, running: Execution | None, waiting: Execution | None = None
) -> tuple[SlotVerdict, State]:
    state = replace(
        STATE,
        running=None if running is None else ref_of(running),
        waiting=None if waiting is None else ref_of(waiting),
    )
    records = {e.key: e for e in (running, waiting) if e is not None}
    decision = decide(policy, newcomer, state, records)
    assert decision.state is None or decision.state.rev == state.rev + 1
    return decision.verdict, decision.state or state


@pytest.mark.parametrize("policy", ["forbid", "replace", "queue"])
@pytest.mark.parametrize("running", [None, *(record(1, state) for state in STATES if state not in OPEN)])
def test_a_free_slot_is_taken(policy: str, running: Execution | None) -> None:
    answer, state = turn(policy, record(2), running)
    assert (answer, state.running, state.waiting) == (SlotVerdict.RUN, RunRef(T + 2000), None)


@pytest.mark.parametrize("policy", ["forbid", "replace", "queue"])
def test_the_holder_goes_on_without_a_write(policy: str) -> None:
    held = replace(STATE, running=RunRef(T + 1000), waiting=RunRef(T + 2000))
    assert decide(policy, record(1), held, {}).state is None
    assert decide(policy, record(1), held, {}).verdict is SlotVerdict.RUN


def test_an_expired_record_holds_nothing() -> None:
    held = replace(STATE, running=RunRef(T + 1000))
    assert decide("forbid", record(2), held, {}).verdict is SlotVerdict.RUN


@pytest.mark.parametrize("state", sorted(OPEN))
def test_forbid_skips(state: str) -> None:
    answer, after = turn("forbid", record(2), record(1, state))
    assert (answer, after.running) == (SlotVerdict.SKIP, RunRef(T + 1000))


def test_replace_lets_the_later_instant_win() -> None:
    assert turn("replace", record(2), record(1))[0] is SlotVerdict.REPLACE
    assert turn("replace", record(1), record(2))[0] is SlotVerdict.SKIP
    assert turn("replace", record(1, manual=True), record(2))[0] is SlotVerdict.REPLACE
    asked = record(1, history=(Transition("failed", "pending", T),))
    assert turn("replace", asked, record(2))[0] is SlotVerdict.REPLACE


def test_queue_lets_one_wait() -> None:
    answer, state = turn("queue", record(2), record(1))
    assert (answer, state.running, state.waiting) == (SlotVerdict.WAIT, RunRef(T + 1000), RunRef(T + 2000))
    assert turn("queue", record(3), record(1), record(2))[0] is SlotVerdict.SKIP
    assert turn("queue", record(3), record(1), record(2, CANCELLED))[0] is SlotVerdict.WAIT


def test_a_waiter_goes_before_a_newcomer() -> None:
    answer, state = turn("queue", record(3), record(1, COMPLETED), record(2))
    assert (answer, state.running, state.waiting) == (SlotVerdict.WAIT, RunRef(T + 2000), RunRef(T + 3000))
    answer, state = turn("queue", record(2), record(1, COMPLETED), record(2))
    assert (answer, state.running, state.waiting) == (SlotVerdict.RUN, RunRef(T + 2000), None)


def test_the_waiter_that_looks_again_writes_nothing_while_it_has_to_wait() -> None:
    state = replace(STATE, running=RunRef(T + 1000), waiting=RunRef(T + 2000))
    records = {e.key: e for e in (record(1), record(2))}
    decision = decide("queue", record(2), state, records)
    assert (decision.verdict, decision.state) == (SlotVerdict.WAIT, None)
    assert set(refs(state)) == set(records)


def test_a_manual_run_is_told_from_the_firing_of_the_same_instant() -> None:
    by_hand = record(1, manual=True)
    assert turn("forbid", record(1), by_hand)[0] is SlotVerdict.SKIP


def test_what_had_begun_is_cancelled_and_what_had_not_is_skipped() -> None:
    assert (end_state(record(1)), end_state(record(1, IN_PROGRESS))) == ("skipped", "cancelled")
