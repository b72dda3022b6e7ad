from __future__ import annotations

from chalicelib.core.changes import change_log
from chalicelib.core.changes.change_log import Arrived, Change, LogHead, decide_append, pieces
from chalicelib.core.changes.limits import MARK_MAX_AGE_MS, SEGMENT_MAX_CHANGES, SEGMENT_MAX_CHARS
from chalicelib.core.schedules.schedule import Key
from tests.kit.changes import gone
from tests.kit.records import START_MS, execution

EMPTY = LogHead("default")


def append(head: LogHead, shard: str, *numbers: int, now_ms: int = START_MS) -> LogHead:
    appended = decide_append(head, shard, [gone(n) for n in numbers], now_ms)
    assert appended is not None
    assert appended.segment.first == head.last + 1
    assert appended.segment.last == appended.head.last
    return appended.head


def test_positions_are_contiguous_over_all_shards() -> None:
    head = append(append(append(EMPTY, "a", 7, 9), "b", 1), "a", 11)
    assert (head.last, head.rev) == (4, 3)
    assert {name: mark.sequence for name, mark in head.marks.items()} == {"a": 11, "b": 1}


def test_what_comes_again_is_left_out() -> None:
    head = append(EMPTY, "a", 7, 9)
    assert decide_append(head, "a", [gone(7), gone(9)], START_MS) is None
    appended = decide_append(head, "a", [gone(9), gone(12)], START_MS)
    assert appended is not None
    assert [change.id for change in appended.segment.changes] == ["gone-12"]
    assert append(head, "b", 7).last == 3, "another shard has numbers of its own"


def test_marks_of_shards_that_have_ended_are_forgotten_after_two_days() -> None:
    old = append(EMPTY, "a", 1, now_ms=START_MS)
    assert set(append(old, "b", 1, now_ms=START_MS + MARK_MAX_AGE_MS).marks) == {"a", "b"}
    assert set(append(old, "b", 1, now_ms=START_MS + MARK_MAX_AGE_MS + 1).marks) == {"b"}


def test_a_batch_is_cut_by_number_and_by_size() -> None:
    many = [gone(n) for n in range(SEGMENT_MAX_CHANGES + 1)]
    assert [len(piece) for piece in pieces(many)] == [SEGMENT_MAX_CHANGES, 1]
    large = execution(Key("default", "x"), START_MS, payload="p" * (SEGMENT_MAX_CHARS // 2))
    heavy = [Arrived(n, "default", Change("execution", large.id, 0, "ann", large)) for n in range(3)]
    assert [[one.sequence for one in piece] for piece in pieces(heavy)] == [[0, 1], [2]]
    assert pieces([]) == []


def test_positions_sort_as_text() -> None:
    assert change_log.position_text(9) < change_log.position_text(10)
    assert change_log.read_position(change_log.position_text(42)) == 42
    for wrong in ("", "42", "x" * 16, "-00000000000001", "٤" * 16):
        assert change_log.read_position(wrong) is None
