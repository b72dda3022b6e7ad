"""Events that fire, through the whole pipeline and in virtual time."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.adapters.memory.machine import MemoryQueue
from chalicelib.core.executions.execution import Execution
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.core.triggers.received_event import of_object
from chalicelib.core.triggers.trigger import AbsenceRule, DedupeRule, ThrottleRule, Trigger
from chalicelib.ports.target import FAILED, Outcome
from chalicelib.ports.workflow_steps import WorkflowParts
from chalicelib.usecases import executions, schedules, trigger_settings, triggers
from chalicelib.usecases.trigger_settings import TriggerRequest
from chalicelib.workers import workflow
from tests.kit.plant import Plant
from tests.kit.services import NoCalls, lazy

NOW_MS = 1_795_252_800_000
SECOND = 1000


class TriggerPlant(Plant):
    """A plant whose hints are taken too."""

    def __init__(self) -> None:
        super().__init__(NOW_MS)
        self.hints = MemoryQueue(self.clock.now_ms)
        unused: Any = None
        parts = WorkflowParts(self.hints, lazy("cel_expressions", "CelExpressions"), NoCalls(), unused)
        self.services = replace(self.services, workflows=parts)

    def _receive(self) -> None:
        while batch := self.hints.receive(10):
            self.clock.start(lambda batch=batch: self._hinted(batch))
        super()._receive()

    def _hinted(self, batch: Any) -> None:
        again = workflow.run(self.services, batch)
        for incoming in batch:
            if incoming.receipt not in again:
                self.hints.delete(incoming.receipt)

    def _next_event(self) -> int:
        visible = self.hints.next_visible_ms()
        return min(super()._next_event(), visible if visible is not None else 1 << 60)

    def trigger(self, **fields: Any) -> Trigger:
        wanted = TriggerRequest(**{"name": "t", "source": {"type": "webhook"}, **fields})
        made = trigger_settings.create(self.services, ANONYMOUS_ADMIN, wanted, self.services.ids.ulid(NOW_MS))
        return made.trigger

    def send(self, trigger: Trigger, event_id: str = "1", **more: Any) -> triggers.Received:
        whole = {"specversion": "1.0", "id": event_id, "source": "/s", "type": "t", **more}
        return triggers.receive(self.services, trigger, of_object(whole))

    def fired(self, trigger: Trigger) -> list[Execution]:
        return trigger_settings.executions(self.services, ANONYMOUS_ADMIN, trigger.id, 100, None)[0]


@pytest.fixture
def plant() -> TriggerPlant:
    return TriggerPlant()


def test_a_firing_has_the_event_as_its_data_and_is_one_deeper(plant: TriggerPlant) -> None:
    trigger = plant.trigger()
    plant.send(trigger, data={"n": 1}, chronodepth=3)
    plant.run_until(NOW_MS + SECOND)
    ((_, delivery),) = plant.bus.sent
    event = json.loads(delivery.event)
    assert event["data"] == {
        "specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": {"n": 1}, "chronodepth": 3,
    }  # fmt: skip
    assert (event["chronodepth"], delivery.depth) == (4, 3)
    (record,) = plant.fired(trigger)
    assert (event["id"], record.state, record.late) == (record.id, "completed", False)


def test_what_fails_is_retried_by_the_policy_and_then_a_dead_letter(plant: TriggerPlant) -> None:
    trigger = plant.trigger(target={"type": "webhook", "url": "http://127.0.0.1:9/"})
    plant.hook.answer = lambda delivery: Outcome(FAILED, 500, "http_error", "no")
    plant.send(trigger)
    plant.run_until(NOW_MS + 60 * SECOND)
    (record,) = plant.fired(trigger)
    assert (record.state, record.attempt) == ("failed", 3)
    assert [execution_id for execution_id, _, _ in plant.queue.dead] == [record.id]
    plant.hook.answer = lambda delivery: Outcome("completed")
    executions.retry(plant.services, ANONYMOUS_ADMIN, record.id)
    plant.run_until(NOW_MS + 62 * SECOND)
    assert plant.fired(trigger)[0].state == "completed"


def paused(plant: TriggerPlant, trigger: Trigger, until_ms: int) -> None:
    trigger_settings.switch(plant.services, ANONYMOUS_ADMIN, trigger.id, False, None)
    plant.run_until(until_ms)
    trigger_settings.switch(plant.services, ANONYMOUS_ADMIN, trigger.id, True, None)


@pytest.mark.parametrize("rules", [{"debounce_ms": 30 * SECOND}, {"absence": AbsenceRule("true", 30 * SECOND)}])
def test_a_wait_that_ends_in_a_pause_fires_nothing(plant: TriggerPlant, rules: dict[str, Any]) -> None:
    trigger = plant.trigger(filter="true" if "debounce_ms" in rules else "event.type == 'paid'", **rules)
    assert plant.send(trigger).outcome == "waiting"
    plant.run_until(NOW_MS + 10 * SECOND)
    paused(plant, trigger, NOW_MS + 90 * SECOND)
    assert plant.send(trigger, "2").outcome == "waiting"
    plant.run_until(NOW_MS + 100 * SECOND)
    paused(plant, trigger, NOW_MS + 110 * SECOND)
    plant.run_until(NOW_MS + 300 * SECOND)
    (record,) = plant.fired(trigger)
    assert (record.firing_ms, record.state) == (NOW_MS + 120 * SECOND, "completed")


def test_what_repeats_a_throttled_event_is_throttled_too(plant: TriggerPlant) -> None:
    rules: Any = {"dedupe": DedupeRule("event.data", 60 * SECOND), "throttle": ThrottleRule(1, 10 * SECOND)}
    trigger = plant.trigger(**rules)
    sent = [plant.send(trigger, str(n), data=data) for n, data in enumerate("abab")]
    assert [one.outcome for one in sent] == ["fired", "throttled", "deduplicated", "throttled"]
    assert (sent[2].execution_id, sent[3].execution_id) == (sent[0].execution_id, None)
    plant.run_until(NOW_MS + 20 * SECOND)
    late = plant.send(trigger, "4", data="b")
    assert late.outcome == "deduplicated"
    assert late.execution_id in [record.id for record in plant.fired(trigger)]


def test_an_event_that_does_not_come_fires_at_its_instant(plant: TriggerPlant) -> None:
    trigger = plant.trigger(filter="event.type == 'paid'", absence=AbsenceRule("event.type == 'made'", 90 * SECOND))
    assert plant.send(trigger, "1", type="made").outcome == "waiting"
    plant.run_until(NOW_MS + 10 * SECOND)
    assert plant.send(trigger, "2", type="other").outcome == "filtered"
    plant.run_until(NOW_MS + 95 * SECOND)
    (record,) = plant.fired(trigger)
    assert (record.firing_ms, record.state, record.late) == (NOW_MS + 90 * SECOND, "completed", False)
    plant.send(trigger, "3", type="made")
    plant.run_until(NOW_MS + 100 * SECOND)
    assert plant.send(trigger, "4", type="paid").outcome == "ended"
    plant.run_until(NOW_MS + 300 * SECOND)
    assert len(plant.fired(trigger)) == 1


def test_a_burst_fires_its_last(plant: TriggerPlant) -> None:
    trigger = plant.trigger(debounce_ms=2 * SECOND)
    for number in range(5):
        assert plant.send(trigger, str(number)).outcome == "waiting"
        plant.run_until(plant.clock.now_ms() + SECOND)
    plant.run_until(NOW_MS + 30 * SECOND)
    (record,) = plant.fired(trigger)
    assert record.firing_ms == NOW_MS + 6 * SECOND
    assert json.loads(record.payload or "")["id"] == "4"


def test_an_hour_of_waiting_outlasts_the_queue(plant: TriggerPlant) -> None:
    trigger = plant.trigger(debounce_ms=3_600 * SECOND)
    plant.send(trigger)
    plant.run_until(NOW_MS + 3_610 * SECOND)
    (record,) = plant.fired(trigger)
    assert (record.firing_ms, record.late) == (NOW_MS + 3_600 * SECOND, False)


def test_a_hint_that_is_lost_is_made_up_for_by_the_minute(plant: TriggerPlant) -> None:
    trigger = plant.trigger(debounce_ms=2 * SECOND)
    plant.send(trigger)
    for incoming in plant.hints.receive(10):
        plant.hints.delete(incoming.receipt)
    plant.clock.sleep_until(NOW_MS + 60 * SECOND)
    workflow.reconcile(plant.services)
    assert [record.firing_ms for record in plant.fired(trigger)] == [NOW_MS + 2 * SECOND]


def test_a_watch_of_a_deleted_trigger_fires_nothing(plant: TriggerPlant) -> None:
    trigger = plant.trigger(debounce_ms=2 * SECOND)
    received = plant.send(trigger)
    trigger_settings.delete(plant.services, ANONYMOUS_ADMIN, trigger.id, None)
    plant.run_until(NOW_MS + 30 * SECOND)
    assert plant.bus.sent == []
    assert plant.services.stores.triggers.due_watches(1 << 50, 10) == []
    assert received.execution_id is not None


def test_a_wait_that_is_over_while_the_trigger_is_paused_fires_nothing(plant: TriggerPlant) -> None:
    s, at_once = plant.services, {"debounce_ms": 2 * SECOND}
    trigger, other = plant.trigger(**at_once), plant.trigger(name="other", **at_once)
    for one in (trigger, other):
        plant.send(one)
        trigger_settings.switch(s, ANONYMOUS_ADMIN, one.id, False, None)
    trigger_settings.switch(s, ANONYMOUS_ADMIN, other.id, True, None)
    plant.run_until(NOW_MS + 30 * SECOND)
    assert [len(plant.fired(one)) for one in (trigger, other)] == [0, 1]
    trigger_settings.switch(s, ANONYMOUS_ADMIN, trigger.id, True, None)
    plant.run_until(NOW_MS + 200 * SECOND)
    assert [len(plant.fired(one)) for one in (trigger, other)] == [0, 1]
    assert s.stores.triggers.due_watches(1 << 50, 10) == []


def test_half_a_trigger_is_none(plant: TriggerPlant) -> None:
    """A worker died between its two records."""
    trigger = plant.trigger()
    plant.services.stores.triggers.save(replace(trigger, id="0" * 26), 0)
    found, _ = trigger_settings.page(plant.services, ANONYMOUS_ADMIN, 10, None)
    assert [one.trigger.id for one in found] == [trigger.id]
    with pytest.raises(Exception, match="there is no trigger"):
        trigger_settings.get(plant.services, ANONYMOUS_ADMIN, "0" * 26)
    with pytest.raises(Exception, match="there is no schedule"):
        schedules.get(plant.services, ANONYMOUS_ADMIN, trigger.id)
