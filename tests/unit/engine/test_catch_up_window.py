"""A catch-up window holds until the dispatch: after a stall, after a death, and not for what was told to wait."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from chalicelib.core import queue_messages
from chalicelib.core.executions.execution import Execution
from chalicelib.core.executions.limits import ATTEMPT_LEASE_MS, RECHECK_AHEAD_MAX_MS
from chalicelib.core.policies import catch_up
from chalicelib.core.queue_messages import Firings, Run
from chalicelib.core.schedules.request import ScheduleRequest
from chalicelib.engine.claim import claim
from chalicelib.engine.claimed import Claimed, Item
from chalicelib.process.admission import Caps
from chalicelib.process.limits import RECHECK_AHEAD_MIN_MS
from chalicelib.usecases import schedules
from tests.kit.plant import CALLER, Plant
from tests.kit.services import with_stores
from tests.kit.watched import Watched

T0 = 1_795_252_800_000  # 2026-11-21T09:20:00Z
AT_MS = T0 + 10_000
WEBHOOK = {"type": "webhook", "url": "http://127.0.0.1:9/", "method": "POST", "timeout_ms": 30_000}
ONCE = {"type": "RATE", "expr": "rate:10s", "max_runs": 1, "target": WEBHOOK}


def stand_still(plant: Plant, method: str, at_ms: int, for_ms: int) -> None:
    """The first worker that has called ``method`` of the schedules' store at ``at_ms`` or later stands still."""
    stalls = [for_ms]

    def wait(*_: object) -> None:
        if stalls and plant.clock.now_ms() >= at_ms:
            plant.clock.sleep_until(plant.clock.now_ms() + stalls.pop())

    plant.services = with_stores(plant.services, schedules=Watched(plant.services.stores.schedules, method, wait))


def claim_and_die(plant: Plant) -> list[Claimed]:
    """A worker claims what the queue gives it, and is never seen again."""
    items: list[Item] = []
    for incoming in plant.queue.receive():
        decoded = queue_messages.decode(incoming.body)
        items += decoded.firings if isinstance(decoded, Firings) else [decoded] if isinstance(decoded, Run) else []
    return list(claim(plant.services, items).claimed)


def paced(plant: Plant, **fields: object) -> tuple[str, Execution]:
    """A schedule after an outage, and the last of its instants that wait for their catch-up slots."""
    beat = plant.create(type="RATE", expr="rate:1s", max_runs=10, target=WEBHOOK, **fields)
    plant.skip(T0 + 12_500)
    plant.run_until(T0 + 12_600)
    waiting = [e for e in plant.executions(beat) if e.state == "pending" and e.retry_at_ms is not None]
    assert len(waiting) >= 5
    return beat, waiting[-1]


@pytest.mark.parametrize("method", ["write_states", "epochs"])
@pytest.mark.parametrize(("stall_ms", "state"), [(3_500, "missed"), (2_000, "completed")])
def test_what_a_stalled_worker_holds_is_missed_once_its_window_has_passed(
    method: str, stall_ms: int, state: str
) -> None:
    plant = Plant(T0)
    once = plant.create(**ONCE, catch_up_window_ms=3_000)
    early_ms = 1_500 if method == "write_states" else RECHECK_AHEAD_MAX_MS
    stand_still(plant, method, AT_MS - early_ms, stall_ms + early_ms)
    plant.run_until(T0 + 60_000)
    [run] = plant.executions(once)
    assert run.state == state
    assert len(plant.hook.sent) == (state == "completed")
    if state == "missed":
        assert run.history[-1].reason == "older than the catch-up window"


@pytest.mark.parametrize(("window_ms", "state"), [(3_000, "missed"), (60_000, "completed")])
def test_what_a_dead_worker_had_claimed_is_taken_over_within_its_window_alone(window_ms: int, state: str) -> None:
    plant = Plant(T0)
    once = plant.create(**ONCE, catch_up_window_ms=window_ms)
    plant.skip(AT_MS - 1_000)
    [claimed] = claim_and_die(plant)
    assert claimed.due_ms == AT_MS
    plant.run_until(AT_MS + 2 * ATTEMPT_LEASE_MS + 60_000)
    [run] = plant.executions(once)
    assert (run.state, len(plant.hook.sent)) == (state, state == "completed")


def test_a_catch_up_slot_is_kept_although_it_lies_beyond_the_window() -> None:
    plant = Plant(T0, catch_up_per_minute=12)
    beat, last = paced(plant, catch_up_window_ms=11_000)
    assert last.retry_at_ms is not None
    assert last.retry_at_ms > last.firing_ms + 11_000
    plant.run_until(T0 + 120_000)
    states = {e.firing_ms - T0: e.state for e in plant.executions(beat)}
    assert states == {1_000: "missed", **{k * 1_000: "completed" for k in range(2, 11)}}


