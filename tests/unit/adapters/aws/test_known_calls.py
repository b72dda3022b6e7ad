"""Calls past botocore against botocore's own: what is sent, how it is signed, what comes back and what is raised."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, ConnectionClosedError
from msgspec.structs import replace

from chalicelib.adapters.aws.clients import Clients, Meter, code_of, reasons_of
from chalicelib.adapters.aws.http_session import Address
from chalicelib.adapters.aws.known_calls import MADE, Known, Signer, known
from tests.kit.receivers import Receiver, Request, hang_up, say

KEY = {"pk": {"S": "ä€\n"}, "sk": {"S": "b"}}
AT_S = 1_795_252_800


@pytest.fixture
def client(receiver: Receiver) -> Any:
    """A DynamoDB client that has made a GetItem, so that the next one is known."""
    made = Clients("eu-west-1", f"http://127.0.0.1:{receiver.port}").get("dynamodb")
    receiver.answers = [answer({"Item": KEY})]
    made.get_item(TableName="table", Key=KEY)
    return made


def answer(body: Any, status: int = 200, **headers: str) -> Any:
    data = json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(data)}", *(f"{n}: {v}" for n, v in headers.items())]
    return say("\r\n".join([*lines, "", ""]).encode() + data)


def is_botocores(request: Request) -> bool:
    return "amz-sdk-invocation-id" in request.headers


def test_a_known_call_is_sent_as_botocore_sends_it(client: Any, receiver: Receiver) -> None:
    receiver.answers = [answer({"Item": KEY})]
    assert client.get_item(TableName="table", Key=KEY) == {"Item": KEY}
    first, second = receiver.requests
    assert is_botocores(first)
    assert not is_botocores(second)
    assert json.loads(second.body) == json.loads(first.body) == {"TableName": "table", "Key": KEY}
    assert second.line == first.line
    same = {name: value for name, value in first.headers.items() if name not in MADE}
    assert same == {name: value for name, value in second.headers.items() if name not in MADE}
    assert second.headers["host"] == first.headers["host"]
    assert second.headers.keys() <= first.headers.keys()


@pytest.mark.parametrize("token", [None, "a token"])
def test_signatures_are_those_of_botocore(token: str | None) -> None:
    r = random.Random(7)
    signer = Signer()
    for number in range(50):
        credentials = Credentials(f"key{number // 20}", f"secret{number // 10}", token)
        body = r.randbytes(r.randrange(200))
        headers = (
            ("content-type", "application/x-amz-json-1.0"),
            ("user-agent", "a  b"),
            ("x-amz-target", f"T.{number}"),
        )
        address = Address("http", "localhost", 80 if number % 2 else 4566)
        what = Known("", address, headers, r.choice(["eu-west-1", "us-east-1"]), r.choice(["sqs", "dynamodb"]))
        at_s = AT_S + number * 7200
        for before_s in (100_000, 86_400, 1, 0):  # what is kept of these must not be taken for this second's
            made = dict(signer.headers(what, body, credentials.get_frozen_credentials(), at_s - before_s))
        assert made["x-amz-date"] == time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at_s))
        theirs = AWSRequest(
            "POST", f"http://{address.host_header}/", {**dict(headers), "X-Amz-Date": made["x-amz-date"]}, body
        )
        auth = SigV4Auth(credentials, what.service, what.region)
        theirs.context["timestamp"] = made["x-amz-date"]
        if token is not None:
            theirs.headers["X-Amz-Security-Token"] = token
        canonical = auth.canonical_request(theirs)
        signature = auth.signature(auth.string_to_sign(theirs, canonical), theirs)
        assert made["authorization"].endswith(f"Signature={signature}")
        assert f"Credential={auth.scope(theirs)}," in made["authorization"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException", "message": "m"}, 400, None),
        ({"__type": "x#ProvisionedThroughputExceededException", "message": "m"}, 400, None),
        ({"__type": "x#NobodyKnowsThis", "message": "m"}, 400, "NobodyKnowsThis"),
        ({}, 503, "503"),
    ],
)
def test_refusals_are_botocores_own(client: Any, receiver: Receiver, body: Any, status: int, code: str | None) -> None:
    receiver.answers = [answer(body, status), answer(body, status)]
    raised = []
    for call in (client.get_item, client.scan):  # botocore's way, for want of a first Scan
        with pytest.raises(ClientError) as caught:
            call(TableName="table", **({"Key": KEY} if call is client.get_item else {}))
        raised.append(caught.value)
    ours, theirs = raised
    assert not is_botocores(receiver.requests[-2])
    assert type(ours) is type(theirs)
    assert code_of(ours) == code_of(theirs) == (code or body["__type"].rpartition("#")[2])
    for name in ("Error", "message"):
        assert ours.response.get(name) == theirs.response.get(name)
    assert ours.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_the_reasons_of_a_cancelled_transaction_are_read(client: Any, receiver: Receiver) -> None:
    put = {"TransactItems": [{"Put": {"TableName": "table", "Item": KEY}}], "ClientRequestToken": "t"}
    body = {
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": "cancelled",
        "CancellationReasons": [{"Code": "ConditionalCheckFailed", "Message": "m"}],
    }
    receiver.answers = [answer({}), answer(body, 400)]
    client.transact_write_items(**put)
    with pytest.raises(client.exceptions.TransactionCanceledException) as caught:
        client.transact_write_items(**put)
    assert not is_botocores(receiver.requests[-1])
    assert reasons_of(caught.value) == ["ConditionalCheckFailed"]


def test_a_transaction_without_a_token_gets_botocores(client: Any, receiver: Receiver) -> None:
    receiver.answers = [answer({})] * 2
    for _ in range(2):
        client.transact_write_items(TransactItems=[{"Put": {"TableName": "table", "Item": KEY}}])
    assert all(json.loads(request.body)["ClientRequestToken"] for request in receiver.requests[1:])


def test_a_lost_connection_is_told_as_by_botocore(client: Any, receiver: Receiver) -> None:
    receiver.answers = [hang_up]
    with pytest.raises(ConnectionClosedError):
        client.get_item(TableName="table", Key=KEY)


def test_other_operations_and_counted_clients_go_botocores_way(receiver: Receiver) -> None:
    receiver.answers = [answer({})] * 4
    endpoint = f"http://127.0.0.1:{receiver.port}"
    free, counted = Clients("eu-west-1", endpoint), Clients("eu-west-1", endpoint, meter=Meter())
    for _ in range(2):
        free.get("dynamodb").describe_table(TableName="table")
        counted.get("dynamodb").get_item(TableName="table", Key=KEY)
    assert [is_botocores(request) for request in receiver.requests] == [True] * 4


def test_a_request_that_says_more_is_not_known() -> None:
    request = AWSRequest("POST", "http://localhost:1/", {"X-Amz-Target": "T.Op"}, b"{}")
    SigV4Auth(Credentials("a", "b"), "dynamodb", "eu-west-1").add_auth(request)
    prepared = request.prepare()
    found = known(prepared)
    assert found is not None
    assert (found.region, found.service, found.url) == ("eu-west-1", "dynamodb", "http://localhost:1/")
    assert replace(found, headers=()).headers == ()
    for name in ("Content-Encoding", "X-Amz-Checksum-Crc32", "Content-MD5"):
        prepared.headers[name] = "x"
        assert known(prepared) is None
        del prepared.headers[name]
    assert known(prepared) is not None
    prepared.url = "http://localhost:1/queue"
    assert known(prepared) is None


def test_who_listens_hears_of_known_calls_too_now_and_then(receiver: Receiver) -> None:
    heard: list[object] = []

    class Ears:
        def attach(self, _client: Any) -> Ears:
            return self

        def sent(self) -> None:
            heard.append("sent")

        def received(self, response_dict: Any) -> None:
            heard.append(response_dict["headers"]["date"])

    client = Clients("eu-west-1", f"http://127.0.0.1:{receiver.port}", listener=Ears()).get("dynamodb")
    receiver.answers = [answer({"Item": KEY}, Date=f"number {n}") for n in range(5)]
    for _ in range(5):
        client.get_item(TableName="table", Key=KEY)
    assert [is_botocores(request) for request in receiver.requests] == [True, False, False, False, False]
    assert heard[:2] == ["sent", "number 1"]
    assert len(heard) <= 4, "one of each second"
