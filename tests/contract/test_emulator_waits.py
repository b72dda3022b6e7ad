"""A call that waits for messages ends with its caller: nothing is given to one that is gone."""

from __future__ import annotations

import json
import socket
import uuid
from urllib.parse import urlsplit

import pytest

from chalicelib.adapters.aws.clients import Clients

pytestmark = pytest.mark.emulator


def test_who_is_gone_gets_no_message(clients: Clients) -> None:
    sqs = clients.get("sqs", 30.0)
    url = sqs.create_queue(QueueName=f"gone-{uuid.uuid4().hex[:8]}")["QueueUrl"]
    try:
        address = urlsplit(sqs.meta.endpoint_url)
        for _ in range(3):
            asked = json.dumps({"QueueUrl": url, "WaitTimeSeconds": 20, "VisibilityTimeout": 600}).encode()
            head = (
                f"POST / HTTP/1.1\r\nHost: {address.netloc}\r\nX-Amz-Target: AmazonSQS.ReceiveMessage\r\n"
                f"Content-Type: application/x-amz-json-1.0\r\nContent-Length: {len(asked)}\r\n\r\n"
            )
            with socket.create_connection((address.hostname, address.port)) as caller:
                caller.sendall(head.encode() + asked)
                assert sqs.receive_message(QueueUrl=url).get("Messages", []) == []  # the call above is being served
        # One loop serves all. So it has seen the end of the last connection, and what follows, before it answers these.
        for _ in range(3):
            sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        sqs.send_message(QueueUrl=url, MessageBody="for the living")
        found = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10).get("Messages", [])
        assert [message["Body"] for message in found] == ["for the living"]
    finally:
        sqs.delete_queue(QueueUrl=url)
