"""Calls that the emulator as we start it answers by a short way: the answers are those of its own way. A call that
wants its connection closed goes that way, so each case is asked both ways."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from chalicelib.adapters.aws.clients import Clients

pytestmark = pytest.mark.emulator
SIGNED = "AWS4-HMAC-SHA256 Credential=local/20261127/us-east-1/x/aws4_request, SignedHeaders=host, Signature=0"
KEY = {"pk": {"S": "a"}, "sk": {"S": "b"}}
OF_EACH_CALL = frozenset({"date", "x-amzn-requestid", "x-amz-request-id", "x-amz-id-2", "connection"})


class Answer(NamedTuple):
    """What is the same in two answers to one call."""

    status: int
    headers: dict[str, str]
    body: Any


class Places(NamedTuple):
    """What the calls are about."""

    endpoint: str
    table: str
    queue_url: str


@pytest.fixture
def places(clients: Clients) -> Iterator[Places]:
    name = f"calls-{uuid.uuid4().hex[:8]}"
    dynamodb, sqs = clients.get("dynamodb"), clients.get("sqs")
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": part, "AttributeType": "S"} for part in ("pk", "sk")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    )
    dynamodb.put_item(TableName=name, Item={**KEY, "word": {"S": "Grüße"}})
    queue_url = sqs.create_queue(QueueName=name)["QueueUrl"]
    yield Places(dynamodb.meta.endpoint_url, name, queue_url)
    sqs.delete_queue(QueueUrl=queue_url)
    dynamodb.delete_table(TableName=name)


def ask(
    endpoint: str, target: str, body: bytes, more: Mapping[str, str] = {}, connection: HTTPConnection | None = None
) -> Answer:
    """One call, on a connection that is kept or on one of its own."""
    used = connection or HTTPConnection(urlsplit(endpoint).netloc, timeout=60)
    headers = {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.0", "Authorization": SIGNED, **more}
    used.request("POST", "/", body, headers if connection else {**headers, "Connection": "close"})
    found = used.getresponse()
    text = found.read()
    if connection is None:
        used.close()
    named = {name.lower(): value for name, value in found.getheaders()}
    assert connection is None or named.keys() - {"connection"} >= OF_EACH_CALL - {"connection"}
    return Answer(
        found.status,
        {name: value for name, value in named.items() if name not in OF_EACH_CALL},
        json.loads(text) if text else None,
    )


CASES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "an item": ("DynamoDB_20120810.GetItem", {"TableName": "TABLE", "Key": KEY}),
    "no item": ("DynamoDB_20120810.GetItem", {"TableName": "TABLE", "Key": {**KEY, "sk": {"S": "c"}}}),
    "no table": ("DynamoDB_20120810.GetItem", {"TableName": "nowhere", "Key": KEY}),
    "no operation": ("DynamoDB_20120810.Fly", {}),
    "a refused write": (
        "DynamoDB_20120810.PutItem",
        {"TableName": "TABLE", "Item": KEY, "ConditionExpression": "attribute_not_exists(pk)"},
    ),
    "no messages": ("AmazonSQS.ReceiveMessage", {"QueueUrl": "QUEUE", "WaitTimeSeconds": 0}),
    "no queue": ("AmazonSQS.ReceiveMessage", {"QueueUrl": "http://localhost/0/nowhere", "WaitTimeSeconds": 0}),
    "a wait": ("AmazonSQS.ReceiveMessage", {"QueueUrl": "QUEUE", "WaitTimeSeconds": 1}),
    "no streams": ("DynamoDBStreams_20120810.ListStreams", {"TableName": "TABLE"}),
    "no bus": ("AWSEvents.DescribeEventBus", {"Name": "nowhere"}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_call_is_answered_as_by_the_emulators_own_way(places: Places, case: str) -> None:
    target, arguments = CASES[case]
    text = json.dumps(arguments).replace('"TABLE"', json.dumps(places.table))
    body = text.replace('"QUEUE"', json.dumps(places.queue_url)).encode()
    kept = HTTPConnection(urlsplit(places.endpoint).netloc, timeout=60)
    for _ in range(2):  # the second time on a connection that was used
        assert ask(places.endpoint, target, body, connection=kept) == ask(places.endpoint, target, body)
    kept.close()


def test_a_body_that_is_no_json_is_refused_alike(places: Places) -> None:
    kept = HTTPConnection(urlsplit(places.endpoint).netloc, timeout=60)
    target = "DynamoDB_20120810.GetItem"
    short = ask(places.endpoint, target, b"{", connection=kept)
    assert short == ask(places.endpoint, target, b"{")
    assert short.status == 400
    kept.close()


def test_accounts_and_regions_are_those_of_the_caller(places: Places) -> None:
    kept = HTTPConnection(urlsplit(places.endpoint).netloc, timeout=60)
    elsewhere = {"Authorization": SIGNED.replace("local/", "123456789012/").replace("us-east-1", "eu-west-3")}
    body = json.dumps({"TableName": places.table, "Key": KEY}).encode()
    target = "DynamoDB_20120810.GetItem"
    assert ask(places.endpoint, target, body, elsewhere, kept).status == 400, "another account has no such table"
    assert ask(places.endpoint, target, body, connection=kept).body["Item"] == {**KEY, "word": {"S": "Grüße"}}
    kept.close()


def test_a_large_body_that_comes_in_pieces_is_read_to_its_end(places: Places, clients: Clients) -> None:
    kept = HTTPConnection(urlsplit(places.endpoint).netloc, timeout=60)
    item = {**KEY, "sk": {"S": "large"}, "word": {"S": "x" * 390_000}}
    body = json.dumps({"TableName": places.table, "Item": item}).encode()
    assert ask(places.endpoint, "DynamoDB_20120810.PutItem", body, connection=kept).status == 200
    found = clients.get("dynamodb").get_item(TableName=places.table, Key={"pk": KEY["pk"], "sk": item["sk"]})
    assert found["Item"] == item
    kept.close()
