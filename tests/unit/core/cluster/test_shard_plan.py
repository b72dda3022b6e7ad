"""Shards are divided fairly, by everybody alike, and move only when they must."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.cluster.shard_plan import Plan, plan

NAMES = ["a", "b", "c", "d", "e"]
NODES = st.lists(st.sampled_from(NAMES), min_size=1, unique=True)


def settle(owners: list[str | None], nodes: list[str], rounds: int = 3) -> list[str | None]:
    """What comes of the plans of all nodes, each from the same sight, round by round."""
    for _ in range(rounds):
        plans = {node: plan(owners, nodes, node) for node in nodes}
        taken = [shard for p in plans.values() for shard in p.take]
        assert len(taken) == len(set(taken)), "two nodes want the same shard"
        for node, p in plans.items():
            for shard in p.release:
                assert owners[shard] == node
                owners = [*owners[:shard], None, *owners[shard + 1 :]]
            for shard in p.take:
                assert owners[shard] is None
                owners = [*owners[:shard], node, *owners[shard + 1 :]]
    return owners


@given(st.lists(st.sampled_from([*NAMES, None]), max_size=40), NODES)
def test_shares_become_fair_and_then_rest(owners: list[str | None], nodes: list[str]) -> None:
    living = [owner if owner in nodes else None for owner in owners]
    after = settle(living, nodes)
    assert None not in after
    shares = Counter(dict.fromkeys(nodes, 0)) + Counter()
    shares.update(owner for owner in after if owner)
    counts = [shares[node] for node in nodes]
    assert max(counts) - min(counts) <= 1
    assert all(plan(after, nodes, node) == Plan((), (), settled=True) for node in nodes)
    assert all(plan(living, nodes, node).settled == (living == after) for node in nodes)
    # Nobody who kept within the share it ended with was asked to move anything.
    before = Counter(owner for owner in living if owner)
    for node in nodes:
        kept = sum(1 for old, new in zip(living, after, strict=True) if old == new == node)
        assert kept == min(before[node], shares[node])


def test_what_calls_hold_is_left_to_them() -> None:
    assert plan(["call", None, "call", None], ["a"], "a") == Plan((), (1, 3), settled=False)


def test_a_node_alone_takes_all_and_a_second_gets_half() -> None:
    alone = settle([None] * 16, ["a"])
    assert alone == ["a"] * 16
    both = settle(alone, ["a", "b"])
    assert Counter(both) == {"a": 8, "b": 8}
    assert settle([o if o == "b" else None for o in both], ["b"]) == ["b"] * 16


def test_a_plan_depends_on_nothing_but_what_is_seen() -> None:
    assert plan([None] * 5, ["b", "a"], "a") == plan([None] * 5, ["a", "b"], "a")
