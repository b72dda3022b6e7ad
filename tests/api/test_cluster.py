"""/debug/cluster shows nodes that live, who has which shard, and how old the oldest sweep is."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.core.cluster.limits import NODE_TTL_MS
from chalicelib.workers import sweep
from chalicelib.workers.cluster.ownership import Node
from tests.kit.callers import Everybody, who
from tests.kit.house import House


def test_before_the_first_sweep(house: House) -> None:
    answer = house.call("GET", "/debug/cluster")
    assert answer.status == 200
    assert answer.json == {
        "nodes": [],
        "shards": [{"shard": n, "owner": None, "fencing_token": 0} for n in range(16)],
        "sweep_lag_ms": None,
    }


def test_with_calls_that_sweep(house: House) -> None:
    sweep.run(house.services)
    house.clock.advance(25_000)
    found = house.call("GET", "/debug/cluster").json
    assert found["nodes"] == []
    assert found["sweep_lag_ms"] == 25_000
    assert found["shards"][3] == {"shard": 3, "owner": house.services.config.instance, "fencing_token": 1}
    house.clock.advance(25_000)
    found = house.call("GET", "/debug/cluster").json
    assert found["shards"][3] == {"shard": 3, "owner": None, "fencing_token": 1}


def test_with_nodes_one_of_which_dies(house: House) -> None:
    s = house.services
    started_ms = house.clock.now_ms()
    services = {name: replace(s, config=replace(s.config, instance=name)) for name in ("n1", "n2")}
    nodes = {name: Node(["sweep"], {"role": "worker"}) for name in services}
    for _ in range(4):
        for name, node in nodes.items():
            node.tick(services[name])
    found = house.call("GET", "/debug/cluster").json
    assert [node["node_id"] for node in found["nodes"]] == ["n1", "n2"]
    assert found["nodes"][0] == {
        "node_id": "n1",
        "role": "worker",
        "since_unix_ms": started_ms,
        "expires_at_unix_ms": started_ms + NODE_TTL_MS,
    }
    owners = [shard["owner"] for shard in found["shards"]]
    assert (owners.count("n1"), owners.count("n2")) == (8, 8)
    before = {shard["shard"]: shard["fencing_token"] for shard in found["shards"]}

    house.clock.advance(NODE_TTL_MS + 20)
    assert {shard["owner"] for shard in house.call("GET", "/debug/cluster").json["shards"]} == {None}
    nodes["n1"].tick(services["n1"])
    found = house.call("GET", "/debug/cluster").json
    assert [node["node_id"] for node in found["nodes"]] == ["n1"]
    assert {shard["owner"] for shard in found["shards"]} == {"n1"}
    after = {shard["shard"]: shard["fencing_token"] for shard in found["shards"]}
    # Its own as well: it had been silent for so long that others may have seen it dead.
    assert {after[n] - before[n] for n in after} == {1}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/debug/cluster", None),
        ("POST", "/join", {"node_id": "n", "address": "a"}),
        ("POST", "/api/v1/ticks/second:disable", {}),
    ],
)
def test_what_is_of_the_deployment_is_not_for_other_tenants(house: House, method: str, path: str, body: Any) -> None:
    house.authenticator = Everybody(who("eve", "admin", tenant="other"))
    assert house.call(method, path, body).code == "forbidden"
    house.authenticator = Everybody(who("ada", "admin"))
    assert house.call(method, path, body).status == 200
