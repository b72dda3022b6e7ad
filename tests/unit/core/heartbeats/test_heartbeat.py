"""A monitor never misses a missing ping, and never cries over one that came in time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chalicelib.core.errors import InvalidField
from chalicelib.core.heartbeats.heartbeat import Heartbeat, Ping, check, observe, paused, pinged, resumed, told

T0 = 1_795_740_000_000
GRACE_MS = 5_000
PERIOD_MS = 10_000


def monitor(**fields: object) -> Heartbeat:
    made = Heartbeat(
        tenant="t",
        id="m",
        version="v",
        name="backup",
        type="RATE",
        expr="rate:10s",
        timezone="UTC",
        grace_ms=GRACE_MS,
        owner="o",
        ping_token="p",
        badge_token="b",
        created_ms=T0,
        updated_ms=T0,
    )
    return replace(made, **fields)


def test_it_is_late_and_down_to_the_millisecond() -> None:
    up = pinged(monitor(), Ping("success", T0))
    assert (up.state, up.expected_ms) == ("up", T0 + PERIOD_MS)
    assert observe(up, T0 + PERIOD_MS - 1) is up
    late = observe(up, T0 + PERIOD_MS)
    assert late.state == "late"
    assert observe(late, T0 + PERIOD_MS + GRACE_MS - 1) is late
    down = observe(late, T0 + PERIOD_MS + GRACE_MS)
    assert (down.state, down.down_since_ms) == ("down", T0 + PERIOD_MS + GRACE_MS)
    assert [(c.state, c.reason) for c in down.untold] == [("down", "missed")]


def test_by_cron_and_zone() -> None:
    berlin = monitor(type="CRON", expr="0 2 * * *", timezone="Europe/Berlin")
    up = pinged(berlin, Ping("success", T0))
    assert up.expected_ms is not None
    assert up.expected_ms % 86_400_000 == 3_600_000  # 01:00 UTC is two o'clock in winter


def test_new_stays_new_until_it_is_pinged_and_a_start_counts() -> None:
    assert observe(monitor(), T0 + 10**9).state == "new"
    started = pinged(monitor(), Ping("start", T0))
    assert (started.state, started.deadline_ms) == ("new", T0 + GRACE_MS)
    down = observe(started, T0 + GRACE_MS)
    assert (down.state, down.untold[0].reason) == ("down", "not_ended")


def test_a_start_without_an_end_goes_down_after_the_grace() -> None:
    up = pinged(monitor(), Ping("success", T0))
    started = pinged(up, Ping("start", T0 + 1_000))
    assert observe(started, T0 + 1_000 + GRACE_MS).state == "down"
    ended = pinged(started, Ping("success", T0 + 2_000))
    assert observe(ended, T0 + 1_000 + GRACE_MS).state == "up"


def test_a_failure_is_down_at_once_and_a_log_changes_nothing() -> None:
    up = pinged(monitor(), Ping("success", T0))
    failed = pinged(up, Ping("fail", T0 + 1, exit_code=3))
    assert (failed.state, failed.untold[0].reason) == ("down", "failed")
    assert pinged(failed, Ping("fail", T0 + 2)).crossings == 1
    logged = pinged(up, Ping("log", T0 + 1, text="hello"))
    assert replace(logged, pings=(), rev=0) == replace(up, pings=(), rev=0)


def test_paused_expects_nothing_and_resumed_begins_anew() -> None:
    up = pinged(monitor(), Ping("success", T0))
    still = paused(up, "v2", T0 + 1)
    assert observe(still, T0 + 10**9).state == "paused"
    assert pinged(still, Ping("success", T0 + 2)).state == "paused"
    again = resumed(still, "v3", T0 + 10**6)
    assert (again.state, again.expected_ms) == ("up", T0 + 10**6 + PERIOD_MS)
    assert resumed(paused(monitor(), "v2", T0), "v3", T0).state == "new"


def test_a_ping_that_is_written_late_takes_nothing_back() -> None:
    up = pinged(monitor(), Ping("success", T0))
    newer = pinged(up, Ping("success", T0 + 9_000))
    late = pinged(newer, Ping("success", T0 + 2_000))
    assert (late.expected_ms, late.last_ping_ms, len(late.pings)) == (newer.expected_ms, newer.last_ping_ms, 3)
    started = pinged(up, Ping("start", T0 + 9_000))
    ended = pinged(started, Ping("success", T0 + 2_000))
    assert (ended.expected_ms, ended.started_ms) == (T0 + 2_000 + PERIOD_MS, T0 + 9_000), "the one before it has ended"
    assert pinged(newer, Ping("start", T0 + 2_000)).started_ms is None
    failed = pinged(up, Ping("fail", T0 + 9_000))
    assert pinged(failed, Ping("success", T0 + 2_000)).state == "down"
    assert pinged(failed, Ping("success", T0 + 8_995)).state == "up", "clocks of two workers are that far apart"


def test_a_ping_that_came_in_time_and_was_written_too_late_ends_what_was_found_meanwhile() -> None:
    down = observe(pinged(monitor(), Ping("success", T0)), T0 + PERIOD_MS + GRACE_MS)
    up = pinged(down, Ping("success", T0 + PERIOD_MS))
    assert [(c.number, c.state) for c in up.untold] == [(1, "down"), (2, "up")]
    assert up.untold[1].at_ms >= up.untold[0].at_ms


def test_a_pause_hides_no_miss_and_ends_nothing_that_was_announced() -> None:
    up = pinged(monitor(), Ping("success", T0))
    missed_ms = T0 + PERIOD_MS + GRACE_MS
    still = paused(up, "v2", missed_ms + 5)
    assert (still.state, [(c.state, c.at_ms) for c in still.untold]) == ("paused", [("down", missed_ms)])
    again = resumed(told(still, 1), "v3", missed_ms + 10)
    assert (again.state, again.untold) == ("up", ())
    well = pinged(again, Ping("success", missed_ms + 20))
    assert [(c.number, c.state) for c in well.untold] == [(2, "up")], "so the next miss is an incident of its own"
    assert pinged(told(well, 2), Ping("success", missed_ms + 30)).untold == ()


def test_what_no_monitor_can_have_is_refused() -> None:
    for kind, expr in (("AT", "at:2030-01-01T00:00:00Z"), ("DELAY", "delay:5s")):
        with pytest.raises(InvalidField, match="type"):
            check("m", kind, expr, "UTC", T0)  # type: ignore[arg-type]
    with pytest.raises(InvalidField, match="name"):
        check("a\u0000", "CRON", "* * * * *", "UTC", T0)
    with pytest.raises(InvalidField, match="expr"):
        check("m", "CRON", "nonsense", "UTC", T0)


PINGS = st.lists(
    st.tuples(st.sampled_from(["success", "start", "fail", "log"]), st.integers(0, 30_000), st.booleans()), max_size=25
)


@given(PINGS)
def test_its_course_is_the_same_however_often_it_is_looked_at(steps: list[tuple[str, int, bool]]) -> None:
    """Looks in between change nothing that a look at the end would not, and each crossing is told once, in turn."""
    looked, unlooked, now_ms = monitor(), monitor(), T0
    for kind, wait_ms, tell in steps:
        for at_ms in (now_ms + wait_ms // 3, now_ms + wait_ms // 2):
            looked = observe(observe(looked, at_ms), at_ms)
        now_ms += wait_ms
        ping = Ping(kind, now_ms)  # type: ignore[arg-type]
        looked, unlooked = pinged(looked, ping), pinged(unlooked, ping)
        if tell and looked.untold:
            looked = told(looked, looked.untold[-1].number)
    for seen in (looked, unlooked):
        numbers = [c.number for c in seen.untold]
        assert numbers == list(range(seen.crossings - len(numbers) + 1, seen.crossings + 1))
    assert [c.state for c in unlooked.untold] == [("down", "up")[i % 2] for i in range(len(unlooked.untold))]
    quiet = {"untold": (), "rev": 0}
    assert replace(looked, **quiet) == replace(unlooked, **quiet)


@given(PINGS)
def test_it_is_down_exactly_when_a_success_is_overdue_or_it_failed(steps: list[tuple[str, int, bool]]) -> None:
    """Against a plain account of what was expected."""
    seen, now_ms = monitor(), T0
    due: int | None = None
    started: int | None = None
    down = False
    for kind, wait_ms, _ in steps:
        now_ms += wait_ms
        ends = [at + GRACE_MS for at in (due, started) if at is not None]
        if not down and ends and min(ends) <= now_ms:
            down, started = True, None
        assert (observe(seen, now_ms).state == "down") is down
        seen = pinged(seen, Ping(kind, now_ms))  # type: ignore[arg-type]
        if kind == "success":
            down, due, started = False, now_ms + PERIOD_MS, None
        elif kind == "fail":
            down, started = True, None
        elif kind == "start":
            started = now_ms
        assert (seen.state == "down") is down
