"""Client of ChronoWatch: leases with fencing tokens, leader election, ticks and schedules. Standard library only."""

from chronowatch.client import Client
from chronowatch.election import Election
from chronowatch.errors import (
    ApiError,
    ChronoWatchError,
    LeaseLost,
    LeaseNotHeld,
    NotAcquired,
    StaleToken,
    Unreachable,
)
from chronowatch.leases import Lease, Validity
from chronowatch.ticks import Tick
from chronowatch.transport import Retries

__all__ = [
    "ApiError",
    "ChronoWatchError",
    "Client",
    "Election",
    "Lease",
    "LeaseLost",
    "LeaseNotHeld",
    "NotAcquired",
    "Retries",
    "StaleToken",
    "Tick",
    "Unreachable",
    "Validity",
]
