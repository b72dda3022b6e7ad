"""Messages of a queue of RabbitMQ, which workers share. One that is not acknowledged goes back to the queue."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chalicelib.adapters.brokers.alerts import heard
from chalicelib.adapters.brokers.faults import BrokerAway, BrokerRefused
from chalicelib.adapters.brokers.rabbitmq_client import TLS_SCHEME, connection_parameters, of_opening
from chalicelib.adapters.sources.source_parts import BATCH_MAX, CONNECT_S, Access, SourceParts, access
from chalicelib.core.targets.kinds.rabbitmq import PORTS
from chalicelib.core.triggers.messages import EventMessage
from chalicelib.core.triggers.trigger import Trigger
from chalicelib.ports.event_sources import EventConsumer, SourceProblem


class RabbitMqConsumer:
    """``EventConsumer`` of one queue. Its callbacks run within its calls, in the thread of the caller."""

    def __init__(self, connection: Any, queue: str, monotonic_s: Callable[[], float]) -> None:
        import pika  # type: ignore[import-untyped]

        self._errors = pika.exceptions.AMQPError
        self._connection = connection
        self._monotonic_s = monotonic_s
        self._waiting: list[EventMessage] = []
        self._cancelled = ""
        self._channel = connection.channel()
        self._channel.basic_qos(prefetch_count=BATCH_MAX)
        self._channel.add_on_cancel_callback(lambda _: self._on_cancel(queue))
        self._channel.basic_consume(queue, self._on_message)

    def receive(self, timeout_s: float) -> Sequence[EventMessage]:
        """What the queue has sent. Raises SourceProblem."""
        deadline_s = self._monotonic_s() + timeout_s
        try:
            while not self._waiting and not self._cancelled:
                left_s = deadline_s - self._monotonic_s()
                if left_s <= 0:
                    break
                self._connection.process_data_events(time_limit=left_s)
        except self._errors as error:
            raise SourceProblem(str(_meaning(error))) from error
        if self._cancelled:
            raise SourceProblem(self._cancelled)
        found, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
        return found

    def settle(self, messages: Sequence[EventMessage], done: Sequence[bool]) -> None:
        """Acknowledge what is done; the others go back to the queue."""
        try:
            for message, is_done in zip(messages, done, strict=True):
                if is_done:
                    self._channel.basic_ack(message.handle)
                else:
                    self._channel.basic_nack(message.handle, requeue=True)
            self._connection.process_data_events(time_limit=0)
        except self._errors as error:
            raise SourceProblem(str(_meaning(error))) from error

    def close(self) -> None:
        """Disconnect. What was not settled goes back to the queue."""
        with contextlib.suppress(Exception):
            self._connection.close()

    def _on_cancel(self, queue: str) -> None:
        self._cancelled = f"RabbitMQ has no queue {queue} any more"

    def _on_message(self, _channel: Any, method: Any, properties: Any, body: bytes) -> None:
        self._waiting.append(
            EventMessage(
                body=body,
                place=properties.message_id or "",
                headers=_headers(properties.headers or {}),
                content_type=properties.content_type or "",
                handle=method.delivery_tag,
            )
        )


def _headers(found: Mapping[str, Any]) -> dict[str, str]:
    """Those that are plain values; tables and lists are no attributes of events."""
    plain = {name.lower(): value for name, value in found.items() if isinstance(value, str | bytes | int | float)}
    return {name: v.decode(errors="replace") if isinstance(v, bytes) else str(v) for name, v in plain.items()}


def _connected(given: Access) -> Any:
    """Raises what ``faults`` names, OSError."""
    problem: Exception = BrokerAway("no server of RabbitMQ is named")
    for peer in given.peers:
        tls = given.tls() if peer.scheme == TLS_SCHEME else None
        parameters = connection_parameters(
            peer, given.credentials, tls, CONNECT_S, blocked_connection_timeout=CONNECT_S
        )
        try:
            with heard(peer, tls, CONNECT_S, given.monotonic_s):
                return _opened(parameters)
        except BrokerRefused:
            raise
        except (BrokerAway, OSError) as error:
            problem = error
    raise problem


def _opened(parameters: Any) -> Any:
    import pika

    try:
        return pika.BlockingConnection(parameters)
    except (pika.exceptions.AMQPError, OSError) as error:
        raise _meaning(error) from error


def _meaning(error: BaseException) -> Exception:
    """An error of pika in the language of ``faults``."""
    from pika import exceptions

    if isinstance(error, exceptions.ChannelClosedByBroker):
        return BrokerRefused(f"RabbitMQ refused it: {error.reply_text}")
    return of_opening(error)


def open_consumer(parts: SourceParts, trigger: Trigger) -> EventConsumer:
    """A consumer. Raises SourceProblem."""
    source = trigger.rules.source
    with access(parts, trigger, source.get("secret_ref"), (source["url"],), PORTS, True) as given:
        connection = _connected(given)
        try:
            return RabbitMqConsumer(connection, source["queue"], parts.lent.monotonic_s)
        except Exception as error:
            with contextlib.suppress(Exception):
                connection.close()
            raise _meaning(error) from error
