"""Leases: each call is one decision of core.leases.lease and at most one conditional write.

A process remembers the last form of each lease it wrote, so that an uncontended acquire and release cost one write
each. The write is conditional, and a stale memory only costs a read more. What changes nothing is never answered from
memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from msgspec import Struct
from msgspec.structs import asdict, replace

from chalicelib.core.errors import ChronoError, InvalidField, NotFound, PreconditionFailed, TooMany
from chalicelib.core.leases import lease, lease_document
from chalicelib.core.leases.lease import Broken, Granted, HeldOpen, LeaseDecision, Released, Validity, Waiting
from chalicelib.core.leases.lease_item import LeaseItem, Party
from chalicelib.core.leases.lease_requests import (
    AcquireRequest,
    ReleaseRequest,
    RenewRequest,
    ValidateRequest,
    name_problem,
)
from chalicelib.core.leases.limits import LEASE_POLL_MS
from chalicelib.core.security.authorize import authorize
from chalicelib.core.security.caller import Caller
from chalicelib.core.telemetry.metric_catalogue import LEASE_ACQUIRES
from chalicelib.ports.services import Services
from chalicelib.usecases.policy_gate import check_lease

CHANGE_ATTEMPTS = 64
POLL_STEPS = 4  # those behind the first waiter check less often, down to every POLL_STEPS-th time
_NANOS_PER_MS = 1_000_000


class AcquireLease(Struct, frozen=True, kw_only=True):
    """Which lease, for whom, how long, and how long the call may be held; ``metadata`` is kept with the holding."""

    name: str
    holder_id: str
    ttl_ms: int
    wait_ms: int = 0
    metadata: Mapping[str, object] | None = None


class RenewLease(Struct, frozen=True, kw_only=True):
    """The holding to prolong; without ``ttl_ms`` by the ttl it has."""

    name: str
    holder_id: str
    fencing_token: int
    ttl_ms: int | None = None


class ReleaseLease(Struct, frozen=True, kw_only=True):
    """The holding to end."""

    name: str
    holder_id: str
    fencing_token: int


class ValidateLease(Struct, frozen=True, kw_only=True):
    """The token that is shown to a resource."""

    name: str
    fencing_token: int


Answer = TypeVar("Answer")
Decide = Callable[[LeaseItem | None, int], LeaseDecision[Answer]]


class _Decided(NamedTuple, Generic[Answer]):
    """An answer, and the lease as it stands with it."""

    answer: Answer
    item: LeaseItem | None


class Leaving(NamedTuple):
    """Whether a caller has hung up, and whether one that does will not come back."""

    gone: Callable[[], bool]
    for_good: bool


def acquire(
    s: Services,
    caller: Caller,
    wanted: AcquireLease,
    versions: Sequence[str] | None = None,
    gone: Callable[[], bool] = lambda: False,
    gives_up: bool = False,
) -> Granted | Waiting:
    """Acquire, renew or queue; with ``wait_ms`` the call is held until granted.

    ``versions``: revs that the lease must have (None: any). ``gone`` says whether the caller has hung up. One that
    ``gives_up`` does not come back after that: it leaves the queue, and what it was granted meanwhile is free again.
    Any other keeps its place, since a gateway may have cut its call off. A process holds so many calls, and half of
    them for one principal. Further ones are answered at once, and the caller asks again.

    Raises PolicyDenied, InvalidField, PreconditionFailed, TooMany.
    """
    authorize(caller, "leases:acquire")
    try:
        request = AcquireRequest(tenant=caller.tenant, subject=caller.subject, **asdict(wanted))
        limits = {"holder_id": wanted.holder_id, "ttl_ms": wanted.ttl_ms, "wait_ms": wanted.wait_ms}
        check_lease(s, caller, "leases:acquire", wanted.name, **limits)
        answer = _acquire(s, caller, request, versions, Leaving(gone, gives_up))
    except ChronoError:
        s.process.meter.count(LEASE_ACQUIRES, ("refused",))
        raise
    s.process.meter.count(LEASE_ACQUIRES, ("granted" if isinstance(answer, Granted) else "queued",))
    return answer


def _acquire(
    s: Services, caller: Caller, request: AcquireRequest, versions: Sequence[str] | None, leaving: Leaving
) -> Granted | Waiting:
    if request.wait_ms == 0 or not s.process.held_calls.take(caller.principal):
        return _ask(s, request, versions, None)[0].answer
    try:
        return _hold(s, request, versions, leaving)
    finally:
        s.process.held_calls.give_back(caller.principal)


def _hold(s: Services, request: AcquireRequest, versions: Sequence[str] | None, leaving: Leaving) -> Granted | Waiting:
    """Ask until granted, until ``wait_ms`` have passed (by the monotonic clock), or until the caller has gone."""
    deadline_ms = _monotonic_ms(s) + request.wait_ms
    held = HeldOpen(s.signals.address)
    with s.signals.bell(_channel(request.tenant, request.name, request.party)) as bell:
        while True:
            left_ms = deadline_ms - _monotonic_ms(s)
            # The last answer is given with a place that lasts for a whole ttl from now.
            (answer, item), had_it = _ask(s, request, versions, held if left_ms > 0 else None)
            if leaving.gone():
                _leave(s, request, leaving, had_it)
                return answer
            if isinstance(answer, Granted) or left_ms <= 0:
                return answer
            versions = None  # our own place in the queue is a new version
            bell.wait(_next_check_at(s, request, answer, item, deadline_ms))
            if leaving.gone():  # a grant now would hold up the others for its whole ttl
                _leave(s, request, leaving, had_it)
                return answer


def _leave(s: Services, request: AcquireRequest, leaving: Leaving, had_it: bool) -> None:
    """Give up the place, and what was granted too late. A holder that only asked again keeps what it had."""
    if had_it or not leaving.for_good:
        return

    def decide(item: LeaseItem | None, _now_ms: int) -> LeaseDecision[None]:
        return lease.decide_leave(item, request.party)

    _decide(s, request.tenant, request.name, decide, None)


def _ask(
    s: Services, request: AcquireRequest, versions: Sequence[str] | None, held: HeldOpen | None
) -> tuple[_Decided[Granted | Waiting], bool]:
    """What was decided, and whether the caller held the lease before."""
    had_it = False

    def decide(item: LeaseItem | None, now_ms: int) -> LeaseDecision[Granted | Waiting]:
        nonlocal had_it
        had_it = item is not None and item.holder == request.party
        return lease.decide_acquire(item, request, now_ms, s.config.max_drift_ms, held)

    return _decide(s, request.tenant, request.name, decide, versions), had_it


def _next_check_at(
    s: Services, request: AcquireRequest, answer: Waiting, item: LeaseItem | None, deadline_ms: int
) -> int:
    """When a waiter that is not woken checks again. Then others may have expired, its place is to be moved on, or a
    release could not wake it."""
    now_ms = s.clock.now_ms()
    poll_ms = LEASE_POLL_MS * min(answer.queue_position, POLL_STEPS)
    times = [now_ms + poll_ms, now_ms + max(0, deadline_ms - _monotonic_ms(s))]
    if item is not None:
        times.append(lease.next_check_ms(item, request.party, request.ttl_ms, now_ms, s.config.max_drift_ms))
    return max(now_ms + 1, min(times))


def renew(s: Services, caller: Caller, wanted: RenewLease, versions: Sequence[str] | None = None) -> Granted:
    """Prolong a holding. Raises InvalidField, PreconditionFailed, Conflict(lease_not_held)."""
    authorize(caller, "leases:acquire")
    request = RenewRequest(tenant=caller.tenant, subject=caller.subject, **asdict(wanted))
    if wanted.ttl_ms is not None:  # else a holding could be prolonged by more than it may be acquired for
        check_lease(s, caller, "leases:acquire", wanted.name, holder_id=wanted.holder_id, ttl_ms=wanted.ttl_ms)

    def decide(item: LeaseItem | None, now_ms: int) -> LeaseDecision[Granted]:
        return lease.decide_renew(item, request, now_ms)

    return _decide(s, request.tenant, request.name, decide, versions).answer


def release(s: Services, caller: Caller, wanted: ReleaseLease, versions: Sequence[str] | None = None) -> Released:
    """End a holding and wake the first waiter. Raises InvalidField, PreconditionFailed, Conflict(lease_not_held)."""
    authorize(caller, "leases:acquire")
    request = ReleaseRequest(tenant=caller.tenant, subject=caller.subject, **asdict(wanted))

    def decide(item: LeaseItem | None, _now_ms: int) -> LeaseDecision[Released]:
        return lease.decide_release(item, request)

    return _decide(s, request.tenant, request.name, decide, versions).answer


def break_(s: Services, caller: Caller, name: str, versions: Sequence[str] | None = None) -> Broken:
    """Take a lease from its holder; its token stays behind.

    Raises Forbidden, PolicyDenied, InvalidField, NotFound, PreconditionFailed.
    """
    authorize(caller, "leases:break")
    problem = name_problem(name)
    if problem is not None:
        raise InvalidField([problem])
    check_lease(s, caller, "leases:break", name)

    def decide(item: LeaseItem | None, _now_ms: int) -> LeaseDecision[Broken]:
        return lease.decide_break(item, name)

    return _decide(s, caller.tenant, name, decide, versions).answer


def validate(s: Services, caller: Caller, wanted: ValidateLease) -> Validity:
    """Whether a token is the live holder's. Raises InvalidField."""
    authorize(caller, "leases:read")
    request = ValidateRequest(tenant=caller.tenant, **asdict(wanted))
    return lease.decide_validate(_load(s, request.tenant, request.name), request, s.clock.now_ms())


