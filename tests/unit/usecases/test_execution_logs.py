"""Lines about an execution: numbered, bounded, written once however often a call is run."""

from __future__ import annotations

import pytest

from chalicelib.core.errors import Conflict, NotFound, TooMany
from chalicelib.core.executions.limits import LOG_LINES_MAX
from chalicelib.ports.services import Services
from chalicelib.usecases import execution_logs
from tests.kit.plant import CALLER, Plant
from tests.kit.services import with_stores
from tests.kit.watched import Watched

T0 = 1_795_252_800_000


@pytest.fixture
def plant() -> Plant:
    return Plant(T0)


@pytest.fixture
def run(plant: Plant) -> str:
    """The id of an execution."""
    schedule_id = plant.create(type="RATE", expr="rate:5s", max_runs=1)
    plant.run_until(T0 + 10_000)
    [execution] = plant.executions(schedule_id)
    return execution.id


def messages(s: Services, run: str) -> list[str]:
    found, _ = execution_logs.page(s, CALLER, run, 1000, 0)
    return [line.message for line in found]


def test_lines_are_numbered_in_the_order_of_their_writing(plant: Plant, run: str) -> None:
    numbers = [execution_logs.append(plant.services, CALLER, run, text, "info").number for text in "abc"]
    assert (numbers, messages(plant.services, run)) == ([1, 2, 3], ["a", "b", "c"])
    first, after = execution_logs.page(plant.services, CALLER, run, 2, 0)
    assert ([line.message for line in first], after) == (["a", "b"], 2)
    rest, after = execution_logs.page(plant.services, CALLER, run, 2, 2)
    assert ([line.message for line in rest], after) == (["c"], None)


def test_a_call_that_is_run_again_finds_the_line_that_it_wrote(plant: Plant, run: str) -> None:
    since_ms = plant.clock.now_ms()
    first = execution_logs.append(plant.services, CALLER, run, "once", "info", since_ms)
    execution_logs.append(plant.services, CALLER, run, "between", "info")
    assert execution_logs.append(plant.services, CALLER, run, "once", "info", since_ms) == first
    assert messages(plant.services, run) == ["once", "between"]


def test_the_same_words_written_before_the_call_began_are_another_line(plant: Plant, run: str) -> None:
    execution_logs.append(plant.services, CALLER, run, "step", "info")
    plant.skip(plant.clock.now_ms() + 1_000)
    execution_logs.append(plant.services, CALLER, run, "step", "info", plant.clock.now_ms())
    assert messages(plant.services, run) == ["step", "step"]


def test_who_loses_a_race_writes_the_next_line(plant: Plant, run: str) -> None:
    plain, intruders = plant.services, ["theirs"]

    def intrude(*_: object) -> None:
        if intruders:
            execution_logs.append(plain, CALLER, run, intruders.pop(), "info")

    raced = with_stores(plain, logs=Watched(plain.stores.logs, "last", intrude))
    assert execution_logs.append(raced, CALLER, run, "mine", "info").number == 2
    assert messages(plain, run) == ["theirs", "mine"]


def test_a_log_that_is_full_takes_no_more(plant: Plant, run: str) -> None:
    for number in range(LOG_LINES_MAX):
        execution_logs.append(plant.services, CALLER, run, str(number), "info")
    with pytest.raises(Conflict) as refused:
        execution_logs.append(plant.services, CALLER, run, "more", "info")
    assert refused.value.code == "log_full"
    assert len(messages(plant.services, run)) == LOG_LINES_MAX


class Contended:
    """Logs of which somebody else always writes the next line first."""

    def __init__(self, lines: int) -> None:
        self._lines = lines

    def last(self, *_: object) -> int:
        return self._lines

    def append(self, *_: object) -> bool:
        return False


def test_who_loses_every_race_is_told_to_come_back(plant: Plant, run: str) -> None:
    with pytest.raises(TooMany) as refused:
        execution_logs.append(with_stores(plant.services, logs=Contended(3)), CALLER, run, "mine", "info")
    assert refused.value.code == "contended"


def test_nothing_is_written_about_what_does_not_exist(plant: Plant, run: str) -> None:
    gone = run.replace(run[0], "0", 1)[:10] + "Z" * 16 + run[26:]
    with pytest.raises(NotFound):
        execution_logs.append(plant.services, CALLER, gone, "mine", "info")
