"""Reads firings from a broker and prints a line for each: the id, the fencing token, the instant, the payload.

python examples/broker_consumer.py kafka    127.0.0.1:9092               TOPIC
python examples/broker_consumer.py nats     nats://127.0.0.1:4222        SUBJECT
python examples/broker_consumer.py rabbitmq amqp://127.0.0.1:5672        QUEUE
python examples/broker_consumer.py mqtt     127.0.0.1:1883               TOPIC
python examples/broker_consumer.py redis    redis://127.0.0.1:6379/0     STREAM

Each needs its client: confluent-kafka, nats-py, pika, paho-mqtt, redis. --count N ends after N firings. --user and
--password sign in (not for redis, whose URL has them). A firing may come more than once, since delivery is at least
once: its id is printed once. Both forms of CloudEvents are read.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import queue
from collections.abc import Iterator, Mapping
from typing import Any

Event = dict[str, Any]
STRUCTURED = "application/cloudevents+json"


def event_of(content_type: str, attributes: Mapping[str, str], body: bytes) -> Event:
    """The CloudEvent of a message. ``attributes`` are its headers; prefixes of all bindings are known."""
    if content_type.partition(";")[0] == STRUCTURED:
        whole: Event = json.loads(body)
        return whole
    known = {}
    for name, value in attributes.items():
        for prefix in ("ce_", "ce-", "ce-", "cloudEvents:"):
            name = name.removeprefix(prefix)
        known[name] = value
    return {**known, "data": json.loads(body)}


def kafka(options: argparse.Namespace) -> Iterator[Event]:
    from confluent_kafka import Consumer

    known = {"bootstrap.servers": options.address, "group.id": "chronowatch-example", "auto.offset.reset": "earliest"}
    if options.user:
        known |= {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN"}
        known |= {"sasl.username": options.user, "sasl.password": options.password}
    reader = Consumer(known)
    reader.subscribe([options.source])
    while True:
        record = reader.poll(1.0)
        if record is None or record.error() is not None:
            continue
        headers = {name: value.decode() for name, value in record.headers() or ()}
        yield event_of(headers.pop("content-type", ""), headers, record.value())


def nats(options: argparse.Namespace) -> Iterator[Event]:
    import nats as client

    with asyncio.Runner() as runner:
        signed_in = {"user": options.user, "password": options.password} if options.user else {}
        connection = runner.run(client.connect(options.address, **signed_in))
        reader = runner.run(connection.jetstream().subscribe(options.source, ordered_consumer=True))
        while True:
            message = runner.run(reader.next_msg(timeout=None))
            headers = dict(message.headers or {})
            kind = headers.get("Content-Type") or headers.pop("ce-datacontenttype", "")
            attributes = {name: value for name, value in headers.items() if name.startswith("ce-")}
            yield event_of(kind, attributes, message.data)


def rabbitmq(options: argparse.Namespace) -> Iterator[Event]:
    import pika

    parameters = pika.URLParameters(options.address)
    if options.user:
        parameters.credentials = pika.PlainCredentials(options.user, options.password)
    channel = pika.BlockingConnection(parameters).channel()
    for method, properties, body in channel.consume(options.source):
        yield event_of(properties.content_type or "", properties.headers or {}, body)
        channel.basic_ack(method.delivery_tag)  # after the work: what was not acknowledged comes again


def mqtt(options: argparse.Namespace) -> Iterator[Event]:
    from paho.mqtt.client import Client, MQTTv5
    from paho.mqtt.enums import CallbackAPIVersion

    host, _, port = options.address.partition(":")
    came: queue.Queue[Any] = queue.Queue()
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
    if options.user:
        client.username_pw_set(options.user, options.password)
    client.on_connect = lambda *_: client.subscribe(options.source, qos=1)
    client.on_message = lambda _, __, message: came.put(message)
    client.connect(host, int(port or 1883))
    client.loop_start()
    while True:
        message = came.get()
        attributes = dict(getattr(message.properties, "UserProperty", ()))
        yield event_of(message.properties.ContentType, attributes, message.payload)


def redis(options: argparse.Namespace) -> Iterator[Event]:
    import redis as client

    connection, last = client.Redis.from_url(options.address), b"0"
    while True:
        for _, entries in connection.xread({options.source: last}, count=100, block=1000) or ():
            for last, fields in entries:  # noqa: B007 - the place to go on from
                yield event_of(STRUCTURED, {}, fields[b"event"])


READERS = {"kafka": kafka, "nats": nats, "rabbitmq": rabbitmq, "mqtt": mqtt, "redis": redis}


def main() -> None:
    parser = argparse.ArgumentParser(description="Reads firings from a broker and prints a line for each.")
    parser.add_argument("kind", choices=READERS)
    parser.add_argument("address")
    parser.add_argument("source", help="topic, subject, queue or stream")
    parser.add_argument("--user", default="")
    parser.add_argument("--password", default="")
    parser.add_argument("--count", type=int, default=0, help="end after so many firings; 0: never")
    options = parser.parse_args()
    seen: set[str] = set()
    for event in READERS[options.kind](options):
        if event["id"] in seen:
            continue
        seen.add(event["id"])  # keep this where your work is kept, so that both are done or neither is
        line = [event["id"], str(event.get("fencingtoken", "-")), event["time"], json.dumps(event.get("data"))]
        print(*line, flush=True)
        if len(seen) == options.count:
            return


if __name__ == "__main__":
    main()
