"""Everything that this package raises.

ChronoWatchError
├── ApiError             the service answered with an error; status, code, errors, problem
│   ├── InvalidRequest   400, 413, 415, 422: the call is wrong as it stands
│   ├── Unauthorized     401
│   ├── Forbidden        403
│   │   └── PolicyDenied     403 policy_denied; violations
│   ├── NotFound         404 and 410
│   ├── Conflict         409
│   │   ├── NameTaken        409 name_taken
│   │   ├── LeaseNotHeld     409 lease_not_held
│   │   └── NotRetryable     409 not_retryable
│   ├── PreconditionFailed   412: another version
│   ├── TooManyRequests  429
│   ├── Unavailable      503 and other answers of a service that is away
│   └── CapacityExhausted    507
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
    """Raised when the service answers with a problem (RFC 9457). ``problem`` is all of it."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        errors: Sequence[Mapping[str, Any]] = (),
        problem: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)
        self.problem: Mapping[str, Any] = problem or {}
        self.retry_after_s = 0.0

    @property
    def trace_id(self) -> str | None:
        """What finds the call in the service's log."""
        return self.problem.get("trace_id")


class InvalidRequest(ApiError):
    """Raised when the call is wrong as it stands: ``errors`` names the fields."""


class Unauthorized(ApiError):
    """Raised when the credential is missing, wrong or at its end."""


class Forbidden(ApiError):
    """Raised when the caller is known and may not do this."""


class PolicyDenied(Forbidden):
    """Raised when rules of policies deny it."""

    @property
    def violations(self) -> Sequence[Mapping[str, Any]]:
        """The rules that do not hold."""
        return tuple(self.problem.get("violations") or ())


class NotFound(ApiError):
    """Raised when there is no such thing, or no more."""


class Conflict(ApiError):
    """Raised when the present state forbids the call."""


class NameTaken(Conflict):
    """Raised when the owner has another schedule of this name."""


class NotRetryable(Conflict):
    """Raised when an execution runs, succeeded, or its schedule is gone."""


class LeaseNotHeld(Conflict):
    """Raised when a renewal or release comes from anyone but the holder with its token."""


class PreconditionFailed(ApiError):
    """Raised when the thing has another version than the caller said."""


class TooManyRequests(ApiError):
    """Raised when the caller is to slow down; ``retry_after_s`` says for how long."""


class Unavailable(ApiError):
    """Raised when the service, or what it depends on, is away."""


class CapacityExhausted(ApiError):
    """Raised when a configured capacity is reached."""


_BY_CODE: Mapping[str, type[ApiError]] = {
    "lease_not_held": LeaseNotHeld,
    "name_taken": NameTaken,
    "not_retryable": NotRetryable,
    "policy_denied": PolicyDenied,
}
_BY_STATUS: Mapping[int, type[ApiError]] = {
    **dict.fromkeys((400, 413, 414, 415, 422, 431), InvalidRequest),
    401: Unauthorized,
    403: Forbidden,
    **dict.fromkeys((404, 410), NotFound),
    409: Conflict,
    412: PreconditionFailed,
    429: TooManyRequests,
    **dict.fromkeys((502, 503, 504), Unavailable),
    507: CapacityExhausted,
}


def error_of(status: int, code: str, detail: str, problem: Mapping[str, Any]) -> ApiError:
    """The error that a problem is, by its code and else by its status."""
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status, ApiError)
    return kind(status, code, detail, problem.get("errors") or (), problem)


class Unreachable(ChronoWatchError):
    """Raised when no answer came. The call may have happened, unless it is ``unsent``."""

    def __init__(self, message: str, *, unsent: bool = False) -> None:
        super().__init__(message)
        self.unsent = unsent


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
