"""The work queue and the dead-letter queue on SQS, and the shape in which Lambda hands messages over."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from chalicelib.adapters.aws import clients
from chalicelib.adapters.aws.clients import ClientFactory
from chalicelib.adapters.machine.combining import Combiner
from chalicelib.core import queue_messages
from chalicelib.core.batches import chunks
from chalicelib.core.errors import OutcomeUnknown, Unavailable
from chalicelib.core.limits import QUEUE_DELAY_MAX_S, QUEUE_HIDES_S
from chalicelib.ports.work_queue import Incoming, Outgoing

SQS_BATCH_MAX: Final = 10  # messages in one call
SQS_DELAY_MAX_S: Final = 900

_GROUP_ID: Final = re.compile(r"[!-~]{1,128}")

assert QUEUE_DELAY_MAX_S <= SQS_DELAY_MAX_S


class SqsQueue:
    """``WorkQueue`` over two standard queues, given by name and looked up when first used."""

    def __init__(self, client: ClientFactory, work: str, dead: str) -> None:
        self._client = client
        self._work = work
        self._dead = dead
        self._urls: dict[str, str] = {}
        self._hides: Combiner[tuple[str, int], None] = Combiner(self._hide, SQS_BATCH_MAX)

    @classmethod
    def of_stage(cls, client: ClientFactory, stage: str, work: str = "work") -> SqsQueue:
        """The queues of ``stage``, as ``infra.state`` names them."""
        return cls(client, clients.resource_name(stage, work), clients.resource_name(stage, "dead"))

    def send(self, messages: Sequence[Outgoing]) -> None:
        """Queue messages; entries that SQS refuses are sent once more.

        Raises Unavailable when none, OutcomeUnknown when any number of them may have been queued.
        """
        sent_before = False
        for some in chunks(messages, SQS_BATCH_MAX):
            self._send_batch(some, sent_before)
            sent_before = True

    def _send_batch(self, messages: Sequence[Outgoing], sent_before: bool) -> None:
        entries = [_entry(place, outgoing) for place, outgoing in enumerate(messages)]
        refused = self._send(entries, {}, sent_before)
        if refused:
            first = next(iter(refused.values()))
            sent_before = sent_before or len(refused) < len(entries) or _may_be_queued(first)
            again = self._send([entry for entry in entries if entry["Id"] in refused], refused, sent_before)
            _raise_refused(again, sent_before or len(again) < len(refused))

    def hide(self, handles: Sequence[str], for_s: int) -> None:
        """Change when received messages become visible again. Raises Unavailable."""
        for some in chunks(handles, SQS_BATCH_MAX):
            self._hides.call([(handle, for_s) for handle in some])

    def _hide(self, some: Sequence[tuple[str, int]]) -> list[None]:
        client, url = self._client(), self._url(self._work)
        entries = [
            {"Id": str(place), "ReceiptHandle": handle, "VisibilityTimeout": for_s}
            for place, (handle, for_s) in enumerate(some)
        ]
        clients.write(lambda: client.change_message_visibility_batch(QueueUrl=url, Entries=entries))
        return [None] * len(some)

    def send_dead(self, execution_id: str, event: str, reason: str) -> None:
        """Put the CloudEvent of an execution that is out of attempts on the dead-letter queue, as the body. The id and
        the reason are message attributes."""
        client, url = self._client(), self._url(self._dead)
        attributes = {
            name: {"DataType": "String", "StringValue": value or "-"}
            for name, value in (("execution_id", execution_id), ("reason", reason))
        }
        clients.write(lambda: client.send_message(QueueUrl=url, MessageBody=event, MessageAttributes=attributes))

    def _send(
        self, entries: Sequence[Mapping[str, Any]], before: Mapping[str, Any], sent_before: bool = False
    ) -> dict[str, Mapping[str, Any]]:
        """Send entries in one call; those refused, by id."""
        if not entries:
            return {}
        client, url = self._client(), self._url(self._work)
        try:
            answer = clients.write(lambda: client.send_message_batch(QueueUrl=url, Entries=list(entries)))
        except OutcomeUnknown:
            raise
        except Unavailable as error:
            if sent_before:
                raise OutcomeUnknown(error.detail) from error
            raise
        return {str(failure["Id"]): failure for failure in answer.get("Failed", ())}

    def _url(self, name: str) -> str:
        url = self._urls.get(name)
        if url is None:
            client = self._client()
            url = self._urls[name] = str(clients.read(lambda: client.get_queue_url(QueueName=name))["QueueUrl"])
        return url


def _entry(place: int, outgoing: Outgoing) -> dict[str, Any]:
    assert 0 <= outgoing.delay_s <= QUEUE_DELAY_MAX_S
    return {
        "Id": str(place),
        "MessageBody": queue_messages.encode(outgoing.message),
        "DelaySeconds": outgoing.delay_s,
        "MessageGroupId": _group_id(queue_messages.fair_group(outgoing.message)),
    }


def _group_id(group: str) -> str:
    """SQS lets a tenant with many messages hold up no other, where messages say whose they are: it then is a fair
    queue. A name that SQS would refuse is given by its digest."""
    return group if _GROUP_ID.fullmatch(group) else hashlib.sha256(group.encode()).hexdigest()


def _may_be_queued(failure: Mapping[str, Any]) -> bool:
    """A fault of the service, which does not say whether the message is durable; a refusal does."""
    return not failure.get("SenderFault", False) and failure.get("Code") == "InternalError"


def _raise_refused(refused: Mapping[str, Mapping[str, Any]], some_queued: bool) -> None:
    if not refused:
        return
    failure = next(iter(refused.values()))
    text = f"{len(refused)} messages were refused: {failure.get('Code')} {failure.get('Message', '')}"
    if some_queued or any(_may_be_queued(f) for f in refused.values()):
        raise OutcomeUnknown(text)
    raise Unavailable(text)


def parse_event(event: Mapping[str, Any]) -> list[Incoming]:
    """The messages of a Lambda event from SQS; ``receipt`` is what ``batchItemFailures`` calls ``itemIdentifier``."""
    return [
        Incoming(
            receipt=str(record["messageId"]),
            body=str(record["body"]),
            receives=int(record.get("attributes", {}).get("ApproximateReceiveCount", 1)),
            handle=str(record.get("receiptHandle", "")),
            hidden_s=int(record.get("attributes", {}).get("VisibilityTimeout", QUEUE_HIDES_S)),
        )
        for record in event.get("Records", ())
    ]
