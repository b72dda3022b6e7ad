"""Firings to methods of gRPC services: the status OK of the very call completes a delivery."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

from msgspec.structs import replace

from chalicelib.adapters.aws.failures import failed
from chalicelib.adapters.brokers.addresses import BrokerPeer
from chalicelib.adapters.brokers.credentials import BrokerCredentials, read_credentials
from chalicelib.adapters.brokers.faults import BrokerAway, BrokerRefused
from chalicelib.adapters.brokers.grpc_answers import RpcFailed, problem_of
from chalicelib.adapters.brokers.grpc_channels import connects, families, open_channel
from chalicelib.adapters.brokers.links import BrokerLink, Receipt
from chalicelib.adapters.brokers.own_certificates import FIELDS, OwnCertificates, read_certificates
from chalicelib.adapters.brokers.protobuf_event import encode_event
from chalicelib.adapters.brokers.sender import BrokerSender
from chalicelib.adapters.targets.target_parts import TargetParts
from chalicelib.core.targets import loop_depth, target_answer
from chalicelib.core.targets.kinds.grpc import KIND, PORTS, check_metadata, check_metadata_value, tls_ref
from chalicelib.core.targets.limits import WEBHOOK_TIMEOUT_MAX_MS
from chalicelib.core.targets.webhook_signature import header_refs, ref_of
from chalicelib.ports.secrets import SecretMissing
from chalicelib.ports.target import Delivery, Outcome

Metadata = tuple[tuple[str, str], ...]
CANCELLED: Final = replace(failed("connection_error", "the delivery was cancelled", permanent=True), closed=True)


class RpcCredentials(BrokerCredentials):
    """All that one call's target refers to: certificates, and values of metadata. It shows no value."""

    def __init__(
        self, read: Mapping[str, tuple[str, ...]], certificates: OwnCertificates | None, sent: Metadata
    ) -> None:
        super().__init__(", ".join(read), tuple(value for values in read.values() for value in values))
        self.read = read
        self.certificates = certificates
        self.sent = sent


class GrpcSender(BrokerSender):
    """Calls methods. A channel is shared by all calls to one address with one set of credentials."""

    max_batch = KIND.max_batch
    ports = PORTS
    answer_max_s = WEBHOOK_TIMEOUT_MAX_MS / 1000
    requirements = "requirements-grpc.txt"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._calls: dict[tuple[str, int], Any] = {}

    def cancel(self, execution_id: str, attempt: int) -> bool:
        """Break off a call under way: the service learns of it."""
        with self._lock:
            call = self._calls.get((execution_id, attempt))
        return call is not None and bool(call.cancel())

    def _addresses(self, target: Mapping[str, object]) -> Sequence[str]:
        return (str(target.get("address", "")),)

    def _options(self, target: Mapping[str, object]) -> Hashable:
        # The same values under other names would be other metadata.
        return _is_tls(target), _server_name(target), tuple(sorted(header_refs(target.get("metadata")).items()))

    def _read(self, delivery: Delivery) -> RpcCredentials:
        target, read = delivery.target, dict[str, tuple[str, ...]]()
        sent: list[tuple[str, str]] = []
        for name, ref in header_refs(target.get("metadata")).items():
            if problem := self._policy.header_problem(ref, delivery.tenant):
                raise SecretMissing(f"target.metadata.{name}: {ref} {problem}")
            values = read[ref] = self._secrets.values(ref)
            value = values[0].strip()
            if wrong := check_metadata_value(value):
                raise SecretMissing(f"target.metadata.{name}: the value of {ref} {wrong}")
            sent.append((name, value))
        return RpcCredentials(read, self._certificates(delivery, read), tuple(sent))

    def _certificates(self, delivery: Delivery, read: dict[str, tuple[str, ...]]) -> OwnCertificates | None:
        if not _is_tls(delivery.target):
            return None
        ref = tls_ref(delivery.target)
        if ref is None:
            return OwnCertificates()
        found = read_credentials(
            self._secrets, self._policy, ref, delivery.tenant, FIELDS, field="target.tls.secret_ref"
        )
        read[ref] = found.values
        return read_certificates(found)

    def _rotated(self, credentials: BrokerCredentials) -> bool:
        assert isinstance(credentials, RpcCredentials)
        changed = [self._secrets.refused(ref, values) for ref, values in credentials.read.items()]
        return any(changed)

    def _connect(
        self,
        peers: Sequence[BrokerPeer],
        credentials: BrokerCredentials,
        target: Mapping[str, object],
        timeout_s: float,
    ) -> BrokerLink:
        assert isinstance(credentials, RpcCredentials)
        several = families(peers)
        for place, family in enumerate(several):
            channel = open_channel(family, _server_name(target), credentials.certificates, self._ca_file)
            is_connected = connects(channel, timeout_s / len(several))
            # The last one is taken as it is: a call on it says why it does not connect.
            if is_connected or place == len(several) - 1:
                return _GrpcLink(channel, is_connected, credentials.sent, self._under_way)
            channel.close()
        raise BrokerAway("the target names no service")

    @contextlib.contextmanager
    def _under_way(self, delivery: Delivery, call: Any) -> Iterator[None]:
        """While a call can be cancelled."""
        key = (delivery.execution_id, delivery.attempt)
        with self._lock:
            self._calls[key] = call
        try:
            yield
        finally:
            with self._lock:
                if self._calls.get(key) is call:
                    del self._calls[key]

    def _outcome(self, error: Exception, timeout_ms: int) -> Outcome:
        return error.outcome if isinstance(error, RpcFailed) else super()._outcome(error, timeout_ms)


