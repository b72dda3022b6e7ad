"""Leases: who holds a name, who waits for it, and the fencing token that protects a resource from a stale holder.

One item a lease (``lease_item``), one pure decision a call (``lease_requests``):
``decide_*(item, request, now_ms, margin_ms) -> LeaseDecision``. The store writes ``item_to_write`` on the condition
that the stored ``rev`` is still ``item_to_write.rev - 1`` (for rev 1: that there is no item). On a lost race it reads
and decides again. What the decisions uphold, whatever the interleaving:

- ``fencing_token`` strictly increases per name for ever; the item is never deleted, a freed lease keeps its token.
- At most one holder is live: others wait for ``expires_at_unix_ms`` plus the clock margin. The instance that promised
  it and the one that judges it read different clocks. A renewal never shortens: its answer may be lost, and the holder
  then still counts on what it was promised before.
- Waiters are served in the order of their first asking; one that is silent for longer than its own ``ttl_ms`` loses
  its place.
- Repeating a call whose answer was lost succeeds again; a renewal after a release resurrects nothing.

Expiry and the margin: Gray and Cheriton, "Leases" (SOSP 1989). Sequencers, here called fencing tokens: Burrows, "The
Chubby lock service" (OSDI 2006), section 2.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.errors import Conflict, NotFound, TooMany
from chalicelib.core.leases.lease_item import LeaseItem, Party, Waiter
from chalicelib.core.leases.lease_requests import AcquireRequest, ReleaseRequest, RenewRequest, ValidateRequest
from chalicelib.core.leases.limits import LEASE_WAITERS_MAX

A_co = TypeVar("A_co", covariant=True)

# A ticket is written with this share of the ttl to spare, so that frequent polling rewrites it only now and then.
_TICKET_SPARE_SHARE = 4
_TICKET_SPARE_MAX_MS = 1000


class HeldOpen(Struct, frozen=True):
    """The caller stays on the line: it is asking for as long as an instance holds its call open. That instance can be
    woken at ``wake_at``. Its place is then moved on only when half its ttl is used up, not at every check."""

    wake_at: str = ""


class Granted(Struct, frozen=True):
    """The caller holds the lease until ``expires_at_unix_ms`` of the service's clock."""

    fencing_token: int
    expires_at_unix_ms: int


class Waiting(Struct, frozen=True):
    """The caller stands in the queue, first is 1.

    ``holder_id`` and ``expires_at_unix_ms`` are None while the lease is free and kept for the first in the queue.
    """

    queue_position: int
    holder_id: str | None
    expires_at_unix_ms: int | None


class Released(Struct, frozen=True):
    """The caller no longer holds the lease."""

    released: bool = True


class Validity(Struct, frozen=True):
    """Whether the token is the live holder's, and the highest token ever granted for the name (0: none)."""

    valid: bool
    highest_fencing_token: int


class Broken(Struct, frozen=True):
    """The lease is free now."""

    broken: bool = True


class LeaseDecision(Struct, Generic[A_co], frozen=True):
    """The answer, and the item to write before giving it (None: nothing changes)."""

    item_to_write: LeaseItem | None
    answer: A_co


def decide_acquire(
    item: LeaseItem | None, request: AcquireRequest, now_ms: int, margin_ms: int, held: HeldOpen | None = None
) -> LeaseDecision[Granted | Waiting]:
    """Grant, renew or queue. ``now_ms`` is the service's wall clock, ``margin_ms`` the drift allowed between clocks.
    ``held``: the caller goes on waiting after this decision; None: it gets the answer.

    Raises TooMany (code ``too_many_waiters``) when the queue is full.
    """
    item = item or LeaseItem(request.tenant, request.name)
    waiters = live_waiters(item, now_ms, margin_ms)
    me = request.party
    if is_taken(item, now_ms, margin_ms):
        if item.holder == me:
            return _extend(item, request.ttl_ms, now_ms, request.metadata)
        return _queue(item, waiters, request, now_ms, held)
    if waiters and waiters[0].party != me:
        return _queue(item, waiters, request, now_ms, held)
    return _grant(item, waiters, request, now_ms)


def decide_take_over(item: LeaseItem | None, request: AcquireRequest, now_ms: int) -> LeaseDecision[Granted | Waiting]:
    """Grant whatever the item says of its holder: for a caller that knows by other means that it is gone.

    The token moves on as with every grant, so a holder that was believed gone too early changes nothing.
    """
    return _grant(item or LeaseItem(request.tenant, request.name), (), request, now_ms)


