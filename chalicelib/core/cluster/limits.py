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
NODE_BEAT_AT_MS = 2  # of each second, right after its tick has left: what that has warmed a heartbeat finds
NODE_JOIN_TTL_MS = 30_000  # a node of another program that did not join again for this long is gone
NODE_LOOK_ALONE_MS = 3_000  # a node that saw no other looks for one so often: a newcomer waits for its share
SHARD_CHECK_MS = 15_000  # how often a node checks all shards although no node came or went
SHARD_CALLED_CHECK_MS = 5_000  # the same while a call has one of them, which it lets expire
SHARD_CALL_LEASE_MS = 30_000  # half the minute rule's period: what a dead call held is free again by the next
TURN_LIGHT_MS = 5_000  # of a call: a work that takes longer is shared with other calls, shard by shard
SHARD_TURN_LEASE_MS = 86_400_000  # a shard taken in a turn is judged by the turn, so this is never waited for
SHARD_NODE_LEASE_MS = 600_000  # a node's shards are judged by the node's life; this is for who cannot see nodes

assert NODE_TTL_MS >= 3 * NODE_HEARTBEAT_MS, "one heartbeat may be lost and the next be late"
assert NODE_BEAT_AT_MS < NODE_HEARTBEAT_MS, "every second has its beat"
assert NODE_TTL_MS + NODE_HEARTBEAT_MS < 5_000, "a dead node's shards are swept again within five seconds"
assert SHARD_CALL_LEASE_MS <= SWEEP_PERIOD_MS // 2
assert 2 * TURN_LIGHT_MS < SHARD_CALL_LEASE_MS, "the turn outlasts what is taken for granted in it"
