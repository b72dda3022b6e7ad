"""What the AWS targets make of batches, sizes and errors; tests/contract/test_targets.py makes the calls themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)
from msgspec.structs import replace

from chalicelib.adapters.aws import sending
from chalicelib.adapters.targets.aws_lambda import LambdaSender
from chalicelib.adapters.targets.eventbridge import EventBridgeSender
from chalicelib.adapters.targets.sns import SnsSender
from chalicelib.adapters.targets.sqs import SqsSender
from chalicelib.adapters.targets.stepfunctions import StepFunctionsSender, run_name
from chalicelib.ports.target import ERROR_TYPES, Delivery, Outcome


class Fake:
    """A client whose every method answers by ``answer`` and is written down."""

    def __init__(self, answer: Callable[..., Any]) -> None:
        self.answer = answer
        self.calls: list[tuple[str, dict[str, Any]]] = []

    class exceptions:
        class ExecutionAlreadyExists(Exception):
            """As Step Functions' client has it."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            self.calls.append((name, arguments))
            return self.answer(**arguments)

        return call


def fails(error: Exception) -> Callable[..., Any]:
    def answer(**_arguments: Any) -> Any:
        raise error

    return answer


def fault(code: str, status: int = 400) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "Call")


def delivery(number: int = 1, *, event: bytes = b"{}", **target: object) -> Delivery:
    return Delivery(
        execution_id=f"01KB-{number}",
        tenant="default",
        schedule_id="01KB",
        firing_unix_ms=1_795_252_805_000,
        attempt=2,
        fencing_token=3,
        target=target,
        event=event,
        traceparent="",
        timeout_ms=30_000,
    )


def accept(**arguments: Any) -> Any:
    entries = arguments.get("Entries") or arguments["PublishBatchRequestEntries"]
    if "Id" not in entries[0]:
        return {"Entries": [{"EventId": "e"} for _ in entries]}
    return {"Successful": [{"Id": entry["Id"]} for entry in reversed(entries)]}


def test_firings_of_one_bus_share_a_call_and_keep_their_places():
    client = Fake(accept)
    target = EventBridgeSender(lambda: client, default_bus="chronowatch")
    deliveries = [delivery(n, **({"bus": "default"} if n % 2 else {})) for n in range(24)]
    assert target.dispatch(deliveries) == [Outcome("completed")] * 24
    sizes = [(call["Entries"][0]["EventBusName"], len(call["Entries"])) for _, call in client.calls]
    assert sizes == [("chronowatch", 10), ("chronowatch", 2), ("default", 10), ("default", 2)]


def test_firings_are_told_to_be_sent_when_their_call_is_written_and_not_when_it_is_answered():
    told: list[str] = []

    def answer(**arguments: Any) -> Any:
        sending.written()
        told.append("answered")
        return accept(**arguments)

    target = EventBridgeSender(lambda: Fake(answer), default_bus="chronowatch")
    several = [replace(delivery(n), sent=lambda: told.append("sent")) for n in range(3)]
    assert target.dispatch(several) == [Outcome("completed")] * 3
    assert told == ["sent", "answered"]


@pytest.mark.parametrize("kind", ["eventbridge", "sqs", "sns"])
def test_a_call_carries_no_more_than_256_kib(kind: str):
    client = Fake(accept)
    target = {
        "eventbridge": EventBridgeSender(lambda: client, default_bus="b"),
        "sqs": SqsSender(lambda: client),
        "sns": SnsSender(lambda: client),
    }[kind]
    big = b'"' + b"x" * 100_000 + b'"'
    deliveries = [delivery(n, event=big, queue_url="q", topic_arn="t") for n in range(5)]
    assert target.dispatch(deliveries) == [Outcome("completed")] * 5
    assert len(client.calls) == 3


def test_an_entry_that_failed_does_not_fail_its_neighbours():
    def answer(**_arguments: Any) -> Any:
        return {
            "FailedEntryCount": 2,
            "Entries": [
                {"EventId": "e"},
                {"ErrorCode": "ThrottlingException", "ErrorMessage": "slow down"},
                {"ErrorCode": "MalformedDetail", "ErrorMessage": "no"},
            ],
        }

    outcomes = EventBridgeSender(lambda: Fake(answer), default_bus="b").dispatch([delivery(n) for n in range(3)])
    assert outcomes == [
        Outcome("completed"),
        Outcome("failed", None, "http_error", "ThrottlingException: slow down"),
        Outcome("failed", None, "rejected", "MalformedDetail: no", permanent=True),
    ]


