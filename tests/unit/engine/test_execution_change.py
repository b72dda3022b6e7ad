"""Ending an execution from outside while others write its record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from chalicelib.core.errors import TooMany
from chalicelib.core.executions.execution import Execution
from chalicelib.ports.target import Outcome
from chalicelib.usecases import executions
from tests.kit.plant import CALLER, Plant
from tests.kit.services import with_stores

T0 = 1_795_252_800_000  # 2026-11-21T09:20:00Z
WEBHOOK = {"type": "webhook", "url": "http://127.0.0.1:9/", "method": "POST", "timeout_ms": 30_000}


class AlwaysLost:
    """Executions of which another writer is always faster."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.tries = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def update(self, writes: Sequence[tuple[Execution, int]]) -> list[bool]:
        self.tries += 1
        return [False for _ in writes]


def test_a_cancel_that_loses_every_race_says_so_and_changes_nothing() -> None:
    plant = Plant(T0)
    plant.hook.answer = lambda _: Outcome("accepted", http_status=202)
    once = plant.create(type="RATE", expr="rate:10s", target=WEBHOOK, max_runs=1)
    plant.run_until(T0 + 11_000)
    (running,) = plant.executions(once)
    lost = AlwaysLost(plant.services.stores.executions)
    with pytest.raises(TooMany) as refused:
        executions.cancel(with_stores(plant.services, executions=lost), CALLER, running.id, None)
    assert refused.value.code == "contended"
    assert lost.tries > 1
    assert plant.executions(once) == [running]
