"""A decider reads its run in two calls of DynamoDB, however long the run is.

CHRONO_TEST_ITEMS=10000 walks five thousand steps in a row: some minutes, with ``-o timeout=0 -s`` to see the counts.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import pytest

from chalicelib.adapters.aws.clients import Clients, Meter
from chalicelib.adapters.dynamodb.stores import open_stores
from chalicelib.core.workflows.limits import SNAPSHOT_EVERY_EVENTS
from infra.state import State
from tests.kit.emulator import REGION
from tests.kit.services import make_services, with_stores
from tests.kit.workflow_play import Play

STEPS = int(os.environ.get("CHRONO_TEST_ITEMS", "120")) // 2
READ_MAX_CALLS = 2
DECISION_MAX_EVENTS = 10  # of the workflow below
TRIGGER = {"id": "t", "type": "trigger", "on": "manual"}
STEP = {"id": "c", "type": "condition", "cases": [{"name": "yes", "when": {"cel": "item >= 0"}}]}


class CountedReads:
    """A store of runs that counts what each read of a log costs, and how much it brings."""

    def __init__(self, inner: Any, meter: Meter) -> None:
        self._inner, self._meter = inner, meter
        self.calls: Counter[int] = Counter()
        self.decisions = 0
        self.longest = 0
        self.most_events = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def read(self, tenant: str, run_id: str) -> Any:
        before = self._meter.calls.total()
        found = self._inner.read(tenant, run_id)
        self.calls[self._meter.calls.total() - before] += 1
        self.most_events = max(self.most_events, len(found.events))
        return found

    def append(self, tenant: str, run_id: str, events: Any) -> bool:
        self.decisions += 1
        self.longest = max(self.longest, events[-1].number)
        return bool(self._inner.append(tenant, run_id, events))


@pytest.mark.emulator
def test_every_read_of_a_long_run_is_two_calls(endpoint: str, resources: tuple[State, dict[str, str]]) -> None:
    meter = Meter()
    stores = open_stores(Clients(REGION, endpoint, meter=meter).factory("dynamodb"), resources[0].stage)
    base = make_services(stores=stores)
    counted = CountedReads(base.stores.runs, meter)
    play = Play(with_stores(base, runs=counted))
    each = {"id": "p", "type": "parallel", "foreach": {"items": {"cel": "input"}, "max_concurrency": 1}}
    ways = [("t", "p"), ("p", "c"), {"from": "c", "to": "j"}]
    play.publish("w", [TRIGGER, each, STEP, {"id": "j", "type": "join"}], ways)
    run = play.start("w", list(range(STEPS)))
    play.settle()
    assert play.state(run).status == "completed"
    assert play.state(run).nodes["p"].fan.next == STEPS  # type: ignore[union-attr]
    print(f"{STEPS} steps, {counted.decisions} decisions, a log of {counted.longest} events: {dict(counted.calls)}")
    assert counted.decisions > STEPS
    assert counted.longest > STEPS > SNAPSHOT_EVERY_EVENTS, "the run is longer than what is read without a snapshot"
    assert set(counted.calls) <= {READ_MAX_CALLS}, "a read is the snapshot and the events after it"
    assert counted.most_events <= SNAPSHOT_EVERY_EVENTS + DECISION_MAX_EVENTS
