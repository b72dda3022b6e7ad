"""Client of ChronoWatch: leases with fencing tokens, election, ticks, schedules, receivers. Standard library only."""

from chronowatch.client import Client
from chronowatch.election import Election
from chronowatch.errors import (
    ApiError,
    ChronoWatchError,
    Gone,
    InvalidSignature,
    LeaseLost,
    LeaseNotHeld,
    NotAcquired,
    NotAFiring,
    RetryLater,
    StaleToken,
    Unreachable,
)
from chronowatch.leases import Lease, Validity
from chronowatch.memories import DynamoStore, MemoryStore
from chronowatch.receiving import ACCEPTED, Receiver, receiver
from chronowatch.ticks import Tick
from chronowatch.transport import Retries
from chronowatch.webhooks import Firing, verify

__all__ = [
    "ACCEPTED",
    "ApiError",
    "ChronoWatchError",
    "Client",
    "DynamoStore",
    "Election",
    "Firing",
    "Gone",
    "InvalidSignature",
    "Lease",
    "LeaseLost",
    "LeaseNotHeld",
    "MemoryStore",
    "NotAFiring",
    "NotAcquired",
    "Receiver",
    "Retries",
    "RetryLater",
    "StaleToken",
    "Tick",
    "Unreachable",
    "Validity",
    "receiver",
    "verify",
]
