"""Firings to webhooks over HTTP(S): judged addresses, one deadline, signed, never redirected.

The pieces: ``core.targets.ssrf`` judges URL and address, ``http.resolver`` turns names into addresses,
``http.connection`` holds the sockets, ``core.targets.webhook_signature`` signs. Here they become one delivery, and the
answer becomes an outcome.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

from msgspec.structs import replace

from chalicelib.adapters.aws.failures import failed
from chalicelib.adapters.aws.secrets import AwsSecrets, SecretUnavailable
from chalicelib.adapters.http.answer import UNREADABLE, BrokenOff, HttpAnswer
from chalicelib.adapters.http.connection import Cancelled, Connection, HttpCall, Peer, Pool, connect
from chalicelib.adapters.http.resolver import Resolver, resolve_within, system_resolver
from chalicelib.adapters.targets.target_parts import TargetParts
from chalicelib.core.targets import retry_after
from chalicelib.core.targets.cloudevent import CONTENT_TYPE
from chalicelib.core.targets.kinds.webhook import KIND, METHODS
from chalicelib.core.targets.ssrf import Address, WebhookUrl, check_address, parse_url
from chalicelib.core.targets.webhook_signature import check_headers, sign
from chalicelib.ports.target import ACCEPTED, COMPLETED, FAILED, Delivery, Outcome

BODY_MAX_BYTES = 64 * 1024  # of an answer; what is longer is not read and its connection closed
USER_AGENT = "ChronoWatch/1"
PREPARED_MAX_COUNT = 1024
PREPARED_CONNECTIONS_MAX = 64
PREPARED_S = 30.0  # what was prepared and not dispatched by then is given up
PREPARE_TIMEOUT_S = 0.5  # a target that is slower than this is met at the instant

_cached_url = lru_cache(maxsize=1024)(parse_url)


class SigningKeys(Protocol):
    """Where signing keys come from: ``adapters.aws.secrets.AwsSecrets``, or a test's own."""

    def keys(self, secret_ref: str) -> tuple[bytes, ...]:
        """The keys that ``secret_ref`` names. Raises SecretUnavailable."""
        ...


class _Rejected(Exception):
    """Raised when policy forbids the delivery; no retry can change that."""


class _Prepared(NamedTuple):
    """What was found out before the instant. The addresses are kept even when forbidden: a name is asked only once."""

    addresses: tuple[Address, ...]
    peer: Peer | None
    connection: Connection | None
    since_s: float


