"""Many deliveries in flight at one instant, some of them slow."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import pytest
from msgspec.structs import replace

from chalicelib.core.executions.limits import RUNNING_MARK_MS
from chalicelib.ports.tasks import Handle, Held
from tests.kit.plant import Plant
from tests.kit.virtual_time import VirtualTime

T0 = 1_795_252_800_000  # 2026-11-21T09:20:00Z
AT = {"type": "AT", "expr": "at:2026-11-21T09:21:00Z"}
WEBHOOK = {"type": "webhook", "url": "http://127.0.0.1:9/", "method": "POST", "timeout_ms": 30_000}


class _EndsAfterCheck:
    """A handle whose job ends just after a check found it under way."""

    def __init__(self, job: Callable[[], None], checks: int) -> None:
        self._job: Callable[[], None] | None = job
        self._checks = checks

    def go(self) -> None:
        """It begins when it is checked."""

    def wait(self, until_ms: int | None = None) -> bool:
        self._checks -= 1
        under_way = self._checks >= 0 and until_ms is not None
        if self._job is not None and self._checks <= 0:
            job, self._job = self._job, None
            job()
        return not under_way


class _Tasks:
    def __init__(self, clock: VirtualTime, checks: int) -> None:
        self._clock = clock
        self._checks = checks

    def at(self, unix_ms: int, job: Callable[[], None]) -> Handle:
        return self._clock.at(unix_ms, job)

    def after(self, ms: int, job: Callable[[], None]) -> Handle:
        return self._clock.after(ms, job)

    def start(self, job: Callable[[], None]) -> Handle:
        return self._clock.start(job)

    def hold(self, job: Callable[[], None]) -> Held:
        return _EndsAfterCheck(job, self._checks)


@pytest.mark.parametrize("checks", [0, 1, 2])
def test_a_delivery_that_ends_between_two_checks_is_recorded(checks: int) -> None:
    plant = Plant(T0)
    plant.services = replace(plant.services, tasks=_Tasks(plant.clock, checks))
    ids = [plant.create(**AT, target=WEBHOOK) for _ in range(3)]
    plant.run_until(T0 + 62_000)
    ended = [(e.state, e.attempt) for i in ids for e in plant.executions(i)]
    assert ended == [("completed", 1)] * 3


def test_one_slow_delivery_holds_back_none_of_those_beside_it() -> None:
    plant = Plant(T0)
    ids = [plant.create(**AT, target=WEBHOOK) for _ in range(5)]
    answer, slow_ms = plant.hook.answer, 10_000

    def answer_slowly(delivery: object) -> object:
        if getattr(delivery, "schedule_id", None) == ids[0]:
            plant.clock.sleep_until(plant.clock.now_ms() + slow_ms)
        return answer(delivery)  # type: ignore[arg-type]

    plant.hook.answer = answer_slowly  # type: ignore[assignment]
    plant.run_until(T0 + 60_000 + RUNNING_MARK_MS + 100)
    states = [e.state for i in ids for e in plant.executions(i)]
    assert states == ["in_progress"] + ["completed"] * 4
    plant.run_until(T0 + 60_000 + slow_ms + 500)
    (slow,) = plant.executions(ids[0])
    assert (slow.state, slow.attempt, slow.finished_ms) == ("completed", 1, T0 + 60_000 + slow_ms)


class _Counted:
    """A handle that counts how often its end was asked for."""

    def __init__(self, handle: Held, asked: list[int | None]) -> None:
        self._handle = handle
        self._asked = asked

    def go(self) -> None:
        self._handle.go()

    def wait(self, until_ms: int | None = None) -> bool:
        self._asked.append(until_ms)
        return self._handle.wait(until_ms)


class _CountingTasks(_Tasks):
    def __init__(self, clock: VirtualTime, asked: list[int | None]) -> None:
        super().__init__(clock, 0)
        self._asked = asked

    def hold(self, job: Callable[[], None]) -> Held:
        return _Counted(self._clock.hold(job), self._asked)


@pytest.mark.parametrize(("at_work", "least", "most"), [(0, 60, 250), (500, 3, 20)])
def test_where_many_are_supervised_each_is_checked_seldom(at_work: int, least: int, most: int) -> None:
    plant, asked = Plant(T0), list[int | None]()
    plant.services = replace(plant.services, tasks=_CountingTasks(plant.clock, asked))
    ids = [plant.create(**AT, target=WEBHOOK) for _ in range(3)]
    answer = plant.hook.answer

    def answer_slowly(delivery: object) -> object:
        plant.clock.sleep_until(plant.clock.now_ms() + 1_000)
        return answer(delivery)  # type: ignore[arg-type]

    plant.hook.answer = answer_slowly  # type: ignore[assignment]
    with ExitStack() as many:
        for _ in range(at_work):
            many.enter_context(plant.services.process.supervisors.one_more())
        plant.run_until(T0 + 63_000)
    assert [e.state for i in ids for e in plant.executions(i)] == ["completed"] * 3
    assert least <= len(asked) <= most
