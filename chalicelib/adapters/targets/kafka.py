"""Firings to Kafka: the delivery report of the very record completes a delivery, and nothing else does.

``flush`` is no proof: it answers 0 when a record was given up. A cluster advertises its brokers, and librdkafka follows
that; so each advertised address is judged before a record is handed over.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, Final

from chalicelib.adapters.brokers import kafka_client
from chalicelib.adapters.brokers.addresses import BrokerPeer
from chalicelib.adapters.brokers.credentials import BrokerCredentials
from chalicelib.adapters.brokers.faults import UNKNOWN, BrokerAway, BrokerRefused, BrokerSilent, SignInRefused
from chalicelib.adapters.brokers.links import BrokerLink, Receipt
from chalicelib.adapters.brokers.sender import ANSWER_MAX_S, BrokerSender
from chalicelib.adapters.targets.target_parts import TargetParts
from chalicelib.core.targets.event_modes import encode
from chalicelib.core.targets.kinds.kafka import KIND, PORTS
from chalicelib.ports.target import Delivery

RECORD_MAX_BYTES: Final = 1_000_000_000  # the topic's own bound decides
POLL_S: Final = 0.05
TOPIC_KNOWN_S: Final = 60.0


class KafkaSender(BrokerSender):
    """Produces firings."""

    max_batch = KIND.max_batch
    ports = PORTS
    secret_fields = kafka_client.SECRET_FIELDS
    ref_named = "security.secret_ref"

    def _addresses(self, target: Mapping[str, object]) -> Sequence[str]:
        brokers = target.get("brokers")
        return [str(broker) for broker in brokers] if isinstance(brokers, list | tuple) else ()

    def _secret_ref(self, target: Mapping[str, object]) -> object:
        return _security(target).get("secret_ref")

    def _options(self, target: Mapping[str, object]) -> Hashable:
        return target.get("acks"), tuple(sorted((name, str(value)) for name, value in _security(target).items()))

    def _connect(
        self,
        peers: Sequence[BrokerPeer],
        credentials: BrokerCredentials,
        target: Mapping[str, object],
        timeout_s: float,
    ) -> BrokerLink:
        all_replicas = target.get("acks") != "leader"
        options = {
            **kafka_client.connection_options(peers, credentials, _security(target), self._ca_file),
            "acks": "all" if all_replicas else "1",
            "enable.idempotence": all_replicas,
            "delivery.timeout.ms": round(ANSWER_MAX_S * 1000),
            "message.max.bytes": RECORD_MAX_BYTES,
            "linger.ms": 1,
        }
        refusal = kafka_client.refusal_of(peers, credentials, _security(target), self._ca_file)
        topic = str(target.get("topic", ""))
        return _KafkaLink(options, self._judge_advertised, refusal, self._monotonic_s, topic, timeout_s)

    def _judge_advertised(self, addresses: Sequence[str], timeout_s: float) -> None:
        self._judged(addresses, self._monotonic_s() + timeout_s)


class _KafkaLink:
    def __init__(
        self,
        options: Mapping[str, Any],
        judge: Callable[[Sequence[str], float], None],
        refusal: kafka_client.Refusal | None,
        monotonic_s: Callable[[], float],
        topic: str,
        timeout_s: float,
    ) -> None:
        from confluent_kafka import KafkaException, Producer

        self._exception = KafkaException
        self._judge = judge
        self._refusal = refusal
        self._monotonic_s = monotonic_s
        self._problems: deque[Any] = deque(maxlen=kafka_client.PROBLEMS_MAX)
        self._known: dict[str, float] = {}
        self._fatal = False
        self._closed = threading.Event()
        # The callback runs in ``poll``, and in the preflight.
        self._producer = Producer({**options, "error_cb": self._on_error, "log_level": 0})
        self._thread = threading.Thread(target=self._poll, daemon=True, name="kafka")
        self._thread.start()
        try:
            self._check_topic(topic, timeout_s)
        except BaseException:
            self.close()
            raise

    def publish(self, delivery: Delivery, timeout_s: float) -> Receipt:
        target, encoded = delivery.target, encode(delivery.event, delivery.target.get("mode"))
        topic = str(target.get("topic", ""))
        began_s = self._monotonic_s()
        self._check_topic(topic, timeout_s)
        report: Future[tuple[int, int]] = Future()
        headers = {**encoded.headers("ce_"), "content-type": encoded.content_type}
        try:
            self._producer.produce(
                topic,
                encoded.body,
                str(target.get("key") or delivery.schedule_id),
                headers=[(name, value.encode()) for name, value in headers.items()],
                on_delivery=lambda error, record: self._on_report(report, error, record),
            )
        except BufferError:
            raise BrokerAway("too many records wait for Kafka") from None
        except self._exception as error:
            raise meaning(error.args[0], len(encoded.body), topic) from None
        try:
            partition, offset = report.result(max(0.001, timeout_s - (self._monotonic_s() - began_s)))
        except FutureTimeout:
            self._fatal = True  # else the record might be sent yet, after this attempt's end
            raise BrokerSilent(f"Kafka: {UNKNOWN}") from None
        except _Report as answer:
            self._fatal = self._fatal or answer.args[0].fatal()
            raise meaning(answer.args[0], len(encoded.body), topic) from None
        return {"partition": partition, "offset": offset}

    def is_open(self) -> bool:
        return not self._fatal and not self._closed.is_set()

    def close(self) -> None:
        self._fatal = True
        with contextlib.suppress(Exception):
            self._producer.purge()
        self._closed.set()

    def _poll(self) -> None:
        while not self._closed.is_set():
            self._producer.poll(POLL_S)
        self._producer.poll(0)  # reports of what was purged

    def _on_error(self, error: Any) -> None:
        self._problems.append(error)
        self._fatal = self._fatal or error.fatal()

    def _on_report(self, report: Future[tuple[int, int]], error: Any, record: Any) -> None:
        if error is None:
            report.set_result((record.partition(), record.offset()))
        else:
            report.set_exception(_Report(error))

    def _check_topic(self, topic: str, timeout_s: float) -> None:
        """Ask the cluster for the topic, now and then, and judge all the addresses that it advertises."""
        if self._monotonic_s() - self._known.get(topic, -TOPIC_KNOWN_S) < TOPIC_KNOWN_S:
            return
        try:
            found = kafka_client.described(
                self._producer, topic, timeout_s, self._monotonic_s, self._problems, self._refusal
            )
        except (BrokerAway, BrokerRefused):
            self._fatal = True
            raise
        self._judge(kafka_client.advertised(found), timeout_s)
        if (problem := found.topics[topic].error) is not None:
            raise meaning(problem, 0, topic)
        self._known[topic] = self._monotonic_s()


class _Report(Exception):
    """A delivery report with an error."""


def meaning(error: Any, size: int, topic: str) -> Exception:
    """An error of librdkafka in the language of ``faults``; ``size`` is that of the record."""
    from confluent_kafka import KafkaError as codes

    code = error.code()
    if code == codes.MSG_SIZE_TOO_LARGE:
        return BrokerRefused(f"the record of {size} bytes is above max.message.bytes of the topic {topic}")
    if code in (codes.UNKNOWN_TOPIC_OR_PART, codes._UNKNOWN_TOPIC, codes._UNKNOWN_PARTITION):
        return BrokerRefused(f"Kafka has no topic {topic}")
    if code in (
        codes.TOPIC_AUTHORIZATION_FAILED,
        codes.CLUSTER_AUTHORIZATION_FAILED,
        codes.TOPIC_EXCEPTION,
        codes.INVALID_RECORD,
        codes.POLICY_VIOLATION,
        codes._INVALID_ARG,
    ):
        return BrokerRefused(f"Kafka refused it: {error.str()}")
    if code in (codes.SASL_AUTHENTICATION_FAILED, codes._AUTHENTICATION):
        return SignInRefused(f"Kafka refused the credentials: {error.str()}")
    if code in (codes._MSG_TIMED_OUT, codes._TIMED_OUT, codes.REQUEST_TIMED_OUT):
        return BrokerSilent(f"Kafka: {UNKNOWN}")
    return BrokerAway(f"Kafka did not take it: {error.str()}")


def _security(target: Mapping[str, object]) -> Mapping[str, Any]:
    security = target.get("security")
    return security if isinstance(security, Mapping) else {}


def make(parts: TargetParts) -> KafkaSender:
    """The sender of a process."""
    return KafkaSender(parts)
