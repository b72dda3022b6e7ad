"""What an AWS error means for a delivery: worth another attempt, or not.

botocore is imported only when there is an error to judge, when it is loaded already.
"""

from __future__ import annotations

from chalicelib.core.executions.limits import ERROR_MAX_CHARS
from chalicelib.ports.target import FAILED, Outcome

# Also the 4xx codes that pass with time: throttles, and credentials that are being rotated.
_PASSING = (
    "throttl",
    "toomanyrequests",
    "limitexceeded",
    "requesttimeout",
    "slowdown",
    "expiredtoken",
    "requestexpired",
    "internal",
    "serviceunavailable",
    "serviceexception",
    "overlimit",
    "resourceconflict",  # a function that is being updated
)


def failed(error_type: str, error: str, *, permanent: bool = False, http_status: int | None = None) -> Outcome:
    """A failed outcome with its text cut to size."""
    return Outcome(FAILED, http_status, error_type, error[:ERROR_MAX_CHARS], permanent=permanent)


def of_code(code: str, message: str, http_status: int | None = None) -> Outcome:
    """The outcome for an AWS error code, whether it came for a whole call or for one entry of a batch."""
    text = f"{code}: {message}"
    passing = any(mark in code.lower() for mark in _PASSING) or (http_status or 0) >= 500
    if passing:
        return failed("http_error", text, http_status=http_status)
    return failed("rejected", text, permanent=True, http_status=http_status)


def of_exception(error: Exception) -> Outcome:
    """The outcome for what an AWS client raised. Anything unknown is an ``internal_error`` and may be retried."""
    from botocore import exceptions

    if isinstance(error, exceptions.ClientError):
        fault = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return of_code(str(fault.get("Code", "Unknown")), str(fault.get("Message", "")), status)
    if isinstance(error, exceptions.ParamValidationError):
        return failed("rejected", str(error), permanent=True)
    if isinstance(error, exceptions.ReadTimeoutError):
        return failed("timeout", str(error))
    if isinstance(error, exceptions.HTTPClientError | exceptions.ConnectionError):
        return failed("connection_error", str(error))
    return failed("internal_error", f"{type(error).__name__}: {error}")
