"""What a look at a watch finds."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from chalicelib.core.limits import SWEEP_PERIOD_MS
from chalicelib.core.policies import monitor
from chalicelib.core.policies.monitor import MonitorFinding
from chalicelib.core.schedules.schedule import Definition, Key, Monitor, Schedule, State, VersionRef

T0 = 1_795_252_800_000
WINDOW_MS = 100_000


def made(since_ms: int = T0, rev: int = 1, active: bool = True, window_ms: int | None = WINDOW_MS) -> Schedule:
    version = f"v{rev}"
    definition = Definition(
        tenant="t", id="s", version=version, since_ms=since_ms, active=active, type="RATE", expr="rate:10s",
        monitor=None if window_ms is None else Monitor(window_ms), created_at_ms=T0, updated_at_ms=since_ms,
    )  # fmt: skip
    ref = VersionRef(version, since_ms, active)
    return Schedule(definition, State(tenant="t", id="s", shard=3, rev=rev, versions=(ref,), next_run_ms=T0 + 10_000))


def begun() -> monitor.MonitorState:
    found = monitor.to_begin(None, made())
    assert found is not None
    return found


def test_a_watch_begins_when_its_schedule_does() -> None:
    watch = begun()
    assert watch.key == Key("t", "s")
    assert (watch.shard, watch.since_ms, watch.success_ms) == (3, T0, T0)
    assert watch.look_ms == watch.due_ms == T0 + WINDOW_MS + WINDOW_MS // 100


@pytest.mark.parametrize(
    ("before", "after", "begins"),
    [
        (None, made(window_ms=None), False),
        (None, made(active=False), False),
        (made(), made(T0 + 9, 2), False),
        (made(active=False), made(T0 + 9, 2), True),
        (made(window_ms=None), made(T0 + 9, 2), True),
        (made(), made(T0 + 9, 2, window_ms=200_000), True),
        (made(), made(T0 + 9, 2, window_ms=None), False),
        (made(), made(T0 + 9, 2, active=False), False),
    ],
)
def test_what_begins_one(before: Schedule | None, after: Schedule, begins: bool) -> None:
    found = monitor.to_begin(before, after)
    assert (found is not None) == begins
    if found is not None:
        assert found.since_ms == after.definition.since_ms


def test_a_completed_schedule_that_is_woken_is_watched_anew() -> None:
    ended = made()
    ended = replace(ended, state=replace(ended.state, next_run_ms=None))
    assert monitor.to_begin(ended, made(T0 + 9, 2)) is not None


def test_one_that_is_paused_until_an_instant_is_watched_from_then_on() -> None:
    after = made(T0 + 9, 2)
    resting = replace(after, definition=replace(after.definition, paused_until_ms=T0 + 50))
    found = monitor.to_begin(made(), resting)
    assert found is not None
    assert (found.since_ms, found.success_ms) == (T0 + 50, T0 + 50)
    assert monitor.to_begin(resting, made(T0 + 30, 3)) is not None, "resumed before its end"
    assert monitor.to_begin(resting, made(T0 + 60, 3)) is None, "the watch goes on"


def test_no_two_watches_of_a_schedule_share_a_rev() -> None:
    second = monitor.to_begin(made(active=False), made(T0 + 9, 2))
    assert second is not None
    assert second.rev - begun().rev == monitor.REVS_OF_A_WATCH


@pytest.mark.parametrize(
    ("success_ms", "now_ms", "turn"),
    [
        (0, T0 + 100_999, MonitorFinding.WELL),
        (0, T0 + 101_000, MonitorFinding.FELL_SILENT),
        (T0 + 1, T0 + 101_000, MonitorFinding.WELL),
        (T0 + 1, T0 + 101_001, MonitorFinding.FELL_SILENT),
    ],
)
def test_when_it_falls_silent(success_ms: int, now_ms: int, turn: MonitorFinding) -> None:
    found, after = monitor.check(begun(), success_ms, now_ms)
    assert found is turn
    known_ms = max(T0, success_ms)
    assert after.silent_ms == (known_ms + WINDOW_MS if turn is MonitorFinding.FELL_SILENT else 0)
    assert after.look_ms == (now_ms + SWEEP_PERIOD_MS if turn is MonitorFinding.FELL_SILENT else known_ms + 101_000)


def test_it_stays_silent_until_it_speaks() -> None:
    _, silent = monitor.check(begun(), 0, T0 + 101_000)
    turn, again = monitor.check(silent, T0, T0 + 170_000)
    assert (turn, again.silent_ms, again.look_ms) == (MonitorFinding.STILL_SILENT, silent.silent_ms, T0 + 230_000)
    alerted = monitor.notified(again, T0 + 170_000)
    assert alerted.look_ms == T0 + 270_000
    turn, over = monitor.check(alerted, T0 + 200_000, T0 + 270_000)
    assert (turn, over.silent_ms, over.told, over.success_ms) == (MonitorFinding.SPOKE, 0, False, T0 + 200_000)
    assert over.look_ms == over.due_ms == T0 + 301_000


def test_which_successes_are_worth_a_write() -> None:
    watch = begun()
    assert monitor.spoke(watch, T0) is None
    assert monitor.spoke(watch, T0 + 999) is None
    noted = monitor.spoke(watch, T0 + 1_000)
    assert noted == replace(watch, rev=watch.rev + 1, success_ms=T0 + 1_000), "the index is left alone"
    _, silent = monitor.check(watch, 0, T0 + 101_000)
    over = monitor.spoke(silent, T0 + 1)
    assert over is not None
    assert (over.silent_ms, over.look_ms) == (0, T0 + 101_001)
