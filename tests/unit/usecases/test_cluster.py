"""Nodes of others: listed while they join again in time, and known by one token for ever."""

from __future__ import annotations

from chalicelib.core.cluster.limits import NODE_JOIN_TTL_MS
from chalicelib.ports.services import Services
from chalicelib.usecases import cluster
from tests.kit.machine import MovableClock
from tests.kit.plant import CALLER
from tests.kit.services import make_services


def clock_of(s: Services) -> MovableClock:
    assert isinstance(s.clock, MovableClock)
    return s.clock


def test_a_node_that_does_not_join_again_in_time_is_listed_no_more() -> None:
    s = make_services()
    cluster.join(s, CALLER, "b", "10.0.0.2:80")
    clock_of(s).advance(NODE_JOIN_TTL_MS // 2)
    cluster.join(s, CALLER, "a", "10.0.0.1:80")
    assert [node.holder_id for node in cluster.status(s, CALLER).nodes] == ["a", "b"]
    clock_of(s).advance(NODE_JOIN_TTL_MS // 2 + 1)
    assert [node.holder_id for node in cluster.status(s, CALLER).nodes] == ["a"]


def test_joining_again_keeps_the_token_and_coming_back_gets_a_greater_one() -> None:
    s = make_services()
    first = cluster.join(s, CALLER, "a", "10.0.0.1:80")
    clock_of(s).advance(NODE_JOIN_TTL_MS // 2)
    assert cluster.join(s, CALLER, "a", "10.0.0.1:80").fencing_token == first.fencing_token
    clock_of(s).advance(2 * NODE_JOIN_TTL_MS)
    assert cluster.status(s, CALLER).nodes == ()
    assert cluster.join(s, CALLER, "a", "10.0.0.9:80").fencing_token > first.fencing_token
    [back] = cluster.status(s, CALLER).nodes
    assert back.metadata["address"] == "10.0.0.9:80"
