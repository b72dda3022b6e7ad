"""Bounds of shards and of the workers that share them.

Names have their units last; the relations between bounds are asserted beside them.
"""

from __future__ import annotations

from chalicelib.core.limits import SWEEP_PERIOD_MS

SHARDS_DEFAULT = 16
SHARDS_MAX = 256
NODES_MAX = 64  # worker processes of one deployment that run for longer than a call
NODE_TTL_MS = 3_000  # a node that was not heard of for this long is dead, and its shards are taken over
NODE_HEARTBEAT_MS = 1_000
NODE_JOIN_TTL_MS = 30_000  # a node of another program that did not join again for this long is gone
SHARD_CHECK_MS = 5_000  # how often a node checks all shards although no node came or went
SHARD_CALL_LEASE_MS = 30_000  # half the minute rule's period: what a dead call held is free again by the next
SHARD_NODE_LEASE_MS = 600_000  # a node's shards are judged by the node's life; this is for who cannot see nodes

assert NODE_TTL_MS >= 3 * NODE_HEARTBEAT_MS, "one heartbeat may be lost and the next be late"
assert NODE_TTL_MS + NODE_HEARTBEAT_MS < 5_000, "a dead node's shards are swept again within five seconds"
assert SHARD_CALL_LEASE_MS <= SWEEP_PERIOD_MS // 2
