"""Quotas over HTTP: each call is charged, and its answer says how the caller stands.

The headers are those of draft-ietf-httpapi-ratelimit-headers-11, structured fields (RFC 9651). A refusal is the
problem type that the draft registers.
"""

from __future__ import annotations

from typing import Final

from chalicelib.api.http.operations import Operation
from chalicelib.core.errors import QuotaExceeded
from chalicelib.core.quotas.shared_bucket import Quota
from chalicelib.core.security.caller import Caller
from chalicelib.ports.services import Services
from chalicelib.usecases.quotas import QuotaStanding, charge

RATE_LIMIT: Final = "RateLimit"
RATE_LIMIT_POLICY: Final = "RateLimit-Policy"
WINDOW_S: Final = 1


def charge_call(s: Services, caller: Caller, operation: Operation) -> QuotaStanding | None:
    """Count one request; None when it is free, or there is no such quota."""
    return None if operation.free else charge(s, caller, quota_of(operation))


def quota_of(operation: Operation) -> Quota:
    """What only reads is named so by its permission, also where it is a POST (previews, validation)."""
    return "reads" if operation.permission.endswith("read") else "writes"


def check(standing: QuotaStanding | None) -> None:
    """Raises QuotaExceeded."""
    if standing is not None and not standing.allowed:
        raise QuotaExceeded(
            f"{standing.quota}: at most {standing.per_s} a second for one caller; come again after Retry-After",
            policy=standing.quota,
            retry_after_s=_seconds(standing.wait_ms),
        )


def headers(standing: QuotaStanding) -> dict[str, str]:
    """What the answer says: the quota, what is left of it, and in how many seconds that changes."""
    return {
        RATE_LIMIT_POLICY: f'"{standing.quota}";q={standing.per_s};w={WINDOW_S}',
        RATE_LIMIT: f'"{standing.quota}";r={standing.remaining};t={_seconds(standing.wait_ms)}',
    }


def _seconds(ms: int) -> int:
    """Whole seconds, rounded up: coming sooner would be in vain."""
    return max(1, -(-ms // 1000))