class WebhookSender:
    """Calls webhooks. Thread-safe; one instance a process, so that connections are shared."""

    max_batch = KIND.max_batch

    def __init__(
        self,
        *,
        now_ms: Callable[[], int],
        monotonic_s: Callable[[], float],
        allow: Sequence[str] = (),
        secrets: SigningKeys | None = None,
        ca_file: str | None = None,
        resolver: Resolver = system_resolver,
        pool: Pool | None = None,
    ) -> None:
        """``allow`` is CHRONO_WEBHOOK_ALLOW taken apart; ``ca_file`` holds certificates trusted beside the system's."""
        self._now_ms = now_ms
        self._monotonic_s = monotonic_s
        self._allow = tuple(allow)
        self._secrets = secrets
        self._ca_file = ca_file
        self._resolver = resolver
        self._pool = pool or Pool(monotonic_s)
        self._lock = threading.Lock()
        self._tls: ssl.SSLContext | None = None
        self._calls: dict[str, HttpCall] = {}
        self._prepared: OrderedDict[tuple[str, int, object], _Prepared] = OrderedDict()

    def prepare(self, delivery: Delivery) -> None:
        """Read the secret, resolve the name and, where that saves round trips, connect. Never raises; never sends."""
        with contextlib.suppress(Exception):
            url = _cached_url(str(delivery.target["url"]))
            timeout_s = min(delivery.timeout_ms / 1000, PREPARE_TIMEOUT_S)
            call = HttpCall(self._monotonic_s() + timeout_s, self._monotonic_s)
            addresses = self._resolve(url, call)
            self._keep(delivery, _Prepared(addresses, None, None, self._monotonic_s()))
            self._signing_keys(delivery.target)
            self._prepare_connection(delivery, url, addresses, call)

    def dispatch(self, deliveries: Sequence[Delivery]) -> list[Outcome]:
        """Send each now, one after the other; each has its own ``timeout_ms`` from its beginning to its end."""
        return [self._deliver(delivery) for delivery in deliveries]

    def cancel(self, execution_id: str) -> bool:
        """Close the connection of a delivery under way, from any thread. False when there is none."""
        with self._lock:
            call = self._calls.get(execution_id)
        if call is None:
            return False
        call.cancel()
        return True

    def close(self) -> None:
        """Close what is kept: idle connections and those prepared and never used."""
        with self._lock:
            prepared = list(self._prepared.values())
            self._prepared.clear()
        _close(prepared)
        self._pool.close()

    # -- one delivery

    def _deliver(self, delivery: Delivery) -> Outcome:
        call = HttpCall(self._monotonic_s() + delivery.timeout_ms / 1000, self._monotonic_s)
        with self._lock:
            self._calls[delivery.execution_id] = call
        try:
            return self._exchange(delivery, call)
        except Exception as error:
            if call.cancelled:
                return replace(failed("connection_error", "the delivery was cancelled", permanent=True), closed=True)
            return _outcome_of_error(error, delivery.timeout_ms)
        finally:
            with self._lock:
                if self._calls.get(delivery.execution_id) is call:
                    del self._calls[delivery.execution_id]

    def _exchange(self, delivery: Delivery, call: HttpCall) -> Outcome:
        url = _parse(delivery.target)
        request = self._request(delivery, url)
        prepared = self._take(delivery)
        addresses = prepared.addresses if prepared else self._resolve(url, call)
        allowed = self._judge(url, addresses)
        peer, connection = self._open_kept(url, allowed, prepared)
        if connection is not None:
            try:
                return self._converse(peer, connection, request, delivery, call)
            except UNREADABLE as error:
                if isinstance(error, TimeoutError) or connection.received_bytes or call.cancelled:
                    raise
                # The peer closed it while idle. The request carries an Idempotency-Key, so it may be sent once more
                # on a new connection (RFC 9110, section 9.2.2; Go's net/http draws the same line).
        if not all(peer.address.is_loopback for peer in allowed):
            delivery.sent()  # a handshake takes a round trip or more, in which this process is idle
        peer, connection = self._connect(url, allowed, call)
        return self._converse(peer, connection, request, delivery, call)

    def _converse(
        self, peer: Peer, connection: Connection, request: bytes, delivery: Delivery, call: HttpCall
    ) -> Outcome:
        """Send the request and read its answer; the connection is kept when it can serve another, else closed."""
        keep = False
        try:
            connection.begin(call)
            connection.sendall(request)
            delivery.sent()
            answer = _read_answer(connection)
            keep = answer.is_complete and answer.is_kept
            return self._judge_answer(answer)
        finally:
            if call.detach() and keep:
                self._pool.put(peer, connection)
            else:
                connection.close()

    def _request(self, delivery: Delivery, url: WebhookUrl) -> bytes:
        """The whole request in one piece. Raises _Rejected, SecretUnavailable."""
        own = delivery.target.get("headers") or {}
        if not isinstance(own, Mapping) or (problem := check_headers(own)):
            raise _Rejected(f"target.headers: {problem if isinstance(own, Mapping) else 'must be an object'}")
        timestamp_s = self._now_ms() // 1000
        headers = {name.lower(): (name, str(value)) for name, value in own.items()}
        headers.setdefault("user-agent", ("User-Agent", USER_AGENT))
        lines = [f"{_method(delivery.target)} {url.path} HTTP/1.1", f"Host: {url.authority}"]
        lines += [f"{name}: {value}" for name, value in headers.values()]
        lines += [
            f"Content-Type: {CONTENT_TYPE}",
            f"Content-Length: {len(delivery.event)}",
            f"Idempotency-Key: {delivery.execution_id}",
            f"traceparent: {delivery.traceparent}",
            f"webhook-id: {delivery.execution_id}",
            f"webhook-timestamp: {timestamp_s}",
        ]
        if keys := self._signing_keys(delivery.target):
            lines.append(f"webhook-signature: {sign(keys, delivery.execution_id, timestamp_s, delivery.event)}")
        return "\r\n".join([*lines, "\r\n"]).encode("latin-1") + delivery.event

    def _signing_keys(self, target: Mapping[str, object]) -> tuple[bytes, ...]:
        secret_ref = target.get("secret_ref")
        if not secret_ref:
            return ()
        if self._secrets is None:
            raise _Rejected("target.secret_ref: this deployment reads no secrets")
        return self._secrets.keys(str(secret_ref))

    def _judge_answer(self, answer: HttpAnswer) -> Outcome:
        status = answer.status
        if status == 202 and answer.headers.get("x-chrono-async", "").strip().lower() == "true":
            return Outcome(ACCEPTED, status)
        if 200 <= status < 300:
            return Outcome(COMPLETED, status)
        wait_ms = retry_after.parse(answer.headers.get("retry-after"), self._now_ms())
        gone = status == 410
        text = _status_text(status, answer.reason)
        return Outcome(FAILED, status, "http_error", text, wait_ms, permanent=gone, pause_schedule=gone)

    # -- addresses and connections

    def _resolve(self, url: WebhookUrl, call: HttpCall) -> tuple[Address, ...]:
        if url.literal is not None:
            return (url.literal,)
        return resolve_within(self._resolver, url.host, url.port, call.remaining_s())

    def _judge(self, url: WebhookUrl, addresses: Sequence[Address]) -> list[Peer]:
        """The peers that may be called. Raises _Rejected when there is none."""
        problems = [check_address(url.host, address, self._allow) for address in addresses]
        pairs = zip(addresses, problems, strict=True)
        allowed = [Peer(url.scheme, url.host, address, url.port) for address, problem in pairs if problem is None]
        if not allowed:
            raise _Rejected(f"{url.host}: {problems[0]}")
        return allowed

    def _open_kept(
        self, url: WebhookUrl, allowed: Sequence[Peer], prepared: _Prepared | None
    ) -> tuple[Peer, Connection | None]:
        """A connection opened earlier to a peer that was judged just now, or None."""
        if prepared is not None and prepared.connection is not None and prepared.peer is not None:
            if prepared.peer in allowed and prepared.connection.is_open():
                return prepared.peer, prepared.connection
            prepared.connection.close()
        for peer in allowed:
            if (connection := self._pool.take(peer)) is not None:
                return peer, connection
        return allowed[0], None

    def _connect(self, url: WebhookUrl, allowed: Sequence[Peer], call: HttpCall) -> tuple[Peer, Connection]:
        """Connect to the first peer that answers; each has an even share of the time that is left."""
        tls = self._tls_context() if url.scheme == "https" else None
        for position, peer in enumerate(allowed[:-1]):
            try:
                return peer, connect(peer, call, tls, call.remaining_s() / (len(allowed) - position))
            except ssl.SSLError:
                raise
            except OSError:
                continue  # such as ::1 for a server that listens on 127.0.0.1 only
        return allowed[-1], connect(allowed[-1], call, tls, call.remaining_s())

    def _tls_context(self) -> ssl.SSLContext:
        with self._lock:
            if self._tls is None:
                context = ssl.create_default_context()
                if self._ca_file:
                    context.load_verify_locations(self._ca_file)
                context.set_alpn_protocols(["http/1.1"])
                self._tls = context
            return self._tls

    # -- before the instant

    def _prepare_connection(
        self, delivery: Delivery, url: WebhookUrl, addresses: Sequence[Address], call: HttpCall
    ) -> None:
        allowed = self._judge(url, addresses)
        if url.scheme == "http" and all(peer.address.is_loopback for peer in allowed):
            return  # saves no round trip, and would block a simple server that serves one connection at a time
        with self._lock:
            held = sum(each.connection is not None for each in self._prepared.values())
        if held >= PREPARED_CONNECTIONS_MAX:
            return
        peer, connection = self._open_kept(url, allowed, None)
        if connection is None:
            peer, connection = self._connect(url, allowed, call)
        self._keep(delivery, _Prepared(tuple(addresses), peer, connection, self._monotonic_s()))

    def _keep(self, delivery: Delivery, prepared: _Prepared) -> None:
        limit_s = self._monotonic_s() - PREPARED_S
        with self._lock:
            key = _key(delivery)
            given_up = [replaced] if (replaced := self._prepared.pop(key, None)) else []
            self._prepared[key] = prepared
            while len(self._prepared) > PREPARED_MAX_COUNT or next(iter(self._prepared.values())).since_s < limit_s:
                given_up.append(self._prepared.popitem(last=False)[1])
        _close(given_up)

    def _take(self, delivery: Delivery) -> _Prepared | None:
        with self._lock:
            prepared = self._prepared.pop(_key(delivery), None)
        if prepared is not None and self._monotonic_s() - prepared.since_s > PREPARED_S:
            _close([prepared])
            return None
        return prepared


