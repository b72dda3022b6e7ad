"""Every error that a caller can meet, with its HTTP status, stable code and whether repeating may help.

    ChronoError
    ├── InvalidField (422)            one or more fields are wrong; names each
    │   └── NotSupported (422)        understood, but not offered yet
    ├── BadRequest (400)              unparsable JSON or page token
    ├── Unauthorized (401), Forbidden (403)
    │   └── PolicyDenied (403)        a policy's rules deny it; names each
    ├── NotFound (404), MethodNotAllowed (405), TooSlow (408)
    ├── Conflict (409)                the resource's state forbids the call
    ├── Gone (410)                    it was there, and its time is over
    ├── PreconditionFailed (412)      If-Match names another version
    ├── TooLarge (413), UriTooLong (414), HeadersTooLarge (431), VersionNotSupported (505)
    ├── UnsupportedMedia (415)
    │   └── UnsupportedCoding (415)   a compressed body
    ├── TooMany (429)                 slow down; carries retry_after_s
    │   └── QuotaExceeded (429)       the principal's own quota; names it
    ├── Unavailable (503)             a store, a queue or a bus throttles or is away
    │   └── OutcomeUnknown (503)      a write timed out: it may have happened
    └── CapacityExhausted (507)

``SettingsError`` stands apart: it stops the start of a process and never reaches a caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple


class FieldError(NamedTuple):
    """One wrong field: its dotted name (``target.url``) and what is wrong with it."""

    field: str
    message: str
    at: tuple[int, int] | None = None  # the code points at fault, half open, where the field is a text


class ChronoError(Exception):
    """The root: an error with an HTTP status and a stable snake_case code."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"
    retryable: ClassVar[bool] = False
    default_code: ClassVar[str] = "internal_error"

    def __init__(self, detail: str, *, code: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.default_code


class InvalidField(ChronoError):
    """Raised when a field of a request is missing, unknown, mistyped or out of range."""

    status = 422
    title = "Invalid field"
    default_code = "invalid_field"

    def __init__(self, errors: Sequence[FieldError], *, code: str | None = None) -> None:
        super().__init__("; ".join(f"{e.field}: {e.message}" for e in errors), code=code)
        self.errors = tuple(errors)

    @classmethod
    def of(cls, field: str, message: str, *, code: str | None = None) -> InvalidField:
        """The common case of a single wrong field."""
        return cls([FieldError(field, message)], code=code)


class NotSupported(InvalidField):
    """Raised when a field holds something that is understood, and that this release does not offer."""

    title = "Not supported"
    default_code = "not_supported"


class BadRequest(ChronoError):
    """Raised when the body is not JSON or a page token was not made by this service."""

    status = 400
    title = "Bad request"
    default_code = "bad_request"


class Unauthorized(ChronoError):
    """Raised when credentials are missing or wrong; ``invalid_token`` says that a token was given (RFC 6750)."""

    status = 401
    title = "Unauthorized"
    default_code = "unauthorized"

    def __init__(self, detail: str, *, code: str | None = None, invalid_token: bool = False) -> None:
        super().__init__(detail, code=code)
        self.invalid_token = invalid_token


class Forbidden(ChronoError):
    """Raised when the caller is known and may not do this."""

    status = 403
    title = "Forbidden"
    default_code = "forbidden"


class Violation(NamedTuple):
    """A rule of a policy that does not hold. ``field`` is as the rule wrote it, ``value`` the subject's (None: absent).
    ``decision_id`` is that of a decision made elsewhere."""

    policy: str
    rule: str
    field: str
    value: Any
    message: str
    decision_id: str = ""


class PolicyDenied(Forbidden):
    """Raised when rules of policies deny what a caller may do otherwise; carries all violations that deny it."""

    title = "Denied by policy"
    default_code = "policy_denied"

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__("; ".join(denial_text(v) for v in violations))
        self.violations = tuple(violations)


def denial_text(violation: Violation) -> str:
    """A violation in one line, for people."""
    return f"policy {violation.policy}, rule {violation.rule}: {violation.message}"


class NotFound(ChronoError):
    """Raised when there is no such resource or route (or it belongs to another owner)."""

    status = 404
    title = "Not found"
    default_code = "not_found"


class MethodNotAllowed(ChronoError):
    """Raised when the route exists with other methods; carries them for ``Allow``."""

    status = 405
    title = "Method not allowed"
    default_code = "method_not_allowed"

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__("this route answers " + ", ".join(allowed))
        self.allowed = tuple(allowed)


class TooSlow(ChronoError):
    """Raised when a caller takes too long to send its request."""

    status = 408
    title = "Request timeout"
    default_code = "request_timeout"
    retryable = True


class Conflict(ChronoError):
    """Raised when the resource's present state forbids the call."""

    status = 409
    title = "Conflict"
    default_code = "conflict"


class RedriveConflict(Conflict):
    """Raised when a run cannot go on as it is asked; says what would be kept, run again, and what stands in the way."""

    def __init__(self, kept: Sequence[str], again: Sequence[str], conflicts: Sequence[str]) -> None:
        super().__init__("; ".join(conflicts), code="redrive_conflict")
        self.kept, self.again, self.conflicts = list(kept), list(again), list(conflicts)


class Gone(ChronoError):
    """Raised for what was there once and is kept no longer."""

    status = 410
    title = "Gone"
    default_code = "gone"


class PreconditionFailed(ChronoError):
    """Raised when ``If-Match`` names a version that is no longer the current one."""

    status = 412
    title = "Precondition failed"
    default_code = "precondition_failed"


class TooLarge(ChronoError):
    """Raised when a body or payload is over its limit."""

    status = 413
    title = "Too large"
    default_code = "too_large"


class UriTooLong(ChronoError):
    """Raised when path and query together are over their limit."""

    status = 414
    title = "URI too long"
    default_code = "uri_too_long"


class HeadersTooLarge(ChronoError):
    """Raised when the headers of a request are together over their limit."""

    status = 431
    title = "Request header fields too large"
    default_code = "headers_too_large"


class VersionNotSupported(ChronoError):
    """Raised when a request is of another version of HTTP than 1.0 and 1.1."""

    status = 505
    title = "HTTP version not supported"
    default_code = "http_version_not_supported"


class UnsupportedMedia(ChronoError):
    """Raised when a body is sent that is not declared as JSON."""

    status = 415
    title = "Unsupported media type"
    default_code = "unsupported_media_type"


class UnsupportedCoding(UnsupportedMedia):
    """Raised when a body is sent in a content coding, such as gzip."""


class TooMany(ChronoError):
    """Raised when a caller exceeds a rate or a bounded resource; ``retry_after_s`` seconds later it may pass."""

    status = 429
    title = "Too many requests"
    default_code = "too_many_requests"
    retryable = True

    def __init__(self, detail: str, *, retry_after_s: int = 1, code: str | None = None) -> None:
        super().__init__(detail, code=code)
        self.retry_after_s = retry_after_s


class QuotaExceeded(TooMany):
    """Raised when a principal asks for more than its quota; ``policy`` names the quota."""

    title = "Quota exceeded"
    default_code = "quota_exceeded"

    def __init__(self, detail: str, *, policy: str, retry_after_s: int) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)
        self.policy = policy


class Unavailable(ChronoError):
    """Raised when a dependency throttles or is away; nothing was written."""

    status = 503
    title = "Service unavailable"
    default_code = "unavailable"
    retryable = True

    def __init__(self, detail: str, *, retry_after_s: int = 1, code: str | None = None) -> None:
        super().__init__(detail, code=code)
        self.retry_after_s = retry_after_s


class OutcomeUnknown(Unavailable):
    """Raised when a write got no answer: it may or may not have happened, and must be safe to repeat."""

    default_code = "outcome_unknown"


class CapacityExhausted(ChronoError):
    """Raised when a configured capacity (jobs, memory) is reached; nothing was written."""

    status = 507
    title = "Capacity exhausted"
    default_code = "capacity_exhausted"


class SettingsError(Exception):
    """Raised at start when an environment variable is wrong; the message is one line naming it."""

    def __init__(self, variable: str, problem: str) -> None:
        super().__init__(f"{variable}: {problem}")
        self.variable = variable
