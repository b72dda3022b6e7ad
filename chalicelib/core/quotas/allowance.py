"""What one process may let through of one principal's quota: tokens that it leased in a block, and what it knows.

``decide`` judges a call and reads nothing. Where it says ``ask``, the process proposes a lease to the shared bucket in
one conditional write, and comes again with ``granted``, ``lost`` or ``cut_off``. So a write serves a block of calls.

Invariants: a process never lets through more than it leased, but while it is cut off from the bucket. Then it lets
through its own share, which is what it had of all leases before. In any ``T`` seconds all processes together let
through no more than ``per_s * T``, a burst, and one block a process: docs/limits.md derives the bound.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.quotas.limits import (
    ASK_ROUNDS_PER_S,
    AWAY_PAUSE_US,
    BLOCK_BUSY_US,
    BLOCK_FIRST,
    BLOCK_LIFE_US,
    BLOCK_MAX,
    BLOCK_SLACK_US,
    BUSY_PART,
    CLOCK_SLACK_US,
    CRUMBS_PART,
    RATE_MAX_PER_S,
    SHARE_PART,
    SLACK_PART,
)
from chalicelib.core.quotas.shared_bucket import (
    SharedBucket,
    TokenLease,
    available,
    burst_of,
    holds_at_us,
    is_beyond_reason,
    lease,
)

_WAIT_MAX_US = 1_000_000 + CLOCK_SLACK_US  # no wait that a clock of ours set is longer


class Allowance(Struct, frozen=True):
    """``tokens`` are leased and not spent; they are void from ``void_at_us`` on. The bucket is not asked before
    ``ask_at_us``. ``seen`` is the bucket under its ``rev`` as last seen: what others do only empties it further.
    ``drained_us`` is when this process last found or left it empty.
    ``leased_before`` counts all leases up to this process's last one; None: it has none. While ``is_cut_off``, tokens
    come from ``own``, a bucket of this process that fills at its ``share`` of the quota."""

    tokens: int = 0
    leased_at_us: int = 0
    void_at_us: int = 0
    drained_us: int = 0
    block: int = BLOCK_FIRST
    ask_at_us: int = 0
    seen: SharedBucket = SharedBucket()
    rev: int = 0
    leased_before: int | None = None
    is_cut_off: bool = False
    own: SharedBucket = SharedBucket()
    share: float = 1.0


class QuotaDecision(NamedTuple):
    """``remaining`` calls may follow at once, as far as the process knows. After ``wait_us`` a further one may pass
    that was refused; when allowed, the quota is whole again after it."""

    verdict: Literal["allowed", "ask", "refused"]
    remaining: int
    wait_us: int


def block_max(per_s: int) -> int:
    """The most tokens in a block: at high rates a twentieth of a second's quota, so that the writes stay few."""
    return min(burst_of(per_s), max(BLOCK_MAX, per_s // 20))


def decide(allowance: Allowance, per_s: int, now_us: int) -> tuple[QuotaDecision, Allowance]:
    """Judge one call, and count it."""
    if _holds(allowance, now_us):
        after = replace(allowance, tokens=allowance.tokens - 1)
        return QuotaDecision("allowed", remaining(after, per_s, now_us), _whole_in_us(after, now_us)), after
    if now_us >= allowance.ask_at_us or allowance.ask_at_us - now_us > _WAIT_MAX_US:  # the clock was set back
        return QuotaDecision("ask", 0, 0), allowance
    if allowance.is_cut_off:
        return _decide_alone(allowance, per_s, now_us)
    return QuotaDecision("refused", 0, allowance.ask_at_us - now_us), allowance


def propose(allowance: Allowance, per_s: int, now_us: int) -> TokenLease | None:
    """The lease to ask the bucket for; None when it cannot hold enough tokens, or is beyond reason."""
    there = available(allowance.seen, per_s, now_us)
    if is_beyond_reason(allowance.seen, now_us) or there < 1 or (there < _least(per_s) and now_us < _rested(allowance)):
        return None
    # What a busy process takes lasts for half a second at most. So blocks of all fit into the bucket together, as long
    # as all demand is within the quota. It leaves as much as it takes, or others would always come too late; one that
    # needs less takes less.
    part = BUSY_PART if _is_busy(allowance, now_us) else SLACK_PART
    wanted = min(_next_block(allowance, now_us), block_max(per_s), max(1, there // part))
    left = there - wanted
    return lease(allowance.seen, per_s, now_us, there if left < _least(per_s) // CRUMBS_PART else wanted)


def granted(allowance: Allowance, got: TokenLease, per_s: int, now_us: int) -> Allowance:
    """After the proposed lease was written."""
    share = allowance.share
    if allowance.leased_before is not None and got.bucket.leased > allowance.leased_before:
        seen = got.tokens / (got.bucket.leased - allowance.leased_before)
        share += (seen - share) / SHARE_PART
    return replace(
        allowance,
        tokens=got.tokens,
        leased_at_us=now_us,
        void_at_us=now_us + BLOCK_LIFE_US,
        drained_us=allowance.drained_us if available(got.bucket, per_s, now_us) else now_us,
        block=_next_block(allowance, now_us),
        ask_at_us=0,
        seen=got.bucket,
        rev=allowance.rev + 1,
        leased_before=got.bucket.leased,
        is_cut_off=False,
        share=share,
    )


def lost(allowance: Allowance, seen: SharedBucket, rev: int) -> Allowance:
    """After another process was first: this is the bucket that stands."""
    return replace(allowance, seen=seen, rev=rev, is_cut_off=False)


def held_off(allowance: Allowance, per_s: int, now_us: int) -> Allowance:
    """After nothing could be proposed: ask again when the bucket holds enough. A bucket beyond reason cuts off."""
    if is_beyond_reason(allowance.seen, now_us):
        return replace(cut_off(allowance, now_us, AWAY_PAUSE_US), seen=SharedBucket(), rev=0)
    if not available(allowance.seen, per_s, now_us):
        allowance = replace(allowance, drained_us=now_us)
    some_us, enough_us = (holds_at_us(allowance.seen, per_s, count) for count in (1, _least(per_s)))
    ask_at_us = max(now_us + 1, min(enough_us, max(some_us, _rested(allowance))))
    return replace(allowance, ask_at_us=ask_at_us, is_cut_off=False)


def cut_off(allowance: Allowance, now_us: int, pause_us: int) -> Allowance:
    """After the bucket could not be asked: go on alone for ``pause_us``."""
    own = SharedBucket() if is_beyond_reason(allowance.own, now_us) else allowance.own
    return replace(allowance, ask_at_us=now_us + pause_us, is_cut_off=True, own=own)


def remaining(allowance: Allowance, per_s: int, now_us: int) -> int:
    """How many calls may follow at once, as far as the process knows."""
    if allowance.is_cut_off:
        return available(allowance.own, _share_of(allowance, per_s), now_us)
    return allowance.tokens + available(allowance.seen, per_s, now_us)


def _holds(allowance: Allowance, now_us: int) -> bool:
    """Whether there are tokens, leased by a clock that goes with this one."""
    return allowance.tokens > 0 and allowance.leased_at_us <= now_us < allowance.void_at_us


def _decide_alone(allowance: Allowance, per_s: int, now_us: int) -> tuple[QuotaDecision, Allowance]:
    share = _share_of(allowance, per_s)
    got = lease(allowance.own, share, now_us, 1)
    after = replace(allowance, own=got.bucket)
    if got.tokens:
        wait_us = max(0, got.bucket.full_at_us - now_us)
        return QuotaDecision("allowed", available(got.bucket, share, now_us), wait_us), after
    return QuotaDecision("refused", 0, holds_at_us(got.bucket, share, 1) - now_us), after


def _share_of(allowance: Allowance, per_s: int) -> int:
    return max(1, int(per_s * allowance.share))


def _least(per_s: int) -> int:
    """The fewest tokens worth a write after it was empty: else each call would ask for the one that came in."""
    return min(burst_of(per_s), max(1, per_s // ASK_ROUNDS_PER_S))


def _rested(allowance: Allowance) -> int:
    """From when on a process may ask for less than that."""
    return allowance.drained_us + 1_000_000 // ASK_ROUNDS_PER_S


def _is_busy(allowance: Allowance, now_us: int) -> bool:
    """Whether it spent its last block in half a second."""
    return allowance.tokens == 0 and 0 <= now_us - allowance.leased_at_us < BLOCK_SLACK_US


def _next_block(allowance: Allowance, now_us: int) -> int:
    """Twice the last block when that was spent fast, half of it when it was not spent."""
    if allowance.leased_before is None:
        return allowance.block
    if allowance.tokens > 0:
        return max(1, allowance.block // 2)
    too_small = 0 <= now_us - allowance.leased_at_us < BLOCK_BUSY_US
    return min(allowance.block * 2, RATE_MAX_PER_S) if too_small else allowance.block


def _whole_in_us(allowance: Allowance, now_us: int) -> int:
    return max(0, allowance.seen.full_at_us - now_us)
