"""When a failed delivery is tried again.

Exponential backoff with full jitter would let two waits differ by any factor. Callers who configured ``base_ms`` expect
to recognise it, so the jitter here is ±10 %. It is derived from the execution id and the attempt. So it is the same on
every repeat of the same decision, which keeps the decision a pure function.
"""

from __future__ import annotations

import hashlib

from chalicelib.core.schedules.schedule import RetryPolicy

JITTER_PERMILLE = 100


def backoff_ms(policy: RetryPolicy, failed_attempts: int, seed: str) -> int:
    """Milliseconds to wait after the ``failed_attempts``-th failure (1 = the first)."""
    exponent = min(failed_attempts - 1, 40) if policy.backoff == "exponential" else 0
    wait = min(policy.max_ms, policy.base_ms << exponent)
    if not policy.jitter:
        return wait
    digest = hashlib.blake2b(f"{seed}/{failed_attempts}".encode(), digest_size=4).digest()
    permille = int.from_bytes(digest) % (2 * JITTER_PERMILLE + 1) - JITTER_PERMILLE
    return wait + wait * permille // 1000
