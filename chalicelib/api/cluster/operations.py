"""The cluster as an operator sees it: which workers live, who has which shard, how long ago each was swept. Also nodes
of others, which report themselves."""

from __future__ import annotations

from chalicelib.api.cluster import schemas
from chalicelib.api.http.operations import Call, Operation
from chalicelib.api.http.problem import Reply
from chalicelib.api.http.requests import Body, Query
from chalicelib.core.cluster.limits import NODE_JOIN_TTL_MS
from chalicelib.core.leases.lease_item import LeaseItem
from chalicelib.usecases.nodes import join as join_node
from chalicelib.usecases.nodes import joined_nodes
from chalicelib.workers import sweep
from chalicelib.workers.cluster import shards


def get(call: Call[Body, Query]) -> Reply:
    """Nodes, shards and the sweep's lag."""
    s = call.services
    nodes = shards.live_nodes(s)
    items = shards.shard_items(s, sweep.WORK)
    now_ms = s.clock.now_ms()
    swept = [s.stores.cursors.load(f"sweep#{shard}").values.get("at_ms") for shard in range(s.config.shards)]
    ages = [max(0, now_ms - at_ms) for at_ms in swept if at_ms is not None]
    view = schemas.ClusterView(
        nodes=[_node(item) for item in (*(nodes[name] for name in sorted(nodes)), *joined_nodes(s, call.caller))],
        shards=[
            schemas.ShardView(
                shard=shard,
                owner=shards.owner_of(s, items.get(shard), nodes),
                fencing_token=items[shard].fencing_token if shard in items else 0,
            )
            for shard in range(s.config.shards)
        ],
        sweep_lag_ms=max(ages) if len(ages) == len(swept) else None,
    )
    return Reply(200, view)


def _node(item: LeaseItem) -> schemas.NodeView:
    return schemas.NodeView(
        node_id=str(item.holder_id),
        role=str(item.metadata.get("role", "worker")),
        since_unix_ms=item.acquired_at_unix_ms,
        expires_at_unix_ms=item.expires_at_unix_ms,
    )


def join(call: Call[schemas.JoinBody, Query]) -> Reply:
    """Register a node."""
    item = join_node(call.services, call.caller, call.body.node_id, call.body.address)
    address = str(item.metadata.get("address", call.body.address))
    return Reply(200, schemas.JoinedView(call.body.node_id, address, item.fencing_token, item.expires_at_unix_ms))


def operations() -> list[Operation]:
    """The calls of this noun."""
    return [
        Operation(
            method="GET",
            path="/debug/cluster",
            summary="Which workers live, who has which shard, and how old the oldest sweep is",
            tag="operations",
            permission="cluster.read",
            handler=get,
            answers={200: schemas.ClusterView},
            description="Workers on Lambda are no nodes: they own a shard for half a minute.",
        ),
        Operation(
            method="POST",
            path="/join",
            summary="Register a worker node of yours, or keep it registered",
            tag="operations",
            permission="cluster.join",
            handler=join,
            body=schemas.JoinBody,
            answers={200: schemas.JoinedView},
            errors=(409,),
            description=f"It counts as alive for {NODE_JOIN_TTL_MS // 1000} s after each call, by a lease with "
            "a fencing token, and shows up in `/debug/cluster`. It owns no shards.",
            example={"node_id": "worker-7", "address": "10.0.0.7:7000"},
        ),
    ]
