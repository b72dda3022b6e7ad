"""The way of a firing, end to end in virtual time."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from chalicelib.core.errors import InvalidField, OutcomeUnknown, Unavailable
from chalicelib.core.instants import parse_rfc3339, to_rfc3339
from chalicelib.core.schedules.request import ScheduleRequest
from chalicelib.core.schedules.schedule import progress
from chalicelib.engine.execution_change import cancel_running
from chalicelib.ports.target import Outcome
from chalicelib.ports.work_queue import Outgoing, WorkQueue
from chalicelib.process.limits import SHARED_INSTANTS
from chalicelib.usecases import backfill, executions, schedules
from tests.kit.plant import CALLER, Plant
from tests.kit.watched import Watched

T0 = 1_795_252_800_000  # 2026-11-21T09:20:00Z
WEBHOOK = {"type": "webhook", "url": "http://127.0.0.1:9/", "method": "POST", "timeout_ms": 30_000}


class OnceUnanswered:
    """A queue that takes the first messages and does not say so."""

    def __init__(self, inner: WorkQueue) -> None:
        self._inner = inner
        self.send_dead, self.hide = inner.send_dead, inner.hide
        self._answers = False

    def send(self, messages: Sequence[Outgoing]) -> None:
        self._inner.send(messages)
        answers, self._answers = self._answers, True
        if not answers:
            raise OutcomeUnknown("no answer")


def test_every_instant_of_a_rate_fires_once_at_its_time() -> None:
    plant = Plant(T0)
    beat = plant.create(type="RATE", expr="rate:1s")
    plant.run_until(T0 + 300_500)
    assert plant.bus.instants(beat) == [T0 + k * 1000 for k in range(1, 301)]
    assert all(sent_ms == delivery.firing_unix_ms for sent_ms, delivery in plant.bus.sent)
    tokens = [delivery.fencing_token for _, delivery in plant.bus.sent]
    assert tokens == sorted(set(tokens))


def test_a_crowd_is_sent_a_few_milliseconds_late_and_never_early() -> None:
    plant = Plant(T0)
    most = SHARED_INSTANTS[-1][0]
    ids = [plant.create(type="AT", expr=f"at:{to_rfc3339(T0 + 60_000 + n)}") for n in range(3 * most)]
    alone = plant.create(type="AT", expr=f"at:{to_rfc3339(T0 + 65_003)}")
    plant.run_until(T0 + 70_000)
    late = [sent_ms - d.firing_unix_ms for sent_ms, d in plant.bus.sent if d.schedule_id != alone]
    assert len(late) == len(ids)
    assert len({d.schedule_id for _, d in plant.bus.sent}) == len(plant.bus.sent)
    assert min(late) == 0
    assert 0 < max(late) < SHARED_INSTANTS[0][1]
    assert [sent_ms for sent_ms, d in plant.bus.sent if d.schedule_id == alone] == [T0 + 65_003]


def test_what_was_claimed_before_there_was_a_crowd_is_sent_with_it() -> None:
    plant = Plant(T0)
    most, span_ms = SHARED_INSTANTS[-1]
    for n in range(most):  # the last of them makes it a crowd
        plant.create(type="AT", expr=f"at:{to_rfc3339(T0 + 60_000 + 3 * n)}")
    plant.run_until(T0 + 70_000)
    assert len(plant.bus.sent) == most
    assert {sent_ms % span_ms for sent_ms, _ in plant.bus.sent} == {span_ms - 1}


def test_what_moved_to_a_shared_job_that_fails_comes_again() -> None:
    plant = Plant(T0)
    most = SHARED_INSTANTS[-1][0]
    for n in range(most):
        plant.create(type="AT", expr=f"at:{to_rfc3339(T0 + 60_000 + 3 * n)}")

    def fail_for_a_while(_: object) -> None:
        if T0 + 59_000 < plant.clock.now_ms() < T0 + 62_000:
            raise Unavailable("away")

    plain = plant.services.stores
    plant.services = replace(
        plant.services, stores=replace(plain, schedules=Watched(plain.schedules, "epochs", fail_for_a_while))
    )
    plant.run_until(T0 + 100_000)  # reconcile would find them later
    sent = [d.schedule_id for _, d in plant.bus.sent if d.fencing_token]  # else it is an event of this service
    assert len(set(sent)) == len(sent) == most


@pytest.mark.parametrize(("overlap", "together"), [("allow", True), ("queue", False)])
def test_what_is_late_in_a_crowd_is_rechecked_together(overlap: str, together: bool) -> None:
    plant = Plant(T0)
    most = SHARED_INSTANTS[-1][0]
    ids = [
        plant.create(type="AT", expr=f"at:{to_rfc3339(T0 + 60_000 + n)}", overlap=overlap, catch_up_window_ms=60_000)
        for n in range(3 * most)
    ]
    plant.run_until(T0 + 1_000)
    plant.skip(T0 + 70_000)
    rechecks = list[object]()
    plain = plant.services.stores
    plant.services = replace(
        plant.services, stores=replace(plain, schedules=Watched(plain.schedules, "epochs", rechecks.append))
    )
    plant.run_until(T0 + 75_000)
    assert sorted(d.schedule_id for _, d in plant.bus.sent) == sorted(ids)
    assert (len(rechecks) < most + 50) is together


def test_an_at_beyond_the_horizon_waits_in_the_index_and_fires_once() -> None:
    plant = Plant(T0)
    once = plant.create(type="AT", expr="at:2026-11-21T09:40:00.250Z")
    plant.run_until(T0 + 1_300_000)
    assert plant.bus.instants(once) == [T0 + 1_200_250]
    assert progress(plant.get(once), plant.clock.now_ms()).state == "completed"


def test_what_a_pause_or_a_deletion_stops_inside_the_horizon_is_not_delivered() -> None:
    plant = Plant(T0)
    paused, deleted = (plant.create(type="RATE", expr="rate:5s") for _ in range(2))
    plant.run_until(T0 + 12_000)
    schedules.pause(plant.services, CALLER, paused, None, None)
    schedules.delete(plant.services, CALLER, deleted, None)
    plant.run_until(T0 + 200_000)
    assert plant.bus.instants(paused) == [T0 + 5_000, T0 + 10_000]
    assert plant.bus.instants(deleted) == [T0 + 5_000, T0 + 10_000]


def test_resume_goes_on_in_step_with_the_grid() -> None:
    plant = Plant(T0)
    beat = plant.create(type="RATE", expr="rate:10s")
    plant.run_until(T0 + 12_000)
    schedules.pause(plant.services, CALLER, beat, None, None)
    plant.run_until(T0 + 47_000)
    schedules.resume(plant.services, CALLER, beat, None)
    plant.run_until(T0 + 71_000)
    assert plant.bus.instants(beat) == [T0 + 10_000, T0 + 50_000, T0 + 60_000, T0 + 70_000]


def test_an_edit_takes_the_future_and_leaves_the_past() -> None:
    plant = Plant(T0)
    beat = plant.create(type="RATE", expr="rate:10s", payload='"old"')
    plant.run_until(T0 + 14_900)
    schedules.edit(plant.services, CALLER, beat, ScheduleRequest(expr="rate:5s", payload='"new"'), None)
    plant.run_until(T0 + 31_000)
    assert plant.bus.instants(beat) == [T0 + k for k in (10_000, 15_000, 20_000, 25_000, 30_000)]
    assert [b'"new"' in d.event for _, d in plant.bus.sent] == [False, True, True, True, True]


def test_after_an_outage_the_young_are_delivered_late_and_the_old_are_missed() -> None:
    plant = Plant(T0)
    beat = plant.create(type="RATE", expr="rate:10s", catch_up_window_ms=30_000)
    plant.run_until(T0 + 11_000)
    plant.skip(T0 + 400_000)
    plant.run_until(T0 + 500_000)
    states = {e.firing_ms: e.state for e in plant.executions(beat)}
    assert set(states) == {T0 + k * 10_000 for k in range(1, 51)}
    missed = {at for at, state in states.items() if state == "missed"}
    assert missed == {T0 + k * 10_000 for k in range(2, 37)}
    assert len(plant.bus.instants(beat)) == len(set(plant.bus.instants(beat))) == 15


def test_a_receiver_that_fails_twice_gets_three_attempts_with_growing_waits() -> None:
    plant = Plant(T0)
    plant.hook.answer = lambda d: (
        Outcome("failed", error_type="http_error", http_status=500) if d.attempt < 3 else Outcome("completed")
    )
    once = plant.create(type="AT", expr="at:2026-11-21T09:20:30Z", target=WEBHOOK)
    plant.run_until(T0 + 60_000)
    [done] = plant.executions(once)
    assert (done.state, [a.outcome for a in done.attempts]) == ("completed", ["failed", "failed", "completed"])
    starts = [a.started_ms for a in done.attempts]
    assert 800 <= starts[1] - starts[0] <= 1200
    assert 1600 <= starts[2] - starts[1] <= 2400
    assert [d.fencing_token for _, d in plant.hook.sent] == [1, 2, 3]


def test_what_is_out_of_attempts_goes_to_the_dead_letters_with_its_event() -> None:
    plant = Plant(T0)
    plant.hook.answer = lambda _: Outcome("failed", error_type="connection_error", error="refused")
    once = plant.create(type="AT", expr="at:2026-11-21T09:20:30Z", target=WEBHOOK, payload='{"n":7}')
    plant.run_until(T0 + 120_000)
    [failed] = plant.executions(once)
    assert failed.state == "failed"
    [letter] = plant.queue.dead
    assert letter.execution_id == failed.id
    assert '"data":{"n":7}' in letter.event


def test_a_gone_webhook_pauses_its_schedule() -> None:
    plant = Plant(T0)
    plant.hook.answer = lambda _: Outcome(
        "failed", http_status=410, error_type="http_error", permanent=True, pause_schedule=True
    )
    beat = plant.create(type="RATE", expr="rate:5s", target=WEBHOOK)
    plant.run_until(T0 + 30_000)
    assert len(plant.hook.sent) == 1
    assert plant.get(beat).state.status == "paused"


def test_a_delay_counts_from_the_end_of_the_last_run() -> None:
    plant = Plant(T0)
    chained = plant.create(type="DELAY", expr="delay:30s", max_runs=4)
    plant.run_until(T0 + 600_000)
    ends = [e.finished_ms for e in plant.executions(chained)]
    assert plant.bus.instants(chained) == [T0 + 30_000, *(end + 30_000 for end in ends[:3] if end)]
    assert len(ends) == 4


def test_a_retry_begins_no_run_beside_the_one_that_its_first_end_had_queued() -> None:
    plant = Plant(T0)
    plant.hook.answer = lambda _: Outcome("failed", error_type="http_error", permanent=True)
    chained = plant.create(type="DELAY", expr="delay:10s", max_runs=2, target=WEBHOOK)
    plant.services = replace(plant.services, queue=OnceUnanswered(plant.services.queue))
    plant.run_until(T0 + 25_000)
    first, second = plant.executions(chained)
    assert (first.state, second.firing_ms) == ("failed", T0 + 20_000)
    executions.retry(plant.services, CALLER, first.id)
    plant.run_until(T0 + 300_000)
    assert [e.firing_ms for e in plant.executions(chained)] == [T0 + 10_000, T0 + 20_000]


def test_a_retry_whose_message_is_faster_than_its_write_begins_within_a_second() -> None:
    plant = Plant(T0)
    plain = plant.services
    plant.hook.answer = lambda _: Outcome("failed", error_type="http_error", permanent=True)
    once = plant.create(type="RATE", expr="rate:10s", max_runs=1, target=WEBHOOK)
    plant.run_until(T0 + 12_000)
    slow = Watched(plain.queue, "send", lambda _: plant.clock.sleep_until(plant.clock.now_ms() + 300))
    plant.clock.start(lambda: executions.retry(replace(plain, queue=slow), CALLER, f"{once}-{T0 + 10_000}"))
    plant.run_until(T0 + 13_000)
    assert [d.attempt for _, d in plant.hook.sent] == [1, 2]


def test_an_accepted_delivery_is_completed_by_its_caller() -> None:
    plant = Plant(T0)
    plant.hook.answer = lambda _: Outcome("accepted", http_status=202)
    chained = plant.create(type="DELAY", expr="delay:10s", target=WEBHOOK)
    plant.run_until(T0 + 15_000)
    [waiting] = plant.executions(chained)
    assert (waiting.state, waiting.asynchronous) == ("in_progress", True)
    executions.complete(plant.services, CALLER, waiting.id, '{"rows":3}')
    plant.run_until(T0 + 40_000)
    first, second = plant.executions(chained)
    assert (first.state, first.result) == ("completed", '{"rows":3}')
    assert second.firing_ms == T0 + 25_000


def test_a_cancelled_firing_is_not_delivered_though_it_was_claimed() -> None:
    plant = Plant(T0, lead_ms=5_000)
    beat = plant.create(type="RATE", expr="rate:30s")
    cancel_at = T0 + 27_000
    plant.services.tasks.at(
        cancel_at, lambda: executions.cancel(plant.services, CALLER, f"{beat}-{T0 + 30_000}", "no") and None
    )
    plant.run_until(T0 + 61_000)
    assert plant.bus.instants(beat) == [T0 + 60_000]
    assert plant.executions(beat)[0].state == "cancelled"


def test_a_cancelled_firing_that_is_retried_at_once_is_sent_once_though_the_canceller_died() -> None:
    plant = Plant(T0, lead_ms=5_000)
    beat = plant.create(type="RATE", expr="rate:30s", target=WEBHOOK)
    name = f"{beat}-{T0 + 30_000}"

    def cancel_and_retry() -> None:
        cancel_running(plant.services, executions.get(plant.services, CALLER, name), None)  # it tells no worker
        executions.retry(plant.services, CALLER, name)

    plant.services.tasks.at(T0 + 29_000, cancel_and_retry)
    plant.run_until(T0 + 45_000)
    assert [d.attempt for _, d in plant.hook.sent] == [2]


def test_jitter_spreads_and_stays_the_same_on_retry() -> None:
    plant = Plant(T0)
    beat = plant.create(type="RATE", expr="rate:10s", jitter_ms=5_000)
    plant.run_until(T0 + 206_000)
    delays = [sent_ms - d.firing_unix_ms for sent_ms, d in plant.bus.sent]
    assert len(delays) == 20
    assert len(set(delays)) > 10
    assert all(0 <= delay < 5_000 for delay in delays)
    assert all(e.lateness_ms == 0 for e in plant.executions(beat))


def test_jitter_longer_than_the_queue_can_hold_is_still_kept() -> None:
    plant = Plant(T0)
    once = plant.create(type="AT", expr="at:2026-11-21T09:21:00Z", jitter_ms=14_400_000)
    plant.run_until(T0 + 14_500_000)
    [(sent_ms, delivery)] = plant.bus.sent
    [done] = plant.executions(once)
    assert sent_ms == delivery.firing_unix_ms + done.offset_ms
    assert done.offset_ms > 900_000


def test_a_trigger_fires_now_also_while_paused() -> None:
    plant = Plant(T0)
    beat = plant.create(type="RATE", expr="rate:10s", enabled=False)
    plant.run_until(T0 + 5_000)
    fired = schedules.trigger(plant.services, CALLER, beat, '"by hand"', None)
    plant.run_until(T0 + 6_000)
    assert executions.get(plant.services, CALLER, fired.id).state == "completed"
    assert b'"by hand"' in plant.bus.sent[0][1].event


def test_a_backfill_fires_what_is_missing_and_repeats_nothing() -> None:
    plant = Plant(T0)
    beat = plant.create(type="CRON", expr="*/10 * * * *")
    plant.run_until(T0 + 3_600_000)
    assert backfill.backfill(plant.services, CALLER, beat, T0 - 3_600_000, T0 + 3_600_000) == 6
    plant.run_until(T0 + 3_610_000)
    assert sorted(plant.bus.instants(beat)) == [T0 + k * 600_000 for k in range(-6, 7)]
    assert backfill.backfill(plant.services, CALLER, beat, T0 - 3_600_000, T0 + 3_600_000) == 0


def test_a_backfill_is_bounded() -> None:
    plant = Plant(T0)
    beat = plant.create(type="RATE", expr="rate:1s")
    with pytest.raises(InvalidField, match="more than 1000"):
        backfill.backfill(plant.services, CALLER, beat, T0 - 1_000_000, T0)


def test_the_ledger_of_a_night_that_repeats_an_hour_answers_for_every_instant() -> None:
    evening = parse_rfc3339("2026-10-24T20:00:00Z")
    morning = parse_rfc3339("2026-10-25T06:00:00Z")
    plant = Plant(evening)
    fixed = plant.create(type="CRON", expr="30 2 * * *", timezone="Europe/Berlin")
    twice = plant.create(type="CRON", expr="30 2 * * *", timezone="Europe/Berlin", dst_overlap="twice")
    quarter = plant.create(type="CRON", expr="*/15 * * * *", timezone="Europe/Berlin")
    plant.run_until(morning)
    drawn = {i: backfill.ledger(plant.services, CALLER, i, evening, morning, 1000) for i in (fixed, twice, quarter)}
    assert [len(ledger.lines) for ledger in drawn.values()] == [1, 2, 41]  # both ends of the ten hours are on the grid
    for ledger in drawn.values():
        assert ledger.lost == 0
        assert {(line.expected, line.outcome) for line in ledger.lines[1:]} <= {(True, "completed")}
    assert [line.firing_ms - parse_rfc3339("2026-10-25T00:30:00Z") for line in drawn[twice].lines] == [0, 3_600_000]


def test_the_ledger_tells_pauses_and_exclusions_apart() -> None:
    plant = Plant(T0)
    gap = (T0 + 30_000, T0 + 40_000)
    beat = plant.create(type="RATE", expr="rate:10s", exclude=(gap,), catch_up_window_ms=5_000)
    plant.run_until(T0 + 55_000)
    schedules.pause(plant.services, CALLER, beat, None, None)
    plant.run_until(T0 + 75_000)
    schedules.resume(plant.services, CALLER, beat, None)
    plant.run_until(T0 + 85_000)
    drawn = backfill.ledger(plant.services, CALLER, beat, T0, T0 + 85_000, 1000)
    outcomes = [line.outcome for line in drawn.lines]
    assert outcomes == ["completed"] * 2 + ["excluded"] * 2 + ["completed", "paused", "paused", "completed"]
