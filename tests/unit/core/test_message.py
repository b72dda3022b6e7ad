"""Messages: packed by time, read back whole, refused when poisoned."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core import limits
from chalicelib.core.execution import ExecutionKey
from chalicelib.core.message import Firing, Firings, Run, decode, delay_s, encode, pack
from chalicelib.core.schedule import Key

firings = st.builds(
    Firing,
    schedule=st.builds(Key, st.sampled_from("ab"), st.sampled_from("STU")),
    version=st.sampled_from(["v1", "v2"]),
    at_ms=st.integers(0, 300_000),
    offset_ms=st.integers(0, 3) | st.just(0),
)


@given(st.lists(firings, unique=True, max_size=80))
def test_packing_loses_nothing_and_keeps_its_bounds(wanted: list[Firing]) -> None:
    messages = pack(wanted)
    packed = [f for m in messages for f in m.firings]
    assert sorted(packed) == sorted(wanted)
    for m in messages:
        assert len(m.firings) <= limits.MESSAGE_MAX_INSTANTS
        assert m.firings[-1].due_ms - m.due_ms < limits.MESSAGE_SPAN_MS


@given(st.lists(firings, unique=True, min_size=1, max_size=25))
def test_a_message_is_read_back_as_it_was_written(wanted: list[Firing]) -> None:
    read = decode(encode(Firings(tuple(wanted))))
    assert isinstance(read, Firings)
    assert sorted(read.firings) == sorted(wanted)
    assert [f.due_ms for f in read.firings] == sorted(f.due_ms for f in wanted)


def test_a_run_is_read_back() -> None:
    run = Run(ExecutionKey("default", "S", 5, True), 2, 17)
    assert decode(encode(run)) == run


@pytest.mark.parametrize(
    "body", ["", "null", "[]", "{}", '{"fire":[["a"]]}', '{"run":[1]}', '{"fire":[["t","s","v",["x"]]]}']
)
def test_poison_is_told_from_messages(body: str) -> None:
    with pytest.raises(ValueError, match="not a ChronoWatch message"):
        decode(body)


def test_a_message_is_held_back_until_shortly_before_it_is_due() -> None:
    assert delay_s(10_000, 0, 1000) == 9
    assert delay_s(10_999, 0, 1000) == 9
    assert delay_s(500, 0, 1000) == 0
    assert delay_s(10_000_000, 0, 1000) == limits.SQS_DELAY_MAX_S
