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
        instants.send_ms(at_ms + number % 1000)
    return instants


def test_where_few_are_due_each_is_sent_at_its_instant() -> None:
    instants: SharedInstants[str, str] = SharedInstants()
    assert [instants.send_ms(T0 + n) for n in range(SOME - 1)] == [T0 + n for n in range(SOME - 1)]


@pytest.mark.parametrize(("count", "span_ms"), [(SOME, SOME_MS), (MANY, MANY_MS)])
def test_in_a_crowd_neighbours_are_sent_together_at_the_last_of_them(count: int, span_ms: int) -> None:
    instants = crowd(count)
    assert [instants.send_ms(T0 + 400 + n) for n in range(span_ms)] == [T0 + 400 + span_ms - 1] * span_ms


def test_a_second_after_a_crowd_begins_as_one() -> None:
    assert crowd(MANY).send_ms(T0 + 1000) == T0 + 1000 + MANY_MS - 1
    assert crowd(MANY).send_ms(T0 + 2000) == T0 + 2000


def test_seconds_are_forgotten_the_earliest_first() -> None:
    instants = crowd(MANY)
    for second in range(1, SHARED_SECONDS_MAX + 1):
        instants.send_ms(T0 + 2000 * second)
    assert instants.send_ms(T0) == T0


def test_who_joins_before_it_begins_is_seen_to_and_nobody_later() -> None:
    instants: SharedInstants[str, str] = SharedInstants()
    first, second, third = (WaitingGroup(T0, name) for name in ("first", "second", "third"))
    assert instants.join(T0 + 9, first) is None
    shared: SharedInstant[str, str] = SharedInstant(T0 + 9, [first])
    instants.offer(shared, "job")
    assert instants.join(T0 + 9, second) == "job"
    assert instants.join(T0 + 19, second) is None
    assert instants.begin(shared) == [first, second]
    assert instants.join(T0 + 9, third) is None
    assert shared.waiting == [first, second]


def test_what_has_begun_cannot_be_offered_and_one_that_is_open_stays() -> None:
    instants: SharedInstants[str, str] = SharedInstants()
    begun: SharedInstant[str, str] = SharedInstant(T0)
    instants.begin(begun)
    instants.offer(begun, "begun")
    assert instants.join(T0, WaitingGroup(T0, "late")) is None
    one, other = SharedInstant[str, str](T0), SharedInstant[str, str](T0)
    instants.offer(one, "one")
    instants.offer(other, "other")
    assert instants.join(T0, WaitingGroup(T0, "late")) == "one"
    instants.begin(other)
    assert instants.join(T0, WaitingGroup(T0, "later")) == "one"
