"""What a principal may ask for in a second, over all processes: every call of the API is charged here once.

A call that is held open is charged when it begins. A store that is away refuses nothing: the process goes on with its
own share of the quota.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from chalicelib.core.errors import CapacityExhausted, Unavailable
from chalicelib.core.notices.limits import QUOTA_NOTED_EVERY_MS
from chalicelib.core.quotas.allowance import Allowance, QuotaDecision, cut_off, granted, held_off, lost, propose
from chalicelib.core.quotas.limits import ASK_TRIES, AWAY_PAUSE_US, CONTENDED_PAUSE_US
from chalicelib.core.quotas.shared_bucket import Quota, QuotaKey
from chalicelib.core.security.caller import Caller
from chalicelib.ports.services import Services


class QuotaStanding(NamedTuple):
    """How a principal stands after a call was charged: ``per_s`` calls are its quota, ``remaining`` may follow at once.
    ``wait_ms``: a refused one may pass after it; when allowed, the quota is whole again after it."""

    quota: Quota
    per_s: int
    allowed: bool
    remaining: int
    wait_ms: int


def charge(s: Services, caller: Caller, quota: Quota) -> QuotaStanding | None:
    """Count a call; None where the deployment sets no such quota. Writes at most once a block of calls."""
    per_s = s.config.reads_per_s if quota == "reads" else s.config.writes_per_s
    if per_s is None:
        return None
    key = QuotaKey(caller.tenant, caller.subject, quota)
    decision = s.process.quotas.spend(key, per_s, _now_us(s))
    if decision.verdict == "ask":
        decision = _ask(s, key, per_s)
    wait_ms = -(-decision.wait_us // 1000)
    if decision.verdict != "allowed":
        _note(s, key, f"more than {per_s} {quota} a second")
    return QuotaStanding(quota, per_s, decision.verdict == "allowed", decision.remaining, wait_ms)


@contextmanager
def noting_full(s: Services, caller: Caller) -> Iterator[None]:
    """Within it a refusal for what may be held at most (507) is noted for the notification rules."""
    try:
        yield
    except CapacityExhausted as full:
        _note(s, QuotaKey(caller.tenant, caller.subject, "counts"), full.detail)
        raise


def _note(s: Services, key: QuotaKey, detail: str) -> None:
    """Note a refusal, once a minute in each process."""
    if s.process.quotas.is_to_be_noted(key, _now_us(s), QUOTA_NOTED_EVERY_MS * 1000):
        from chalicelib.engine import quota_notices  # loaded with the first refusal

        quota_notices.note(s, key, detail)


def _ask(s: Services, key: QuotaKey, per_s: int) -> QuotaDecision:
    """Lease a block, one thread for all of a principal; the others find what it brought."""
    memory = s.process.quotas
    with memory.asking(key):
        decision = memory.spend(key, per_s, _now_us(s))
        tries = 0
        while decision.verdict == "ask":
            tries += 1
            _ask_once(s, key, per_s, last=tries >= ASK_TRIES)
            decision = memory.spend(key, per_s, _now_us(s))
        return decision


def _ask_once(s: Services, key: QuotaKey, per_s: int, last: bool) -> Allowance:
    """One round: propose, write, and remember what became of it."""
    memory = s.process.quotas
    now_us = _now_us(s)
    allowance = memory.allowance(key)
    proposed = propose(allowance, per_s, now_us)
    if proposed is None:
        return memory.change(key, lambda held: held_off(held, per_s, now_us))
    try:
        standing = s.stores.quotas.swap(key, proposed.bucket, allowance.rev, now_us // 1_000_000)
    except (
        Unavailable
    ):  # also where it may have been written: then a block is lost, and nothing too much is let through
        return memory.change(key, lambda held: cut_off(held, _now_us(s), AWAY_PAUSE_US))
    if standing is None:
        return memory.change(key, lambda held: granted(held, proposed, per_s, now_us))
    if last:
        return memory.change(key, lambda held: cut_off(held, now_us, CONTENDED_PAUSE_US))
    return memory.change(key, lambda held: lost(held, standing.bucket, standing.rev))


def _now_us(s: Services) -> int:
    return s.clock.now_ms() * 1000
