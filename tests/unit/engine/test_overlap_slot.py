"""Runs that must not overlap, in virtual time: a target of three seconds on a schedule of one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from msgspec.structs import replace

from chalicelib.core.errors import Conflict, Unavailable
from chalicelib.core.executions.execution import Execution
from chalicelib.core.schedules.request import ScheduleRequest
from chalicelib.core.schedules.schedule import RetryPolicy
from chalicelib.ports.services import Services
from chalicelib.ports.target import Outcome
from chalicelib.usecases import backfill, executions, schedules
from tests.kit.plant import CALLER, Plant
from tests.kit.services import with_stores
from tests.kit.watched import Watched

T0 = 1_795_252_800_000  # 2026-11-21T09:20:00Z
WEBHOOK = {"type": "webhook", "url": "http://127.0.0.1:9/", "method": "POST", "timeout_ms": 30_000}


def busy(plant: Plant, overlap: str, ms: int = 3_000, until_ms: int = T0 + 30_500) -> str:
    plant.hook.answer = plant.hook.slowly(ms)
    schedule_id = plant.create(type="RATE", expr="rate:1s", target=WEBHOOK, overlap=overlap)
    plant.run_until(until_ms)
    return schedule_id


def most_at_once(plant: Plant, schedule_id: str, now_ms: int) -> int:
    """The largest number of attempts of a schedule that ran at one time, by its own journal."""
    edges = Counter[int]()
    for execution in plant.executions(schedule_id):
        for attempt in execution.attempts:
            edges[attempt.started_ms] += 1
            edges[attempt.finished_ms or now_ms] -= 1
    at_once = most = 0
    for _, change in sorted(edges.items()):
        at_once += change
        most = max(most, at_once)
    return most


def test_allow_lets_runs_overlap() -> None:
    plant = Plant(T0)
    beat = busy(plant, "allow")
    assert most_at_once(plant, beat, T0 + 30_500) == 3


def test_forbid_skips_while_one_runs() -> None:
    plant = Plant(T0)
    beat = busy(plant, "forbid")
    found = plant.executions(beat)
    # The run of second 1 ends exactly at second 4, when the next newcomer finds the slot free or just not yet.
    ran = [e.firing_ms - T0 for e in found if e.attempts]
    assert all(later - earlier in (3_000, 4_000) for earlier, later in pairwise(ran))
    assert most_at_once(plant, beat, T0 + 30_500) == 1
    assert len(found) == 30
    skipped = [e for e in found if e.state == "skipped"]
    assert len(skipped) + len(ran) == 30
    assert all("was still running" in str(e.history[-1].reason) for e in skipped)


def test_replace_cancels_the_one_that_runs() -> None:
    plant = Plant(T0)
    beat = busy(plant, "replace")
    found = plant.executions(beat)
    assert len(found) == 30
    assert [e.state for e in found] == ["cancelled"] * 29 + ["in_progress"]
    assert [e.history[-1].reason for e in found[:-1]] == [f"replaced by {e.id}" for e in found[1:]]
    assert most_at_once(plant, beat, T0 + 30_500) == 1
    assert plant.hook.cancelled == [e.id for e in found[:-1]]


def test_queue_lets_one_wait_and_skips_the_others() -> None:
    plant = Plant(T0)
    beat = busy(plant, "queue")
    found = plant.executions(beat)
    assert len(found) == 30
    ran = [e for e in found if e.attempts]
    assert most_at_once(plant, beat, T0 + 30_500) == 1
    starts = [e.attempts[0].started_ms - T0 for e in ran]
    # Back to back: whoever waited begins when the one before has ended, give or take the queue's next look.
    assert all(3_000 <= later - earlier <= 3_400 for earlier, later in pairwise(starts))
    assert {e.state for e in found} == {"completed", "in_progress", "skipped", "pending"}
    assert sum(e.waits for e in found) == 1
    assert all("waits already" in str(e.history[-1].reason) for e in found if e.state == "skipped")
    assert [e.attempt for e in ran] == [1] * len(ran)
    tokens = [e.fencing_token for e in ran]
    assert tokens == sorted(set(tokens))


def test_a_waiter_runs_though_nobody_woke_it() -> None:
    plant = Plant(T0)
    plant.hook.answer = plant.hook.slowly(3_000)
    once = plant.create(type="RATE", expr="rate:30s", target=WEBHOOK, overlap="queue", max_runs=1)
    plant.run_until(T0 + 31_000)
    waiter = schedules.trigger(plant.services, CALLER, once, None, None)
    plant.run_until(T0 + 32_000)
    assert executions.get(plant.services, CALLER, waiter.id).waits
    plant.skip(T0 + 50_000)  # the wake-up goes out and is lost
    plant.queue._letters.clear()
    plant.run_until(T0 + 200_000)
    assert executions.get(plant.services, CALLER, waiter.id).state == "completed"


def test_a_waiter_is_woken_when_a_newcomer_finds_the_slot_free_and_leaves_it_to_it() -> None:
    """The first run has ended, and its worker has yet to wake the one that waits when a third one comes."""
    plant = Plant(T0)
    plain = plant.services
    plant.hook.answer = plant.hook.slowly(2_950)
    plant.create(type="RATE", expr="rate:1s", target=WEBHOOK, overlap="queue", max_runs=4)

    def stand_still(items: Sequence[tuple[Execution, int]]) -> None:
        if items[0][0].state == "completed":
            plant.clock.sleep_until(plant.clock.now_ms() + 500)

    plant.services = with_stores(plain, executions=Watched(plain.stores.executions, "update", stand_still))
    plant.run_until(T0 + 15_000)
    sent = [(d.firing_unix_ms - T0, at_ms - T0) for at_ms, d in plant.hook.sent]
    assert [instant for instant, _ in sent] == [1_000, 2_000, 4_000]  # first come, first served
    assert all(later - earlier < 4_000 for (_, earlier), (_, later) in pairwise(sent))


def test_a_retry_keeps_the_slot() -> None:
    plant = Plant(T0)
    plant.hook.answer = lambda d: Outcome("failed", error_type="http_error") if d.attempt < 3 else Outcome("completed")
    policy = RetryPolicy(base_ms=5_000, backoff="fixed", jitter=False)
    beat = plant.create(type="RATE", expr="rate:4s", target=WEBHOOK, overlap="forbid", retry_policy=policy)
    plant.run_until(T0 + 15_500)
    states = [e.state for e in plant.executions(beat)]
    assert states == ["completed", "skipped", "skipped"]  # 4 s + two waits of 5 s = 14 s


def test_a_slot_whose_worker_died_is_freed_by_reconcile() -> None:
    plant = Plant(T0)
    beat = busy(plant, "forbid", ms=10_000_000, until_ms=T0 + 5_500)
    assert plant.executions(beat)[0].state == "in_progress"
    plant.hook.answer = lambda _: Outcome("completed")
    plant.run_until(T0 + 200_500)
    found = plant.executions(beat)
    assert found[0].state == "completed"
    assert [a.outcome for a in found[0].attempts][-1] == "completed"
    assert found[-1].state == "completed"


def test_triggers_by_hand_take_part() -> None:
    plant = Plant(T0)
    plant.hook.answer = plant.hook.slowly(5_000)
    quiet = plant.create(type="RATE", expr="rate:1h", target=WEBHOOK, overlap="forbid")
    first = schedules.trigger(plant.services, CALLER, quiet, None, None)
    plant.run_until(T0 + 1_000)
    second = schedules.trigger(plant.services, CALLER, quiet, None, None)
    plant.run_until(T0 + 6_000)
    assert executions.get(plant.services, CALLER, first.id).state == "completed"
    ended = executions.get(plant.services, CALLER, second.id)
    assert (ended.state, ended.history[-1].reason) == ("skipped", f"{first.id} was still running")
    executions.retry(plant.services, CALLER, second.id)
    plant.run_until(T0 + 12_000)
    assert executions.get(plant.services, CALLER, second.id).state == "completed"


def test_cancelling_the_running_one_lets_the_waiter_go() -> None:
    plant = Plant(T0)
    plant.hook.answer = plant.hook.slowly(20_000)
    quiet = plant.create(type="RATE", expr="rate:1h", target=WEBHOOK, overlap="queue")
    first = schedules.trigger(plant.services, CALLER, quiet, None, None)
    plant.run_until(T0 + 1_000)
    second = schedules.trigger(plant.services, CALLER, quiet, None, None)
    plant.run_until(T0 + 2_000)
    executions.cancel(plant.services, CALLER, first.id, "enough")
    plant.run_until(T0 + 2_600)
    assert executions.get(plant.services, CALLER, second.id).state == "in_progress"


def test_a_waiter_can_be_cancelled_and_the_next_one_waits() -> None:
    plant = Plant(T0)
    plant.hook.answer = plant.hook.slowly(5_000)
    quiet = plant.create(type="RATE", expr="rate:1h", target=WEBHOOK, overlap="queue")
    ids = []
    for second in range(3):
        plant.run_until(T0 + second * 1_000)
        ids.append(schedules.trigger(plant.services, CALLER, quiet, None, None).id)
        plant.run_until(T0 + second * 1_000 + 500)
        if second == 1:
            executions.cancel(plant.services, CALLER, ids[1], None)
    plant.run_until(T0 + 12_000)
    assert [executions.get(plant.services, CALLER, i).state for i in ids] == ["completed", "cancelled", "completed"]


def test_a_delay_goes_on_after_a_run_that_was_skipped() -> None:
    plant = Plant(T0)
    plant.hook.answer = plant.hook.slowly(5_000)
    chained = plant.create(type="DELAY", expr="delay:10s", target=WEBHOOK, overlap="forbid")
    plant.run_until(T0 + 8_000)
    schedules.trigger(plant.services, CALLER, chained, None, None)
    plant.run_until(T0 + 40_000)
    grid = [e for e in plant.executions(chained) if not e.manual]
    assert [(e.firing_ms - T0, e.state) for e in grid[:2]] == [(10_000, "skipped"), (20_000, "completed")]


def test_replace_lets_the_latest_of_late_instants_win() -> None:
    plant = Plant(T0)
    plant.hook.answer = plant.hook.slowly(60_000)
    beat = plant.create(type="RATE", expr="rate:1h", target=WEBHOOK, overlap="replace")
    assert backfill.backfill(plant.services, CALLER, beat, T0 - 4 * 3_600_000, T0) == 5
    plant.run_until(T0 + 70_000)
    assert [e.state for e in plant.executions(beat)][-1] == "completed"
    assert {e.state for e in plant.executions(beat)[:-1]} <= {"skipped", "cancelled"}


def test_what_is_over_cannot_be_cancelled() -> None:
    plant = Plant(T0)
    beat = busy(plant, "forbid", until_ms=T0 + 4_500)
    with pytest.raises(Conflict, match="already"):
        executions.cancel(plant.services, CALLER, plant.executions(beat)[0].id, None)


CHANGES: dict[str, tuple[Callable[[Services, str], object], list[str]]] = {
    "deleted": (lambda s, key: schedules.delete(s, CALLER, key, None), []),
    "paused": (lambda s, key: schedules.pause(s, CALLER, key, None, None), []),
    "edited": (lambda s, key: schedules.edit(s, CALLER, key, ScheduleRequest(payload='"new"'), None), ["new"]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_changed_while_the_slot_is_taken_is_obeyed(change: str) -> None:
    plant = Plant(T0)
    plain, (act, sent) = plant.services, CHANGES[change]
    beat = plant.create(type="RATE", expr="rate:60s", target=WEBHOOK, overlap="forbid", payload='"old"')
    once = iter([act])
    watched = Watched(plain.stores.schedules, "epochs", lambda _: [act(plain, beat) for act in once])
    plant.services = with_stores(plain, schedules=watched)
    plant.run_until(T0 + 110_000)
    assert [json.loads(d.event)["data"] for _, d in plant.hook.sent] == sent


def test_a_claim_that_was_handed_back_is_not_sent_by_its_former_owner() -> None:
    plant = Plant(T0)
    plain = plant.services
    plant.hook.answer = lambda _: Outcome("accepted", http_status=202)
    beat = plant.create(type="RATE", expr="rate:5s", target=WEBHOOK, overlap="queue", max_runs=2)
    refusals: list[Unavailable] = []

    def handed_back(items: Sequence[tuple[Execution, int]]) -> None:
        """The one that ran ends just now, and wakes the waiter; the waiter's own call to be woken will be refused."""
        if items[0][0].waits:
            executions.complete(plain, CALLER, f"{beat}-{T0 + 5_000}", None)
            refusals.append(Unavailable("throttled"))

    def refuse(_: object) -> None:
        if refusals:
            raise refusals.pop()

    plant.services = replace(
        with_stores(plain, executions=Watched(plain.stores.executions, "update", handed_back)),
        queue=Watched(plain.queue, "send", refuse),
    )
    plant.run_until(T0 + 15_000)
    assert [d.firing_unix_ms - T0 for _, d in plant.hook.sent] == [5_000, 10_000]
    assert not refusals


