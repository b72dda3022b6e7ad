"""Client of ChronoWatch: all of its API, leases that are held, election, receivers. Standard library only.

Names are imported when they are first used: a function that only receives does not load the client.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chronowatch.async_client import AsyncClient
    from chronowatch.calling import UNSET, Unset
    from chronowatch.client import Client
    from chronowatch.declaring import DeclaredSchedules, schedule
    from chronowatch.election import Election
    from chronowatch.errors import (
        ApiError,
        CapacityExhausted,
        ChronoWatchError,
        Conflict,
        Forbidden,
        Gone,
        InvalidRequest,
        InvalidSignature,
        LeaseLost,
        LeaseNotHeld,
        NameTaken,
        NotAcquired,
        NotAFiring,
        NotFound,
        NotRetryable,
        PolicyDenied,
        PreconditionFailed,
        RetryLater,
        StaleToken,
        TooManyRequests,
        Unauthorized,
        Unavailable,
        Unreachable,
    )
    from chronowatch.leases import Lease, Validity
    from chronowatch.memories import DynamoStore, MemoryStore
    from chronowatch.receiving import ACCEPTED, Receiver, receiver
    from chronowatch.ticks import Tick
    from chronowatch.transport import Retries
    from chronowatch.webhooks import Firing, verify

_PLACES = {
    "AsyncClient": "chronowatch.async_client",
    "UNSET": "chronowatch.calling",
    "Unset": "chronowatch.calling",
    "Client": "chronowatch.client",
    "DeclaredSchedules": "chronowatch.declaring",
    "schedule": "chronowatch.declaring",
    "Election": "chronowatch.election",
    "ApiError": "chronowatch.errors",
    "CapacityExhausted": "chronowatch.errors",
    "ChronoWatchError": "chronowatch.errors",
    "Conflict": "chronowatch.errors",
    "Forbidden": "chronowatch.errors",
    "Gone": "chronowatch.errors",
    "InvalidRequest": "chronowatch.errors",
    "InvalidSignature": "chronowatch.errors",
    "LeaseLost": "chronowatch.errors",
    "LeaseNotHeld": "chronowatch.errors",
    "NameTaken": "chronowatch.errors",
    "NotAcquired": "chronowatch.errors",
    "NotAFiring": "chronowatch.errors",
    "NotFound": "chronowatch.errors",
    "NotRetryable": "chronowatch.errors",
    "PolicyDenied": "chronowatch.errors",
    "PreconditionFailed": "chronowatch.errors",
    "RetryLater": "chronowatch.errors",
    "StaleToken": "chronowatch.errors",
    "TooManyRequests": "chronowatch.errors",
    "Unauthorized": "chronowatch.errors",
    "Unavailable": "chronowatch.errors",
    "Unreachable": "chronowatch.errors",
    "Lease": "chronowatch.leases",
    "Validity": "chronowatch.leases",
    "DynamoStore": "chronowatch.memories",
    "MemoryStore": "chronowatch.memories",
    "ACCEPTED": "chronowatch.receiving",
    "Receiver": "chronowatch.receiving",
    "receiver": "chronowatch.receiving",
    "Tick": "chronowatch.ticks",
    "Retries": "chronowatch.transport",
    "Firing": "chronowatch.webhooks",
    "verify": "chronowatch.webhooks",
}

__all__ = [
    "ACCEPTED",
    "UNSET",
    "ApiError",
    "AsyncClient",
    "CapacityExhausted",
    "ChronoWatchError",
    "Client",
    "Conflict",
    "DeclaredSchedules",
    "DynamoStore",
    "Election",
    "Firing",
    "Forbidden",
    "Gone",
    "InvalidRequest",
    "InvalidSignature",
    "Lease",
    "LeaseLost",
    "LeaseNotHeld",
    "MemoryStore",
    "NameTaken",
    "NotAFiring",
    "NotAcquired",
    "NotFound",
    "NotRetryable",
    "PolicyDenied",
    "PreconditionFailed",
    "Receiver",
    "Retries",
    "RetryLater",
    "StaleToken",
    "Tick",
    "TooManyRequests",
    "Unauthorized",
    "Unavailable",
    "Unreachable",
    "Unset",
    "Validity",
    "receiver",
    "schedule",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module chronowatch has no attribute {name}")
    found = getattr(import_module(_PLACES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
