"""Long runs and wide ones: what a decider reads, and what a run weighs, does not grow with them.

CHRONO_TEST_ITEMS=10000 walks the widest foreach there is, and a run of five thousand steps; it takes a minute.
"""

from __future__ import annotations

import os
from collections import Counter
from threading import Barrier, Thread
from typing import Any

import msgspec

from chalicelib.adapters.memory.stores import open_stores
from chalicelib.core.errors import Conflict
from chalicelib.core.workflows import output_ref
from chalicelib.core.workflows.happenings import Decides
from chalicelib.core.workflows.run_state import RunState
from chalicelib.engine.workflows import outputs
from chalicelib.engine.workflows.run_access import advance, load
from tests.kit.services import make_services
from tests.kit.workflow_play import Play

ITEMS = int(os.environ.get("CHRONO_TEST_ITEMS", "600"))
TRIGGER = {"id": "t", "type": "trigger", "on": "manual"}
GATE = {"id": "g", "type": "approval", "approvers": ["p0"], "allow_self": True}
CASE = {"id": "c", "type": "condition", "cases": [{"name": "yes", "when": {"cel": "true"}}]}


class Watched:
    """A store of runs that counts its reads, and weighs what a run is."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.calls: Counter[str] = Counter()
        self.most_after_snapshot = 0
        self.heaviest = 0
        self.most_live = 0

    def __getattr__(self, name: str) -> Any:
        self.calls[name] += 1
        return getattr(self.inner, name)

    def read(self, tenant: str, run_id: str) -> Any:
        self.calls["read"] += 1
        found = self.inner.read(tenant, run_id)
        self.most_after_snapshot = max(self.most_after_snapshot, len(found.events))
        return found

    def snapshot(self, state: RunState) -> None:
        self.heaviest = max(self.heaviest, len(msgspec.json.encode(state)))
        live = [len(node.fan.live) for node in state.nodes.values() if node.fan is not None]
        self.most_live = max(self.most_live, *live, 0)
        self.inner.snapshot(state)


def watched() -> tuple[Play, Watched]:
    base = make_services(stores=open_stores())
    play = Play(base)
    store = Watched(base.stores.runs)
    play.s = msgspec.structs.replace(play.s, stores=msgspec.structs.replace(play.s.stores, runs=store))
    return play, store


def fan(play: Play, items: int, at_once: int) -> str:
    each = {"id": "p", "type": "parallel", "foreach": {"items": {"cel": "input"}, "max_concurrency": at_once}}
    play.publish(
        "w", [TRIGGER, each, CASE, {"id": "j", "type": "join"}], [("t", "p"), ("p", "c"), {"from": "c", "to": "j"}]
    )
    run = play.start("w", list(range(items)))
    play.settle()
    assert play.state(run).status == "completed"
    return run


def test_many_items_are_fifty_at_a_time_and_weigh_no_more_than_a_hundred() -> None:
    few, light = watched()
    fan(few, 100, 50)
    many, store = watched()
    run = fan(many, ITEMS, 50)
    assert store.most_live == 50
    inline = 2 * output_ref.EVENT_INLINE_MAX_BYTES  # input and items, as long as they are small
    assert store.heaviest < light.heaviest + inline, "what a decider reads does not grow with the items"
    assert outputs.of_run(many.s, load(many.s, "default", run)) == [{"case": "yes"}] * ITEMS
    # Each read is the snapshot and the events after it: two calls, of which the second brings a bounded number.
    assert store.most_after_snapshot <= 200


def test_a_long_run_is_read_in_two_calls_at_any_step() -> None:
    play, store = watched()
    fan(play, ITEMS // 2, 1)
    assert store.most_after_snapshot <= 60, "a snapshot stands for all but the last fifty events and one decision"


def test_of_eight_decisions_at_once_one_wins() -> None:
    play = Play()
    play.publish("w", [TRIGGER, GATE], [("t", "g")])
    run = play.start("w")
    play.settle()
    gate = play.state(run).nodes["g"].gate
    assert gate is not None
    together, answers = Barrier(8), Counter[str]()

    def decide(who: int) -> None:
        together.wait()
        try:
            advance(play.s, "default", run, Decides("g", gate.nonce, who % 2 == 0, f"p{who}"))
            answers["won"] += 1
        except Conflict as lost:
            answers[lost.code] += 1

    threads = [Thread(target=decide, args=(who,)) for who in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {"won": 1, "already_decided": 7}
