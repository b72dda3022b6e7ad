"""``monitor`` in virtual time: a silence is told once, its end too, and whoever dies in between loses neither."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.core.errors import Conflict, Unavailable
from chalicelib.core.executions.limits import RECHECK_AHEAD_MAX_MS
from chalicelib.core.policies.monitor import MonitorState
from chalicelib.core.schedules.request import ScheduleRequest
from chalicelib.core.schedules.schedule import Key, Monitor, RetryPolicy
from chalicelib.engine import monitors
from chalicelib.ports.target import Outcome
from chalicelib.usecases import schedules
from tests.kit.plant import CALLER, Plant

T0 = 1_795_252_800_000  # 2026-11-21T09:20:00Z
MINUTE = 60_000
WEBHOOK = {"type": "webhook", "url": "http://127.0.0.1:9/", "method": "POST", "timeout_ms": 30_000}
FAILED = Outcome("failed", http_status=500, error_type="http_error", error="it broke")
AWAY = Outcome("failed", error_type="connection_error", error="the bus is away")
DONE = Outcome("completed", http_status=200)
ALERT = "chronowatch.alert.v1"


class Died(BaseException):
    """Raised in the place of a crash: nothing in the product catches it."""


def monitored(plant: Plant, **fields: Any) -> str:
    wanted = {"type": "RATE", "expr": "rate:10s", "retry_policy": RetryPolicy(max_attempts=1), "target": WEBHOOK}
    return plant.create(**{**wanted, "monitor": Monitor(2 * MINUTE), **fields})


def alerts(plant: Plant) -> list[dict[str, Any]]:
    return [json.loads(d.event) for _, d in plant.bus.sent if d.event_type == ALERT]


def kinds(plant: Plant) -> list[str]:
    return [a["data"]["kind"] for a in alerts(plant)]


def watch(plant: Plant, schedule_id: str) -> MonitorState | None:
    key = Key("default", schedule_id)
    return plant.services.stores.schedules.monitors([key]).get(key)


def test_a_silence_is_told_once_however_long_it_lasts() -> None:
    plant = Plant(T0)
    plant.hook.answer = lambda d: DONE if d.firing_unix_ms <= T0 + 30_000 else FAILED
    beat = monitored(plant, name="beat", owner="ops")
    plant.run_until(T0 + 60 * MINUTE)
    (alert,) = alerts(plant)
    silent_ms = T0 + 30_000 + 2 * MINUTE
    assert (alert["type"], alert["subject"], alert["id"]) == (ALERT, beat, f"{beat}-{silent_ms}-silent")
    assert alert["data"] == {
        "kind": "no_success",
        "schedule_id": beat,
        "schedule_name": "beat",
        "owner": "ops",
        "at_unix_ms": silent_ms,
        "window_ms": 2 * MINUTE,
        "silent_since_unix_ms": silent_ms,
        "last_success_unix_ms": T0 + 30_000,
    }
    told_ms = next(at for at, d in plant.bus.sent if d.event_type == ALERT)
    assert silent_ms < told_ms < silent_ms + MINUTE + 2_000


def test_a_schedule_that_never_succeeded_is_silent_from_its_creation() -> None:
    plant = Plant(T0)
    plant.hook.answer = lambda _: FAILED
    monitored(plant)
    plant.run_until(T0 + 4 * MINUTE)
    (alert,) = alerts(plant)
    assert alert["data"]["last_success_unix_ms"] is None
    assert alert["data"]["silent_since_unix_ms"] == T0 + 2 * MINUTE


def test_what_never_fires_is_silent_too() -> None:
    plant = Plant(T0)
    monitored(plant, expr="rate:1h")
    plant.run_until(T0 + 5 * MINUTE)
    assert kinds(plant) == ["no_success"]


def test_its_end_is_told_and_the_next_silence_is_another() -> None:
    plant = Plant(T0)
    plant.hook.answer = lambda _: FAILED
    beat = monitored(plant)
    plant.run_until(T0 + 10 * MINUTE)
    plant.hook.answer = lambda _: DONE
    plant.run_until(T0 + 10 * MINUTE + 15_000)
    first, over = alerts(plant)
    assert over["id"] == first["id"].replace("-silent", "-recovered")
    assert over["data"]["kind"] == "recovered"
    assert over["data"]["silent_for_ms"] == 8 * MINUTE + 10_000
    plant.hook.answer = lambda _: FAILED
    plant.run_until(T0 + 20 * MINUTE)
    assert kinds(plant) == ["no_success", "recovered", "no_success"]
    assert len({a["id"] for a in alerts(plant)}) == 3
    found = watch(plant, beat)
    assert found is not None
    assert found.told


def test_one_that_succeeds_now_and_then_is_left_alone_also_when_nothing_is_noted() -> None:
    plant = Plant(T0)
    plant.feed_every_ms = None  # the stream stands still
    plant.hook.answer = lambda d: FAILED if (d.firing_unix_ms - T0) // 10_000 % 9 else DONE
    monitored(plant)
    plant.run_until(T0 + 30 * MINUTE)
    assert alerts(plant) == []


def test_without_a_monitor_there_is_no_watch_and_no_alert() -> None:
    plant = Plant(T0)
    plant.hook.answer = lambda _: FAILED
    beat = monitored(plant, monitor=None)
    plant.run_until(T0 + 10 * MINUTE)
    assert watch(plant, beat) is None
    assert alerts(plant) == []


def test_a_paused_schedule_is_not_watched_and_resuming_begins_anew() -> None:
    plant = Plant(T0)
    plant.hook.answer = lambda _: FAILED
    beat = monitored(plant)
    plant.run_until(T0 + MINUTE)
    schedules.pause(plant.services, CALLER, beat, None, None)
    plant.run_until(T0 + 20 * MINUTE)
    assert alerts(plant) == []
    assert watch(plant, beat) is None
    schedules.resume(plant.services, CALLER, beat, None)
    plant.run_until(T0 + 21 * MINUTE)
    assert alerts(plant) == []
    plant.run_until(T0 + 24 * MINUTE)
    (alert,) = alerts(plant)
    assert alert["data"]["silent_since_unix_ms"] == T0 + 22 * MINUTE


def test_a_completed_or_deleted_one_is_not_watched() -> None:
    plant = Plant(T0)
    plant.hook.answer = lambda _: FAILED
    ended, gone = monitored(plant, max_runs=2), monitored(plant)
    plant.run_until(T0 + MINUTE)
    schedules.delete(plant.services, CALLER, gone, None)
    plant.run_until(T0 + 10 * MINUTE)
    assert alerts(plant) == []
    assert watch(plant, gone) is None
    schedules.edit(plant.services, CALLER, ended, ScheduleRequest(max_runs=None), None)
    plant.run_until(T0 + 20 * MINUTE)
    assert kinds(plant) == ["no_success"]


def test_the_watch_of_a_completed_one_is_not_kept_for_ever() -> None:
    plant = Plant(T0)
    ended = monitored(plant, max_runs=1, monitor=Monitor(60 * MINUTE))
    plant.run_until(T0 + 2 * MINUTE)
    assert watch(plant, ended) is not None
    plant.clock.sleep_until(T0 + 27 * 60 * MINUTE)
    for shard in range(2):
        monitors.check_shard(plant.services, shard)
    assert watch(plant, ended) is None


def test_another_window_begins_anew_and_other_edits_do_not() -> None:
    plant = Plant(T0)
    plant.hook.answer = lambda _: FAILED
    beat = monitored(plant)
    plant.run_until(T0 + MINUTE)
    before = watch(plant, beat)
    schedules.edit(plant.services, CALLER, beat, ScheduleRequest(payload="1"), None)
    assert watch(plant, beat) == before
    schedules.edit(plant.services, CALLER, beat, ScheduleRequest(monitor=Monitor(5 * MINUTE)), None)
    after = watch(plant, beat)
    assert after is not None
    assert (after.since_ms, after.window_ms) == (T0 + MINUTE + 2 * RECHECK_AHEAD_MAX_MS + 1, 5 * MINUTE)
    schedules.edit(plant.services, CALLER, beat, ScheduleRequest(monitor=None), None)
    plant.run_until(T0 + 20 * MINUTE)
    assert alerts(plant) == []


def test_a_refused_change_leaves_the_watch_as_it_was() -> None:
    plant = Plant(T0)
    beat = monitored(plant, name="a")
    monitored(plant, name="b")
    plant.run_until(T0 + MINUTE)
    before = watch(plant, beat)
    with pytest.raises(Conflict):
        schedules.edit(plant.services, CALLER, beat, ScheduleRequest(name="b", monitor=Monitor(5 * MINUTE)), None)
    assert watch(plant, beat) == before


def test_two_lookers_at_once_tell_one_silence() -> None:
    plant = Plant(T0)
    plant.hook.answer = lambda _: FAILED
    beat = monitored(plant)
    plant.skip(T0 + 4 * MINUTE)
    for _ in range(2):
        for shard in range(2):
            plant.clock.start(lambda shard=shard: monitors.check_shard(plant.services, shard))
    plant.clock.sleep_until(T0 + 4 * MINUTE + 1)
    found = watch(plant, beat)
    assert found is not None
    assert (found.silent_ms, found.told) == (T0 + 2 * MINUTE, True)
    assert len({a["id"] for a in alerts(plant)}) == 1


def test_a_stale_look_writes_nothing() -> None:
    plant = Plant(T0)
    beat = monitored(plant)
    stale = watch(plant, beat)
    assert stale is not None
    monitors.note(plant.services, [(Key("default", beat), T0 + 30_000)])
    assert not plant.services.stores.schedules.write_monitor(replace(stale, rev=stale.rev + 1, silent_ms=1), stale.rev)
    assert watch(plant, beat) == replace(stale, rev=stale.rev + 1, success_ms=T0 + 30_000)


def test_the_alert_waits_for_the_bus_and_keeps_its_id() -> None:
    plant = Plant(T0)
    plant.hook.answer = lambda _: FAILED
    beat = monitored(plant)
    plant.bus.answer = lambda _: AWAY
    plant.run_until(T0 + 5 * MINUTE)
    tries = alerts(plant)
    assert len(tries) >= 2
    assert {a["id"] for a in tries} == {f"{beat}-{T0 + 2 * MINUTE}-silent"}
    plant.bus.answer = lambda _: DONE
    plant.run_until(T0 + 8 * MINUTE)
    found = watch(plant, beat)
    assert found is not None
    assert found.told
    assert len(alerts(plant)) == len(tries) + 1


def die(*_: object) -> Any:
    raise Died


def test_who_writes_a_silence_down_and_dies_leaves_it_to_the_next_minute() -> None:
    plant = Plant(T0)
    beat = monitored(plant)
    plant.clock.sleep_until(T0 + 3 * MINUTE)
    plant.bus.answer = die
    look_until_death(plant)
    found = watch(plant, beat)
    assert found is not None
    assert (found.silent_ms, found.told) == (T0 + 2 * MINUTE, False)
    plant.bus.sent.clear()
    plant.bus.answer = lambda _: DONE
    plant.clock.sleep_until(T0 + 4 * MINUTE)
    look_all(plant)
    assert [a["id"] for a in alerts(plant)] == [f"{beat}-{T0 + 2 * MINUTE}-silent"]


def test_who_hears_of_a_success_and_dies_leaves_the_end_of_the_silence_to_the_next() -> None:
    plant = Plant(T0)
    beat = monitored(plant)
    plant.clock.sleep_until(T0 + 3 * MINUTE)
    look_all(plant)
    heard = [(Key("default", beat), T0 + 3 * MINUTE + 1)]
    plant.bus.answer = die
    with pytest.raises(Died):
        monitors.note(plant.services, heard)
    plant.bus.sent.clear()
    plant.bus.answer = lambda _: AWAY
    with pytest.raises(Unavailable):
        monitors.note(plant.services, heard)
    plant.bus.sent.clear()
    plant.bus.answer = lambda _: DONE
    monitors.note(plant.services, heard)
    monitors.note(plant.services, heard)
    assert kinds(plant) == ["recovered"]


def test_an_untold_silence_that_ends_is_told_with_its_end() -> None:
    plant = Plant(T0)
    beat = monitored(plant)
    plant.clock.sleep_until(T0 + 3 * MINUTE)
    plant.bus.answer = die
    look_until_death(plant)
    plant.bus.sent.clear()
    plant.bus.answer = lambda _: DONE
    monitors.note(plant.services, [(Key("default", beat), T0 + 3 * MINUTE + 1)])
    assert kinds(plant) == ["no_success", "recovered"]


def test_a_frequent_schedule_is_noted_a_hundred_times_a_window_at_most() -> None:
    plant = Plant(T0)
    plant.feed_every_ms = 500
    beat = monitored(plant, expr="rate:1s", monitor=Monitor(10 * MINUTE))
    before = watch(plant, beat)
    plant.run_until(T0 + 5 * MINUTE)
    found = watch(plant, beat)
    assert before is not None
    assert found is not None
    assert 40 <= found.rev - before.rev <= 51


def look_all(plant: Plant) -> None:
    for shard in range(2):
        monitors.check_shard(plant.services, shard)


def look_until_death(plant: Plant) -> None:
    with pytest.raises(Died):
        look_all(plant)
