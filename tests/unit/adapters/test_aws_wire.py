"""DynamoDB over the wire: signed as botocore signs, on kept connections, and failures told apart as they must be."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from chalicelib.adapters import aws
from chalicelib.adapters.aws_wire import Endpoint, WireClient
from chalicelib.core.errors import OutcomeUnknown, Unavailable

NOW_S = 1_795_252_800.5
SOON_S = 10.0

Reply = Callable[[socket.socket], None]


def said(status: int, body: bytes, *headers: str) -> Reply:
    def reply(connection: socket.socket) -> None:
        lines = [f"HTTP/1.1 {status} x", f"Content-Length: {len(body)}", *headers]
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)

    return reply


def hang_up(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def say_nothing(connection: socket.socket) -> None:
    """The client's patience ends first."""


class Server:
    """Answers one request after the other as it was told; what it was sent is kept."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.connections = 0
        self._open: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        stream = connection.makefile("rb")
        while head := stream.readline():
            assert head == b"POST / HTTP/1.1\r\n"
            headers = {}
            while line := stream.readline().decode().strip():
                name, _, value = line.partition(": ")
                headers[name] = value
            self.requests.append((headers, stream.read(int(headers["content-length"]))))
            self.replies.pop(0)(connection)
        stream.close()

    def close_idle(self) -> None:
        """As a server does with connections that nobody used for a while."""
        for connection in self._open:
            connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def close(self) -> None:
        self._listening.close()
        for connection in self._open:
            connection.close()


@pytest.fixture
def server() -> Iterator[Server]:
    started = Server()
    yield started
    started.close()


def wire(url: str, token: str | None = None, read_timeout_s: float = SOON_S) -> WireClient:
    keys = SimpleNamespace(access_key="AKIDEXAMPLE", secret_key="wJalrXUtnFEMI/K7MDENG", token=token)
    endpoint = Endpoint(url, "eu-central-1", lambda: keys, "", 1.0, read_timeout_s)
    return WireClient(endpoint, now_s=lambda: NOW_S)


@pytest.mark.parametrize("token", [None, "session/token=="])
def test_requests_are_signed_as_botocore_signs_them(server: Server, token: str | None) -> None:
    server.replies = [said(200, b"{}")]
    wire(server.url, token).put_item(TableName="t", Item={"pk": {"S": "é"}})
    [(headers, body)] = server.requests
    assert json.loads(body) == {"TableName": "t", "Item": {"pk": {"S": "é"}}}
    assert headers["x-amz-target"] == "DynamoDB_20120810.PutItem"
    kept = {n: v for n, v in headers.items() if n in ("content-type", "host", "x-amz-target")}
    request = AWSRequest("POST", server.url + "/", data=body, headers=kept)
    request.context["timestamp"] = headers["x-amz-date"]
    credentials = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG", token)
    signer = SigV4Auth(credentials, "dynamodb", "eu-central-1")
    request.headers["X-Amz-Date"] = headers["x-amz-date"]
    if token:
        request.headers["X-Amz-Security-Token"] = token
    signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    assert headers["authorization"].rpartition("Signature=")[2] == signature
    assert headers.get("x-amz-security-token") == token


def test_answers_are_json_and_connections_are_kept(server: Server) -> None:
    item = {"Item": {"rev": {"N": "7"}}}
    server.replies = [said(200, json.dumps(item).encode())] * 5
    client = wire(server.url)
    assert [client.get_item(TableName="t", Key={}) for _ in range(5)] == [item] * 5
    assert server.connections == 1


def test_a_connection_that_the_server_closed_meanwhile_is_not_used(server: Server) -> None:
    server.replies = [said(200, b"{}"), said(200, b"{}")]
    client = wire(server.url)
    client.query(TableName="t")
    server.close_idle()
    client.query(TableName="t")
    assert server.connections == 2


def test_a_server_that_wants_to_close_is_left(server: Server) -> None:
    server.replies = [said(200, b"{}", "Connection: close"), said(200, b"{}")]
    client = wire(server.url)
    client.query(TableName="t")
    client.query(TableName="t")
    assert server.connections == 2


@pytest.mark.parametrize(
    "reply",
    [
        hang_up,
        say_nothing,
        said(200, b"no json"),
        said(200, b"[]"),
        said(200, b"{}", "x-amz-crc32: 1"),
        said(200, b"{}", "x-amz-crc32: x"),
        lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}") or hang_up(connection),
        said(500, b'{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError"}'),
        said(503, b"<html>"),
    ],
)
def test_a_write_whose_answer_does_not_come_may_have_happened(server: Server, reply: Reply) -> None:
    server.replies = [reply]
    client = wire(server.url, read_timeout_s=0.2)
    with pytest.raises(OutcomeUnknown):
        aws.write(lambda: client.put_item(TableName="t"))
    assert len(server.requests) == 1


def test_what_was_never_sent_did_not_happen(server: Server) -> None:
    server.close()
    client = wire(server.url)
    with pytest.raises(Unavailable) as refused:
        aws.write(lambda: client.put_item(TableName="t"))
    assert not isinstance(refused.value, OutcomeUnknown)


def test_a_throttled_call_is_repeated_on_the_same_connection(server: Server) -> None:
    slow = b'{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"slow"}'
    server.replies = [said(400, slow), said(400, slow), said(200, b"{}")]
    client = wire(server.url)
    assert aws.write(lambda: client.put_item(TableName="t")) == {}
    assert (len(server.requests), server.connections) == (3, 1)


def test_a_failed_condition_is_botocores_error(server: Server) -> None:
    body: dict[str, Any] = {
        "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
        "message": "The conditional request failed",
        "Item": {"pk": {"S": "x"}},
    }
    server.replies = [said(400, json.dumps(body).encode(), "x-amzn-RequestId: r1")]
    with pytest.raises(ClientError) as failed:
        aws.write(lambda: wire(server.url).put_item(TableName="t"))
    assert failed.value.response["Error"] == {
        "Code": "ConditionalCheckFailedException",
        "Message": "The conditional request failed",
    }
    assert failed.value.response["Item"] == {"pk": {"S": "x"}}
    assert failed.value.response["ResponseMetadata"] == {"HTTPStatusCode": 400, "RequestId": "r1"}


def test_threads_share_a_client(server: Server) -> None:
    server.replies = [said(200, b"{}")] * 400
    client = wire(server.url)

    def work() -> None:
        for _ in range(50):
            client.query(TableName="t")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON_S)
    assert len(server.requests) == 400
    assert server.connections <= 8


def test_where_calls_are_followed_it_is_botocores_client_after_all() -> None:
    followed = aws.Clients("us-east-1", "http://127.0.0.1:1", meter=aws.Meter())
    assert followed.quick_dynamodb()() is followed.get("dynamodb")
    traced = aws.Clients("us-east-1", "http://127.0.0.1:1", traced=True)
    assert traced.quick_dynamodb()() is traced.get("dynamodb")
    plain = aws.Clients("us-east-1", "http://127.0.0.1:1")
    assert isinstance(plain.quick_dynamodb()(), WireClient)
    assert plain.quick_dynamodb()() is plain.quick_dynamodb()()
