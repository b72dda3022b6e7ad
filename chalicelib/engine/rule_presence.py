"""Whether a tenant has notification rules at all. What works on them is loaded by the first tenant that has one."""

from __future__ import annotations

from chalicelib.ports.services import Services


def has_rules(s: Services, tenant: str) -> bool:
    """One read. Raises Unavailable."""
    return bool(s.stores.alerts.page(tenant, "rule", 1, None)[0])
