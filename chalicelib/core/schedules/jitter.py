"""Spreading firings: a fixed offset for each, the same on every retry and on every machine."""

from __future__ import annotations

import hashlib


def offset_ms(schedule_id: str, firing_ms: int, jitter_ms: int) -> int:
    """The offset in [0, jitter_ms) of one firing, derived from its execution id."""
    if jitter_ms <= 1:
        return 0
    digest = hashlib.blake2b(f"{schedule_id}-{firing_ms}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) % jitter_ms