def stand_still(plant: Plant, after: str, from_ms: int, until_ms: int) -> None:
    """Whoever first has called ``after`` of the tables of schedules, from a time on, stands still until a later one."""
    once = iter([until_ms])

    def wait(_: object) -> None:
        if plant.clock.now_ms() >= from_ms:
            for time_ms in once:
                plant.clock.sleep_until(time_ms)

    plant.services = replace(
        plant.services,
        stores=replace(plant.services.stores, schedules=Watched(plant.services.stores.schedules, after, wait)),
    )


@pytest.mark.parametrize("overlap", ["forbid", "queue", "replace"])
def test_what_must_never_be_late_is_missed_when_its_worker_stands_still_before_it_takes_the_slot(
    overlap: str,
) -> None:
    plant = Plant(T0)
    once = plant.create(
        type="RATE", expr="rate:10s", target=WEBHOOK, overlap=overlap, max_runs=1, catch_up_window_ms=0, sla_ms=1_000
    )
    stand_still(plant, "states", T0 + 10_000, T0 + 13_000)
    plant.run_until(T0 + 200_000)
    assert [(e.state, e.finished_ms) for e in plant.executions(once)] == [("missed", T0 + 13_000)]
    assert plant.hook.sent == []


def test_a_firing_that_is_missed_in_its_slot_lets_the_waiter_go() -> None:
    plant = Plant(T0)
    beat = plant.create(
        type="RATE", expr="rate:2s", target=WEBHOOK, overlap="queue", max_runs=2, catch_up_window_ms=0, sla_ms=1_000
    )
    stand_still(plant, "write_states", T0 + 2_000, T0 + 5_000)  # it has taken the slot
    plant.run_until(T0 + 6_000)
    assert [(e.firing_ms - T0, e.state) for e in plant.executions(beat)] == [(2_000, "missed"), (4_000, "completed")]