class _GrpcLink:
    """A channel. What was not connected carries one call, which fails, and is not kept: it would pause before it tries
    again. ``under_way`` is entered while a call can be cancelled."""

    def __init__(
        self,
        channel: Any,
        is_connected: bool,
        sent: Metadata,
        under_way: Callable[[Delivery, Any], AbstractContextManager[None]],
    ) -> None:
        import grpc

        self._grpc = grpc
        self._channel = channel
        self._sent = sent
        self._under_way = under_way
        self._open = is_connected

    def publish(self, delivery: Delivery, timeout_s: float) -> Receipt:
        own = _own_metadata(delivery.target)
        metadata = [*own, *self._sent, *_service_metadata(delivery)]
        request = encode_event(delivery.event)
        method = self._channel.unary_unary(str(delivery.target.get("method", "")))
        call = method.future(request, timeout_s, metadata)
        with self._under_way(delivery, call):
            try:
                call.result()
            except self._grpc.FutureCancelledError:
                raise RpcFailed(CANCELLED) from None
            except self._grpc.RpcError as error:
                self._open = self._open and call.code() not in self._breaking()
                raise problem_of(error, len(request), delivery.timeout_ms, _hidden(own, self._sent)) from None
        return {"status": "OK"}

    def is_open(self) -> bool:
        return self._open

    def close(self) -> None:
        self._open = False
        with contextlib.suppress(Exception):
            self._channel.close()

    def _breaking(self) -> tuple[Any, ...]:
        """The ends of calls after which the connection may be dead."""
        codes = self._grpc.StatusCode
        return codes.UNAVAILABLE, codes.DEADLINE_EXCEEDED


def _own_metadata(target: Mapping[str, object]) -> Metadata:
    """What the target says in plain. Raises BrokerRefused."""
    own = target.get("metadata") or {}
    if not isinstance(own, Mapping) or (problem := check_metadata(own)):
        raise BrokerRefused(f"target.metadata: {problem if isinstance(own, Mapping) else 'must be an object'}")
    return tuple((name, str(value)) for name, value in own.items() if ref_of(value) is None)


def _service_metadata(delivery: Delivery) -> Metadata:
    own = (
        ("idempotency-key", delivery.execution_id),
        ("traceparent", delivery.traceparent),
        (loop_depth.HEADER.lower(), str(delivery.depth + 1)),
    )
    return (*own, ("tracestate", delivery.tracestate)) if delivery.tracestate else own


def _hidden(own: Metadata, sent: Metadata) -> list[str]:
    """Values that were sent and are not to be kept, should a service answer with what it was sent."""
    return [*(value for _, value in sent), *(value for name, value in own if target_answer.is_secret_header(name))]


def _is_tls(target: Mapping[str, object]) -> bool:
    return bool(target.get("tls")) or isinstance(target.get("tls"), Mapping)


def _server_name(target: Mapping[str, object]) -> str | None:
    tls = target.get("tls")
    name = tls.get("server_name") if isinstance(tls, Mapping) else None
    return name if isinstance(name, str) else None


def make(parts: TargetParts) -> GrpcSender:
    """The sender of a process."""
    return GrpcSender(parts)
