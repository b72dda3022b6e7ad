"""Monitors and notification rules in virtual time: once an incident and channel, whatever call of the store fails."""

from __future__ import annotations

import pytest

from chalicelib.core.errors import ChronoError
from chalicelib.core.notices.rule import Signal
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.ports.target import Outcome
from chalicelib.usecases import heartbeats, notices
from chalicelib.usecases.notices import RuleWish
from tests.kit.alert_play import AlertPlay

CALLS_COVERED = 37


def test_a_missing_ping_is_told_at_its_very_deadline() -> None:
    play = AlertPlay()
    monitor = play.monitor()
    play.settle()
    assert play.ping(monitor.ping_token)
    t0 = play.s.clock.now_ms()
    play.until(t0 + 13_000)
    assert heartbeats.get(play.s, ANONYMOUS_ADMIN, monitor.id).state == "late"
    assert play.events == []
    play.until(t0 + 15_000)
    assert play.s.clock.now_ms() == t0 + 15_000
    assert heartbeats.get(play.s, ANONYMOUS_ADMIN, monitor.id).state == "down"
    assert play.events == [(f"{monitor.id}-1", "down")]
    assert play.ping(monitor.ping_token)
    play.settle()
    assert play.events == [(f"{monitor.id}-1", "down"), (f"{monitor.id}-2", "up")]


def test_a_far_deadline_is_found_by_the_minute() -> None:
    play = AlertPlay()
    monitor = play.monitor("rate:2h", 60_000)
    assert play.ping(monitor.ping_token)
    t0 = play.s.clock.now_ms()
    play.until(t0 + 2 * 3_600_000 + 58_000)
    assert play.events == []
    play.until(t0 + 2 * 3_600_000 + 60_000)
    assert play.events == [(f"{monitor.id}-1", "down")]


def test_an_acknowledged_ping_is_never_overtaken_by_its_deadline() -> None:
    """The look at the deadline read the monitor before the ping was written."""
    play = AlertPlay()
    monitor = play.monitor()
    assert play.ping(monitor.ping_token)
    t0 = play.s.clock.now_ms()
    play.until(t0 + 13_000)
    load = play.s.stores.alerts.load
    raced: list[bool] = []

    def racing_load(*place: str) -> object:
        found = load(*place)
        if place[1] == "monitor" and not raced and play.s.clock.now_ms() >= t0 + 15_000:
            raced.append(True)
            assert play.ping(monitor.ping_token)
        return found

    play.store.load = racing_load  # type: ignore[attr-defined]
    play.until(t0 + 15_000)
    assert raced
    # The ping arrived as the deadline passed: it may go down and come up, and must end up.
    assert heartbeats.get(play.s, ANONYMOUS_ADMIN, monitor.id).state == "up"
    assert [state for _, state in play.events] in ([], ["down", "up"])


def test_a_rule_tells_each_channel_once_and_the_ledger_has_it() -> None:
    play = AlertPlay()
    rule, monitor = play.rule(), play.monitor()
    play.ping(monitor.ping_token, "fail")
    play.ping(monitor.ping_token, "fail")
    play.settle()
    assert [(host, kind) for _, host, kind in play.messages] == [("a", "alert"), ("b", "alert")]
    play.ping(monitor.ping_token)
    play.settle()
    assert [(host, kind) for _, host, kind in play.messages[2:]] == [("a", "recovery"), ("b", "recovery")]
    lines, _ = notices.sent(play.s, ANONYMOUS_ADMIN, rule.id, None, 10, None)
    assert [(line.kind, line.state) for line in lines] == [("recovery", "sent")] * 2 + [("alert", "sent")] * 2
    assert len({line.incident_id for line in lines}) == 1
    assert {line.subject for line in lines} == {f"monitor/{monitor.id}"}


def test_a_channel_that_fails_does_not_stop_the_other_and_is_tried_again() -> None:
    play = AlertPlay()
    rule = play.rule()
    play.target.outcome = Outcome("failed", 503, error_type="http_error", error="503")
    play.signal(_signal(play, "s"))
    play.settle()
    assert len(play.messages) == 2
    play.target.outcome = Outcome("completed", 200)
    play.until(play.s.clock.now_ms() + 10_000)
    assert len(play.messages) == 4
    assert len({key for key, _, _ in play.messages}) == 2
    lines, _ = notices.sent(play.s, ANONYMOUS_ADMIN, rule.id, None, 10, None)
    assert [line.attempts for line in lines] == [2, 2]


