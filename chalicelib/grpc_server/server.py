"""Serves ``proto/chronowatch/v1`` by gRPC: a process of its own beside the HTTP server, where there is HTTP/2.

Calls run as the REST operations behind them (``chalicelib/api/rpc``). Health follows the tables; reflection shows the
service to tools; on ``stop`` new calls are refused and those under way are ended within DRAIN_S.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from typing import Final

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2_grpc

from chalicelib.api.http import connection
from chalicelib.api.http.connection import CallerConnection
from chalicelib.api.http.edge import Edge
from chalicelib.api.rpc import chronowatch_pb2
from chalicelib.api.rpc.calls import RpcOutcome, marks, run
from chalicelib.api.rpc.methods import METHODS, Method
from chalicelib.api.rpc.paths import PACKAGE
from chalicelib.api.rpc.status import INTERNAL, INVALID_ARGUMENT, RESOURCE_EXHAUSTED, RpcError
from chalicelib.core.limits import BODY_MAX_BYTES
from chalicelib.grpc_server import reflecting
from chalicelib.grpc_server.asked_health import AskedHealth
from chalicelib.grpc_server.certificates import certificate_of, credentials
from chalicelib.grpc_server.limits import (
    CALLS_MAX,
    DRAIN_S,
    HELD_MAX,
    MESSAGE_SPARE_BYTES,
    QUIET_S,
    STREAMS_MAX,
)
from chalicelib.grpc_server.watching import Watcher, watch
from chalicelib.server.tls import TlsFiles

_SERVICES: Final = tuple(f"{PACKAGE}.{name}" for name in chronowatch_pb2.DESCRIPTOR.services_by_name)
_HEALTH: Final = "grpc.health.v1.Health"
_STATUS: Final = {code.value[0]: code for code in grpc.StatusCode}
_log = logging.getLogger(__name__)


class GrpcServer:
    """Bound from the start; serves from ``start`` until ``stop``.

    Raises OSError when the address cannot be bound, SettingsError when a file of ``tls`` is wrong.
    """

    def __init__(self, edge: Edge, host: str, port: int, tls: TlsFiles | None = None) -> None:
        self._edge = edge
        self._api = edge.api
        self._stopping = threading.Event()
        self._begun = 0
        self._asks_certificates = tls is not None and tls.client_ca is not None
        self._held = threading.BoundedSemaphore(HELD_MAX)
        self._streams = threading.BoundedSemaphore(STREAMS_MAX)
        self._threads = ThreadPoolExecutor(CALLS_MAX + HELD_MAX + STREAMS_MAX, thread_name_prefix="grpc")
        self._server = grpc.server(
            self._threads,
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", BODY_MAX_BYTES + MESSAGE_SPARE_BYTES),
                ("grpc.keepalive_time_ms", 30_000),
                ("grpc.keepalive_timeout_ms", 10_000),
                ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
            ],
        )
        self._server.add_generic_rpc_handlers(
            (_Unary(self), self._watching(), *reflecting.handlers((*_SERVICES, _HEALTH)))
        )
        self._health = AskedHealth(self._is_serving, _SERVICES, self._stopping)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if tls is None:
                self.port = self._server.add_insecure_port(address)
            else:
                self.port = self._server.add_secure_port(address, credentials(tls))
        except RuntimeError:
            raise OSError(f"the gRPC address {address} cannot be bound") from None

    def start(self) -> None:
        """Serve, on threads of its own."""
        self._server.start()
        self._health.start()

    def stop(self) -> None:
        """Wait for the calls that have come, then refuse new ones, and end what waits or streams.

        gRPC cancels calls that it has taken in and not handed on. So what came before is answered first.
        """
        self._stopping.set()
        self._health.enter_graceful_shutdown()
        pause = threading.Event()
        for _ in range(int(DRAIN_S / 2 / QUIET_S)):
            begun = self._begun
            pause.wait(QUIET_S)
            if self._begun == begun:
                break
        self._server.stop(DRAIN_S / 2).wait()
        self._threads.shutdown(wait=False, cancel_futures=True)

    # -- what runs a call

    def unary(self, method: Method, raw: bytes, context: grpc.ServicerContext) -> bytes:
        """One call from its bytes to its bytes."""
        self._begun += 1  # a hint: a lost count only makes a stop shorter
        try:
            outcome = self._outcome(method, raw, context)
        except Exception as problem:
            _log.error("a call of %s ended in %s", method.path, type(problem).__qualname__)
            outcome = RpcOutcome(RpcError(INTERNAL, "an internal error occurred"), {})
        if isinstance(outcome.result, RpcError):
            self.refuse(context, outcome.result, outcome.headers)
            return b""
        context.set_trailing_metadata(tuple(outcome.headers.items()))
        return outcome.result.SerializeToString()

    def refuse(self, context: grpc.ServicerContext, error: RpcError, headers: Mapping[str, str]) -> None:
        """End the call with an error."""
        details = ("grpc-status-details-bin", error.status().SerializeToString())
        if "traceparent" not in headers:
            headers = marks(self._api, _metadata(context), _address(context))
        context.set_trailing_metadata((*headers.items(), details))
        context.set_code(_STATUS[error.code.number])
        context.set_details(error.message)

    def _outcome(self, method: Method, raw: bytes, context: grpc.ServicerContext) -> RpcOutcome:
        message = method.request()
        try:
            message.ParseFromString(raw)
        except DecodeError:
            return RpcOutcome(RpcError(INVALID_ARGUMENT, "the message is not the wire format of its type"), {})
        held = method.rest in self._api.held and getattr(message, "wait_ms", 0) > 0
        if held and not self._held.acquire(blocking=False):
            held, message.wait_ms = False, 0  # type: ignore[attr-defined] # answered at once: the caller asks again
        peer = _address(context)
        try:
            with self.connected(context, peer):
                return run(self._api, method, message, _metadata(context), peer)
        finally:
            if held:
                self._held.release()

    def connected(self, context: grpc.ServicerContext, peer: str | None) -> AbstractContextManager[None]:
        """A block in which requests come from the caller of ``context``, whose address is ``peer``."""

        def gone() -> bool:
            return not context.is_active() or self._stopping.is_set()

        shown = certificate_of(context) if self._asks_certificates else None
        caller = CallerConnection(gone, peer or "", shown, gives_up=True)
        return connection.serving(caller)

    def _watching(self) -> grpc.GenericRpcHandler:
        handler = grpc.unary_stream_rpc_method_handler(
            self._watch, chronowatch_pb2.WatchRequest.FromString, chronowatch_pb2.Change.SerializeToString
        )
        return grpc.method_handlers_generic_handler(f"{PACKAGE}.ChangeService", {"Watch": handler})

    def _watch(
        self, asked: chronowatch_pb2.WatchRequest, context: grpc.ServicerContext
    ) -> Iterator[chronowatch_pb2.Change]:
        if not self._streams.acquire(blocking=False):
            self.refuse(
                context, RpcError(RESOURCE_EXHAUSTED, f"this server has {STREAMS_MAX} streams: try another"), {}
            )
            return
        try:
            peer = _address(context)
            connected = partial(self.connected, context, peer)
            watcher = Watcher(_metadata(context), peer, lambda: not context.is_active(), connected)
            yield from watch(self._api, asked, watcher, self._stopping)
        except RpcError as error:
            self.refuse(context, error, {})
        finally:
            self._streams.release()

    def _is_serving(self) -> bool:
        return bool(self._edge.handle("GET", "/health", "", {})[0] != 503)


class _Unary(grpc.GenericRpcHandler):  # type: ignore[misc] # grpc has no types
    """All calls with one message each way, by their path."""

    def __init__(self, server: GrpcServer) -> None:
        self._by_path = {m.path: grpc.unary_unary_rpc_method_handler(partial(server.unary, m)) for m in METHODS}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return self._by_path.get(handler_call_details.method)


def _metadata(context: grpc.ServicerContext) -> dict[str, str]:
    """By name; values of one name are joined as those of headers are."""
    found: dict[str, str] = {}
    for name, value in context.invocation_metadata():
        if isinstance(value, str):
            found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _address(context: grpc.ServicerContext) -> str | None:
    """``ipv4:127.0.0.1:5`` and ``ipv6:%5B::1%5D:5`` as addresses."""
    kind, _, rest = str(context.peer()).partition(":")
    if kind not in ("ipv4", "ipv6"):
        return None
    return rest.rpartition(":")[0].replace("%5B", "").replace("%5D", "").strip("[]")
