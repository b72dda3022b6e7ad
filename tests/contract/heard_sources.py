"""Sources of triggers on real servers, as their owners see them: what is sent there, and what nobody has settled."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import uuid
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import nats
import pika
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig

from tests.brokers import BrokerProcess, nats_program, rabbitmq_command, tansu_command, wait_until
from tests.contract.heard import event
from tests.kit.ports import free_port

RABBITMQ_START_S = 120.0  # Erlang on a machine that has much else to do
ASK_S = 20.0
STRUCTURED = "application/cloudevents+json"


class Unsettled(NamedTuple):
    """Messages that nobody has received, and messages that somebody has in hand (where the server says so)."""

    waiting: int
    in_hand: int


NONE = Unsettled(0, 0)


class HeardSource(Protocol):
    """One source."""

    source: dict[str, Any]

    def send(self, *numbers: int) -> None: ...

    def unsettled(self) -> Unsettled: ...


class NatsHeard:
    """A subject of JetStream, with a consumer of its owner's, which waits for an acknowledgement but for a while."""

    def __init__(self, broker: BrokerProcess, ack_wait_s: float = 2.0) -> None:
        self._url = f"nats://127.0.0.1:{broker.port}"
        self._name = f"s{uuid.uuid4().hex[:8]}"
        self.source = {"type": "nats", "servers": [self._url], "subject": f"{self._name}.x", "durable": self._name}
        stream = StreamConfig(name=self._name, subjects=[f"{self._name}.x"])
        consumer = ConsumerConfig(durable_name=self._name, ack_policy=AckPolicy.EXPLICIT, ack_wait=ack_wait_s)
        self._owned(lambda js: js.add_stream(stream))
        self._owned(lambda js: js.add_consumer(self._name, consumer))

    def send(self, *numbers: int) -> None:
        async def send(js: Any) -> None:
            for number in numbers:
                body = json.dumps(event(number)).encode()
                await js.publish(f"{self._name}.x", body, headers={"Content-Type": STRUCTURED})

        self._owned(send)

    def unsettled(self) -> Unsettled:
        found = self._owned(lambda js: js.consumer_info(self._name, self._name))
        return Unsettled(found.num_pending, found.num_ack_pending)

    def _owned(self, work: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
        async def run() -> Any:
            client = await nats.connect(self._url)
            try:
                return await work(client.jetstream())
            finally:
                await client.close()

        return asyncio.run(run())


class RabbitMqHeard:
    """A durable queue. What somebody has in hand is seen when he has gone: it waits again."""

    def __init__(self, broker: BrokerProcess) -> None:
        self._port = broker.port
        self._queue = f"q{uuid.uuid4().hex[:8]}"
        url = f"amqp://127.0.0.1:{broker.port}"
        self.source = {"type": "rabbitmq", "url": url, "queue": self._queue, "secret_ref": "env:RABBITMQ_GUEST"}
        with self._channel() as channel:
            channel.queue_declare(self._queue, durable=True)

    def send(self, *numbers: int) -> None:
        properties = pika.BasicProperties(content_type=STRUCTURED, delivery_mode=2)
        with self._channel() as channel:
            channel.confirm_delivery()
            for number in numbers:
                channel.basic_publish("", self._queue, json.dumps(event(number)).encode(), properties, mandatory=True)

    def unsettled(self) -> Unsettled:
        with self._channel() as channel:
            return Unsettled(int(channel.queue_declare(self._queue, passive=True).method.message_count), 0)

    @contextlib.contextmanager
    def _channel(self) -> Iterator[Any]:
        connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", self._port))
        try:
            yield connection.channel()
        finally:
            connection.close()


class KafkaHeard:
    """A topic, and the group that reads it. Tansu says that a topic ends within its last batch, so its owner counts."""

    def __init__(self, bootstrap: str, partitions: int = 2) -> None:
        self._bootstrap, self._partitions = bootstrap, partitions
        self._sent = 0
        self._topic = f"t{uuid.uuid4().hex[:8]}"
        brokers = bootstrap.split(",")
        self.source = {"type": "kafka", "brokers": brokers, "topic": self._topic, "group": self._topic}
        admin = AdminClient({"bootstrap.servers": bootstrap})
        admin.create_topics([NewTopic(self._topic, partitions, 1)])[self._topic].result(ASK_S)

    def send(self, *numbers: int) -> None:
        producer = Producer({"bootstrap.servers": self._bootstrap, "log_level": 0})
        for number in numbers:
            producer.produce(self._topic, json.dumps(event(number)).encode(), partition=number % self._partitions)
        assert producer.flush(ASK_S) == 0
        self._sent += len(numbers)

    def unsettled(self) -> Unsettled:
        asking = Consumer({"bootstrap.servers": self._bootstrap, "group.id": self._topic, "log_level": 0})
        try:
            places = [TopicPartition(self._topic, number) for number in range(self._partitions)]
            read = [max(0, place.offset) for place in asking.committed(places, ASK_S)]
        except KafkaException as problem:
            raise AssertionError(f"Kafka does not say what was read: {problem}") from problem
        finally:
            asking.close()
        return Unsettled(self._sent - sum(read), 0)


class SqsHeard:
    """A queue of SQS."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.url = str(client.create_queue(QueueName=f"heard-{uuid.uuid4().hex[:8]}")["QueueUrl"])
        self.source = {"type": "sqs", "queue_url": self.url}

    def send(self, *numbers: int) -> None:
        for number in numbers:
            self.client.send_message(QueueUrl=self.url, MessageBody=json.dumps(event(number)))

    def unsettled(self) -> Unsettled:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return Unsettled(*(int(found[name]) for name in names))


class Servers(NamedTuple):
    """The servers of one module. ``kafka`` is a list of addresses."""

    nats: BrokerProcess
    rabbitmq: BrokerProcess
    kafka: str

    def sources(self, sqs: Any) -> dict[str, HeardSource]:
        """New sources, one of each kind."""
        return {
            "nats": NatsHeard(self.nats),
            "rabbitmq": RabbitMqHeard(self.rabbitmq),
            "kafka": KafkaHeard(self.kafka),
            "sqs": SqsHeard(sqs),
        }


@contextlib.contextmanager
def servers(folder: Path) -> Iterator[Servers]:
    """NATS, RabbitMQ, and Tansu or the Kafka that KAFKA_BOOTSTRAP names."""
    given = os.environ.get("KAFKA_BOOTSTRAP")
    commands = [_nats_command, rabbitmq_command, *([] if given else [_tansu_command])]
    with contextlib.ExitStack() as stack, ThreadPoolExecutor() as beside:
        made = []
        for command in commands:
            port = free_port()
            own = folder / str(port)
            own.mkdir()
            made.append(BrokerProcess(command(own, port), port, own, RABBITMQ_START_S, group=True))
            stack.callback(made[-1].kill)
        list(beside.map(BrokerProcess.start, made))
        kafka = given or f"127.0.0.1:{made[2].port}"
        wait_until(lambda: _answers(kafka), RABBITMQ_START_S, "Kafka")
        yield Servers(*made[:2], kafka)


def _nats_command(folder: Path, port: int) -> list[str | Path]:
    return [nats_program(), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", folder / "store"]


def _tansu_command(_folder: Path, port: int) -> list[str | Path]:
    return tansu_command(port)


def _answers(bootstrap: str) -> bool:
    try:
        AdminClient({"bootstrap.servers": bootstrap, "log_level": 0}).list_topics(timeout=2)
    except KafkaException:
        return False
    return True
