"""Lines, turns, limits and rates, without a clock or a thread."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from chalicelib.process.admission import Admission, Caps, Ticket, burst_of
from chalicelib.process.limits import HOLD_MAX_MS, SENDING_MS

DUE_MS = 1_795_252_800_000
FREE = Caps(sending=1_000)


def ticket(owner: str, target: str = "", count: int = 1, due_ms: int = DUE_MS) -> Ticket:
    return Ticket(owner, target, count, due_ms, lambda: None)


def entered(line: Admission, caps: Caps, *tickets: Ticket, now_ms: float = 0.0) -> None:
    for one in tickets:
        assert line.submit(caps, one, now_ms) is None


def owners(tickets: Sequence[Ticket]) -> str:
    return "".join(one.owner for one in tickets)


def test_without_limits_all_go_at_once_in_order() -> None:
    line, all_of_them = Admission(), [ticket("a") for _ in range(50)]
    entered(line, FREE, *all_of_them)
    assert line.admit(FREE, 0) == all_of_them
    assert line.admit(FREE, 0) == []
    assert line.waiting == 0


def test_owners_take_turns_however_much_one_of_them_has() -> None:
    line, caps = Admission(), Caps(calls=1_000, sending=1)
    entered(line, caps, *(ticket("a") for _ in range(100)))
    (first,) = line.admit(caps, 0)
    entered(line, caps, ticket("b"), ticket("c"), ticket("b"))
    order = [first]
    for _ in range(6):
        line.sent(order[-1])
        order += line.admit(caps, 0)
    assert owners(order) == "aabcaba"


def test_the_oldest_instant_of_a_line_goes_first() -> None:
    line, caps = Admission(), Caps(sending=1)
    late, early = ticket("a", due_ms=DUE_MS + 5), ticket("a", due_ms=DUE_MS - 5)
    entered(line, caps, late, early)
    assert line.admit(caps, 0) == [early]


def test_no_more_of_an_owner_or_to_a_destination_than_allowed() -> None:
    line, caps = Admission(), Caps(owner_in_flight=3, target_in_flight=2, sending=100)
    entered(line, caps, *(ticket("a", "x") for _ in range(5)), *(ticket("a", "y") for _ in range(5)), ticket("b", "x"))
    going = line.admit(caps, 0)
    assert [(one.owner, one.target) for one in going] == [("a", "x"), ("b", "x"), ("a", "y"), ("a", "y")]
    line.finish(next(one for one in going if one.target == "x"))
    assert [one.target for one in line.admit(caps, 1)] == ["x"]


def test_landing_twice_frees_one_place() -> None:
    line, caps = Admission(), Caps(target_in_flight=1, sending=100)
    entered(line, caps, *(ticket("a", "x") for _ in range(3)))
    (first,) = line.admit(caps, 0)
    line.finish(first)
    line.finish(first)
    assert len(line.admit(caps, 0)) == 1


def test_a_call_of_several_counts_as_several() -> None:
    line, caps = Admission(), Caps(target_in_flight=5, sending=100)
    assert caps.most_in_a_call(10) == 5
    entered(line, caps, ticket("a", "x", 4), ticket("b", "x", 2), ticket("c", "x", 1))
    assert owners(line.admit(caps, 0)) == "ac"


@pytest.mark.parametrize("rate", [1, 7, 10, 100, 2_500])
def test_a_rate_holds_over_every_second(rate: int) -> None:
    line, caps, began = Admission(), Caps(owner_rate=rate, sending=10_000, calls=100_000), list[float]()
    waiting = [ticket("a", due_ms=DUE_MS + n) for n in range(rate * 5)]
    for one in waiting[: rate * 3]:
        line.submit(caps, one, 0)
    for now_ms in range(0, 3_000, 5):
        for one in line.admit(caps, now_ms):
            line.finish(one)
            began.append(now_ms)
    most = max(sum(at <= other < at + 1_000 for other in began) for at in sorted(set(began)))
    assert most <= rate + burst_of(rate)
    assert len(began) >= rate * 3 * 0.9 - burst_of(rate)


def test_a_rate_tells_when_to_look_again_once() -> None:
    line, caps = Admission(), Caps(target_rate=10, sending=100)
    entered(line, caps, ticket("a", "x"), ticket("a", "x"))
    assert len(line.admit(caps, 50)) == 1
    assert line.take_alarm(50) == 150
    line.admit(caps, 60)
    assert line.take_alarm(60) is None  # somebody looks already
    assert len(line.admit(caps, 150)) == 1
    assert line.take_alarm(150) is None


def test_one_destination_at_its_limit_holds_back_no_other() -> None:
    line, caps = Admission(), Caps(target_in_flight=1, sending=100)
    entered(line, caps, ticket("a", "x"), ticket("a", "x"), ticket("a", "y"), ticket("b", "z"))
    assert [one.target for one in line.admit(caps, 0)] == ["x", "z", "y"]


def test_an_owner_leaves_as_many_places_free_as_it_has() -> None:
    line, caps = Admission(), Caps(calls=8, sending=100)
    entered(line, caps, *(ticket("a") for _ in range(20)))
    assert len(line.admit(caps, 0)) == 4
    entered(line, caps, *(ticket("b") for _ in range(20)))
    assert owners(line.admit(caps, 0)) == "bb"
    entered(line, caps, ticket("c"))
    assert owners(line.admit(caps, 0)) == "c"


def test_who_does_not_get_to_send_makes_way() -> None:
    """A connection that takes long keeps its place, but not its turn."""
    line, caps = Admission(), Caps(sending=2)
    entered(line, caps, *(ticket("a") for _ in range(3)))
    assert len(line.admit(caps, 0)) == 2
    assert line.take_alarm(0) == SENDING_MS
    assert line.admit(caps, SENDING_MS - 1) == []
    assert len(line.admit(caps, SENDING_MS)) == 1


def test_a_ticket_can_be_taken_back_until_it_starts() -> None:
    line, caps = Admission(), Caps(sending=1)
    first, second = ticket("a"), ticket("a")
    entered(line, caps, first, second)
    line.admit(caps, 0)
    assert line.withdraw(second)
    assert not line.withdraw(second)
    assert not line.withdraw(first)
    assert line.waiting == 0


def test_who_would_wait_too_long_is_told_when_to_come_again() -> None:
    line, caps = Admission(), Caps(owner_rate=10, sending=100)
    stay = [line.submit(caps, ticket("a"), 0) for _ in range(150)]
    held = HOLD_MAX_MS // 100 + 1  # the places at ten a second that are near enough
    assert stay[:held] == [None] * held
    assert stay[held:] == [held * 100] * (150 - held)
    oldest = ticket("a", due_ms=DUE_MS - 60_000)
    assert line.submit(caps, oldest, 0) is None, "it comes first, however many wait"


def test_the_wait_is_known_by_the_pace_of_the_line() -> None:
    line, caps = Admission(), Caps(target_in_flight=1, sending=100)
    waiting = [ticket("a", "x") for _ in range(200)]
    entered(line, caps, *waiting)
    for now_ms in range(0, 5_000, 50):
        (one,) = line.admit(caps, now_ms)
        line.finish(one)
    assert line.wait_ms(caps, waiting[150], 5_000) == pytest.approx(50 * 50, rel=0.1)
    assert line.wait_ms(caps, waiting[100], 5_000) == 0  # it is next


def test_a_crowd_is_what_waits_because_so_many_are_being_sent() -> None:
    line, caps = Admission(), Caps(sending=1)
    first, second = ticket("a"), ticket("a")
    entered(line, caps, first, second)
    assert not line.is_crowded(caps)
    line.admit(caps, 0)
    assert line.is_crowded(caps)
    line.sent(first)
    assert not line.is_crowded(caps)
    line.admit(caps, 0)
    assert not line.is_crowded(caps)
    held = Caps(owner_in_flight=1, sending=9)
    entered(line, held, ticket("a"))
    assert line.admit(held, 0) == []
    assert not line.is_crowded(held)
