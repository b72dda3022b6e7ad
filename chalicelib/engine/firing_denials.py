"""Firings that policies did not let pass, entered in the audit by the feed.

That is away from the path of the firings. A worker may also die right after it has ended one.

The feed reads each write at least once. What comes again is looked for among the newest entries. One that comes again
long after that is entered twice, under one id.
"""

from __future__ import annotations

from collections.abc import Iterable

from chalicelib.core.audit import segment
from chalicelib.core.audit.entry import DENY, REFUSED, Draft
from chalicelib.core.executions.execution import Execution
from chalicelib.core.security.caller import SERVICE_SUBJECT
from chalicelib.engine import audit_chain
from chalicelib.ports.services import Services

ACTION = "firing"  # as rules know it in the field ``action``
NEWEST_SEGMENTS = 20


def enter(s: Services, denied: Iterable[Execution]) -> None:
    """Enter executions that ended by a denial, unless they stand there. Raises Unavailable, OutcomeUnknown."""
    by_tenant: dict[str, dict[str, Draft]] = {}
    for execution in denied:
        draft = _draft(execution)
        by_tenant.setdefault(execution.tenant, {})[draft.id] = draft
    for tenant, drafts in by_tenant.items():
        for stored in s.stores.audit.newest(tenant, NEWEST_SEGMENTS):
            for entry in segment.read(stored.document).entries:
                drafts.pop(entry.id, None)
        if drafts:
            audit_chain.append(s, tenant, drafts.values())


def _draft(execution: Execution) -> Draft:
    attempt = execution.attempts[-1]
    return Draft(
        id=f"{execution.id}.{attempt.number}",
        at_ms=attempt.finished_ms or execution.firing_ms,
        actor=SERVICE_SUBJECT,
        action=ACTION,
        permission="",
        resource=f"executions/{execution.id}",
        decision=DENY,
        outcome=REFUSED,
        detail=attempt.denied_by,
        trace_id=execution.trace_id,
    )