def test_what_no_try_can_help_is_in_the_ledger_as_failed() -> None:
    play = AlertPlay()
    play.rule()
    play.target.outcome = Outcome("failed", 404, error_type="http_error", error="404", permanent=True)
    play.signal(_signal(play, "s"))
    play.settle()
    lines, _ = notices.sent(play.s, ANONYMOUS_ADMIN, None, None, 10, None)
    assert [(line.state, line.error) for line in lines] == [("failed", "404")] * 2


def test_a_deleted_rule_sends_nothing_more() -> None:
    play = AlertPlay()
    rule = play.rule(group_ms=5_000)
    play.signal(_signal(play, "s"))
    notices.delete(play.s, ANONYMOUS_ADMIN, rule.id, None)
    play.until(play.s.clock.now_ms() + 120_000)
    assert play.messages == []
    assert play.s.stores.alerts.load(rule.tenant, "book", rule.id) is None


def test_a_rule_that_is_switched_off_forgets_what_was_open() -> None:
    """What recovers meanwhile is not heard of: its next failure is an incident of its own."""
    play = AlertPlay()
    rule, monitor = play.rule(), play.monitor()
    assert play.ping(monitor.ping_token, "fail")
    play.settle()
    notices.edit(play.s, ANONYMOUS_ADMIN, rule.id, RuleWish(enabled=False), None)
    assert play.ping(monitor.ping_token)
    play.settle()
    assert play.ping(monitor.ping_token, "fail")
    assert play.ping(monitor.ping_token)
    play.settle()
    notices.edit(play.s, ANONYMOUS_ADMIN, rule.id, RuleWish(enabled=True), None)
    assert play.ping(monitor.ping_token, "fail")
    play.settle()
    assert [kind for _, host, kind in play.messages if host == "a"] == ["alert", "alert"]
    assert len({key for key, _, _ in play.messages}) == 4


def test_a_test_is_sent_to_every_channel() -> None:
    play = AlertPlay()
    rule = play.rule()
    made = notices.test(play.s, ANONYMOUS_ADMIN, rule.id, None)
    play.settle()
    assert [key for key, _, kind in play.messages if kind == "test"] == made


@pytest.mark.parametrize("call", range(1, CALLS_COVERED))
def test_each_is_told_once_whichever_call_fails(call: int) -> None:
    """Every call of the store fails once, before it did anything or after: nothing is lost, and nothing told anew."""
    play = AlertPlay()
    play.rule()
    monitor = play.monitor()
    assert play.ping(monitor.ping_token)
    play.settle()
    t0 = play.s.clock.now_ms()
    play.store.fails_at, play.store.after = play.store.calls + call, call % 2 == 0
    _until(play, t0 + 130_000)
    assert play.ping(monitor.ping_token) or play.ping(monitor.ping_token)
    _until(play, t0 + 137_000)
    for _ in range(20):  # it goes on succeeding, until what was lost has been found
        assert play.ping(monitor.ping_token) or play.ping(monitor.ping_token)
        _until(play, play.s.clock.now_ms() + 7_000)
    told = dict(play.events)
    assert list(told.items()) == [(f"{monitor.id}-1", "down"), (f"{monitor.id}-2", "up")]
    kinds = {key: kind for key, _, kind in play.messages}
    assert sorted(kinds.values()) == ["alert", "alert", "recovery", "recovery"]
    assert len(play.messages) <= 5  # one may be sent again, under its key


def _until(play: AlertPlay, unix_ms: int) -> None:
    while play.s.clock.now_ms() < unix_ms:
        try:
            play.until(unix_ms)
        except ChronoError:  # the minute rule of a worker that died: the next minute comes
            play.next_minute_ms += 60_000


def _signal(play: AlertPlay, subject: str) -> Signal:
    at_ms = play.s.clock.now_ms()
    return Signal(
        subject=f"schedule/{subject}",
        name=subject,
        owner="o",
        causes=("failed",),
        at_ms=at_ms,
        source=f"{subject}{at_ms}",
    )
