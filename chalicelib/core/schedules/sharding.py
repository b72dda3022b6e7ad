"""Which shard a schedule lives in."""

from __future__ import annotations

import hashlib


def shard_of(shard_key: str, shards: int) -> int:
    """The shard that schedules of one key share: stable across processes and releases."""
    return int.from_bytes(hashlib.blake2b(shard_key.encode(), digest_size=8).digest()) % shards
