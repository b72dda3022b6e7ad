"""A check that a worker promised is made, also when who writes the summary meanwhile has read the log before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.adapters.memory.stores import open_stores
from chalicelib.core.errors import OutcomeUnknown
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.engine.workflows.run_access import LOOK_EVERY_MS, PROMISE_KEPT_MS, load, promise, settle_summary
from chalicelib.usecases import runs
from tests.kit.services import make_services
from tests.kit.workflow_play import Play

GATE = {"id": "g", "type": "approval", "approvers": ["ann", "bob", "cid"], "quorum": 2}


class Summaries:
    """The store of runs. ``meanwhile`` happens once, when who settles a summary has read it and the log; ``lost`` loses
    the next summary."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._is_appended = self._is_loaded = False
        self.meanwhile: Callable[[], None] | None = None
        self.lost = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def begin_anew(self) -> None:
        """Forget what has been appended."""
        self._is_appended = self._is_loaded = False

    def load(self, tenant: str, run_id: str) -> Any:
        self._is_loaded = self._is_appended
        return self._inner.load(tenant, run_id)

    def append(self, tenant: str, run_id: str, events: Any) -> Any:
        self._is_appended = True
        return self._inner.append(tenant, run_id, events)

    def read(self, tenant: str, run_id: str) -> Any:
        found = self._inner.read(tenant, run_id)
        if self._is_loaded and self.meanwhile is not None:
            happens, self.meanwhile = self.meanwhile, None
            happens()
        return found

    def summarize(self, summary: Any, expected_rev: int) -> bool:
        if self.lost:
            self.lost = False
            raise OutcomeUnknown("no answer")
        written: bool = self._inner.summarize(summary, expected_rev)
        return written


class Gate:
    """A run that waits at a gate for two of three."""

    def __init__(self) -> None:
        stores = open_stores()
        self.store = Summaries(stores.runs)
        self.play = Play(make_services(stores=replace(stores, runs=self.store)))
        self.play.publish("w", [{"id": "t", "type": "trigger", "on": "manual"}, GATE], [("t", "g")])
        self.run = self.play.start("w")
        self.play.settle()

    def approve(self, who: str) -> None:
        gate = self.play.state(self.run).nodes["g"].gate
        assert gate is not None
        runs.decide(self.play.s, replace(ANONYMOUS_ADMIN, subject=who), self.run, "g", gate.nonce, True, "")

    def approve_and_lose_the_summary(self, who: str) -> None:
        self.store.lost = True
        with pytest.raises(OutcomeUnknown):
            self.approve(who)

    @property
    def wake_ms(self) -> int | None:
        found = self.store.load("default", self.run)
        return found.wake_ms  # type: ignore[no-any-return]

    @property
    def shown(self) -> str:
        return self.store.load("default", self.run).status  # type: ignore[no-any-return]


@pytest.mark.parametrize("left_ms", [LOOK_EVERY_MS, LOOK_EVERY_MS // 2, PROMISE_KEPT_MS - 1, 1])
def test_an_end_whose_summary_is_lost_is_shown_by_the_promised_check(left_ms: int) -> None:
    gate = Gate()
    promise(gate.play.s, "default", gate.run, gate.play.s.clock.now_ms() + LOOK_EVERY_MS)
    gate.play.s.clock.sleep_until(gate.play.s.clock.now_ms() + LOOK_EVERY_MS - left_ms)
    gate.store.begin_anew()
    gate.store.meanwhile = lambda: gate.approve_and_lose_the_summary("bob")
    gate.approve("ann")
    assert gate.shown == "waiting"
    assert gate.play.state(gate.run).status == "completed"
    gate.play.advance(2 * LOOK_EVERY_MS)
    assert gate.shown == "completed"


def test_a_check_that_comes_too_soon_is_put_off() -> None:
    gate = Gate()
    now_ms = gate.play.s.clock.now_ms()
    promise(gate.play.s, "default", gate.run, now_ms + 5_000)
    promise(gate.play.s, "default", gate.run, now_ms + LOOK_EVERY_MS)
    assert gate.wake_ms == now_ms + LOOK_EVERY_MS
    promise(gate.play.s, "default", gate.run, now_ms + LOOK_EVERY_MS + 1)
    assert gate.wake_ms == now_ms + LOOK_EVERY_MS, "an earlier one that is far enough away does"


def test_a_check_that_has_come_is_not_kept() -> None:
    gate = Gate()
    promise(gate.play.s, "default", gate.run, gate.play.s.clock.now_ms() + LOOK_EVERY_MS)
    gate.play.s.clock.sleep_until(gate.play.s.clock.now_ms() + LOOK_EVERY_MS)
    settle_summary(gate.play.s, load(gate.play.s, "default", gate.run))
    assert gate.wake_ms is None, "it waits for people"
