"""Firings to EventBridge, SQS, SNS, Lambda and Step Functions.

Clients come as factories and are made when the first firing of their kind is prepared, so a worker pays only for the
services its schedules use. Their timeouts and retries are set where they are made: keep the read timeout short and
botocore's own retries off, since ``retry_policy`` decides about attempts.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from chalicelib.adapters.aws import failures
from chalicelib.adapters.aws.work_queue import SQS_BATCH_MAX
from chalicelib.core.targets.limits import EVENTS_BATCH_MAX
from chalicelib.ports.target import COMPLETED, Delivery, Outcome

Client = Any
ClientFactory = Callable[[], Client]

REQUEST_MAX_BYTES = 256 * 1024  # one call's messages together, and the largest single one: EventBridge, SQS and SNS
SNS_BATCH_MAX = 10
EXECUTION_NAME_MAX_CHARS = 80
SOURCE = "chronowatch"

_COMPLETED = Outcome(COMPLETED)
_Batch = Sequence[tuple[int, Delivery]]  # with each delivery's place among those that were given


class _Malformed(Exception):
    """Raised when a stored target lacks what its kind cannot do without."""


class _AwsTarget:
    """What the five share: a lazy client, and no exception that leaves ``dispatch``."""

    max_batch = 1

    def __init__(self, client: ClientFactory) -> None:
        self._client = client

    def prepare(self, delivery: Delivery) -> None:
        """Make the client, which takes tens of milliseconds the first time. Never raises; never sends."""
        with contextlib.suppress(Exception):
            self._client()

    def dispatch(self, deliveries: Sequence[Delivery]) -> list[Outcome]:
        """Send now, in as few calls as the service allows; one outcome each, in order."""
        outcomes: dict[int, Outcome] = {}
        for batch in self._batches(deliveries):
            try:
                sent = self._send([delivery for _, delivery in batch])
                if len(sent) != len(batch):
                    raise ValueError(f"the service answered for {len(sent)} of {len(batch)} entries")
            except _Malformed as error:
                sent = [failures.failed("rejected", str(error), permanent=True)] * len(batch)
            except Exception as error:
                sent = [failures.of_exception(error)] * len(batch)
            outcomes.update(zip((place for place, _ in batch), sent, strict=True))
        return [outcomes[place] for place in range(len(deliveries))]

    def cancel(self, execution_id: str) -> bool:
        """A call to AWS ends by itself within seconds; there is nothing to close."""
        return False

    def _group(self, delivery: Delivery) -> str:
        """Deliveries of one group may travel in one call."""
        return ""

    def _send(self, batch: Sequence[Delivery]) -> list[Outcome]:
        """One call to the service, of at most ``max_batch`` deliveries of one group. May raise what the client does."""
        raise NotImplementedError

    def _batches(self, deliveries: Sequence[Delivery]) -> Iterator[_Batch]:
        groups: dict[str, list[tuple[int, Delivery]]] = {}
        for place, delivery in enumerate(deliveries):
            groups.setdefault(self._group(delivery), []).append((place, delivery))
        for group in groups.values():
            yield from _cut(group, self.max_batch)


class EventBridgeTarget(_AwsTarget):
    """``{"type": "eventbridge", "bus"?}``: PutEvents, ten entries a call."""

    max_batch = EVENTS_BATCH_MAX

    def __init__(self, client: ClientFactory, *, default_bus: str) -> None:
        """``default_bus`` is CHRONO_EVENT_BUS; a target's ``"default"`` names the account's own."""
        super().__init__(client)
        self._default_bus = default_bus

    def _group(self, delivery: Delivery) -> str:
        return str(delivery.target.get("bus") or self._default_bus)

    def _send(self, batch: Sequence[Delivery]) -> list[Outcome]:
        bus = self._group(batch[0])
        entries = [
            {
                "EventBusName": bus,
                "Source": SOURCE,
                "DetailType": delivery.event_type,
                "Detail": delivery.event.decode(),
            }
            for delivery in batch
        ]
        answers = self._client().put_events(Entries=entries)["Entries"]
        return [_of_entry(answer) for answer in answers]


class SqsTarget(_AwsTarget):
    """``{"type": "sqs", "queue_url", "message_group_id"?}``: the CloudEvents object is the message's body."""

    max_batch = SQS_BATCH_MAX

    def _group(self, delivery: Delivery) -> str:
        return str(delivery.target.get("queue_url"))

    def _send(self, batch: Sequence[Delivery]) -> list[Outcome]:
        queue_url = _field(batch[0], "queue_url")
        entries = [
            {"Id": str(place), "MessageBody": delivery.event.decode(), **_ordering(queue_url, delivery)}
            for place, delivery in enumerate(batch)
        ]
        return _of_batch(self._client().send_message_batch(QueueUrl=queue_url, Entries=entries), len(batch))


