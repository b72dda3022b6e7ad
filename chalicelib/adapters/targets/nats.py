"""Firings to NATS: JetStream acknowledges the very message; core NATS passes it to subscribers of the moment."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections import defaultdict
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, Final

from chalicelib.adapters.brokers import nats_client
from chalicelib.adapters.brokers.addresses import BrokerPeer
from chalicelib.adapters.brokers.alerts import heard
from chalicelib.adapters.brokers.credentials import BrokerCredentials
from chalicelib.adapters.brokers.faults import UNKNOWN, BrokerAway, BrokerRefused, BrokerSilent
from chalicelib.adapters.brokers.links import BrokerLink, Receipt
from chalicelib.adapters.brokers.sender import BrokerSender, first_to_answer
from chalicelib.adapters.targets.target_parts import TargetParts
from chalicelib.core.targets.event_modes import encode
from chalicelib.core.targets.kinds.nats import KIND, PORTS
from chalicelib.ports.target import Delivery

TOO_LARGE_CODE: Final = 10054  # the stream's own max_msg_size
_DENIED = re.compile(r"permissions violation for publish to .?\"([^\"]+)\"", re.IGNORECASE)
HEADERS_SLACK_BYTES: Final = 512  # NATS counts headers as part of the payload


class NatsSender(BrokerSender):
    """Publishes firings. All connections of a process are served by one thread."""

    max_batch = KIND.max_batch
    ports = PORTS
    secret_fields = nats_client.SECRET_FIELDS

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._loop: asyncio.AbstractEventLoop | None = None

    def _addresses(self, target: Mapping[str, object]) -> Sequence[str]:
        servers = target.get("servers")
        return [str(server) for server in servers] if isinstance(servers, list | tuple) else ()

    def _connect(
        self,
        peers: Sequence[BrokerPeer],
        credentials: BrokerCredentials,
        target: Mapping[str, object],
        timeout_s: float,
    ) -> BrokerLink:
        loop = self._running_loop()

        def dial(peer: BrokerPeer, share_s: float) -> BrokerLink:
            tls = self._tls_context(credentials) if peer.scheme == "tls" else None
            link = _NatsLink(loop, nats_client.nats_client(tls is not None))
            with heard(peer, tls, share_s, self._monotonic_s, greets=True):
                link.call(link.open(peer, credentials, tls, share_s), share_s)
            return link

        return first_to_answer(peers, dial, timeout_s)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, daemon=True, name="nats").start()
            return self._loop


class _NatsLink:
    def __init__(self, loop: asyncio.AbstractEventLoop, client: Any) -> None:
        import nats

        self._nats = nats
        self._loop = loop
        self._client = client
        self._problem: Exception | None = None
        self._closed = asyncio.Event()
        self._waiting: dict[str, set[asyncio.Future[None]]] = defaultdict(set)

    def call(self, work: Coroutine[Any, Any, Any], timeout_s: float) -> Any:
        """Run something in the thread of the connections."""
        running = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return running.result(timeout_s + 1.0)  # what runs has an end of its own
        except FutureTimeout:
            running.cancel()
            raise BrokerAway("NATS did not answer in time") from None

    async def open(self, peer: BrokerPeer, credentials: BrokerCredentials, tls: Any, timeout_s: float) -> None:
        """Connect and sign in. What the server says of others in its cluster is not followed."""
        try:
            await nats_client.connect(
                self._client,
                peer,
                credentials,
                tls,
                timeout_s,
                closed_cb=self._on_closed,
                error_cb=self._on_error,
                max_outstanding_pings=2,
                ping_interval=20,
            )
        except Exception as error:
            unnamed = isinstance(error, self._nats.errors.NoServersError)
            raise nats_client.meaning(self._problem or error if unnamed else error, peer) from error

    def publish(self, delivery: Delivery, timeout_s: float) -> Receipt:
        receipt: Receipt = self.call(self._publish(delivery, timeout_s), timeout_s)
        return receipt

    def is_open(self) -> bool:
        return bool(self._client.is_connected) and not self._closed.is_set()

    def close(self) -> None:
        with contextlib.suppress(Exception):
            asyncio.run_coroutine_threadsafe(self._client.close(), self._loop)

    async def _publish(self, delivery: Delivery, timeout_s: float) -> Receipt:
        target, subject = delivery.target, str(delivery.target.get("subject", ""))
        encoded = encode(delivery.event, target.get("mode"))
        headers = {**encoded.headers("ce-"), "Nats-Msg-Id": f"{delivery.execution_id}-{delivery.generation}"}
        headers["ce-datacontenttype" if encoded.attributes else "Content-Type"] = encoded.content_type
        size = len(encoded.body) + sum(len(name) + len(value.encode()) + 4 for name, value in headers.items()) + 12
        if size > self._client.max_payload:
            raise BrokerRefused(
                f"the message of {size} bytes is above the server's max_payload of {self._client.max_payload} bytes"
            )
        if target.get("jetstream") is False:
            await self._watched(subject, self._send_only(subject, encoded.body, headers, timeout_s))
            return {"acknowledged": False}
        work = self._client.jetstream().publish(subject, encoded.body, timeout=timeout_s, headers=headers)
        ack = await self._watched(subject, work)
        return {"stream": ack.stream, "seq": ack.seq, "duplicate": bool(ack.duplicate)}

    async def _send_only(self, subject: str, body: bytes, headers: dict[str, str], timeout_s: float) -> None:
        await self._client.publish(subject, body, headers=headers)
        await self._client.flush(timeout=max(1, round(timeout_s)))  # the server has read it

    async def _watched(self, subject: str, work: Coroutine[Any, Any, Any]) -> Any:
        """The answer; or an error as soon as the connection is gone or the server denies the subject."""
        denied = self._loop.create_future()
        self._waiting[subject].add(denied)
        sending = asyncio.ensure_future(work)
        closing = asyncio.ensure_future(self._closed.wait())
        try:
            await asyncio.wait({sending, closing, denied}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                return await sending
            if denied.done():
                raise BrokerRefused(f"NATS does not let these credentials publish to {subject}")
            raise BrokerAway(f"the connection to NATS broke off: {UNKNOWN}")
        except Exception as error:
            raise self._translated(error, subject) from error
        finally:
            self._waiting[subject].discard(denied)
            if not self._waiting[subject]:
                del self._waiting[subject]
            closing.cancel()
            if not sending.done():
                sending.cancel()

    def _translated(self, error: Exception, subject: str) -> Exception:
        errors = self._nats.errors
        api = self._nats.js.errors
        if isinstance(error, api.NoStreamResponseError):
            return BrokerRefused(f"no stream of JetStream binds the subject {subject}")
        if isinstance(error, api.APIError):
            text = f"JetStream refused it: {error.description} (code {error.code}, err_code {error.err_code})"
            if error.err_code == TOO_LARGE_CODE:
                return BrokerRefused(f"the message is above the stream's max_msg_size: {error.description}")
            return BrokerAway(text) if (error.code or 500) >= 500 else BrokerRefused(text)
        if isinstance(error, errors.MaxPayloadError):
            return BrokerRefused(f"the message is above the server's max_payload of {self._client.max_payload} bytes")
        if isinstance(error, errors.BadSubjectError):
            return BrokerRefused(f"{subject} is not a subject to publish to")
        if isinstance(error, errors.TimeoutError | TimeoutError):
            return BrokerSilent(f"NATS: {UNKNOWN}")
        if isinstance(error, errors.Error):
            return BrokerAway(f"NATS: {error}")
        return error

    async def _on_closed(self) -> None:
        self._closed.set()

    async def _on_error(self, error: Exception) -> None:
        self._problem = error
        found = _DENIED.search(str(error))
        for waiting in self._waiting.get(found[1], ()) if found else ():
            if not waiting.done():
                waiting.set_result(None)


def make(parts: TargetParts) -> NatsSender:
    """The sender of a process."""
    return NatsSender(parts)
