"""What waits in a process that leaves is given away in the order of its instants."""

from __future__ import annotations

from chalicelib.process.waiting_room import WaitingRoom


def test_what_is_taken_away_comes_soonest_first() -> None:
    room: WaitingRoom[str] = WaitingRoom()
    entered = [room.enter(due_ms, name) for due_ms, name in ((50, "e"), (30, "c"), (10, "a"), (30, "d"), (20, "b"))]
    assert [waiting.group for waiting in room.take_away(10)] == ["b", "c", "d", "e"]
    assert [room.begin(waiting) for waiting in entered] == [False, False, True, False, False]
    room.end(entered[2])
    assert room.is_empty


def test_it_is_quiet_while_nothing_is_due_or_under_way() -> None:
    room: WaitingRoom[str] = WaitingRoom()
    assert room.is_quiet(100)
    first = room.enter(150, "a")
    assert room.is_quiet(149)
    assert not room.is_quiet(150)
    room.begin(first)
    assert not room.is_quiet(0)
    room.end(first)
    assert room.is_quiet(150)
