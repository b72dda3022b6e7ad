"""Counting failures in a row off the journal."""

from __future__ import annotations

import pytest

from chalicelib.core.executions.execution import STATES
from chalicelib.core.policies.failures import Streak, streak
from chalicelib.core.schedules.schedule import Key
from tests.kit.records import START_MS, execution

KEY = Key("default", "01KB00000000000000000000ZZ")


def of(states: str, most: int = 1000) -> Streak:
    """The streak of executions by the first letters of their states, newest first."""
    names = {name[0]: name for name in STATES} | {"C": "cancelled", "c": "completed", "p": "pending"}
    return streak((execution(KEY, START_MS - n, state=names[s]) for n, s in enumerate(states)), most)


@pytest.mark.parametrize(
    ("states", "failures", "broken"),
    [
        ("", 0, False),
        ("c", 0, True),
        ("f", 1, False),
        ("ft", 2, False),
        ("ffcfff", 2, True),
        ("cfff", 0, True),
        ("fCfmfsfpfif", 6, False),
        ("pppp", 0, False),
    ],
)
def test_counts_back_to_the_last_success_and_passes_over_the_rest(states: str, failures: int, broken: bool) -> None:
    assert of(states) == (failures, broken)


def test_counts_no_further_than_asked() -> None:
    assert of("fffff", most=3) == (3, True)
    assert of("fff", most=3) == (3, False)