def decide_renew(item: LeaseItem | None, request: RenewRequest, now_ms: int) -> LeaseDecision[Granted]:
    """Extend what the holder has; also after its expiry, as long as no other party took it.

    Raises Conflict (code ``lease_not_held``) for every party but the holder with its token.
    """
    if item is None or not _holds(item, request.party, request.fencing_token):
        raise not_held(request.name)
    return _extend(item, request.ttl_ms or item.ttl_ms, now_ms, None)


def decide_release(item: LeaseItem | None, request: ReleaseRequest) -> LeaseDecision[Released]:
    """Free the lease and leave its tombstone; a repeat of the last release succeeds and changes nothing.

    Raises Conflict (code ``lease_not_held``) for every other party.
    """
    if item is not None and _holds(item, request.party, request.fencing_token):
        freed = replace(
            _freed(item),
            last_holder_id=item.holder_id,
            last_subject=item.subject,
            last_fencing_token=item.fencing_token,
        )
        return LeaseDecision(freed, Released())
    if item is not None and _was_released_by(item, request):
        return LeaseDecision(None, Released())
    raise not_held(request.name)


def decide_leave(item: LeaseItem | None, party: Party) -> LeaseDecision[None]:
    """Take a waiter that gave up out of the queue; what it was granted meanwhile is free again."""
    if item is None:
        return LeaseDecision(None, None)
    if item.holder == party:
        return LeaseDecision(_freed(item), None)
    waiters = tuple(waiter for waiter in item.waiters if waiter.party != party)
    if len(waiters) == len(item.waiters):
        return LeaseDecision(None, None)
    return LeaseDecision(replace(item, rev=item.rev + 1, waiters=waiters), None)


def decide_validate(item: LeaseItem | None, request: ValidateRequest, now_ms: int) -> Validity:
    """Whether ``fencing_token`` is that of a holder whose promise still runs; no margin, so doubt means no."""
    if item is None:
        return Validity(valid=False, highest_fencing_token=0)
    valid = request.fencing_token == item.fencing_token and is_taken(item, now_ms, margin_ms=0)
    return Validity(valid, item.fencing_token)


def decide_break(item: LeaseItem | None, name: str) -> LeaseDecision[Broken]:
    """Take the lease from its holder, without waiting for expiry; repeating it changes nothing.

    The former holder goes on believing until its own clock or its next renewal says otherwise: until then only
    the fencing token protects the resource. Raises NotFound for a name that was never leased.
    """
    if item is None:
        raise NotFound(f"no lease named {name} exists", code="lease_not_found")
    return LeaseDecision(None if item.holder_id is None else _freed(item), Broken())


def is_taken(item: LeaseItem, now_ms: int, margin_ms: int) -> bool:
    """Whether it has a holder and ``margin_ms`` has not yet passed since its expiry."""
    return item.holder_id is not None and now_ms < item.expires_at_unix_ms + margin_ms


def live_waiters(item: LeaseItem, now_ms: int, margin_ms: int) -> tuple[Waiter, ...]:
    """Those who still ask, first come first."""
    return tuple(w for w in item.waiters if now_ms < w.asks_until_ms + margin_ms)


