"""What the senders to AWS services share: a client made late, calls of a bounded size, and no exception that leaves.

Clients come as factories and are made when the first firing of their kind is prepared. So a worker pays only for the
services its schedules use. Their timeouts and retries are set where they are made. Keep the read timeout short and
botocore's own retries off, since ``retry_policy`` decides about attempts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from chalicelib.adapters.aws import failures, sending
from chalicelib.adapters.aws.clients import ClientFactory
from chalicelib.ports.target import COMPLETED, Delivery, Outcome

REQUEST_MAX_BYTES = 256 * 1024  # one call's messages together, and the largest single one: EventBridge, SQS and SNS
SOURCE = "chronowatch"

DONE = Outcome(COMPLETED)
_Batch = Sequence[tuple[int, Delivery]]  # with each delivery's place among those that were given


class _Malformed(Exception):
    """Raised when a stored target lacks what its kind cannot do without."""


class AwsSender:
    """A sender to one service. Of its kind it has ``max_batch``."""

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
                with sending.listening(batch[0][1].sent):  # all of a dispatch have one place among those that send
                    sent = self._send([delivery for _, delivery in batch])
                if len(sent) != len(batch):
                    raise ValueError(f"the service answered for {len(sent)} of {len(batch)} entries")
            except _Malformed as error:
                sent = [failures.failed("rejected", str(error), permanent=True)] * len(batch)
            except Exception as error:
                sent = [failures.of_exception(error)] * len(batch)
            outcomes.update(zip((place for place, _ in batch), sent, strict=True))
        return [outcomes[place] for place in range(len(deliveries))]

    def cancel(self, execution_id: str, attempt: int) -> bool:
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


def field_of(delivery: Delivery, name: str) -> str:
    """A field that the kind cannot do without. Raises _Malformed."""
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


def ordering(destination: str, delivery: Delivery) -> dict[str, str]:
    """Group and deduplication id. A FIFO destination without a group of its own keeps each schedule in order."""
    group_id = delivery.target.get("message_group_id")
    if not destination.endswith(".fifo"):
        return {"MessageGroupId": str(group_id)} if group_id else {}
    return {
        "MessageGroupId": str(group_id or delivery.schedule_id),
        "MessageDeduplicationId": f"{delivery.execution_id}-{delivery.attempt}",
    }


def outcomes_of_batch(answer: Mapping[str, Any], count: int) -> list[Outcome]:
    """SQS and SNS name what went in and what did not; an entry they forgot to mention was not delivered."""
    unknown = failures.failed("internal_error", "the service's answer did not mention this message")
    outcomes = [unknown] * count
    for entry in answer.get("Successful", ()):
        outcomes[int(entry["Id"])] = DONE
    for entry in answer.get("Failed", ()):
        outcomes[int(entry["Id"])] = failures.of_code(entry["Code"], entry.get("Message", ""))
    return outcomes