def make(parts: TargetParts) -> WebhookSender:
    """The sender of a process."""
    return WebhookSender(
        now_ms=parts.now_ms,
        monotonic_s=parts.monotonic_s,
        allow=parts.webhook_allow,
        secrets=AwsSecrets(parts.client("secretsmanager"), parts.client("ssm"), monotonic_s=parts.monotonic_s),
    )


def _key(delivery: Delivery) -> tuple[str, int, object]:
    """What was prepared counts for this attempt at this URL only: it must not vouch for another host."""
    return delivery.execution_id, delivery.attempt, delivery.target.get("url")


def _parse(target: Mapping[str, object]) -> WebhookUrl:
    try:
        return _cached_url(str(target.get("url", "")))
    except ValueError as error:
        raise _Rejected(f"target.url: {error}") from None


def _method(target: Mapping[str, object]) -> str:
    method = str(target.get("method") or "POST").upper()
    if method not in METHODS:
        raise _Rejected("target.method: must be one of " + ", ".join(METHODS))
    return method


def _read_answer(connection: Connection) -> HttpAnswer:
    """Read an answer, and of its body no more than ``BODY_MAX_BYTES`` ask for. Raises what is UNREADABLE.

    A peer that closes early has given its answer, and its status stands. One that goes on past the deadline has not
    finished answering, and ends as ``timeout``.
    """
    answer = HttpAnswer()
    while not answer.is_complete and answer.body_bytes <= BODY_MAX_BYTES:
        try:
            answer.feed(connection.receive())
        except TimeoutError:
            raise
        except UNREADABLE:
            if not answer.status:
                raise
            break
    return answer


