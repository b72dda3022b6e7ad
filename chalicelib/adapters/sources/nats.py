"""Messages of a subject of JetStream. Workers share one durable consumer of its stream.

The consumer is made where there is none, and begins where the trigger's source was set. One that the source names by
``durable`` may be there already: it then is as its owner made it.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from chalicelib.adapters.brokers import nats_client
from chalicelib.adapters.brokers.addresses import BrokerPeer
from chalicelib.adapters.brokers.alerts import heard
from chalicelib.adapters.brokers.credentials import BrokerCredentials
from chalicelib.adapters.brokers.faults import BrokerAway, BrokerRefused
from chalicelib.adapters.brokers.nats_client import SECRET_FIELDS
from chalicelib.adapters.sources.source_parts import BATCH_MAX, CONNECT_S, Access, SourceParts, access
from chalicelib.core.targets.kinds.nats import PORTS
from chalicelib.core.triggers.messages import EventMessage
from chalicelib.core.triggers.trigger import Trigger
from chalicelib.ports.event_sources import EventConsumer, SourceProblem

HIDDEN_S: Final = 60  # a message of a worker that died comes again after that
AGAIN_S: Final = 2


class NatsConsumer:
    """``EventConsumer`` of one subject. Its connection lives within its calls, in the thread of the caller."""

    def __init__(self) -> None:
        import nats

        self._nats = nats
        self._client: Any = nats_client.nats_client(tls=False)
        self._loop = asyncio.new_event_loop()
        self._pulled: Any = None

    def connect(self, given: Access) -> None:
        """Connect to the first peer that answers. Raises what ``faults`` names, OSError."""
        problem: Exception = BrokerAway("no server of NATS is named")
        for peer in given.peers:
            context = given.tls() if peer.scheme == "tls" else None
            try:
                with heard(peer, context, CONNECT_S, given.monotonic_s, greets=True):
                    self._run(self._connect(peer, given.credentials, context))
                return
            except BrokerRefused:
                raise
            except Exception as error:
                problem = error
        raise problem

    def begin(self, subject: str, durable: str, since_ms: int) -> None:
        """Find or make the consumer. Raises what ``faults`` names."""
        errors = self._nats.js.errors
        try:
            self._run(self._begin(subject, durable, since_ms))
        except errors.NotFoundError as error:
            raise BrokerRefused(f"no stream of JetStream binds the subject {subject}") from error
        except self._nats.errors.Error as error:
            raise BrokerAway(f"NATS: {error or type(error).__name__}") from error

    def delete(self, subject: str, durable: str) -> None:
        """Delete the consumer. Raises errors of NATS."""
        js = self._client.jetstream()
        stream = self._run(js.find_stream_name_by_subject(subject))
        self._run(js.delete_consumer(stream, durable))

    def receive(self, timeout_s: float) -> Sequence[EventMessage]:
        """Some messages. Raises SourceProblem."""
        if not self._client.is_connected:
            raise SourceProblem("the connection to NATS broke off")
        try:
            found = self._run(self._pulled.fetch(BATCH_MAX, timeout_s))
        except (self._nats.errors.TimeoutError, TimeoutError):
            return ()
        except (self._nats.errors.Error, OSError) as error:
            raise SourceProblem(f"NATS: {error or type(error).__name__}") from error
        return [_message_of(one) for one in found]

    def settle(self, messages: Sequence[EventMessage], done: Sequence[bool]) -> None:
        """Acknowledge what is done; the others come again soon."""
        try:
            self._run(self._settle(messages, done))
        except (self._nats.errors.Error, OSError, TimeoutError) as error:
            raise SourceProblem(f"NATS: {error or type(error).__name__}") from error

    def close(self) -> None:
        """Disconnect. What was not settled comes again."""
        with contextlib.suppress(Exception):
            self._run(self._client.close())
        with contextlib.suppress(Exception):
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(work)

    async def _connect(self, peer: BrokerPeer, credentials: BrokerCredentials, tls: Any) -> None:
        self._client = nats_client.nats_client(tls is not None)
        # What goes wrong later is seen where it is asked for.
        more = {"name": "chronowatch", "error_cb": _ignored}
        try:
            await nats_client.connect(self._client, peer, credentials, tls, CONNECT_S, **more)
        except Exception as error:
            raise nats_client.meaning(error, peer) from error

    async def _begin(self, subject: str, durable: str, since_ms: int) -> None:
        from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

        since = datetime.datetime.fromtimestamp(since_ms / 1000, datetime.UTC)
        config = ConsumerConfig(
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=HIDDEN_S,
            deliver_policy=DeliverPolicy.BY_START_TIME,
            opt_start_time=since,
        )
        js = self._client.jetstream(timeout=CONNECT_S)
        stream = await js.find_stream_name_by_subject(subject)
        self._pulled = await js.pull_subscribe(subject, durable=durable, stream=stream, config=config)

    async def _settle(self, messages: Sequence[EventMessage], done: Sequence[bool]) -> None:
        for message, is_done in zip(messages, done, strict=True):
            await (message.handle.ack() if is_done else message.handle.nak(delay=AGAIN_S))
        await self._client.flush(timeout=round(CONNECT_S))


async def _ignored(_error: Exception) -> None:
    pass


def _message_of(found: Any) -> EventMessage:
    headers = {str(name).lower(): str(value) for name, value in (found.headers or {}).items()}
    return EventMessage(
        body=found.data,
        place=f"{found.metadata.stream}/{found.metadata.sequence.stream}",
        headers=headers,
        content_type=headers.get("content-type") or headers.get("ce-datacontenttype", ""),
        handle=found,
    )


def _connected(given: Access) -> NatsConsumer:
    consumer = NatsConsumer()
    try:
        consumer.connect(given)
    except BaseException:
        consumer.close()
        raise
    return consumer


def _own_durable(trigger: Trigger) -> str:
    """Another source of one trigger is another consumer: it filters by subject."""
    return f"chronowatch-{trigger.id}-{trigger.since_ms}"


def open_consumer(parts: SourceParts, trigger: Trigger) -> EventConsumer:
    """A consumer. Raises SourceProblem."""
    source = trigger.rules.source
    with access(parts, trigger, source.get("secret_ref"), source["servers"], PORTS, fields=SECRET_FIELDS) as given:
        consumer = _connected(given)
        try:
            consumer.begin(source["subject"], source.get("durable") or _own_durable(trigger), trigger.since_ms)
        except BaseException:
            consumer.close()
            raise
        return consumer


def forget(parts: SourceParts, trigger: Trigger) -> None:
    """Delete the consumer that was made for a trigger. Raises SourceProblem, errors of NATS."""
    source = trigger.rules.source
    if source.get("durable"):
        return  # its owner's
    with access(parts, trigger, source.get("secret_ref"), source["servers"], PORTS, fields=SECRET_FIELDS) as given:
        consumer = _connected(given)
        try:
            consumer.delete(source["subject"], _own_durable(trigger))
        finally:
            consumer.close()
