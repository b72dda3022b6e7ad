"""Messages in work stay hidden, and come again soon after their worker's death."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from chalicelib.core.errors import Unavailable
from chalicelib.core.executions.limits import ATTEMPT_LEASE_MS
from chalicelib.ports.work_queue import Incoming
from chalicelib.workers.message_keeper import BEYOND_LEASE_MS, MessageKeeper
from tests.kit.plant import Plant

T0 = 1_795_252_800_000
KEEP_S = (ATTEMPT_LEASE_MS + BEYOND_LEASE_MS) // 1000


class Hiding:
    """A queue that notes what is hidden when, and for how long."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self.hidden: list[tuple[float, Sequence[str], int]] = []
        self.is_away = False

    def hide(self, handles: Sequence[str], for_s: int) -> None:
        if self.is_away:
            raise Unavailable("away")
        self.hidden.append(((self._plant.clock.now_ms() - T0) / 1000, list(handles), for_s))


def kept(due_s: Sequence[float], hidden_s: int = 60, receives: int = 1) -> tuple[Plant, Hiding, MessageKeeper]:
    plant = Plant(T0)
    queue = Hiding(plant)
    services = plant.services.__class__(
        **{name: getattr(plant.services, name) for name in plant.services.__struct_fields__ if name != "queue"},
        queue=queue,  # type: ignore[arg-type]
    )
    message = Incoming("m", "{}", receives, "m/1", hidden_s)
    return plant, queue, MessageKeeper(services, {message: [T0 + int(1000 * each) for each in due_s]})


def test_what_the_queue_would_hide_for_a_minute_is_hidden_until_its_firing_can_be_taken_over() -> None:
    _, queue, keeper = kept([2])
    keeper.begin()
    assert queue.hidden == [(0, ["m/1"], 2 + KEEP_S)]


def test_what_is_hidden_about_long_enough_costs_no_call() -> None:
    plant, queue, keeper = kept([5], hidden_s=9)
    keeper.begin()
    plant.clock.sleep_until(T0 + 5_100)
    keeper.finish([])
    plant.clock.sleep_until(T0 + 60_000)
    assert queue.hidden == []


def test_while_in_work_it_is_hidden_again_before_it_would_come_again() -> None:
    plant, queue, keeper = kept([1, 2, 3, 9], hidden_s=5)
    keeper.begin()
    hidden_until = 5.0
    plant.clock.sleep_until(T0 + 30_000)
    keeper.finish([])
    for at_s, _, for_s in queue.hidden:
        assert at_s < hidden_until, "it came again while it was in work"
        hidden_until = at_s + for_s
        assert for_s <= max(9 - at_s, 0) + KEEP_S + 1, "a dead worker's firings would come late"
    assert hidden_until > 30


def test_it_comes_again_ever_later_the_more_often_it_came() -> None:
    waits = []
    for receives in (1, 3, 4, 6, 10):
        _, queue, keeper = kept([0], receives=receives)
        keeper.begin()
        waits.append(queue.hidden[0][2] if queue.hidden else 60)
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (KEEP_S, 60)


def test_what_must_come_again_does_soon() -> None:
    _, queue, keeper = kept([0], hidden_s=3)
    keeper.begin()
    keeper.finish(["m"])
    assert queue.hidden == [(0, ["m/1"], 1)]


@pytest.mark.parametrize("hidden_s", [5, 60])
def test_a_queue_that_is_away_is_asked_again(hidden_s: int) -> None:
    plant, queue, keeper = kept([0, 1], hidden_s=hidden_s)
    queue.is_away = True
    keeper.begin()
    plant.clock.sleep_until(T0 + 4_200)
    queue.is_away = False
    plant.clock.sleep_until(T0 + 60_000)
    keeper.finish([])
    assert queue.hidden
