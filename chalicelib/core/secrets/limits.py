"""Bounds of secrets and of how long they are remembered."""

from __future__ import annotations

FRESH_S = 60.0  # a secret is read anew after this long
STALE_S = 600.0  # and serves this much longer while its store is away
RETRY_S = 5.0  # a store that was away is asked again after this long, while a stale secret serves
FAILURE_S = 1.0  # callers that come while a reading fails share the failure, so that a herd asks once
REFUSED_GAP_S = 5.0  # a target that answers 401 has a secret read anew at most this often
OVERLAP_MS = 86_400_000  # how long the version before the newest counts as live, where a store states ages only
SECRET_MAX_CHARS = 16_384

assert RETRY_S < FRESH_S < STALE_S
