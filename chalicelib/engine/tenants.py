"""Which tenants there are: the one list, for work that has to go through a list that is kept per tenant.

The list of recent executions is such a list. The tenants are one cursor, written before a tenant's first schedule is.
The default tenant is always among them: a deployment without other tenants neither writes it nor depends on it.
"""

from __future__ import annotations

from chalicelib.core.errors import TooMany
from chalicelib.core.security.caller import DEFAULT_TENANT
from chalicelib.ports.services import Services

CURSOR = "tenants"
AGE_MAX_MS = 30_000  # a tenant that came in the meantime has nothing yet that reconcile would find
WRITE_ATTEMPTS = 12


def known_tenants(s: Services) -> list[str]:
    """Every tenant that may have a schedule, as of at most AGE_MAX_MS ago. Raises Unavailable."""
    memory, now_ms = s.process.tenants, s.clock.now_ms()
    if not memory.is_fresh(now_ms, AGE_MAX_MS):
        memory.keep(frozenset(s.stores.cursors.load(CURSOR).values), now_ms)
    return sorted({DEFAULT_TENANT} | memory.names())


def note_tenant(s: Services, tenant: str) -> None:
    """Put a tenant on the list, once. Raises Unavailable, OutcomeUnknown, TooMany (``contended``)."""
    memory = s.process.tenants
    if tenant == DEFAULT_TENANT or tenant in memory.names():
        return
    for _ in range(WRITE_ATTEMPTS):
        cursor, now_ms = s.stores.cursors.load(CURSOR), s.clock.now_ms()
        values = {**cursor.values, tenant: now_ms}
        if tenant in cursor.values or s.stores.cursors.save(CURSOR, values, cursor.rev):
            memory.keep(frozenset(values), now_ms)
            return
    raise TooMany("too many new tenants come at once", code="contended")
