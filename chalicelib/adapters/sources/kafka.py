"""Records of a topic of Kafka. Workers share the partitions as one consumer group.

A group that is new begins where the trigger's source was set, and writes that down at once. So what comes while no
worker listens is read later, and what came before the trigger is not. Offsets are committed when what became of all
records before them is durable.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from chalicelib.adapters.brokers import kafka_client
from chalicelib.adapters.brokers.faults import BrokerAway, BrokerRefused
from chalicelib.adapters.brokers.kafka_client import SECRET_FIELDS, Refusal
from chalicelib.adapters.sources.source_parts import BATCH_MAX, CONNECT_S, SourceParts, access
from chalicelib.core.targets.kinds.kafka import PORTS
from chalicelib.core.triggers.messages import EventMessage
from chalicelib.core.triggers.trigger import Trigger
from chalicelib.ports.event_sources import EventConsumer, SourceProblem

SESSION_MS: Final = 10_000  # a worker that died loses its partitions after that
ASK_S: Final = 10.0
LOOK_BACK: Final = 100
LOOK_BACK_S: Final = 2.0
COMMIT_SLICE_S: Final = 0.1
BUFFERED_KB: Final = 4_096


class KafkaConsumer:
    """``EventConsumer`` of one topic. Callbacks run within its calls, in the thread of the caller."""

    def __init__(self, options: Mapping[str, Any], topic: str, since_ms: int) -> None:
        from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

        self._codes = KafkaError
        self._exception = KafkaException
        self._place = TopicPartition
        self._beginning = OFFSET_BEGINNING
        self._topic = topic
        self._since_ms = since_ms
        self._problems: deque[Any] = deque(maxlen=kafka_client.PROBLEMS_MAX)
        self._problem: Exception | None = None
        self._commits = 0  # without an answer yet
        self._commit_error: Any = None
        callbacks = {"error_cb": self._on_error, "on_commit": self._on_commit}
        self._consumer: Any = Consumer({**options, **callbacks, "log_level": 0})

    def advertised(self, monotonic_s: Callable[[], float], refusal: Refusal | None) -> list[str]:
        """The addresses of all brokers, as the cluster says them. Raises what ``faults`` names."""
        found = kafka_client.described(self._consumer, self._topic, CONNECT_S, monotonic_s, self._problems, refusal)
        if (problem := found.topics[self._topic].error) is not None:
            raise BrokerRefused(f"Kafka has no topic {self._topic}: {problem.str()}")
        return kafka_client.advertised(found)

    def begin(self) -> None:
        """Join the group; the first of it writes down where to begin. Raises what ``faults`` names."""
        try:
            known = self._committed()
            if all(offset < 0 for offset in known.values()):
                self._write_down(self._first_offsets(list(known)))
            self._consumer.subscribe([self._topic], on_assign=self._on_assign)
        except self._exception as error:
            raise self._of_asking(error.args[0]) from error

    def receive(self, timeout_s: float) -> Sequence[EventMessage]:
        """The first record that comes, and what is there already. Raises SourceProblem."""
        try:
            first = self._consumer.poll(timeout_s)
            records = [] if first is None else [first, *self._consumer.consume(BATCH_MAX - 1, 0)]
        except self._exception as error:
            raise SourceProblem(f"Kafka: {error.args[0].str()}") from error
        if self._problem is not None:
            raise SourceProblem(str(self._problem)) from self._problem
        if self._commit_error is not None:
            raise SourceProblem(f"Kafka: {self._commit_error.str()}")
        found = []
        for record in records:
            if (wrong := record.error()) is not None:
                raise SourceProblem(f"Kafka: {wrong.str()}")
            found.append(_message_of(record))
        return found

    def settle(self, messages: Sequence[EventMessage], done: Sequence[bool]) -> None:
        """Commit, in each partition, up to the first that is not done, and go back to that. A commit that fails is
        said by a later ``receive``."""
        reached: dict[int, int] = {}
        behind: dict[int, int] = {}
        for message, is_done in zip(messages, done, strict=True):
            partition, offset = message.handle
            if is_done and partition not in behind:
                reached[partition] = offset + 1
            elif not is_done:
                behind[partition] = min(offset, behind.get(partition, offset))
        try:
            if reached:
                self._commit(reached)
            for partition, offset in behind.items():
                self._consumer.seek(self._at(partition, offset))
        except self._exception as error:
            raise SourceProblem(f"Kafka: {error.args[0].str()}") from error

    def close(self) -> None:
        """Leave the group."""
        with contextlib.suppress(Exception):
            self._consumer.close()

    def _on_assign(self, consumer: Any, given: Sequence[Any]) -> None:
        """Where to go on in each partition; an error here would be lost in librdkafka."""
        try:
            known = self._committed()
            # A partition that the topic was given later has no offset: all of it is new.
            offsets = {place.partition: known.get(place.partition, -1) for place in given}
            places = [self._at(number, at if at >= 0 else self._beginning) for number, at in offsets.items()]
            consumer.assign(places)
        except self._exception as error:
            self._problem = BrokerAway(f"Kafka says not where to go on: {error.args[0].str()}")

    def _at(self, partition: int, offset: int = 0) -> Any:
        return self._place(self._topic, partition, offset)

    def _committed(self) -> dict[int, int]:
        partitions = self._consumer.list_topics(self._topic, ASK_S).topics[self._topic].partitions
        found = self._consumer.committed([self._at(number) for number in partitions], timeout=ASK_S)
        return {place.partition: place.offset for place in found}

    def _first_offsets(self, partitions: Sequence[int]) -> dict[int, int]:
        """Of the first record since the source was set, in each partition; its end where there is none."""
        found, unsure = {}, {}
        asked = [self._at(number, self._since_ms) for number in partitions]
        for place in self._consumer.offsets_for_times(asked, timeout=ASK_S):
            low, end = self._consumer.get_watermark_offsets(place, timeout=ASK_S)
            found[place.partition] = place.offset if place.offset >= 0 else end
            if place.offset < 0 and end > low:
                unsure[place.partition] = max(low, end - LOOK_BACK)
        # Some brokers keep no times. Those of the last records say whether this one does.
        self._consumer.assign([self._at(number, offset) for number, offset in unsure.items()])
        left = sum(found[number] - offset for number, offset in unsure.items())
        first: dict[int, int] = {}
        while left > 0 and (records := self._consumer.consume(left, LOOK_BACK_S)):
            left -= len(records)
            for record in records:
                if record.error() is None and record.timestamp()[1] >= self._since_ms:
                    first.setdefault(record.partition(), record.offset())
        self._consumer.unassign()
        return {**found, **first}

    def _write_down(self, offsets: Mapping[int, int]) -> None:
        self._commit(offsets)
        for _ in range(round(ASK_S / COMMIT_SLICE_S)):
            if self._commits == 0:
                break
            self._consumer.poll(COMMIT_SLICE_S)
            if self._problem is not None:
                raise self._problem
        else:
            raise self._exception(self._codes(self._codes._TIMED_OUT))
        wrong, self._commit_error = self._commit_error, None
        if wrong is not None and all(offset < 0 for offset in self._committed().values()):
            raise self._exception(wrong)  # else another worker was first

    def _commit(self, offsets: Mapping[int, int]) -> None:
        """Begin to commit: ``poll`` takes the answer. To wait for it in the call would be to wait without end, where
        the cluster dies at that moment."""
        self._commits += 1
        self._consumer.commit(offsets=[self._at(number, at) for number, at in offsets.items()], asynchronous=True)

    def _on_commit(self, error: Any, places: Sequence[Any]) -> None:
        self._commits -= 1
        self._commit_error = error or next((place.error for place in places if place.error), self._commit_error)

    def _on_error(self, error: Any) -> None:
        self._problems.append(error)
        if error.fatal() or error.code() == self._codes._ALL_BROKERS_DOWN:
            self._problem = self._of_asking(error)

    def _of_asking(self, error: Any) -> Exception:
        return kafka_client.of_asking(error, self._problems)


def _message_of(record: Any) -> EventMessage:
    headers = {name.lower(): _text(value) for name, value in record.headers() or () if value is not None}
    return EventMessage(
        body=record.value() or b"",
        place=f"{record.topic()}/{record.partition()}/{record.offset()}",
        headers=headers,
        content_type=headers.get("content-type", ""),
        handle=(record.partition(), record.offset()),
    )


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode(errors="replace")


def open_consumer(parts: SourceParts, trigger: Trigger) -> EventConsumer:
    """A consumer. Raises SourceProblem."""
    source = trigger.rules.source
    security = source.get("security") or {}
    ref, named = security.get("secret_ref"), "security.secret_ref"
    with access(parts, trigger, ref, source["brokers"], PORTS, fields=SECRET_FIELDS, named=named) as given:
        connected_by = given.peers, given.credentials, security, parts.ca_file
        options = {
            **kafka_client.connection_options(*connected_by),
            "group.id": source.get("group") or f"chronowatch-{trigger.id}",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",  # where the kept records begin later than what was read: none is passed
            "session.timeout.ms": SESSION_MS,
            "socket.timeout.ms": round(ASK_S * 1000),
            "queued.max.messages.kbytes": BUFFERED_KB,
        }
        consumer = KafkaConsumer(options, str(source["topic"]), trigger.since_ms)
        try:
            refusal = kafka_client.refusal_of(*connected_by)
            given.judge(consumer.advertised(parts.lent.monotonic_s, refusal))
            consumer.begin()
        except BaseException:
            consumer.close()
            raise
        return consumer
