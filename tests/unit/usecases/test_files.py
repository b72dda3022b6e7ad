"""A file is applied by what it means, and applying it again changes nothing."""

from __future__ import annotations

import pytest

from chalicelib.core.errors import InvalidField
from chalicelib.core.schedules.request import ScheduleRequest
from chalicelib.usecases import files
from chalicelib.usecases.files import ImportEntry
from tests.kit.plant import CALLER, Plant

T0 = 1_795_252_800_000
RATE = {"type": "RATE", "expr": "rate:1h"}
SEED = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def entry(**fields: object) -> ImportEntry:
    return ImportEntry(ScheduleRequest(**{**RATE, **fields}))  # type: ignore[arg-type]


@pytest.fixture
def plant() -> Plant:
    return Plant(T0)


def actions(plant: Plant, *entries: ImportEntry, dry_run: bool = False, seed: str = SEED) -> list[str]:
    return [step.action for step in files.apply(plant.services, CALLER, entries, seed, dry_run)]


def test_a_file_that_is_applied_again_changes_nothing(plant: Plant) -> None:
    entries = (entry(name="a"), entry(name="b", payload='{"x": 1.10, "y": 2}'))
    assert actions(plant, *entries, dry_run=True) == ["create", "create"]
    assert actions(plant, *entries) == ["create", "create"]
    reordered = (entries[0], entry(name="b", payload='{"y": 2, "x": 1.1}'))
    assert actions(plant, *reordered, seed="01ARZ3NDEKTSV4RRFFQ69G5FAW") == ["unchanged", "unchanged"]


def test_a_call_that_is_run_again_makes_the_same_schedules(plant: Plant) -> None:
    twice = [files.apply(plant.services, CALLER, [entry(name="a")], SEED, False) for _ in range(2)]
    first, second = (steps[0].after for steps in twice)
    assert first is not None
    assert second is not None
    assert first.id == second.id


def test_what_the_file_does_not_name_is_set_back(plant: Plant) -> None:
    plant.create(**RATE, name="a", tags=("by-hand",))
    [step] = files.apply(plant.services, CALLER, [entry(name="a")], SEED, False)
    assert (step.action, step.changed) == ("update", {"tags"})
    assert step.after is not None
    assert plant.get(step.after.id).definition.tags == ()


def test_an_entry_that_is_refused_does_not_stop_the_others(plant: Plant) -> None:
    nameless, wrong = entry(), entry(expr="rate:never", name="w")
    assert actions(plant, nameless, wrong, entry(name="a")) == ["refused", "refused", "create"]


def test_two_entries_that_mean_one_schedule_are_refused_as_a_whole(plant: Plant) -> None:
    with pytest.raises(InvalidField, match=r"schedules\.1\.name"):
        actions(plant, entry(name="a"), entry(name="a"))
    assert actions(plant, entry(name="a"), entry(name="a", owner="o")) == ["create"] * 2