def get(s: Services, caller: Caller, name: str) -> LeaseItem:
    """One lease as it is stored. Raises NotFound, also for what can be no name."""
    authorize(caller, "leases:read")
    found = None if name_problem(name) is not None else _load(s, caller.tenant, name)
    if found is None:
        raise NotFound(f"no lease named {name} exists", code="lease_not_found")
    return found


def page(s: Services, caller: Caller, limit: int, after: str | None) -> tuple[list[LeaseItem], str | None]:
    """A tenant's leases by name, and the name to go on after (None: the end)."""
    authorize(caller, "leases:read")
    documents, after = s.stores.leases.list(caller.tenant, limit, after)
    return [lease_document.read(document) for document in documents], after


def _load(s: Services, tenant: str, name: str) -> LeaseItem | None:
    stored = s.stores.leases.load(tenant, name)
    return None if stored is None else lease_document.read(stored[0])


def _decide(
    s: Services, tenant: str, name: str, decide: Decide[Answer], versions: Sequence[str] | None
) -> _Decided[Answer]:
    """Decide and write until no other writer comes between; from memory first, from the table after that."""
    if versions is not None:
        decide = _guarded(decide, versions)
    with s.signals.turn(f"lease/{tenant}/{name}"):
        remembered = s.process.leases.find(tenant, name)
        decided = None if remembered is None else _decide_from_memory(s, remembered, decide)
        for _ in range(CHANGE_ATTEMPTS):
            if decided is not None:
                return decided
            item = _load(s, tenant, name)
            decision = decide(item, s.clock.now_ms())
            if decision.item_to_write is None:
                return _Decided(decision.answer, item)
            decided = _written(s, item, decision.item_to_write, decision.answer)
    if decided is not None:
        return decided
    raise TooMany(f"too many callers change the lease {name} at once", code="contended")


