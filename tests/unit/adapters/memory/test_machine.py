"""The clock that somebody moves, and the tasks that run as it moves."""

from __future__ import annotations

import pytest

from chalicelib.adapters.memory.machine import CountingIds, ManualClock, ManualTasks
from chalicelib.core.errors import InvalidField

START_MS = 1_795_252_800_000


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_MS)


@pytest.fixture
def tasks(clock: ManualClock) -> ManualTasks:
    return ManualTasks(clock)


def test_time_stands_still_until_it_is_moved(clock: ManualClock) -> None:
    assert clock.now_ms() == clock.now_ms() == START_MS
    clock.advance(5)
    clock.sleep_until(START_MS)
    assert clock.now_ms() == START_MS + 5
    assert clock.read().wall_unix_nanos == (START_MS + 5) * 1_000_000


def test_jobs_run_in_order_of_their_times_then_of_their_starting(clock: ManualClock, tasks: ManualTasks) -> None:
    ran: list[tuple[str, int]] = []
    for name, offset in (("b", 20), ("a", 10), ("c", 20), ("late", 90)):
        tasks.at(START_MS + offset, lambda name=name: ran.append((name, clock.now_ms() - START_MS)))
    tasks.start(lambda: ran.append(("now", clock.now_ms() - START_MS)))
    assert ran == []
    clock.advance(50)
    assert ran == [("now", 0), ("a", 10), ("b", 20), ("c", 20)]
    assert clock.now_ms() == START_MS + 50


def test_waiting_moves_the_clock_no_further_than_needed(clock: ManualClock, tasks: ManualTasks) -> None:
    handle = tasks.at(START_MS + 30, lambda: None)
    assert handle.wait(START_MS + 20) is False
    assert clock.now_ms() == START_MS + 20
    assert handle.wait() is True
    assert clock.now_ms() == START_MS + 30


def test_a_held_job_begins_when_it_is_told_to(clock: ManualClock, tasks: ManualTasks) -> None:
    ran: list[int] = []
    held = tasks.hold(lambda: ran.append(clock.now_ms() - START_MS))
    assert held.wait(START_MS + 10) is False
    with pytest.raises(RuntimeError):
        held.wait()
    tasks.at(START_MS + 30, held.go)
    assert held.wait() is True
    assert ran == [30]


def test_jobs_may_sleep_while_others_run(clock: ManualClock, tasks: ManualTasks) -> None:
    ran: list[str] = []

    def sleeper() -> None:
        clock.sleep_until(START_MS + 100)
        ran.append("sleeper")

    handle = tasks.start(sleeper)
    tasks.at(START_MS + 50, lambda: ran.append("other"))
    assert handle.wait()
    assert ran == ["other", "sleeper"]


def test_a_handle_raises_what_its_job_raised(tasks: ManualTasks) -> None:
    def job() -> None:
        raise KeyError("lost")

    handle = tasks.start(job)
    for _ in range(2):
        with pytest.raises(KeyError, match="lost"):
            handle.wait()


def test_jobs_that_wait_for_each_other_are_told(tasks: ManualTasks) -> None:
    handles = [tasks.start(lambda: handles[0].wait())]
    with pytest.raises(RuntimeError, match="waiting"):
        handles[0].wait()


def test_ids_count_and_stamps_grow(clock: ManualClock) -> None:
    ids = CountingIds(clock)
    assert ids.ulid(START_MS) < ids.ulid(START_MS) < ids.ulid(START_MS + 1)
    assert len(ids.ulid(START_MS)) == 26
    first, second = ids.hlc(), ids.hlc()
    assert first != second
    with pytest.raises(InvalidField):
        ids.observe("no stamp")
