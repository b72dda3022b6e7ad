"""The cluster as an operator sees it: which workers live, who has which shard, how long ago each was swept. Also nodes
of others, which report themselves."""

from __future__ import annotations

from msgspec import UNSET

from chalicelib.api.cluster import schemas
from chalicelib.api.http.operations import Call, Operation
from chalicelib.api.http.problem import Reply
from chalicelib.api.http.requests import Body, Query
from chalicelib.core.cluster.limits import NODE_JOIN_TTL_MS
from chalicelib.core.leases.lease_item import LeaseItem
from chalicelib.usecases import cluster


def get(call: Call[Body, Query]) -> Reply:
    """Nodes, shards and the sweep's lag."""
    found = cluster.status(call.services, call.caller)
    view = schemas.ClusterView(
        nodes=[_node(item) for item in found.nodes],
        shards=[schemas.ShardView(*each) for each in found.shards],
        sweep_lag_ms=found.sweep_lag_ms,
    )
    return Reply(200, view)


def _node(item: LeaseItem) -> schemas.NodeView:
    return schemas.NodeView(
        node_id=str(item.holder_id),
        role=str(item.metadata.get("role", "worker")),
        since_unix_ms=item.acquired_at_unix_ms,
        expires_at_unix_ms=item.expires_at_unix_ms,
        address=str(item.metadata["address"]) if "address" in item.metadata else UNSET,
    )


def join(call: Call[schemas.JoinBody, Query]) -> Reply:
    """Register a node."""
    item = cluster.join(call.services, call.caller, call.body.node_id, call.body.address)
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
            permission="cluster:read",
            handler=get,
            answers={200: schemas.ClusterView},
            description="Workers on Lambda are no nodes: they own a shard for half a minute.",
        ),
        Operation(
            method="POST",
            path="/join",
            summary="Register a worker node of yours, or keep it registered",
            tag="operations",
            permission="cluster:write",
            handler=join,
            body=schemas.JoinBody,
            answers={200: schemas.JoinedView},
            errors=(409,),
            description=f"It counts as alive for {NODE_JOIN_TTL_MS // 1000} s after each call, by a lease with "
            "a fencing token, and shows up in `/debug/cluster` with its address. It owns no shards.",
            example={"node_id": "worker-7", "address": "10.0.0.7:7000"},
        ),
    ]
