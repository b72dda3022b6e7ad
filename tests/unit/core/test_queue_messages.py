"""Messages: packed by time, read back whole, refused when poisoned."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.executions.execution import ExecutionKey
from chalicelib.core.executions.limits import MESSAGE_SPAN_MS
from chalicelib.core.limits import MESSAGE_MAX_INSTANTS, QUEUE_DELAY_MAX_S
from chalicelib.core.queue_messages import (
    BUS,
    SHARED,
    TARGET,
    DueTick,
    Firing,
    Firings,
    Run,
    Ticks,
    decode,
    delay_s,
    encode,
    fair_group,
    is_of_ticks,
    pack,
    pack_ticks,
)
from chalicelib.core.schedules.schedule import Key
from chalicelib.core.ticks.frequencies import FREQUENCIES
from chalicelib.core.ticks.numbering import build

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
        assert len(m.firings) <= MESSAGE_MAX_INSTANTS
        assert m.firings[-1].due_ms - m.due_ms < MESSAGE_SPAN_MS
    assert [m.due_ms for m in messages] == sorted(m.due_ms for m in messages)


def test_a_tenant_with_many_firings_has_messages_of_its_own() -> None:
    heavy = [Firing(Key("heavy", "S"), "v", n) for n in range(3 * MESSAGE_MAX_INSTANTS)]
    light = [Firing(Key(f"t{n}", "S"), "v", n) for n in range(3)]
    messages = pack([*heavy, *light])
    assert [fair_group(m) for m in messages if any(f.schedule.tenant == "heavy" for f in m.firings)] == ["heavy"] * 3
    assert [fair_group(m) for m in messages].count(SHARED) == 1, "small tenants share one: a message each would be dear"


def test_schedules_that_begin_together_are_not_claimed_together_ever_after() -> None:
    seconds = [1000 * second for second in range(120)]
    ends = [[m.due_ms for m in pack([Firing(Key("t", f"S{n}"), "v", at) for at in seconds])] for n in range(200)]
    assert all(len(dues) <= 120_000 // MESSAGE_SPAN_MS + 1 for dues in ends), "at most one message more"
    seconds_of_second = Counter(dues[1] for dues in ends)
    assert len(seconds_of_second) == MESSAGE_SPAN_MS // 1000
    assert max(seconds_of_second.values()) < 200 // 5


def test_what_fits_into_one_message_is_one() -> None:
    assert all(len(pack([Firing(Key("t", f"S{n}"), "v", at) for at in (0, 9_999)])) == 1 for n in range(50))


def test_every_message_says_whose_it_is() -> None:
    assert fair_group(Run(ExecutionKey("acme", "S", 5, True), 2, 17)) == "acme"
    assert fair_group(Firings((Firing(Key("acme", "S"), "v", 1), Firing(Key("acme", "T"), "v", 2)))) == "acme"
    assert fair_group(Firings((Firing(Key("a", "S"), "v", 1), Firing(Key("b", "S"), "v", 2)))) == SHARED
    assert fair_group(Ticks(())) == SHARED


@given(st.lists(firings, unique=True, min_size=1, max_size=25))
def test_a_message_is_read_back_as_it_was_written(wanted: list[Firing]) -> None:
    assert not is_of_ticks(encode(Firings(tuple(wanted))))
    read = decode(encode(Firings(tuple(wanted))))
    assert isinstance(read, Firings)
    assert sorted(read.firings) == sorted(wanted)
    assert [f.due_ms for f in read.firings] == sorted(f.due_ms for f in wanted)


def test_a_run_is_read_back() -> None:
    run = Run(ExecutionKey("default", "S", 5, True), 2, 17)
    assert decode(encode(run)) == run
    assert not is_of_ticks(encode(run))


due_ticks = st.builds(
    lambda frequency, at_s, sequence, instance, late, to: DueTick(
        build(frequency, at_s * 1_000_000_000, sequence, "0.1.0", instance, late), to
    ),
    st.sampled_from(FREQUENCIES),
    st.integers(1_000, 1_100),
    st.integers(1, 1 << 40),
    st.sampled_from(["a", "b"]),
    st.booleans(),
    st.sampled_from([(BUS,), (TARGET,), (BUS, TARGET)]),
)


@given(st.lists(due_ticks, min_size=1, max_size=60))
def test_ticks_are_packed_by_time_and_read_back_as_they_were(wanted: list[DueTick]) -> None:
    messages = pack_ticks(wanted)
    for m in messages:
        assert len(m.ticks) <= MESSAGE_MAX_INSTANTS
        assert m.ticks[-1].due_ms - m.due_ms < MESSAGE_SPAN_MS
    read = [decode(encode(m)) for m in messages]
    assert sorted(map(repr, (d for m in read if isinstance(m, Ticks) for d in m.ticks))) == sorted(map(repr, wanted))
    assert [m.due_ms for m in read] == [m.due_ms for m in messages]
    assert all(is_of_ticks(encode(m)) for m in messages)


@pytest.mark.parametrize(
    "body",
    [
        '{"ticks":[["week","v","i",["bus"],[[1,1]]]]}',
        '{"ticks":[["day","v","i",[],[[1,1]]]]}',
        '{"ticks":[["day","v","i",["pigeon"],[[1,1]]]]}',
        '{"ticks":[["day","v","i",["bus"],[["x",1]]]]}',
        '{"ticks":[["day","v","i",["bus"],[[1]]]]}',
        '{"ticks":[["day"]]}',
        '{"ticks":7}',
    ],
)
def test_poisoned_ticks_are_told_from_messages(body: str) -> None:
    with pytest.raises(ValueError, match="not a ChronoWatch message"):
        decode(body)


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
    assert delay_s(10_000_000, 0, 1000) == QUEUE_DELAY_MAX_S
