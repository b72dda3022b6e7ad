"""Firings to RabbitMQ: confirmed by the broker and taken by a queue, or the delivery has failed.

A connection is served by its own thread, and publishes for all that wait, so that confirms come in as they are ready.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Hashable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, Final, NamedTuple

from chalicelib.adapters.brokers.addresses import BrokerPeer
from chalicelib.adapters.brokers.alerts import heard
from chalicelib.adapters.brokers.credentials import BrokerCredentials
from chalicelib.adapters.brokers.faults import UNKNOWN, BrokerAway, BrokerRefused, BrokerSilent
from chalicelib.adapters.brokers.links import BrokerLink, Receipt
from chalicelib.adapters.brokers.rabbitmq_client import (
    ACCESS_REFUSED,
    TLS_SCHEME,
    connection_parameters,
    of_opening,
)
from chalicelib.adapters.brokers.sender import BrokerSender, first_to_answer
from chalicelib.adapters.targets.target_parts import TargetParts
from chalicelib.core.targets.event_modes import encode
from chalicelib.core.targets.kinds.rabbitmq import KIND, PORTS
from chalicelib.ports.target import Delivery

PERSISTENT: Final = 2
# CloudEvents binds AMQP 1.0. RabbitMQ shows headers to callers of that as application properties, under these names.
ATTRIBUTE_PREFIX: Final = "ce-"
NOT_FOUND, PRECONDITION_FAILED = 404, 406
_TOO_LARGE = re.compile(r"message size (\d+) (?:is )?larger than (?:configured )?max size (\d+)")


class RabbitMqSender(BrokerSender):
    """Publishes firings to exchanges. An exchange has a connection of its own: one that is not there closes it."""

    max_batch = KIND.max_batch
    ports = PORTS
    takes_path = True

    def _addresses(self, target: Mapping[str, object]) -> Sequence[str]:
        return (str(target.get("url", "")),)

    def _options(self, target: Mapping[str, object]) -> Hashable:
        return str(target.get("exchange", ""))

    def _connect(
        self,
        peers: Sequence[BrokerPeer],
        credentials: BrokerCredentials,
        target: Mapping[str, object],
        timeout_s: float,
    ) -> BrokerLink:
        def dial(peer: BrokerPeer, share_s: float) -> BrokerLink:
            tls = self._tls_context(credentials) if peer.scheme == TLS_SCHEME else None
            parameters = connection_parameters(peer, credentials, tls, share_s)
            with heard(peer, tls, share_s, self._monotonic_s):
                return _RabbitLink(parameters, share_s)

        return first_to_answer(peers, dial, timeout_s)


class _Pending(NamedTuple):
    future: Future[None]
    message_id: str
    size: int


class _RabbitLink:
    """What begins with ``_on`` runs in the thread of the connection, and nothing else touches its channel."""

    def __init__(self, parameters: Any, timeout_s: float) -> None:
        import pika  # type: ignore[import-untyped]

        self._pika = pika
        self._opened: Future[None] = Future()
        self._pending: dict[int, _Pending] = {}
        self._returned: dict[str, str] = {}
        self._tag = 0
        self._channel: Any = None
        self._blocked = ""
        self._open = False
        self._connection = pika.SelectConnection(
            parameters,
            on_open_callback=self._on_open,
            on_open_error_callback=lambda _, error: self._on_open_error(error),
            on_close_callback=lambda _, reason: self._on_gone(reason),
        )
        self._thread = threading.Thread(target=self._run, daemon=True, name="rabbitmq")
        self._thread.start()
        try:
            self._opened.result(timeout_s)
        except FutureTimeout:
            self.close()
            raise BrokerAway("RabbitMQ did not accept a connection in time") from None

    def publish(self, delivery: Delivery, timeout_s: float) -> Receipt:
        if self._blocked:
            raise BrokerAway(f"RabbitMQ takes no messages now: {self._blocked}")
        sent: Future[None] = Future()
        try:
            self._connection.ioloop.add_callback_threadsafe(lambda: self._on_publish(delivery, sent))
        except Exception as error:  # the thread has ended
            raise BrokerAway("the connection to RabbitMQ broke off") from error
        try:
            sent.result(timeout_s)
        except FutureTimeout:
            if not self._thread.is_alive():
                raise BrokerAway("the connection to RabbitMQ broke off") from None
            raise BrokerSilent(f"RabbitMQ: {UNKNOWN}") from None
        return {"confirmed": True}

    def is_open(self) -> bool:
        return self._open

    def close(self) -> None:
        self._open = False
        with contextlib.suppress(Exception):
            self._connection.ioloop.add_callback_threadsafe(self._on_close)

    # -- in the thread of the connection

    def _run(self) -> None:
        try:
            self._connection.ioloop.start()
        except Exception as error:  # handed to those that wait
            self._on_gone(error)
        finally:
            with contextlib.suppress(Exception):
                self._connection.ioloop.close()

    def _on_open(self, connection: Any) -> None:
        connection.add_on_connection_blocked_callback(
            lambda _, frame: self._on_blocked(frame.method.reason or "an alarm")
        )
        connection.add_on_connection_unblocked_callback(lambda _, __: self._on_blocked(""))
        connection.channel(on_open_callback=self._on_channel)

    def _on_channel(self, channel: Any) -> None:
        self._channel = channel
        channel.add_on_close_callback(lambda _, reason: self._on_gone(reason))
        channel.add_on_return_callback(self._on_return)
        channel.confirm_delivery(self._on_confirm, callback=self._on_ready)

    def _on_ready(self, _frame: Any) -> None:
        self._open = True
        if not self._opened.done():
            self._opened.set_result(None)

    def _on_blocked(self, reason: str) -> None:
        self._blocked = reason

    def _on_publish(self, delivery: Delivery, sent: Future[None]) -> None:
        if not self._open:
            sent.set_exception(BrokerAway("the connection to RabbitMQ broke off"))
            return
        target, encoded = delivery.target, encode(delivery.event, delivery.target.get("mode"))
        properties = self._pika.BasicProperties(
            content_type=encoded.content_type,
            delivery_mode=PERSISTENT,
            message_id=delivery.execution_id,
            headers=encoded.headers(ATTRIBUTE_PREFIX),
            app_id="chronowatch",
        )
        self._tag += 1
        self._pending[self._tag] = _Pending(sent, delivery.execution_id, len(encoded.body))
        try:
            self._channel.basic_publish(
                str(target.get("exchange", "")),
                str(target.get("routing_key", "")),
                encoded.body,
                properties,
                mandatory=True,
            )
        except Exception as error:
            self._on_gone(error)

    def _on_return(self, _channel: Any, method: Any, properties: Any, _body: bytes) -> None:
        """It comes before the confirm of the same message."""
        self._returned[properties.message_id] = f"{method.reply_text} ({method.reply_code})"

    def _on_confirm(self, frame: Any) -> None:
        acknowledged = isinstance(frame.method, self._pika.spec.Basic.Ack)
        for pending in self._confirmed(frame.method.delivery_tag, frame.method.multiple):
            returned = self._returned.pop(pending.message_id, None)
            if returned is not None:
                pending.future.set_exception(BrokerRefused(f"RabbitMQ has no queue for it: {returned}"))
            elif acknowledged:
                pending.future.set_result(None)
            else:
                pending.future.set_exception(BrokerAway("RabbitMQ could not take it: nack"))

    def _confirmed(self, tag: int, multiple: bool) -> Iterator[_Pending]:
        for each in [t for t in self._pending if t == tag or (multiple and t <= tag)]:
            yield self._pending.pop(each)

    def _on_open_error(self, error: BaseException) -> None:
        if not self._opened.done():
            self._opened.set_exception(of_opening(error))
        self._connection.ioloop.stop()

    def _on_gone(self, reason: BaseException) -> None:
        """The channel or the connection is closed: what is pending has its answer in the reason, or none at all."""
        self._open = False
        if not self._opened.done():
            self._opened.set_exception(of_opening(reason))
        pending, self._pending = list(self._pending.values()), {}
        for each in pending:
            each.future.set_exception(_of_closing(reason, each.size))
        self._on_close()

    def _on_close(self) -> None:
        if self._connection.is_closed:
            self._connection.ioloop.stop()
        elif not self._connection.is_closing:
            self._connection.close()


def _of_closing(reason: BaseException, size: int) -> Exception:
    code, text = getattr(reason, "reply_code", None), str(getattr(reason, "reply_text", "") or reason)
    if code == PRECONDITION_FAILED and (found := _TOO_LARGE.search(text)):
        if size == int(found[1]):
            return BrokerRefused(
                f"the message of {size} bytes is above RabbitMQ's max_message_size of {found[2]} bytes"
            )
    elif code in (ACCESS_REFUSED, NOT_FOUND, PRECONDITION_FAILED):
        return BrokerRefused(f"RabbitMQ refused it: {text}")
    return BrokerAway(f"the connection to RabbitMQ broke off: {UNKNOWN}")


def make(parts: TargetParts) -> RabbitMqSender:
    """The sender of a process."""
    return RabbitMqSender(parts)
