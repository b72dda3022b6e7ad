"""A tenant's policies, as this process knows them.

Every change of a tenant's policies raises their epoch. The read that a firing makes right before its instant brings the
epoch along, so a firing costs no call more for its policies. None is judged by policies that were changed before that
read. Policies themselves are read only when the epoch has moved.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from chalicelib.core.limits import PAGE_MAX_ITEMS
from chalicelib.core.telemetry.metric_catalogue import POLICIES_UNREADABLE
from chalicelib.ports.services import Services
from chalicelib.ports.stores.policies import epoch_key
from chalicelib.process.limits import POLICIES_MEMORY_MS
from chalicelib.process.policy_memory import KnownPolicies

if TYPE_CHECKING:
    from chalicelib.core.rules.policy import CompiledPolicy

log = logging.getLogger("chronowatch.policies")


def current(s: Services, tenant: str) -> Sequence[CompiledPolicy]:
    """A tenant's policies as they are now: one read while they stay the same. Raises Unavailable."""
    key = epoch_key(tenant)
    return at_epoch(s, tenant, s.stores.schedules.epochs([key]).get(key, 0)).policies


def recent(s: Services, tenant: str) -> Sequence[CompiledPolicy]:
    """As ``current``, at most POLICIES_MEMORY_MS old: for what is asked too often to read them. Raises Unavailable."""
    known = s.process.policies.recent(tenant, s.clock.now_ms(), POLICIES_MEMORY_MS)
    return current(s, tenant) if known is None else known.policies


def at_epoch(s: Services, tenant: str, epoch: int) -> KnownPolicies:
    """The policies at an epoch that was just read, or newer ones."""
    memory, now_ms = s.process.policies, s.clock.now_ms()
    known = memory.at_epoch(tenant, epoch)
    if known is None:
        known = _load(s, tenant, epoch) if epoch else KnownPolicies(epoch, ())
    memory.keep(tenant, known, now_ms)
    return known


def _load(s: Services, tenant: str, epoch: int) -> KnownPolicies:
    """All policies of a tenant. One that this release cannot read denies what it matches, and says so loudly."""
    from chalicelib.core.rules import stored_policy  # loaded with the first policy

    found: list[CompiledPolicy] = []
    unreadable = 0
    after: str | None = None
    while True:
        page, after = s.stores.policies.page(tenant, PAGE_MAX_ITEMS, after)
        for kept in page:
            compiled, problem = stored_policy.read(kept.name, kept.document)
            found.append(compiled)
            if problem:
                unreadable += 1
                log.error("policy %s cannot be read, and denies all that it matches: %s", kept.name, problem)
                s.process.meter.count(POLICIES_UNREADABLE)
        if after is None:
            return KnownPolicies(epoch, tuple(found), unreadable)
