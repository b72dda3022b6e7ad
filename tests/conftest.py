"""For all tests: those that wait for a real server come first, so that they wait while the others compute."""

from __future__ import annotations

import pytest
from hypothesis import settings

# The gate draws the same examples every time: a change is judged by what it changed. To look for new ones:
# ``pytest --hypothesis-profile=default``.
settings.register_profile("gate", derandomize=True)
settings.load_profile("gate")

FIRST = (
    "tests/e2e/test_kills.py",
    "tests/e2e/test_crash.py",
    "tests/e2e/",
    "tests/contract/",
    "tests/clients/",
    "tests/simulation/",
)


def _place(item: pytest.Item) -> int:
    starts = [place for place, start in enumerate(FIRST) if item.nodeid.startswith(start)]
    return min(starts, default=len(FIRST))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_place)
