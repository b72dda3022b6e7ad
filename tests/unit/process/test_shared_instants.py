"""Instants of a crowd share jobs; nothing is sent before its instant."""

from __future__ import annotations

import pytest

from chalicelib.process.limits import SHARED_INSTANTS, SHARED_SECONDS_MAX
from chalicelib.process.shared_instants import SharedInstant, SharedInstants
from chalicelib.process.waiting_room import WaitingGroup

T0 = 1_795_252_800_000
(MANY, MANY_MS), (SOME, SOME_MS) = SHARED_INSTANTS


def crowd(count: int, at_ms: int = T0) -> SharedInstants[str, str]:
    """As many groups are known to be due in one second."""
    instants: SharedInstants[str, str] = SharedInstants()
    for number in range(count):
        instants.count(at_ms + number % 1000)
    return instants


def test_where_few_are_due_each_is_alone() -> None:
    instants = crowd(SOME - 1)
    assert {instants.send_ms(T0 + n, T0) for n in range(1000)} == {None}


@pytest.mark.parametrize(("count", "span_ms"), [(SOME, SOME_MS), (MANY, MANY_MS)])
def test_in_a_crowd_neighbours_are_sent_together_at_the_last_of_them(count: int, span_ms: int) -> None:
    instants = crowd(count)
    assert [instants.send_ms(T0 + 400 + n, T0) for n in range(span_ms)] == [T0 + 400 + span_ms - 1] * span_ms


def test_in_a_crowd_what_is_late_is_sent_together_as_soon_as_it_can_be() -> None:
    instants = crowd(MANY)
    assert {instants.send_ms(T0 + n, T0 + 3000 + MANY_MS // 2) for n in range(1000)} == {T0 + 3000 + MANY_MS - 1}


def test_a_second_after_a_crowd_begins_as_one() -> None:
    assert crowd(MANY).send_ms(T0 + 1000, T0) == T0 + 1000 + MANY_MS - 1
    assert crowd(MANY).send_ms(T0 + 2000, T0) is None


def test_seconds_are_forgotten_the_earliest_first() -> None:
    instants = crowd(MANY)
    for second in range(1, SHARED_SECONDS_MAX + 1):
        instants.count(T0 + 2000 * second)
    assert instants.send_ms(T0, T0) is None


def test_who_joins_before_it_begins_is_seen_to_and_nobody_later() -> None:
    instants: SharedInstants[str, str] = SharedInstants()
    started: list[SharedInstant[str, str]] = []

    def start(shared: SharedInstant[str, str]) -> str:
        started.append(shared)
        return f"job {len(started)}"

    first, second, third, other = (WaitingGroup(T0, name) for name in ("first", "second", "third", "other"))
    assert [instants.join(T0 + 9, each, start) for each in (first, second)] == ["job 1", "job 1"]
    assert instants.join(T0 + 19, other, start) == "job 2"
    assert instants.begin(started[0]) == [first, second]
    assert instants.join(T0 + 9, third, start) == "job 3"
    assert [each.waiting for each in started] == [[first, second], [other], [third]]
    assert instants.begin(started[0]) == [first, second]
    assert instants.join(T0 + 9, other, start) == "job 3"
