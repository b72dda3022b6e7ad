"""What a gRPC status means for a delivery."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from chalicelib.adapters.brokers.faults import BrokerRefused, SignInRefused
from chalicelib.core.targets import target_answer
from chalicelib.core.targets.limits import RETRY_AFTER_MAX_MS
from chalicelib.ports.target import FAILED, Outcome

MAY_HAVE_IT: Final = "the call was sent and not answered, so the service may have it"
PUSHBACK: Final = "grpc-retry-pushback-ms"
DETAILS: Final = "grpc-status-details-bin"
# What gRPC's client says itself as UNAVAILABLE, when no status came: nothing was sent, or it broke off after that.
_NOT_SENT: Final = ("failed to connect to all addresses", "connections to all backends failing", "empty address list")
_DISTRUSTED: Final = "CERTIFICATE_VERIFY_FAILED"
_OTHER_HOST: Final = "Hostname Verification Check failed"
_BROKEN_OFF = re.compile(
    r"stream removed|socket closed|recvmsg|sendmsg|connection reset|broken pipe|goaway|transport", re.I
)
_UNREAD: Final = "CLIENT: "  # begins what it says of an answer that is longer than it reads
# How servers in C++, Python, Go and Java say that a request is above their bound.
_TOO_LARGE = re.compile(
    r"larger than max \((\d+) vs\.? (\d+)\)|exceeds maximum size (?P<bound>\d+)(?:: (?P<size>\d+))?"
)


class RpcFailed(Exception):
    """Raised when a call has ended without OK, with what that means."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.error)
        self.outcome = outcome


class RpcUnauthenticated(SignInRefused, RpcFailed):
    """Raised when the service does not take the credentials. Others may have been stored meanwhile."""


def problem_of(error: Any, sent_bytes: int, timeout_ms: int, hidden: Iterable[str]) -> Exception:
    """The end of a call, an RpcError, in the language of ``faults``. ``hidden`` are secrets that were sent."""
    from grpc import StatusCode

    code, said = error.code(), str(error.details() or "")
    if code is StatusCode.DEADLINE_EXCEEDED:
        return _failed("timeout", f"no answer within {timeout_ms} ms: {MAY_HAVE_IT}")
    if code is StatusCode.UNAVAILABLE and any(text in said for text in _NOT_SENT):
        return _failed("connection_error", _not_connected(said))
    if code is StatusCode.UNAVAILABLE and not error.trailing_metadata() and _BROKEN_OFF.search(said):
        return _failed("connection_error", f"the connection broke off: {MAY_HAVE_IT} ({said})")
    bound = too_large(said)
    if bound is not None and not said.startswith(_UNREAD):
        return BrokerRefused(f"the message of {sent_bytes} bytes is above the service's bound of {bound} bytes")
    kept = target_answer.keep(_texts(error.trailing_metadata()), said.encode(), hidden)
    text = f"gRPC status {code.name} ({code.value[0]})"
    if bound is None and code in (StatusCode.UNAVAILABLE, StatusCode.RESOURCE_EXHAUSTED):
        return _failed("connection_error", text, kept, retry_after_ms(error.trailing_metadata()))
    final = Outcome(FAILED, None, "rpc_error", text, permanent=True, answer=kept)
    return RpcUnauthenticated(final) if code is StatusCode.UNAUTHENTICATED else RpcFailed(final)


def too_large(said: str) -> str | None:
    """The bound that a request was above, if that is what a service says."""
    found = _TOO_LARGE.search(said)
    return None if found is None else found[2] or found["bound"]


def retry_after_ms(trailers: Sequence[tuple[str, Any]] | None) -> int | None:
    """How long the service asked to be left alone: by pushback, or by google.rpc.RetryInfo."""
    found = dict(trailers or ())
    pushback = str(found.get(PUSHBACK, ""))
    if pushback.isascii() and pushback.isdigit():
        return min(int(pushback), RETRY_AFTER_MAX_MS)
    return _retry_info_ms(found[DETAILS]) if isinstance(found.get(DETAILS), bytes) else None


def _retry_info_ms(details: bytes) -> int | None:
    """Of what cannot be read, nothing: the status stands."""
    from google.protobuf.message import DecodeError
    from google.rpc import error_details_pb2, status_pb2

    info = error_details_pb2.RetryInfo()
    try:
        status = status_pb2.Status.FromString(details)
        held = any(each.Unpack(info) for each in status.details)
    except DecodeError:
        return None
    wait_ms = info.retry_delay.ToMilliseconds() if held else 0
    return min(wait_ms, RETRY_AFTER_MAX_MS) if wait_ms > 0 else None


def _not_connected(said: str) -> str:
    """Why there is no connection, in the words that other targets use."""
    if _DISTRUSTED in said:
        return f"the certificate is not trusted: {said.partition(_DISTRUSTED)[2].lstrip(': ') or 'not of a known CA'}"
    if _OTHER_HOST in said:
        return "the certificate is not trusted: it is for another name (tls.server_name says for which)"
    return said


def _failed(error_type: str, text: str, answer: str | None = None, wait_ms: int | None = None) -> RpcFailed:
    """What another attempt may bring through."""
    return RpcFailed(Outcome(FAILED, None, error_type, text, retry_after_ms=wait_ms, answer=answer))


def _texts(trailers: Sequence[tuple[str, Any]] | None) -> Mapping[str, str]:
    """Trailing metadata that is text."""
    return {name: value for name, value in trailers or () if isinstance(value, str)}