def test_messages_that_failed_or_were_forgotten():
    def answer(**_arguments: Any) -> Any:
        failed = {"Id": "2", "Code": "InternalError", "Message": "oops", "SenderFault": False}
        return {"Successful": [{"Id": "1"}], "Failed": [failed]}

    for target in (SqsSender(lambda: Fake(answer)), SnsSender(lambda: Fake(answer))):
        forgotten, sent, failed = target.dispatch([delivery(n, queue_url="q", topic_arn="t") for n in range(3)])
        assert forgotten.error_type == "internal_error"
        assert sent == Outcome("completed")
        assert (failed.error_type, failed.permanent) == ("http_error", False)


def test_an_answer_for_fewer_entries_is_an_error_for_all():
    target = EventBridgeSender(lambda: Fake(lambda **_: {"Entries": [{}]}), default_bus="b")
    assert [outcome.error_type for outcome in target.dispatch([delivery(1), delivery(2)])] == ["internal_error"] * 2


@pytest.mark.parametrize(
    ("queue_url", "group", "ordering"),
    [
        ("https://q/plain", None, {}),
        ("https://q/plain", "g", {"MessageGroupId": "g"}),
        ("https://q/x.fifo", None, {"MessageGroupId": "01KB", "MessageDeduplicationId": "01KB-1-2"}),
        ("https://q/x.fifo", "g", {"MessageGroupId": "g", "MessageDeduplicationId": "01KB-1-2"}),
    ],
)
def test_fifo_queues(queue_url: str, group: str | None, ordering: dict[str, str]):
    client = Fake(accept)
    SqsSender(lambda: client).dispatch([delivery(queue_url=queue_url, message_group_id=group)])
    ((_, call),) = client.calls
    assert call["Entries"] == [{"Id": "0", "MessageBody": "{}", **ordering}]


@pytest.mark.parametrize(
    ("error", "error_type", "permanent"),
    [
        (fault("ThrottlingException"), "http_error", False),
        (fault("TooManyRequestsException", 429), "http_error", False),
        (fault("RequestLimitExceeded", 503), "http_error", False),
        (fault("ExpiredTokenException", 403), "http_error", False),
        (fault("InternalFailure", 500), "http_error", False),
        (fault("SomethingNew", 502), "http_error", False),
        (fault("AccessDeniedException", 403), "rejected", True),
        (fault("ResourceNotFoundException", 404), "rejected", True),
        (fault("AWS.SimpleQueueService.NonExistentQueue"), "rejected", True),
        (fault("ValidationException"), "rejected", True),
        (fault("RequestEntityTooLargeException", 413), "rejected", True),
        (ParamValidationError(report="wrong"), "rejected", True),
        (EndpointConnectionError(endpoint_url="http://x"), "connection_error", False),
        (ConnectTimeoutError(endpoint_url="http://x"), "connection_error", False),
        (ReadTimeoutError(endpoint_url="http://x"), "timeout", False),
        (NoCredentialsError(), "internal_error", False),
        (RuntimeError("bug"), "internal_error", False),
    ],
)
def test_errors_of_a_call(error: Exception, error_type: str, permanent: bool):
    client = Fake(fails(error))
    fields = {"queue_url": "q", "topic_arn": "t", "function": "f", "state_machine_arn": "s"}
    for target in (
        EventBridgeSender(lambda: client, default_bus="b"),
        SqsSender(lambda: client),
        SnsSender(lambda: client),
        LambdaSender(lambda: client),
        StepFunctionsSender(lambda: client),
    ):
        outcomes = target.dispatch([delivery(1, **fields), delivery(2, **fields)])
        assert [(each.kind, each.error_type, each.permanent) for each in outcomes] == [
            ("failed", error_type, permanent)
        ] * 2
        assert error_type in ERROR_TYPES


def test_a_client_that_cannot_be_made_is_an_outcome_too():
    def broken() -> Any:
        raise RuntimeError("no region")

    target = LambdaSender(broken)
    target.prepare(delivery())
    assert target.dispatch([delivery(function="f")])[0].error_type == "internal_error"
    assert target.dispatch([]) == []


def test_a_target_without_its_field_is_an_outcome_too():
    client = Fake(accept)
    for target in (SqsSender(lambda: client), SnsSender(lambda: client), LambdaSender(lambda: client)):
        assert [each.error_type for each in target.dispatch([delivery(1), delivery(2)])] == ["rejected"] * 2
    assert client.calls == []


def test_a_run_is_named_after_its_attempt():
    assert run_name("01KB-1795252805000-m", 3) == "01KB-1795252805000-m-3"
    long = run_name("x" * 100, 1)
    assert len(long) == 80
    assert long != run_name("x" * 100, 2)
