"""Messages of a queue of SQS. One that no consumer has deleted becomes visible again by itself."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

from chalicelib.adapters.sources.source_parts import SourceParts
from chalicelib.core.triggers import sources
from chalicelib.core.triggers.messages import EventMessage
from chalicelib.core.triggers.trigger import Trigger
from chalicelib.ports.event_sources import EventConsumer, SourceProblem

log = logging.getLogger(__name__)

CALL_MAX: Final = 10
LONG_POLL_S: Final = 5
HIDDEN_S: Final = 60  # a message of a worker that died comes again after that
AGAIN_S: Final = 2


class SqsConsumer:
    """``EventConsumer`` of one queue."""

    def __init__(self, client: Any, queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url

    def receive(self, timeout_s: float) -> Sequence[EventMessage]:
        """Some messages. A call costs money however short it is, so it waits longer than it is asked to."""
        answer = self._call(
            "receive_message",
            MaxNumberOfMessages=CALL_MAX,
            WaitTimeSeconds=max(LONG_POLL_S, int(timeout_s)),
            VisibilityTimeout=HIDDEN_S,
            MessageAttributeNames=["All"],
        )
        return [message_of(found) for found in answer.get("Messages", ())]

    def settle(self, messages: Sequence[EventMessage], done: Sequence[bool]) -> None:
        """Delete what is done, and let the others come again soon."""
        settled = [m for m, is_done in zip(messages, done, strict=True) if is_done]
        again = [m for m, is_done in zip(messages, done, strict=True) if not is_done]
        if settled:
            self._batch("delete_message_batch", settled, {})
        if again:
            self._batch("change_message_visibility_batch", again, {"VisibilityTimeout": AGAIN_S})

    def close(self) -> None:
        """Nothing is held but messages, which come again."""

    def _batch(self, operation: str, messages: Sequence[EventMessage], more: dict[str, Any]) -> None:
        entries = [{"Id": str(n), "ReceiptHandle": m.handle, **more} for n, m in enumerate(messages)]
        for failed in self._call(operation, Entries=entries).get("Failed", ()):
            log.warning("a message of %s comes again: %s", self._queue_url, failed.get("Message"))

    def _call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = getattr(self._client, operation)(QueueUrl=self._queue_url, **arguments)
        except Exception as problem:  # botocore makes its classes of errors as they come
            raise SourceProblem(f"{self._queue_url}: {problem}") from problem
        return answer


def message_of(found: dict[str, Any]) -> EventMessage:
    """A message as ReceiveMessage answers it."""
    attributes = found.get("MessageAttributes") or {}
    headers = {name.lower(): a["StringValue"] for name, a in attributes.items() if a.get("StringValue") is not None}
    return EventMessage(
        body=found["Body"].encode(),
        place=found["MessageId"],
        headers=headers,
        content_type=headers.get("content-type", ""),
        handle=found["ReceiptHandle"],
    )


def open_consumer(parts: SourceParts, trigger: Trigger) -> EventConsumer:
    """A consumer. Raises SourceProblem."""
    queue_url = str(trigger.rules.source["queue_url"])
    if problem := sources.queue_problem(queue_url, parts.queues, parts.stage):
        raise SourceProblem(f"{queue_url} {problem}")
    return SqsConsumer(parts.lent.client("sqs")(), queue_url)
