"""Bounds of leases.

Names have their units last; the relations between bounds are asserted beside them.
"""

from __future__ import annotations

from chalicelib.core.limits import OWNER_MAX_CHARS

LEASE_TTL_MIN_MS = 100
LEASE_TTL_MAX_MS = 86_400_000
LEASE_WAIT_MAX_MS = 25_000  # how long one acquire call may be held; gateways give up after half a minute
LEASE_NAME_MAX_CHARS = 128
LEASE_HOLDER_MAX_CHARS = 128
LEASE_METADATA_MAX_BYTES = 4 * 1024
FENCING_TOKEN_MAX = (1 << 53) - 1  # no counter of grants gets this far; every reader of JSON is exact up to here
LEASE_WAITERS_MAX = 256  # all waiters live in the lease's one document
LEASE_POLL_MS = 250  # how often the first waiter checks for a release whose wake-up was lost
# A full lease: a store must take a document of this size.
LEASE_DOCUMENT_MAX_BYTES = (
    LEASE_WAITERS_MAX * 4 * (LEASE_HOLDER_MAX_CHARS + OWNER_MAX_CHARS + 64) + LEASE_METADATA_MAX_BYTES
)

assert LEASE_POLL_MS < LEASE_WAIT_MAX_MS