def _status_text(status: int, reason: str) -> str:
    words = "".join(letter for letter in reason[:100] if letter.isascii() and letter.isprintable())
    hint = " (redirects are not followed)" if 300 <= status < 400 else ""
    return f"HTTP {status} {words}".rstrip() + hint


def _outcome_of_error(error: Exception, timeout_ms: int) -> Outcome:
    """A failed delivery's outcome; the order matters, since most of these are kinds of OSError."""
    if isinstance(error, _Rejected):
        return failed("rejected", str(error), permanent=True)
    if isinstance(error, SecretUnavailable):
        return error.outcome
    if isinstance(error, socket.gaierror):
        return failed("dns_error", f"the name cannot be resolved: {error.strerror or error}")
    if isinstance(error, TimeoutError):
        return failed("timeout", f"no complete answer within {timeout_ms} ms")
    if isinstance(error, ssl.SSLCertVerificationError):
        return failed("connection_error", f"the certificate is not trusted: {error.verify_message}")
    if isinstance(error, BrokenOff):
        return failed("connection_error", str(error))
    if isinstance(error, (*UNREADABLE, Cancelled)):
        return failed("connection_error", f"{type(error).__name__}: {error}")
    return failed("internal_error", f"{type(error).__name__}: {error}")


def _close(prepared: Sequence[_Prepared]) -> None:
    for each in prepared:
        if each.connection is not None:
            each.connection.close()
