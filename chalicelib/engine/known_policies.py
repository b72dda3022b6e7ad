"""A tenant's policies, as this process knows them.

Every change of a tenant's policies raises their epoch. The read that a firing makes right before its instant brings the
epoch along, so a firing costs no call more for its policies. None is judged by policies that were changed before that
read. Policies themselves are read only when the epoch has moved.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from chalicelib.core.errors import InvalidField
from chalicelib.core.limits import PAGE_MAX_ITEMS
from chalicelib.ports.services import Services
from chalicelib.ports.stores.policies import KeptPolicy, epoch_key
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
        known = KnownPolicies(epoch, _load(s, tenant) if epoch else ())
    memory.keep(tenant, known, now_ms)
    return known


def _load(s: Services, tenant: str) -> tuple[CompiledPolicy, ...]:
    found: list[CompiledPolicy] = []
    after: str | None = None
    while True:
        page, after = s.stores.policies.page(tenant, PAGE_MAX_ITEMS, after)
        found += [compiled for kept in page if (compiled := _compiled(kept)) is not None]
        if after is None:
            return tuple(found)


def _compiled(kept: KeptPolicy) -> CompiledPolicy | None:
    """A policy ready to be asked. One that a later release wrote, and this one cannot read, must not stop the rest."""
    from chalicelib.core.rules import policy  # loaded with the first policy

    try:
        return policy.compile_policy(policy.read(kept.document))
    except (InvalidField, ValueError) as wrong:
        log.error("policy %s cannot be read and is not applied: %s", kept.name, wrong)
        return None