def next_check_ms(item: LeaseItem, party: Party, ttl_ms: int, now_ms: int, margin_ms: int) -> int:
    """When a waiter whose call is held must read ``item`` again although it has not changed. Then its turn may have
    come because others expired, or its place is to be moved on."""
    waiters = live_waiters(item, now_ms, margin_ms)
    place = next((i for i, w in enumerate(waiters) if w.party == party), None)
    if place is None:
        return now_ms
    in_the_way = [w.asks_until_ms for w in waiters[:place]]
    if is_taken(item, now_ms, margin_ms):
        in_the_way.append(item.expires_at_unix_ms)
    turn_ms = max(in_the_way, default=now_ms) + margin_ms
    return max(now_ms, min(turn_ms, waiters[place].asks_until_ms - ttl_ms // 2 + 1))


def not_held(name: str) -> Conflict:
    """The error for a party that is not the holder, or no longer."""
    return Conflict(f"this holder_id does not hold the lease {name} with this fencing_token", code="lease_not_held")


def _grant(
    item: LeaseItem, waiters: tuple[Waiter, ...], request: AcquireRequest, now_ms: int
) -> LeaseDecision[Granted | Waiting]:
    granted = replace(
        item,
        rev=item.rev + 1,
        fencing_token=item.fencing_token + 1,
        holder_id=request.holder_id,
        subject=request.subject,
        ttl_ms=request.ttl_ms,
        acquired_at_unix_ms=now_ms,
        expires_at_unix_ms=now_ms + request.ttl_ms,
        metadata=request.metadata or {},
        waiters=tuple(w for w in waiters if w.party != request.party),
    )
    return LeaseDecision(granted, Granted(granted.fencing_token, granted.expires_at_unix_ms))


def _extend(item: LeaseItem, ttl_ms: int, now_ms: int, metadata: Mapping[str, object] | None) -> LeaseDecision[Granted]:
    """Same holder, same token, never an earlier expiry; no write when nothing changes."""
    extended = replace(
        item,
        ttl_ms=ttl_ms,
        expires_at_unix_ms=max(item.expires_at_unix_ms, now_ms + ttl_ms),
        metadata=item.metadata if metadata is None else metadata,
    )
    changed = None if extended == item else replace(extended, rev=item.rev + 1)
    return LeaseDecision(changed, Granted(item.fencing_token, extended.expires_at_unix_ms))


def _queue(
    item: LeaseItem, waiters: tuple[Waiter, ...], request: AcquireRequest, now_ms: int, held: HeldOpen | None
) -> LeaseDecision[Granted | Waiting]:
    """Keep or take a place. Lapsed places alone are no reason to write: every decision leaves them out anyway."""
    place = next((i for i, w in enumerate(waiters) if w.party == request.party), None)
    wake_at = "" if held is None else held.wake_at
    until_ms = now_ms + request.ttl_ms + min(request.ttl_ms // _TICKET_SPARE_SHARE, _TICKET_SPARE_MAX_MS)
    if place is None:
        changed: LeaseItem | None = _with_new_waiter(item, waiters, request, until_ms, wake_at)
        position = len(waiters) + 1
    elif _is_kept(waiters[place], now_ms, request.ttl_ms, held):
        changed, position = None, place + 1
    else:
        kept = replace(waiters[place], asks_until_ms=until_ms, wake_at=wake_at)
        changed = replace(item, rev=item.rev + 1, waiters=(*waiters[:place], kept, *waiters[place + 1 :]))
        position = place + 1
    return LeaseDecision(changed, _waiting(item, position))


def _is_kept(waiter: Waiter, now_ms: int, ttl_ms: int, held: HeldOpen | None) -> bool:
    """Whether the place lasts as it is: a whole ttl from now for a caller that gets the answer, half for one that
    waits. The latter must also have left where it can be woken."""
    if held is None:
        return waiter.asks_until_ms >= now_ms + ttl_ms
    return waiter.asks_until_ms >= now_ms + ttl_ms // 2 and waiter.wake_at == held.wake_at


def _with_new_waiter(
    item: LeaseItem, waiters: tuple[Waiter, ...], request: AcquireRequest, until_ms: int, wake_at: str
) -> LeaseItem:
    if len(waiters) >= LEASE_WAITERS_MAX:
        raise TooMany(f"{len(waiters)} callers already wait for the lease {item.name}", code="too_many_waiters")
    last = Waiter(request.holder_id, request.subject, item.next_ticket, until_ms, wake_at)
    return replace(item, rev=item.rev + 1, waiters=(*waiters, last), next_ticket=item.next_ticket + 1)


def _waiting(item: LeaseItem, position: int) -> Waiting:
    return Waiting(position, item.holder_id, item.expires_at_unix_ms if item.holder_id is not None else None)


def _freed(item: LeaseItem) -> LeaseItem:
    """The tombstone: token, waiters and tickets stay."""
    return replace(
        item,
        rev=item.rev + 1,
        holder_id=None,
        subject=None,
        ttl_ms=0,
        acquired_at_unix_ms=0,
        expires_at_unix_ms=0,
        metadata={},
    )


def _holds(item: LeaseItem, party: Party, fencing_token: int) -> bool:
    return item.holder == party and item.fencing_token == fencing_token


def _was_released_by(item: LeaseItem, request: ReleaseRequest) -> bool:
    return (item.last_holder_id, item.last_subject, item.last_fencing_token) == (
        request.holder_id,
        request.subject,
        request.fencing_token,
    )
