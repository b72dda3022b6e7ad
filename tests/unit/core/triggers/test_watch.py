"""Watches, the throttle and what arrives, as laws over drawn courses of events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chalicelib.core.errors import InvalidField, TooLarge
from chalicelib.core.triggers import received_event, throttle, watch
from chalicelib.core.triggers.limits import RECENT_KEPT
from chalicelib.core.triggers.throttle import ThrottleState
from chalicelib.core.triggers.watch import ARMED, FIRING, IDLE, Arrival, Watch

EMPTY = Watch("t", "x", "absence")
GAPS = st.lists(st.tuples(st.integers(0, 30), st.booleans(), st.booleans()), max_size=30)
WAIT_MS = 20


def arrival(number: int, after: bool = True, awaited: bool = False) -> Arrival:
    return Arrival(f"e{number}", f'"{number}"', 0, after, awaited)


def fired_by(at_ms: int, now: Watch) -> tuple[Watch, list[tuple[str, int]]]:
    """The watch at an instant, and what it fired until then."""
    over = watch.due(now, at_ms)
    if over.state != FIRING:
        return over, []
    return watch.settled(over), [(over.digest, over.due_ms)]


@given(GAPS)
def test_a_wait_fires_unless_what_it_waits_for_comes(gaps: list[tuple[int, bool, bool]]) -> None:
    now, at_ms, fired, events = EMPTY, 0, [], []
    for number, (gap_ms, after, awaited) in enumerate(gaps):
        at_ms += gap_ms
        now, more = fired_by(at_ms, now)
        fired += more
        events.append((at_ms, after, awaited))
        now = watch.absence(now, arrival(number, after, awaited), WAIT_MS, at_ms)
        assert (now.state == ARMED) == bool(now.event)
    now, more = fired_by(at_ms + WAIT_MS, now)
    fired += more
    wanted, since = [], None  # the same, told by a plain walk
    for number, (came_ms, after, awaited) in enumerate([*events, (at_ms + WAIT_MS, False, False)]):
        if since is not None and came_ms >= since[1] + WAIT_MS:
            wanted.append((f"e{since[0]}", since[1] + WAIT_MS))
            since = None
        if awaited:
            since = None
        if after and since is None:
            since = (number, came_ms)
    assert fired == wanted
    assert now.state == IDLE


@given(st.lists(st.integers(0, 40), min_size=1, max_size=30))
def test_a_burst_fires_its_last_event_once(gaps: list[int]) -> None:
    now, at_ms, fired, times = replace(EMPTY, kind="debounce"), 0, [], []
    for number, gap_ms in enumerate(gaps):
        at_ms += gap_ms
        now, more = fired_by(at_ms, now)
        fired += more
        times.append(at_ms)
        now = watch.burst(now, arrival(number), WAIT_MS, at_ms)
    _, more = fired_by(at_ms + WAIT_MS, now)
    fired += more
    ends = [n for n, (a, b) in enumerate(zip(times, [*times[1:], 1 << 40], strict=True)) if b - a >= WAIT_MS]
    assert fired == [(f"e{n}", times[n] + WAIT_MS) for n in ends]


@given(st.lists(st.integers(0, RECENT_KEPT - 1), max_size=40))
def test_what_comes_again_changes_nothing(again: list[int]) -> None:
    now = replace(EMPTY, kind="debounce")
    for number in range(RECENT_KEPT):
        now = watch.burst(now, arrival(number), WAIT_MS, number)
    for number in again:
        assert watch.burst(now, arrival(number), WAIT_MS, 10_000) is now
    assert len(now.recent) == RECENT_KEPT
    later = watch.settled(watch.due(now, 1 << 40))
    assert watch.burst(later, arrival(3), WAIT_MS, 1 << 40) is later
    assert later.event == ""


def test_each_step_raises_the_revision() -> None:
    armed = watch.absence(EMPTY, arrival(1), WAIT_MS, 0)
    over = watch.due(armed, WAIT_MS)
    assert [armed.rev, over.rev, watch.settled(over).rev] == [1, 2, 3]
    assert watch.due(armed, WAIT_MS - 1) is armed
    assert watch.due(over, WAIT_MS) is over


@given(st.lists(st.tuples(st.integers(-5, 20), st.integers(0, 60)), max_size=60), st.integers(1, 4))
def test_no_span_lets_more_through(course: list[tuple[int, int]], limit: int) -> None:
    state, at_ms, passed, dropped = ThrottleState("t", "x"), 1000, {}, 0
    for gap_ms, number in course:
        at_ms += gap_ms
        before = state
        state, passes = throttle.admit(state, f"e{number}", limit, WAIT_MS, at_ms)
        dropped += not passes
        if f"e{number}" in {one.digest for one in before.passed}:
            assert passes
            assert state is before
        elif passes:
            passed[state.passed[-1].at_ms, number] = True
    times = sorted(at for at, _ in passed)
    assert all(b - a >= WAIT_MS for a, b in zip(times, times[limit:], strict=False))
    assert state.dropped == dropped


def test_a_throttle_drops_no_more_than_it_must() -> None:
    state = ThrottleState("t", "x")
    answers = []
    for at_ms in (0, 1, 2, 19, 20, 21, 22):
        state, passes = throttle.admit(state, f"e{at_ms}", 2, WAIT_MS, at_ms)
        answers.append(passes)
    assert answers == [True, True, False, False, True, True, False]


EVENT = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}


@pytest.mark.parametrize(
    ("said", "depth"), [(None, 0), (0, 0), (3, 3), ("7", 7), (99, 10), (-1, 10), ("x", 10), (True, 10), (1.5, 10)]
)
def test_the_depth_that_an_event_says(said: object, depth: int) -> None:
    event = received_event.of_object(EVENT if said is None else {**EVENT, "chronodepth": said})
    assert event.depth == depth
    assert received_event.of_object(EVENT, 4).depth == 4


def test_an_event_above_the_bound_is_refused_by_its_size() -> None:
    with pytest.raises(TooLarge) as refused:
        received_event.of_object({**EVENT, "data": "x" * 70_000})
    assert "at most 65536" in refused.value.detail


def test_a_wrong_event_is_refused() -> None:
    with pytest.raises(InvalidField):
        received_event.of_object({})
