"""What else notification rules hear of: approvals that wait, and callers that were refused for their quota."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from chalicelib.core.errors import CapacityExhausted
from chalicelib.core.notices.limits import QUOTA_CALM_MS, RULES_MAX_COUNT
from chalicelib.core.schedules.request import ScheduleRequest
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.usecases import quotas, runs, schedules
from tests.kit.alert_play import AlertPlay

TRIGGER = {"id": "t", "type": "trigger", "on": "manual"}
HOST_A = "a"


def _gated(play: AlertPlay, **more: Any) -> str:
    gate = {"id": "g", "type": "approval", "approvers": ["ann"], **more}
    play.publish("release", [TRIGGER, gate], [("t", "g")])
    run = play.start("release")
    play.settle()
    return run


def _decide(play: AlertPlay, run: str, node: str, approve: bool = True) -> None:
    gate = play.state(run).nodes[node].gate
    assert gate is not None
    runs.decide(play.s, ANONYMOUS_ADMIN, run, node, gate.nonce, approve, "")
    play.settle()


def _kinds(play: AlertPlay) -> list[str]:
    """What the first channel got."""
    return [kind for _, host, kind in play.messages if host == HOST_A]


@pytest.mark.parametrize("approve", [True, False])
def test_an_approval_is_asked_for_once_and_its_decision_ends_the_incident(approve: bool) -> None:
    play = AlertPlay()
    play.rule(when=("approval", "recovered"))
    run = _gated(play)
    play.advance(600_000)  # reconcile looks at it many times
    assert _kinds(play) == ["alert"]
    [incident] = json.loads(play.target.got[0].event)["data"]["incidents"]
    assert (incident["run_id"], incident["node_id"], incident["when"]) == (run, "g", ["approval"])
    assert incident["detail"] == "waits for ann"
    _decide(play, run, "g", approve)
    play.advance(600_000)
    assert _kinds(play) == ["alert", "recovery"]


def test_an_approval_that_expires_is_over_and_one_that_is_not_watched_is_not_told() -> None:
    play = AlertPlay()
    play.rule(when=("failed", "recovered"))
    play.rule(when=("approval", "recovered"))
    _gated(play, expires_in_ms=90_000)
    play.advance(180_000)
    assert _kinds(play) == ["alert", "recovery"]


def test_the_second_of_two_gates_is_told_though_the_run_only_goes_on_waiting() -> None:
    play = AlertPlay()
    play.rule(when=("approval", "recovered"))
    gates = [{"id": name, "type": "approval", "approvers": ["ann"]} for name in "gh"]
    play.publish("release", [TRIGGER, *gates], [("t", "g"), ("g", "h")])
    run = play.start("release")
    play.settle()
    _decide(play, run, "g")
    assert sorted(_kinds(play)) == ["alert", "alert", "recovery"]


@pytest.mark.parametrize("at", range(1, 12))
def test_whatever_call_of_the_store_fails_it_is_told_once(at: int) -> None:
    play = AlertPlay()
    play.rule(when=("approval", "recovered"))
    play.store.calls, play.store.fails_at = 0, at
    run = _gated(play)
    play.advance(180_000)
    assert play.state(run).nodes["g"].status == "waiting"
    told = {(key, kind) for key, host, kind in play.messages if host == HOST_A}
    assert [kind for _, kind in told] == ["alert"], "a send whose end was not written is made again under its key"


def _limited() -> AlertPlay:
    play = AlertPlay()
    play.s = msgspec.structs.replace(play.s, config=msgspec.structs.replace(play.s.config, writes_per_s=2))
    return play


def test_a_caller_over_its_quota_is_an_incident_until_it_is_calm() -> None:
    play = _limited()
    play.rule(when=("quota", "recovered"))
    for _ in range(3):
        refused = [quotas.charge(play.s, ANONYMOUS_ADMIN, "writes") for _ in range(20)]
        assert any(each is not None and not each.allowed for each in refused)
        play.advance(70_000)
    assert _kinds(play) == ["alert"]
    [incident] = json.loads(play.target.got[0].event)["data"]["incidents"]
    assert (incident["caller_id"], incident["when"]) == (ANONYMOUS_ADMIN.subject, ["quota"])
    assert incident["detail"] == "more than 2 writes a second"
    play.advance(QUOTA_CALM_MS + 60_000)
    assert _kinds(play) == ["alert", "recovery"]


def test_a_caller_who_meets_a_limit_of_what_may_be_held_is_an_incident_too() -> None:
    play = AlertPlay()
    play.s = msgspec.structs.replace(play.s, config=msgspec.structs.replace(play.s.config, job_limit=1))
    play.rule(when=("quota",))
    wanted = ScheduleRequest(type="RATE", expr="rate:1h", target={"type": "log"})
    made = schedules.create(play.s, ANONYMOUS_ADMIN, wanted, play.s.ids.ulid(play.s.clock.now_ms()))
    for _ in range(3):
        with pytest.raises(CapacityExhausted):
            schedules.create(play.s, ANONYMOUS_ADMIN, wanted, play.s.ids.ulid(play.s.clock.now_ms()))
    play.settle()
    assert _kinds(play) == ["alert"]
    [incident] = json.loads(play.target.got[0].event)["data"]["incidents"]
    assert (incident["caller_id"], incident["when"]) == (ANONYMOUS_ADMIN.subject, ["quota"])
    assert incident["detail"] == "this deployment holds at most 1 schedules: delete some first"
    assert schedules.edit(play.s, ANONYMOUS_ADMIN, made.definition.id, ScheduleRequest(name="x"), None)
    play.advance(QUOTA_CALM_MS + 60_000)
    assert _kinds(play) == ["alert"]


def test_too_many_rules_are_an_incident_of_the_rules_that_there_are() -> None:
    play = AlertPlay()
    for _ in range(RULES_MAX_COUNT):
        play.rule(when=("quota",), channels=({"type": "webhook", "url": "https://a.example/"},))
    with pytest.raises(CapacityExhausted, match="at most 100 notification rules"):
        play.rule()
    play.settle()
    assert len(_kinds(play)) == RULES_MAX_COUNT


def test_a_refusal_costs_one_look_a_minute_and_no_store_that_is_away_changes_it() -> None:
    play = _limited()
    play.rule(when=("quota",))
    play.store.calls = 0

    def refuse() -> int:
        before = play.store.calls
        for _ in range(200):
            quotas.charge(play.s, ANONYMOUS_ADMIN, "writes")
        return play.store.calls - before

    assert 0 < refuse() <= 4
    assert refuse() == 0
    play.advance(61_000)
    play.store.calls, play.store.fails_at = 0, 1
    assert refuse() == 1  # the call that failed
