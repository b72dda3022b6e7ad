"""What arrives on the event bus, seen through a queue that a rule fills, as any consumer would set it up."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import Any

from chalicelib.adapters.aws.clients import Clients

BUS = "chronowatch"


@dataclass(frozen=True)
class Arrival:
    """An event's detail, and when EventBridge handed it to the queue (unix milliseconds)."""

    detail: dict[str, Any]
    at_ms: int


class BusEar:
    """Hears the events of one detail type from now on, on a thread of its own."""

    def __init__(self, endpoint: str, detail_type: str) -> None:
        clients = Clients("us-east-1", endpoint)
        self._sqs, events = clients.get("sqs"), clients.get("events")
        name = f"ear-{detail_type.replace('.', '-')}"
        self._url = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        pattern = json.dumps({"source": ["chronowatch"], "detail-type": [detail_type]})
        events.put_rule(Name=name, EventBusName=BUS, EventPattern=pattern)
        events.put_targets(Rule=name, EventBusName=BUS, Targets=[{"Id": "ear", "Arn": arn}])
        self._lock = threading.Lock()
        self._heard: list[Arrival] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def heard(self) -> list[Arrival]:
        """Everything so far, in the order of arrival."""
        with self._lock:
            return sorted(self._heard, key=lambda a: a.at_ms)

    def close(self) -> None:
        """Stop listening."""
        self._stopping.set()
        self._thread.join(10)

    def _listen(self) -> None:
        while not self._stopping.is_set():
            answer = self._sqs.receive_message(
                QueueUrl=self._url, MaxNumberOfMessages=10, WaitTimeSeconds=1, MessageSystemAttributeNames=["All"]
            )
            messages = answer.get("Messages", [])
            found = [Arrival(json.loads(m["Body"])["detail"], int(m["Attributes"]["SentTimestamp"])) for m in messages]
            with self._lock:
                self._heard += found
            if messages:
                entries = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(messages)]
                self._sqs.delete_message_batch(QueueUrl=self._url, Entries=entries)
