"""Leases: each call is one decision of core.lease and at most one conditional write.

A process remembers the last form of each lease it wrote, so that an uncontended acquire and release cost one write
each: the write is conditional, and a stale memory only costs a read more. What changes nothing is never answered from
memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from chalicelib.core import lease, lease_document, limits
from chalicelib.core.errors import Conflict, Forbidden, InvalidField, NotFound, TooMany
from chalicelib.core.lease import (
    AcquireRequest,
    Broken,
    Decision,
    Granted,
    LeaseItem,
    Released,
    ReleaseRequest,
    RenewRequest,
    ValidateRequest,
    Validity,
    Waiting,
)
from chalicelib.ports.services import Caller, Services

CHANGE_ATTEMPTS = 64
POLL_MS = 250  # how often a waiter looks whether another process has released; within this one it is told

Answer = TypeVar("Answer")


def acquire(s: Services, caller: Caller, fields: dict[str, Any]) -> Granted | Waiting:
    """Acquire, renew or queue; with ``wait_ms`` the call is held until granted. Raises InvalidField, TooMany."""
    request = AcquireRequest(tenant=caller.tenant, subject=caller.subject, **fields)
    deadline_ms = s.clock.now_ms() + request.wait_ms
    with s.signals.bell(_channel(request.tenant, request.name, request.holder_id)) as bell:
        while True:
            answer = _decide(s, request.tenant, request.name, lambda item, now_ms: _acquired(s, item, request, now_ms))
            if isinstance(answer, Granted) or s.clock.now_ms() >= deadline_ms:
                return answer
            bell.wait(_look_again_at(s, answer, deadline_ms))


def _acquired(s: Services, item: LeaseItem | None, request: AcquireRequest, now_ms: int) -> Decision[Granted | Waiting]:
    return lease.decide_acquire(item, request, now_ms, s.config.max_drift_ms)


def _look_again_at(s: Services, answer: Waiting, deadline_ms: int) -> int:
    """When a waiter that nobody wakes looks again: when the lease may have expired, or another process released it."""
    now_ms = s.clock.now_ms()
    times = [deadline_ms, now_ms + POLL_MS]
    if answer.expires_at_unix_ms is not None:
        times.append(max(now_ms + 1, answer.expires_at_unix_ms + s.config.max_drift_ms))
    return min(times)


def renew(s: Services, caller: Caller, fields: dict[str, Any]) -> Granted:
    """Prolong a holding. Raises InvalidField, Conflict(lease_not_held)."""
    request = RenewRequest(tenant=caller.tenant, subject=caller.subject, **fields)
    return _decide(s, request.tenant, request.name, lambda item, now_ms: lease.decide_renew(item, request, now_ms))


def release(s: Services, caller: Caller, fields: dict[str, Any]) -> Released:
    """End a holding and wake the first waiter. Raises InvalidField, Conflict(lease_not_held)."""
    request = ReleaseRequest(tenant=caller.tenant, subject=caller.subject, **fields)
    return _decide(s, request.tenant, request.name, lambda item, _: lease.decide_release(item, request))


def break_(s: Services, caller: Caller, name: str) -> Broken:
    """Take a lease from its holder; its token stays behind. Raises Forbidden, InvalidField, NotFound."""
    if "admin" not in caller.roles:
        raise Forbidden("only an admin may break a lease")
    _check_name(name)
    return _decide(s, caller.tenant, name, lambda item, _: lease.decide_break(item, name))


def validate(s: Services, caller: Caller, fields: dict[str, Any]) -> Validity:
    """Whether a token is the live holder's. Raises InvalidField."""
    request = ValidateRequest(tenant=caller.tenant, **fields)
    return lease.decide_validate(_load(s, request.tenant, request.name), request, s.clock.now_ms())


def get(s: Services, caller: Caller, name: str) -> LeaseItem:
    """One lease as it is stored. Raises NotFound."""
    _check_name(name)
    found = _load(s, caller.tenant, name)
    if found is None:
        raise NotFound(f"there is no lease {name}")
    return found


def page(s: Services, caller: Caller, limit: int, after: str | None) -> tuple[list[LeaseItem], str | None]:
    """A tenant's leases by name, and the name to go on after (None: the end)."""
    documents, after = s.leases.list(caller.tenant, limit, after)
    return [lease_document.read(document) for document in documents], after


def _check_name(name: str) -> None:
    problem = lease.name_problem(name)
    if problem is not None:
        raise InvalidField([problem])


def _load(s: Services, tenant: str, name: str) -> LeaseItem | None:
    stored = s.leases.load(tenant, name)
    return None if stored is None else lease_document.read(stored[0])


def _decide(s: Services, tenant: str, name: str, decide: Callable[[LeaseItem | None, int], Decision[Answer]]) -> Answer:
    """Decide and write until no other writer comes between; from memory first, from the table after that."""
    remembered = s.lease_memory.find(tenant, name)
    if remembered is not None:
        answer = _try(s, tenant, name, remembered, decide)
        if answer is not None:
            return answer
    for _ in range(CHANGE_ATTEMPTS):
        item = _load(s, tenant, name)
        decision = decide(item, s.clock.now_ms())
        if decision.item_to_write is None or _write(s, item, decision.item_to_write):
            return decision.answer
    raise TooMany(f"the lease {name} is wanted by too many at once", code="contended")


def _try(
    s: Services,
    tenant: str,
    name: str,
    remembered: LeaseItem,
    decide: Callable[[LeaseItem | None, int], Decision[Answer]],
) -> Answer | None:
    """The answer decided from memory, if it holds: it does when its conditional write succeeds."""
    try:
        decision = decide(remembered, s.clock.now_ms())
    except Conflict:
        return None
    written = decision.item_to_write is not None and _write(s, remembered, decision.item_to_write)
    return decision.answer if written else None


def _write(s: Services, before: LeaseItem | None, after: LeaseItem) -> bool:
    expected_rev = 0 if before is None else before.rev
    if not s.leases.save(after.tenant, after.name, lease_document.write(after), after.rev, expected_rev):
        s.lease_memory.forget(after.tenant, after.name)
        return False
    s.lease_memory.keep(after)
    if after.holder_id is None and after.waiters:
        s.signals.ring(_channel(after.tenant, after.name, after.waiters[0].holder_id))
    return True


def _channel(tenant: str, name: str, holder_id: str) -> str:
    return f"lease/{tenant}/{name}/{holder_id}"


assert limits.LEASE_WAIT_MAX_MS > POLL_MS