def test_a_catch_up_slot_is_kept_by_a_worker_that_stalls() -> None:
    plant = Plant(T0, catch_up_per_minute=12)
    beat, last = paced(plant, catch_up_window_ms=11_000)
    assert last.retry_at_ms is not None
    stand_still(plant, "epochs", last.retry_at_ms - RECHECK_AHEAD_MAX_MS, 15_000)
    plant.run_until(last.retry_at_ms + 120_000)
    ended = {e.key: e for e in plant.executions(beat)}[last.key]
    assert ended.state == "completed"
    assert ended.attempts[0].started_ms == last.retry_at_ms + 15_000 - RECHECK_AHEAD_MIN_MS


def test_a_catch_up_slot_is_kept_after_a_worker_that_died() -> None:
    plant = Plant(T0, catch_up_per_minute=12)
    beat, last = paced(plant, catch_up_window_ms=11_000)
    assert last.retry_at_ms is not None
    plant.skip(last.retry_at_ms - 500)
    taken = {claimed.execution.key for claimed in claim_and_die(plant)}
    assert last.key in taken
    plant.run_until(last.retry_at_ms + 200_000)
    ended = {e.key: e for e in plant.executions(beat)}
    assert {(ended[key].state, ended[key].attempt) for key in taken} == {("completed", 2)}


def test_what_an_edit_took_out_is_skipped_and_not_missed_when_its_worker_stalls() -> None:
    plant = Plant(T0)
    once = plant.create(**ONCE, catch_up_window_ms=3_000)
    stand_still(plant, "epochs", AT_MS, 6_000)
    plant.clock.at(
        AT_MS - 300, lambda: schedules.edit(plant.services, CALLER, once, ScheduleRequest(expr="rate:7h"), None)
    )
    plant.run_until(T0 + 60_000)
    assert [e.state for e in plant.executions(once)] == ["skipped"]


def test_what_waits_for_a_limit_longer_than_its_window_is_missed() -> None:
    plant = Plant(T0, caps=Caps(target_in_flight=1))
    plant.hook.answer = plant.hook.slowly(5_000)
    ids = [plant.create(**ONCE, owner="ann", catch_up_window_ms=3_000) for _ in range(2)]
    plant.run_until(T0 + 60_000)
    assert sorted(e.state for i in ids for e in plant.executions(i)) == ["completed", "missed"]


def test_a_firing_that_the_run_before_it_kept_waiting_is_sent_after_its_window() -> None:
    plant = Plant(T0)
    plant.hook.answer = plant.hook.slowly(9_000)
    fields = {**ONCE, "expr": "rate:2s", "max_runs": 2, "overlap": "queue"}
    beat = plant.create(**fields, catch_up_window_ms=3_000)
    plant.run_until(T0 + 60_000)
    assert [e.state for e in plant.executions(beat)] == ["completed", "completed"]
    assert plant.executions(beat)[1].lateness_ms is not None
    assert plant.executions(beat)[1].lateness_ms > 3_000  # type: ignore[operator]


def record(**changes: object) -> Execution:
    """A first claim, made a second before its instant."""
    plain = Execution(
        tenant="default", schedule_id="s", firing_ms=AT_MS, shard=0, version="v", owner="o", target_type="webhook",
        created_ms=AT_MS - 1_000, attempt=1, lease_until_ms=AT_MS + ATTEMPT_LEASE_MS,
    )  # fmt: skip
    return replace(plain, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "keeps"),
    [
        ({}, False),
        ({"created_ms": AT_MS + 2_500, "lease_until_ms": AT_MS + 2_500 + ATTEMPT_LEASE_MS}, False),  # claimed late
        ({"offset_ms": 9_000, "lease_until_ms": AT_MS + 9_000 + ATTEMPT_LEASE_MS}, False),  # meant to be, by its jitter
        ({"lease_until_ms": AT_MS + 30_000 + ATTEMPT_LEASE_MS}, False),  # it waits for its turn: its claim was renewed
        ({"put_off_ms": AT_MS + 7_500}, True),  # a slot, or handed back and claimed again
        ({"put_off_ms": AT_MS}, False),  # given back by a worker that stopped
        ({"put_off_ms": AT_MS + 900, "offset_ms": 900}, False),  # the same, with its jitter
    ],
)
def test_only_what_was_claimed_for_a_later_time_than_its_own_keeps_it(changes: dict[str, object], keeps: bool) -> None:
    assert catch_up.keeps_its_time(record(**changes)) is keeps
