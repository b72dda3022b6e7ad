"""Everything that this package raises.

ChronoWatchError
├── ApiError             the service answered with an error; status, code, errors
│   └── LeaseNotHeld     409 lease_not_held
├── Unreachable          no answer, after the retries
├── NotAcquired          the lease was not granted within ``wait``
├── LeaseLost            this process may no longer act as the holder
├── StaleToken           the resource has seen a newer holder
├── InvalidSignature     a delivery that the service did not sign, or long ago
├── NotAFiring           a delivery that is no firing
├── RetryLater           raised by a handler: the delivery shall come again
└── Gone                 raised by a handler: the service shall pause the schedule
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class ChronoWatchError(Exception):
    """The root."""


class ApiError(ChronoWatchError):
    """Raised when the service answers with a problem (RFC 9457)."""

    def __init__(self, status: int, code: str, detail: str, errors: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)
        self.retry_after_s = 0.0


class LeaseNotHeld(ApiError):
    """Raised when a renewal or release comes from anyone but the holder with its token."""


class Unreachable(ChronoWatchError):
    """Raised when no answer came; the call may or may not have happened."""


class NotAcquired(ChronoWatchError):
    """Raised when a lease was not granted within the time the caller would wait."""

    def __init__(self, name: str, queue_position: int | None, holder_id: str | None) -> None:
        super().__init__(f"the lease {name} is held by {holder_id}; place {queue_position} in the queue")
        self.name = name
        self.queue_position = queue_position
        self.holder_id = holder_id


class LeaseLost(ChronoWatchError):
    """Raised when the lease can no longer be counted on: stop touching what it protects."""


class StaleToken(ChronoWatchError):
    """Raised on the resource's side when a holder comes with an older token than one seen before."""

    def __init__(self, resource: str, token: int) -> None:
        super().__init__(f"{resource} has seen a newer fencing token than {token}")
        self.resource = resource
        self.token = token


class InvalidSignature(ChronoWatchError):
    """Raised when a delivery is not signed with the secret, or was signed too long ago."""


class NotAFiring(ChronoWatchError):
    """Raised when what was delivered is no firing of a schedule."""


class RetryLater(ChronoWatchError):
    """Raised by a handler that cannot take a firing now: it comes again, not before ``after_s`` seconds."""

    def __init__(self, reason: str, after_s: int) -> None:
        super().__init__(reason)
        self.after_s = after_s


class Gone(ChronoWatchError):
    """Raised by a handler that wants no more firings: a webhook answers 410, and the service pauses the schedule."""
