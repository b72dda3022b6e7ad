"""Firings to webhooks over HTTP(S): judged addresses, one deadline, signed, never redirected.

The pieces: ``core.targets.ssrf`` judges URL and address, ``http.dialer`` resolves, judges and connects,
``secrets.webhook_secrets`` reads what signs. Here they become one delivery, and the answer becomes an outcome.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from msgspec.structs import replace

from chalicelib.adapters.aws.failures import failed
from chalicelib.adapters.http.answer import UNREADABLE, BrokenOff, HttpAnswer
from chalicelib.adapters.http.connection import Cancelled, Connection, HttpCall, Peer, Pool
from chalicelib.adapters.http.dialer import AddressRefused, Dialer
from chalicelib.adapters.http.distrust import distrust
from chalicelib.adapters.http.resolver import Resolver, system_resolver
from chalicelib.adapters.secrets.webhook_secrets import ReadSecrets, WebhookSecrets
from chalicelib.adapters.targets.target_parts import TargetParts
from chalicelib.core.secrets.secret_policy import STRICTEST, SecretPolicy
from chalicelib.core.targets import loop_depth, retry_after, target_answer
from chalicelib.core.targets.cloudevent import CONTENT_TYPE
from chalicelib.core.targets.kinds.webhook import KIND, METHODS
from chalicelib.core.targets.ssrf import WebhookUrl, parse_url
from chalicelib.core.targets.webhook_signature import check_headers, ref_of
from chalicelib.ports.secrets import NoSecrets, SecretAway, SecretMissing, Secrets
from chalicelib.ports.target import ACCEPTED, COMPLETED, FAILED, Delivery, Outcome

BODY_MAX_BYTES = 64 * 1024  # of an answer; what is longer is not read and its connection closed. Nothing is unpacked
USER_AGENT = "ChronoWatch/1"
PREPARE_TIMEOUT_S = 0.5  # a target that is slower than this is met at the instant
UNAUTHORIZED = 401

_cached_url = lru_cache(maxsize=1024)(parse_url)


class _Rejected(Exception):
    """Raised when a target cannot be called as it is; no retry can change that."""


class WebhookSender:
    """Calls webhooks. Thread-safe; one instance a process, so that connections are shared."""

    max_batch = KIND.max_batch

    def __init__(
        self,
        *,
        now_ms: Callable[[], int],
        monotonic_s: Callable[[], float],
        allow: Sequence[str] = (),
        secrets: Secrets | None = None,
        secret_policy: SecretPolicy = STRICTEST,
        service_key: str | None = None,
        ca_file: str | None = None,
        resolver: Resolver = system_resolver,
        pool: Pool | None = None,
        prepare_timeout_s: float = PREPARE_TIMEOUT_S,
    ) -> None:
        """``allow`` is CHRONO_WEBHOOK_ALLOW taken apart; ``ca_file`` holds certificates trusted beside the system's;
        ``service_key`` is CHRONO_WEBHOOK_SIGNING_KEY."""
        self._now_ms = now_ms
        self._monotonic_s = monotonic_s
        self._secrets = WebhookSecrets(secrets or NoSecrets(), secret_policy, service_key)
        self._dialer = Dialer(monotonic_s, allow, resolver, pool, ca_file)
        self._prepare_timeout_s = prepare_timeout_s
        self._lock = threading.Lock()
        self._calls: dict[tuple[str, int], HttpCall] = {}

    def prepare(self, delivery: Delivery) -> None:
        """Read the secrets, resolve the name and, where that saves round trips, connect. Never raises; never sends."""
        with contextlib.suppress(Exception):
            url = _cached_url(str(delivery.target["url"]))
            timeout_s = min(delivery.timeout_ms / 1000, self._prepare_timeout_s)
            call = HttpCall(self._monotonic_s() + timeout_s, self._monotonic_s)
            self._dialer.prepare(_key(delivery), url, call)
            self._secrets.read(delivery.target, delivery.tenant)
            self._dialer.prepare_connection(_key(delivery), url, call)

    def dispatch(self, deliveries: Sequence[Delivery]) -> list[Outcome]:
        """Send each now, one after the other; each has its own ``timeout_ms`` from its beginning to its end."""
        return [self._deliver(delivery) for delivery in deliveries]

    def cancel(self, execution_id: str, attempt: int) -> bool:
        """Close the connection of a delivery under way, from any thread. False when there is none."""
        with self._lock:
            call = self._calls.get((execution_id, attempt))
        if call is None:
            return False
        call.cancel()
        return True

    def close(self) -> None:
        """Close what is kept: idle connections and those prepared and never used."""
        self._dialer.close()

    # -- one delivery

    def _deliver(self, delivery: Delivery) -> Outcome:
        call = HttpCall(self._monotonic_s() + delivery.timeout_ms / 1000, self._monotonic_s)
        key = (delivery.execution_id, delivery.attempt)  # a retry may be under way beside the attempt before it
        with self._lock:
            self._calls[key] = call
        try:
            return self._exchange(delivery, call)
        except Exception as error:
            if call.cancelled:
                return replace(failed("connection_error", "the delivery was cancelled", permanent=True), closed=True)
            return _outcome_of_error(error, delivery.timeout_ms)
        finally:
            with self._lock:
                if self._calls.get(key) is call:
                    del self._calls[key]

    def _exchange(self, delivery: Delivery, call: HttpCall) -> Outcome:
        url = _parse(delivery.target)
        secrets = self._secrets.read(delivery.target, delivery.tenant)
        outcome = self._send(delivery, url, secrets, call)
        if outcome.http_status == UNAUTHORIZED and secrets.read and self._secrets.refused(secrets):
            # A secret was rotated since it was read. A receiver that answers 401 did nothing with the delivery.
            secrets = self._secrets.read(delivery.target, delivery.tenant)
            outcome = self._send(delivery, url, secrets, call)
        return outcome

    def _send(self, delivery: Delivery, url: WebhookUrl, secrets: ReadSecrets, call: HttpCall) -> Outcome:
        request, hidden = self._request(delivery, url, secrets), _secrets_of(delivery, secrets)
        prepared = self._dialer.take(_key(delivery))
        addresses = prepared.addresses if prepared else self._dialer.resolve(url, call)
        allowed = self._dialer.judge(url, addresses)
        peer, connection = self._dialer.open_kept(allowed, prepared)
        if connection is not None:
            try:
                return self._converse(peer, connection, request, delivery, call, hidden)
            except UNREADABLE as error:
                if isinstance(error, TimeoutError) or connection.received_bytes or call.cancelled:
                    raise
                # The peer closed it while idle. The request carries an Idempotency-Key, so it may be sent once more
                # on a new connection (RFC 9110, section 9.2.2; Go's net/http draws the same line).
        if not all(peer.address.is_loopback for peer in allowed):
            delivery.sent()  # a handshake takes a round trip or more, in which this process is idle
        peer, connection = self._dialer.connect(url, allowed, call)
        return self._converse(peer, connection, request, delivery, call, hidden)

    def _converse(
        self,
        peer: Peer,
        connection: Connection,
        request: bytes,
        delivery: Delivery,
        call: HttpCall,
        hidden: Sequence[str],
    ) -> Outcome:
        """Send the request and read its answer; the connection is kept when it can serve another, else closed."""
        keep = False
        try:
            connection.begin(call)
            connection.sendall(request)
            delivery.sent()
            answer = _read_answer(connection)
            keep = answer.is_complete and answer.is_kept
            return self._judge_answer(answer, hidden)
        finally:
            if call.detach() and keep:
                self._dialer.put_back(peer, connection)
            else:
                connection.close()

    def _request(self, delivery: Delivery, url: WebhookUrl, secrets: ReadSecrets) -> bytes:
        """The whole request in one piece. Raises _Rejected."""
        own = delivery.target.get("headers") or {}
        if not isinstance(own, Mapping) or (problem := check_headers(own)):
            raise _Rejected(f"target.headers: {problem if isinstance(own, Mapping) else 'must be an object'}")
        timestamp_s = self._now_ms() // 1000
        plain = {name: str(value) for name, value in own.items() if ref_of(value) is None}
        headers = {name.lower(): (name, value) for name, value in {**plain, **secrets.headers}.items()}
        headers.setdefault("user-agent", ("User-Agent", USER_AGENT))
        lines = [f"{_method(delivery.target)} {url.path} HTTP/1.1", f"Host: {url.authority}"]
        lines += [f"{name}: {value}" for name, value in headers.values()]
        lines += [
            f"Content-Type: {CONTENT_TYPE}",
            f"Content-Length: {len(delivery.event)}",
            f"Idempotency-Key: {delivery.execution_id}",
            f"traceparent: {delivery.traceparent}",
            f"{loop_depth.HEADER}: {delivery.depth + 1}",
            f"webhook-id: {delivery.execution_id}",
            f"webhook-timestamp: {timestamp_s}",
        ]
        if delivery.tracestate and "tracestate" not in headers:
            lines.append(f"tracestate: {delivery.tracestate}")
        if signature := secrets.sign(delivery.execution_id, timestamp_s, delivery.event):
            lines.append(f"webhook-signature: {signature}")
        return "\r\n".join([*lines, "\r\n"]).encode("latin-1") + delivery.event

    def _judge_answer(self, answer: HttpAnswer, hidden: Sequence[str]) -> Outcome:
        status = answer.status
        if status == 202 and answer.headers.get("x-chrono-async", "").strip().lower() == "true":
            return Outcome(ACCEPTED, status)
        if 200 <= status < 300:
            return Outcome(COMPLETED, status)
        wait_ms = retry_after.parse(answer.headers.get("retry-after"), self._now_ms())
        gone = status == 410
        text = _status_text(status, answer.reason)
        kept = target_answer.keep(answer.headers, answer.body, hidden, answer.is_complete)
        return Outcome(FAILED, status, "http_error", text, wait_ms, permanent=gone, pause_schedule=gone, answer=kept)


def make(parts: TargetParts) -> WebhookSender:
    """The sender of a process."""
    return WebhookSender(
        now_ms=parts.now_ms,
        monotonic_s=parts.monotonic_s,
        allow=parts.webhook_allow,
        secrets=parts.secrets,
        secret_policy=parts.secret_policy,
        service_key=parts.service_key,
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


def _secrets_of(delivery: Delivery, secrets: ReadSecrets) -> list[str]:
    """Values that were sent and are not to be kept, should a target answer with what it was sent."""
    own = delivery.target.get("headers")
    plain = own.items() if isinstance(own, Mapping) else ()
    named = [str(value) for name, value in plain if target_answer.is_secret_header(name) and ref_of(value) is None]
    return [*secrets.headers.values(), *named]


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
    if isinstance(error, _Rejected | AddressRefused | SecretMissing):
        return failed("rejected", str(error), permanent=True)
    if isinstance(error, SecretAway):
        return failed("internal_error", f"a secret cannot be read: {error}")
    if isinstance(error, socket.gaierror):
        return failed("dns_error", f"the name cannot be resolved: {error.strerror or error}")
    if isinstance(error, TimeoutError):
        return failed("timeout", f"no complete answer within {timeout_ms} ms")
    if isinstance(error, ssl.SSLCertVerificationError):
        return failed("connection_error", distrust(error))
    if isinstance(error, BrokenOff):
        return failed("connection_error", str(error))
    if isinstance(error, (*UNREADABLE, Cancelled)):
        return failed("connection_error", f"{type(error).__name__}: {error}")
    return failed("internal_error", f"{type(error).__name__}: {error}")
