"""Errors of the API in the words of gRPC and Connect.

Codes: google.rpc.Code. Details: google.rpc.error_details (AIP-193). HTTP statuses: the protocol reference of Connect.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from google.protobuf.any_pb2 import Any as Detail
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

DOMAIN: Final = "chronowatch"
_TYPES: Final = "type.googleapis.com/"


class RpcCode(NamedTuple):
    """A code of google.rpc: its number, its name as Connect writes it, and Connect's HTTP status."""

    number: int
    name: str
    http: int


INVALID_ARGUMENT = RpcCode(3, "invalid_argument", 400)
DEADLINE_EXCEEDED = RpcCode(4, "deadline_exceeded", 504)
NOT_FOUND = RpcCode(5, "not_found", 404)
ALREADY_EXISTS = RpcCode(6, "already_exists", 409)
PERMISSION_DENIED = RpcCode(7, "permission_denied", 403)
RESOURCE_EXHAUSTED = RpcCode(8, "resource_exhausted", 429)
FAILED_PRECONDITION = RpcCode(9, "failed_precondition", 400)
ABORTED = RpcCode(10, "aborted", 409)
UNIMPLEMENTED = RpcCode(12, "unimplemented", 404)
INTERNAL = RpcCode(13, "internal", 500)
UNAVAILABLE = RpcCode(14, "unavailable", 503)
UNAUTHENTICATED = RpcCode(16, "unauthenticated", 401)

_BY_STATUS: Final = {
    400: INVALID_ARGUMENT,
    401: UNAUTHENTICATED,
    403: PERMISSION_DENIED,
    404: NOT_FOUND,
    405: UNIMPLEMENTED,
    409: FAILED_PRECONDITION,
    410: FAILED_PRECONDITION,
    412: FAILED_PRECONDITION,
    413: RESOURCE_EXHAUSTED,
    415: INVALID_ARGUMENT,
    422: INVALID_ARGUMENT,
    429: RESOURCE_EXHAUSTED,
    503: UNAVAILABLE,
    507: RESOURCE_EXHAUSTED,
}
# What the REST API says for errors that only these protocols know.
_REASONS: Final = {
    "invalid_argument": "bad_request",
    "unimplemented": "not_found",
    "resource_exhausted": "too_large",
    "internal": "internal_error",
}
_BY_CODE: Final = {"name_taken": ALREADY_EXISTS, "conflict": ABORTED, "idempotency_key_in_use": ABORTED}


class RpcError(Exception):
    """An answer that is no message. ``details``: messages of google.rpc; without any, one that names the reason."""

    def __init__(self, code: RpcCode, message: str, details: Sequence[Message] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        reason = _REASONS.get(code.name, code.name)
        self.details = tuple(details) or (ErrorInfo(reason=reason, domain=DOMAIN),)

    def status(self) -> Status:
        """What ``grpc-status-details-bin`` holds."""
        details = [Detail(type_url=_TYPES + d.DESCRIPTOR.full_name, value=d.SerializeToString()) for d in self.details]
        return Status(code=self.code.number, message=self.message, details=details)


def invalid_field(name: str, message: str) -> RpcError:
    """The refusal of one field of a message."""
    wrong = BadRequest(field_violations=[BadRequest.FieldViolation(field=name, description=message)])
    return RpcError(INVALID_ARGUMENT, message, (ErrorInfo(reason="invalid_field", domain=DOMAIN), wrong))


def of_problem(status: int, said: dict[str, Any], retry_after: str | None) -> RpcError:
    """The error that a problem document is (RFC 9457)."""
    reason = str(said.get("code", "internal"))
    code = _BY_CODE.get(reason) or _BY_STATUS.get(status, INTERNAL)
    info = ErrorInfo(reason=reason, domain=DOMAIN, metadata={"trace_id": str(said.get("trace_id", ""))})
    details: list[Message] = [info]
    if said.get("errors"):
        violations = [BadRequest.FieldViolation(field=e["field"], description=e["message"]) for e in said["errors"]]
        details.append(BadRequest(field_violations=violations))
    if retry_after is not None and retry_after.isdecimal():
        retry = RetryInfo()
        retry.retry_delay.FromSeconds(int(retry_after))
        details.append(retry)
    return RpcError(code, str(said.get("detail") or said.get("title") or reason), details)
