"""A process that is told to stop hands back what it has claimed and not sent: others send it at its instant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from chalicelib.core.errors import Unavailable
from chalicelib.ports.services import Services
from chalicelib.ports.work_queue import Incoming, Outgoing
from chalicelib.process.memory import ProcessMemory
from chalicelib.workers import deliver
from tests.kit.plant import Plant

T0 = 1_795_252_800_000
WEBHOOK = {"type": "webhook", "url": "http://127.0.0.1:9000/"}


def another(plant: Plant) -> Services:
    """A second process of the same deployment."""
    config = replace(plant.services.config, instance="leaving")
    return replace(plant.services, config=config, process=ProcessMemory())


def receive(plant: Plant, s: Services, answers: list[list[str]]) -> None:
    """Let a process receive what is visible, and delete what it has dealt with."""

    def work() -> None:
        batch = plant.queue.receive()
        again = deliver.run(s, batch)
        answers.append(again)
        for receipt in {message.receipt for message in batch} - set(again):
            plant.queue.delete(receipt)

    plant.clock.start(work)


def test_others_send_at_its_instant_what_a_stopped_process_had_claimed() -> None:
    plant = Plant(T0)
    beat = plant.create(type="RATE", expr="rate:1s", max_runs=8, target=WEBHOOK)
    plant.clock.sleep_until(T0 + 100)
    answers: list[list[str]] = []
    leaving = another(plant)
    receive(plant, leaving, answers)
    plant.clock.sleep_until(T0 + 2_500)
    assert len(plant.hook.sent) == 2
    deliver.stop(leaving)
    plant.clock.sleep_until(T0 + 2_550)
    assert answers == [[]], "it is done: nothing has to come again"
    plant.run_until(T0 + 20_000)
    runs = plant.executions(beat)
    assert [(run.state, len(run.attempts)) for run in runs] == [("completed", 1)] * 8
    late = [at_ms - d.firing_unix_ms for at_ms, d in plant.hook.sent]
    assert len(late) == 8, "each once"
    assert max(late) <= 50, late
    assert [run.fencing_token for run in runs] == sorted({run.fencing_token for run in runs})


def test_a_stopped_process_takes_no_more() -> None:
    plant = Plant(T0)
    beat = plant.create(type="AT", expr="at:2026-11-21T09:20:01Z", target=WEBHOOK)
    plant.clock.sleep_until(T0 + 100)
    leaving, answers = another(plant), []  # type: tuple[Services, list[list[str]]]
    deliver.stop(leaving)
    receive(plant, leaving, answers)
    plant.clock.sleep_until(T0 + 110)
    assert [len(again) for again in answers] == [1]
    plant.run_until(T0 + 5_000)
    (run,) = plant.executions(beat)
    assert run.state == "completed"
    assert plant.hook.sent[0][0] - run.firing_ms <= 50, "it was left to others at once"


def test_what_could_not_be_handed_back_comes_again() -> None:
    class Away:
        def __init__(self, inner: Any) -> None:
            self._inner = inner
            self.away = False

        def send(self, messages: Sequence[Outgoing]) -> None:
            if self.away:
                raise Unavailable("throttled")
            self._inner.send(messages)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

    plant = Plant(T0)
    beat = plant.create(type="RATE", expr="rate:1s", max_runs=3, target=WEBHOOK)
    plant.clock.sleep_until(T0 + 100)
    queue = Away(plant.queue)
    leaving, answers = replace(another(plant), queue=queue), []  # type: tuple[Services, list[list[str]]]
    receive(plant, leaving, answers)
    plant.clock.sleep_until(T0 + 400)
    queue.away = True
    deliver.stop(leaving)
    plant.clock.sleep_until(T0 + 450)
    assert [len(again) for again in answers] == [1]
    plant.run_until(T0 + 30_000)
    assert [run.state for run in plant.executions(beat)] == ["completed"] * 3


def test_a_message_that_comes_to_a_stopped_process_is_hidden_no_longer() -> None:
    plant = Plant(T0)
    leaving = another(plant)
    deliver.stop(leaving)
    message = Incoming("r", "{}", 1, "h", 60)
    assert deliver.run(leaving, [message]) == ["r"]
