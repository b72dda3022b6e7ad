"""What all processes share of one principal's quota: a bucket of tokens that fills at the rate of the quota.

It is kept as one number (GCRA, ITU-T I.371): the instant at which it would be full again. So it needs no timer, and an
idle bucket needs no record. Half a second's quota fits in: so much may come at once, the rest is paced.

Invariant: in any ``T`` seconds no more than ``per_s * T + burst_of(per_s)`` tokens are leased, by all together.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from msgspec import Struct

from chalicelib.core.quotas.limits import CLOCK_SLACK_US

Quota = Literal["reads", "writes"]
_SECOND_US = 1_000_000


class QuotaKey(NamedTuple):
    """Whose quota, and which. ``counts`` is of what may be held at most: it has no bucket."""

    tenant: str
    subject: str
    quota: Quota | Literal["counts"]


class SharedBucket(Struct, frozen=True):
    """``full_at_us`` (unix microseconds) lies in the past when it is full; ``leased`` counts all tokens ever leased."""

    full_at_us: int = 0
    leased: int = 0


class TokenLease(NamedTuple):
    """The bucket after a lease, and how many tokens were leased."""

    bucket: SharedBucket
    tokens: int


def burst_of(per_s: int) -> int:
    """How many tokens a full bucket holds."""
    return max(1, per_s // 2)


def available(bucket: SharedBucket, per_s: int, now_us: int) -> int:
    """How many tokens it holds."""
    missing = -(-max(0, bucket.full_at_us - now_us) * per_s // _SECOND_US)
    return max(0, burst_of(per_s) - missing)


def lease(bucket: SharedBucket, per_s: int, now_us: int, wanted: int) -> TokenLease:
    """Take up to ``wanted`` tokens out of it."""
    count = min(wanted, available(bucket, per_s, now_us))
    if count <= 0:
        return TokenLease(bucket, 0)
    full_at_us = max(bucket.full_at_us, now_us) - (-count * _SECOND_US // per_s)
    return TokenLease(SharedBucket(full_at_us, bucket.leased + count), count)


def holds_at_us(bucket: SharedBucket, per_s: int, count: int) -> int:
    """From when on it holds ``count`` tokens, if no more are taken. At most ``burst_of(per_s)`` can be asked for."""
    return bucket.full_at_us - (burst_of(per_s) - count) * _SECOND_US // per_s


def is_beyond_reason(bucket: SharedBucket, now_us: int) -> bool:
    """Whether no clock that is right can have written it: it is empty for longer than any lease makes it."""
    return bucket.full_at_us - now_us > _SECOND_US + CLOCK_SLACK_US