def _decide_from_memory(s: Services, remembered: LeaseItem, decide: Decide[Answer]) -> _Decided[Answer] | None:
    """What was decided from memory, if it holds: it does when it wrote, since the write is conditional."""
    try:
        decision = decide(remembered, s.clock.now_ms())
    except ChronoError:
        return None  # the table may say otherwise
    if decision.item_to_write is None:
        return None
    return _written(s, remembered, decision.item_to_write, decision.answer)


def _guarded(decide: Decide[Answer], versions: Sequence[str]) -> Decide[Answer]:
    def guarded(item: LeaseItem | None, now_ms: int) -> LeaseDecision[Answer]:
        if item is None or version_of(item) not in versions:
            raise PreconditionFailed("the lease has another version")
        return decide(item, now_ms)

    return guarded


def version_of(item: LeaseItem) -> str:
    """What names this form of a lease: every change makes another."""
    return str(item.rev)


def _written(s: Services, before: LeaseItem | None, after: LeaseItem, answer: Answer) -> _Decided[Answer] | None:
    """The answer, once what it promises is stored; None when another writer was faster."""
    after = replace(after, hlc=s.ids.hlc(), origin=s.config.origin)
    expected_rev = 0 if before is None else before.rev
    if not s.stores.leases.save(after.tenant, after.name, lease_document.write(after), after.rev, expected_rev):
        s.process.leases.forget(after.tenant, after.name)
        return None
    s.process.leases.keep(after)
    if after.holder_id is None:
        _wake_next(s, after)
    return _Decided(answer, after)


def _wake_next(s: Services, freed: LeaseItem) -> None:
    """Notify the first waiter that its turn has come, wherever its call is held."""
    following = next(iter(lease.live_waiters(freed, s.clock.now_ms(), s.config.max_drift_ms)), None)
    if following is not None:
        s.signals.ring(_channel(freed.tenant, freed.name, following.party), following.wake_at)


def _channel(tenant: str, name: str, party: Party) -> str:
    return f"lease/{tenant}/{name}/{party.holder_id}/{party.subject}"


def _monotonic_ms(s: Services) -> int:
    return s.clock.read().monotonic_nanos // _NANOS_PER_MS
