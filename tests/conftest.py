"""For all tests: in which order they run, which of them share a process, and which of them run alone."""

from __future__ import annotations

import fcntl
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from tests.kit.processes import end_with_parent

# The gate draws the same examples every time: a change is judged by what it changed. To look for new ones:
# ``pytest --hypothesis-profile=default``. An example may take its time: a busy machine stops any process for a while.
settings.register_profile("gate", derandomize=True, deadline=None)
settings.load_profile("gate")

# Tests marked ``long`` begin first. A process holds two pieces at a time, so what follows in line is short: it waits
# behind them. Then comes what waits for servers, then what computes, and at the very end what runs alone.
ORDER = (
    "tests/tidy/",
    "tests/unit/functions/",
    "tests/unit/localdev/",
    "tests/clients/",
    "tests/e2e/",
    "tests/contract/",
    "tests/simulation/",
)
LAST = "tests/e2e/test_timing.py"
# Files whose tests start servers, or processes, of their own: each test is a piece. Of all others the file is one.
SPREAD = (
    "tests/e2e/test_backpressure.py",
    "tests/e2e/test_crash.py",
    "tests/e2e/test_deploy_documented.py",
    "tests/e2e/test_lifecycle.py",
    "tests/e2e/test_ticks_killed.py",
    "tests/simulation/",
)
TOGETHER = "tests/e2e/test_deployed"  # files that share one deployed stack, which takes half a minute to make
_lock = Path(__file__)


def _place(item: pytest.Item) -> int:
    if item.nodeid.startswith(LAST):
        return len(ORDER) + 1
    if item.get_closest_marker("long"):
        return -1
    starts = [place for place, start in enumerate(ORDER) if item.nodeid.startswith(start)]
    return min(starts, default=len(ORDER))


def pytest_configure(config: pytest.Config) -> None:
    # A process of xdist ends when the run is killed, and so does all that it started.
    if hasattr(config, "workerinput"):
        end_with_parent()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_place)


class Scheduling(LoadScopeScheduling):
    """Hands whole pieces to processes, in the order above."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(TOGETHER):
            return TOGETHER
        return nodeid if nodeid.startswith(SPREAD) else nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    return Scheduling(config, log)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A test that judges how long something takes runs while no other test does, in whichever process."""
    with open(_lock) as held:
        fcntl.flock(held, fcntl.LOCK_EX if item.get_closest_marker("timing") else fcntl.LOCK_SH)
        return (yield)
