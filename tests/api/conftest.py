"""Deployments in memory for the tests of the API."""

from __future__ import annotations

import pytest

from tests.kit.house import House


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture(scope="module")
def shared() -> House:
    """A deployment for tests that change nothing that another of them looks at."""
    return House()