class SnsTarget(_AwsTarget):
    """``{"type": "sns", "topic_arn"}``: the CloudEvents object is the message."""

    max_batch = SNS_BATCH_MAX

    def _group(self, delivery: Delivery) -> str:
        return str(delivery.target.get("topic_arn"))

    def _send(self, batch: Sequence[Delivery]) -> list[Outcome]:
        topic_arn = _field(batch[0], "topic_arn")
        entries = [
            {"Id": str(place), "Message": delivery.event.decode(), **_ordering(topic_arn, delivery)}
            for place, delivery in enumerate(batch)
        ]
        answer = self._client().publish_batch(TopicArn=topic_arn, PublishBatchRequestEntries=entries)
        return _of_batch(answer, len(batch))


class LambdaTarget(_AwsTarget):
    """``{"type": "lambda", "function"}``: an asynchronous invocation; Lambda's 202 means that it took the event."""

    def _send(self, batch: Sequence[Delivery]) -> list[Outcome]:
        delivery = batch[0]
        function = _field(delivery, "function")
        answer = self._client().invoke(FunctionName=function, InvocationType="Event", Payload=delivery.event)
        return [Outcome(COMPLETED, int(answer["StatusCode"]))]


class StepFunctionsTarget(_AwsTarget):
    """``{"type": "stepfunctions", "state_machine_arn"}``: one run a delivery, named after execution and attempt."""

    def _send(self, batch: Sequence[Delivery]) -> list[Outcome]:
        delivery = batch[0]
        client = self._client()
        # The name is this attempt's own: when it exists, an earlier call started it and its answer was lost.
        with contextlib.suppress(client.exceptions.ExecutionAlreadyExists):
            client.start_execution(
                stateMachineArn=_field(delivery, "state_machine_arn"),
                name=run_name(delivery.execution_id, delivery.attempt),
                input=delivery.event.decode(),
            )
        return [_COMPLETED]


def run_name(execution_id: str, attempt: int) -> str:
    """The name of a state machine's run: the same for the same attempt, so that it cannot start twice."""
    name = f"{execution_id}-{attempt}"
    if len(name) <= EXECUTION_NAME_MAX_CHARS:
        return name
    digest = hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
    return f"{name[: EXECUTION_NAME_MAX_CHARS - len(digest) - 1]}-{digest}"


def _field(delivery: Delivery, name: str) -> str:
    value = delivery.target.get(name)
    if not isinstance(value, str) or not value:
        raise _Malformed(f"target.{name}: must be a string")
    return value


def _cut(group: Sequence[tuple[int, Delivery]], max_count: int) -> Iterator[_Batch]:
    """Batches within the count and the bytes of one call. One that is too large alone goes alone, and is refused."""
    batch: list[tuple[int, Delivery]] = []
    size_bytes = 0
    for item in group:
        item_bytes = len(item[1].event) + len(SOURCE) + len(item[1].event_type)
        if batch and (len(batch) == max_count or size_bytes + item_bytes > REQUEST_MAX_BYTES):
            yield batch
            batch, size_bytes = [], 0
        batch.append(item)
        size_bytes += item_bytes
    if batch:
        yield batch


def _ordering(destination: str, delivery: Delivery) -> dict[str, str]:
    """Group and deduplication id. A FIFO destination without a group of its own keeps each schedule in order."""
    group_id = delivery.target.get("message_group_id")
    if not destination.endswith(".fifo"):
        return {"MessageGroupId": str(group_id)} if group_id else {}
    return {
        "MessageGroupId": str(group_id or delivery.schedule_id),
        "MessageDeduplicationId": f"{delivery.execution_id}-{delivery.attempt}",
    }


def _of_entry(answer: Mapping[str, Any]) -> Outcome:
    code = answer.get("ErrorCode")
    return failures.of_code(str(code), str(answer.get("ErrorMessage", ""))) if code else _COMPLETED


def _of_batch(answer: Mapping[str, Any], count: int) -> list[Outcome]:
    """SQS and SNS name what went in and what did not; an entry they forgot to mention was not delivered."""
    unknown = failures.failed("internal_error", "the service's answer did not mention this message")
    outcomes = [unknown] * count
    for entry in answer.get("Successful", ()):
        outcomes[int(entry["Id"])] = _COMPLETED
    for entry in answer.get("Failed", ()):
        outcomes[int(entry["Id"])] = failures.of_code(entry["Code"], entry.get("Message", ""))
    return outcomes
