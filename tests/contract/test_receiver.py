"""The receiver of clients/python, against what the product really sends: webhooks over HTTP, events through AWS."""

from __future__ import annotations

import base64
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import boto3
import pytest
from moto import mock_aws

from chalicelib.adapters.targets.eventbridge import EventBridgeSender
from chalicelib.adapters.targets.webhook import WebhookSender
from chalicelib.core.targets import cloudevent
from chalicelib.ports.target import Delivery

sys.path.insert(0, str(Path(__file__).parents[2] / "clients" / "python" / "src"))

from chronowatch import ACCEPTED, DynamoStore, Firing, Gone, MemoryStore, Receiver, RetryLater, receiver
from chronowatch.memories import BUSY, BUSY_S, DONE, NEW, ReceiverStore

KEY, OTHER = b"k" * 24, b"o" * 24
SECRET = "whsec_" + base64.b64encode(KEY).decode()
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
T0 = 1_795_252_805_000
TABLE = "receivers"


def delivery(token: int, at_ms: int = T0, url: str = "", attempt: int = 1) -> Delivery:
    execution_id = f"01KB-{at_ms}"
    event = cloudevent.build(
        execution_id=execution_id, schedule_id="01KB", firing_unix_ms=at_ms, attempt=attempt, fencing_token=token,
        traceparent=TRACEPARENT, hlc="1.0", payload_json='{"hello":"wörld"}',
    )  # fmt: skip
    target = {"type": "webhook", "url": url, "secret_ref": "ssm:/hook"} if url else {"type": "eventbridge"}
    return Delivery(execution_id, "default", "01KB", at_ms, attempt, token, target, event, TRACEPARENT, 5000)


class Keys:
    """The secrets that a target's ``secret_ref`` names."""

    def __init__(self, *keys: bytes) -> None:
        self._keys = keys

    def values(self, ref: str) -> tuple[str, ...]:
        return tuple("whsec_" + base64.b64encode(key).decode() for key in self._keys)

    def refused(self, ref: str, values: tuple[str, ...]) -> bool:
        return False


class Quiet(WSGIRequestHandler):
    """Says nothing on the terminal."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


class House:
    """A handler, behind a real HTTP server, and a sender of the product's in front of it."""

    def __init__(self, store: ReceiverStore) -> None:
        self.seen: list[Firing] = []
        self.does: Callable[[Firing], Any] = lambda firing: None
        self.receiver: Receiver = receiver(secret=SECRET, store=store)(self._handle)
        self._server = make_server("127.0.0.1", 0, self.receiver.wsgi, handler_class=Quiet)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def _handle(self, firing: Firing) -> Any:
        self.seen.append(firing)
        return self.does(firing)

    def send(self, token: int, at_ms: int = T0, *keys: bytes, off_ms: int = 0, attempt: int = 1) -> Any:
        sender = WebhookSender(
            now_ms=lambda: int(time.time() * 1000) + off_ms, monotonic_s=time.monotonic, allow=("127.0.0.1",),
            secrets=Keys(*(keys or (KEY,))),
        )  # fmt: skip
        try:
            return sender.dispatch([delivery(token, at_ms, self.url, attempt)])[0]
        finally:
            sender.close()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _needs_this_process() -> None:
    """The mock of AWS is in this process, and would be passed over."""
    if "AWS_ENDPOINT_URL" in os.environ:
        pytest.skip("runs inside this process, without an endpoint")


@pytest.fixture
def dynamo() -> Iterator[Any]:
    _needs_this_process()
    with mock_aws():
        client = boto3.client("dynamodb", "us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
        client.create_table(
            TableName=TABLE, BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        )  # fmt: skip
        yield client


@pytest.fixture(params=["memory", "dynamodb"])
def store(request: pytest.FixtureRequest) -> ReceiverStore:
    if request.param == "memory":
        return MemoryStore()
    return DynamoStore(request.getfixturevalue("dynamo"), TABLE)


@pytest.fixture
def house() -> Iterator[House]:
    made = House(MemoryStore())
    yield made
    made.close()


# -- over HTTP, from the product's own sender


def test_a_signed_firing_is_handled_once_however_often_it_comes(house: House) -> None:
    outcomes = [house.send(1), house.send(1), house.send(2, attempt=2), house.send(3, T0 + 1000, OTHER, KEY)]
    assert [(o.kind, o.http_status) for o in outcomes] == [("completed", 204)] * 4
    assert [(f.id, f.fencing_token) for f in house.seen] == [(f"01KB-{T0}", 1), (f"01KB-{T0 + 1000}", 3)]
    assert (house.seen[0].data, house.seen[0].schedule_id) == ({"hello": "wörld"}, "01KB")


def test_forgeries_and_recordings_are_refused(house: House) -> None:
    # The sender cuts off the fraction of a second, and time goes on: what is ahead needs more than a second to spare.
    refused = [house.send(1, T0, OTHER), house.send(1, off_ms=360_000), house.send(1, off_ms=-301_000)]
    assert [o.http_status for o in refused] == [401] * 3
    assert house.seen == []


def test_a_lower_token_is_refused_and_comes_again_with_a_higher_one(house: House) -> None:
    assert house.send(5).kind == "completed"
    stale = house.send(4, T0 + 1000)
    assert (stale.kind, stale.http_status, stale.permanent) == ("failed", 409, False)  # the service tries it again
    assert house.send(6, T0 + 1000, attempt=2).kind == "completed"
    assert [f.fencing_token for f in house.seen] == [5, 6]


def test_a_handler_that_failed_gets_the_next_attempt(house: House) -> None:
    def fail(firing: Firing) -> None:
        raise RuntimeError("no disk")

    house.does = fail
    failed = house.send(1)
    assert (failed.http_status, failed.kind) == (500, "failed")
    house.does = lambda firing: {"rows": 3}
    assert house.send(2, attempt=2).http_status == 200
    assert len(house.seen) == 2


def test_a_handler_may_ask_for_time_report_later_or_want_no_more(house: House) -> None:
    def later(firing: Firing) -> None:
        raise RetryLater("the table is locked", 7)

    def gone(firing: Firing) -> None:
        raise Gone("the tenant left")

    house.does = later
    asked = house.send(1)
    assert (asked.http_status, asked.retry_after_ms) == (503, 7000)
    house.does = lambda firing: ACCEPTED
    assert house.send(2, T0 + 1000).kind == "accepted"
    house.does = gone
    assert house.send(3, T0 + 2000).pause_schedule


def test_what_was_accepted_and_not_reported_is_handled_again(house: House) -> None:
    house.does = lambda firing: ACCEPTED
    assert house.send(1).kind == "accepted"
    assert house.send(2, attempt=2).kind == "accepted"  # completed would be a report that nobody made
    house.does = lambda firing: None
    assert [house.send(token, attempt=token).kind for token in (3, 4)] == ["completed"] * 2
    assert [firing.fencing_token for firing in house.seen] == [1, 2, 3]


def test_a_cancellation_goes_to_its_own_handler_whatever_was_fired_since(house: House) -> None:
    cancelled: list[Firing] = []
    handler = receiver(secret=None, on_cancel=cancelled.append)(house.seen.append)
    handler(json.loads(delivery(5).event))
    notice = cloudevent.notice(
        type=cloudevent.CANCELLATION_TYPE, event_id="01KB-1-cancel", schedule_id="01KB", at_unix_ms=T0,
        traceparent=TRACEPARENT, hlc="1.0",
        data={"execution_id": "01KB-1", "attempt": 1, "fencing_token": 2, "reason": "enough"},
    )  # fmt: skip
    assert handler.receive({}, notice).status == handler.receive({}, notice).status == 204
    assert [(c.data["execution_id"], c.fencing_token) for c in cancelled] == [("01KB-1", 2)]
    assert [f.fencing_token for f in house.seen] == [5]
    assert receiver(secret=None)(house.seen.append).receive({}, notice).status == 204  # nobody need listen


# -- what it remembers


def test_both_memories_keep_the_same_rules(store: ReceiverStore) -> None:
    now_s = time.time()
    assert store.begin("a", 1, now_s) == NEW
    assert store.begin("a", 1, now_s) == BUSY  # the same delivery, twice at once
    assert store.begin("a", 2, now_s) == NEW  # the service has given the first attempt up
    store.forget("a", 1)  # which ends now, and must not take the second one's place away
    assert store.begin("a", 2, now_s) == BUSY
    assert store.begin("a", 2, now_s + BUSY_S) == NEW  # a process that died stands in the way of no one for ever
    store.finish("a", 2, now_s)
    assert store.begin("a", 3, now_s) == DONE
    assert store.begin("b", 1, now_s) == NEW
    store.forget("b", 1)
    assert store.begin("b", 1, now_s) == NEW
    assert [store.admit("s", token) for token in (1, 3, 2, 3, 4)] == [True, True, False, True, True]
    assert store.admit("t", 1)


def test_what_is_kept_in_the_table_expires(dynamo: Any) -> None:
    store = DynamoStore(dynamo, TABLE, keep_s=60)
    store.begin("a", 1, 1000.5)
    store.finish("a", 1, 1000.5)
    item = dynamo.get_item(TableName=TABLE, Key={"id": {"S": "execution#a"}})["Item"]
    assert item["expires"] == {"N": "1060"}


def test_two_processes_share_what_is_in_the_table(dynamo: Any) -> None:
    one, other = House(DynamoStore(dynamo, TABLE)), House(DynamoStore(dynamo, TABLE))
    try:
        assert one.send(2).kind == other.send(2).kind == "completed"
        assert other.send(1, T0 + 1000).http_status == 409
        assert (len(one.seen), len(other.seen)) == (1, 0)
    finally:
        one.close()
        other.close()


# -- as a function of Lambda


def _lambda(store: ReceiverStore, secret: str | None = None) -> tuple[Receiver, list[Firing]]:
    seen: list[Firing] = []

    @receiver(secret=secret, store=store)
    def handler(firing: Firing) -> str:
        """Take a firing."""
        seen.append(firing)
        if firing.attempt == 9:
            raise RuntimeError("no disk")
        return firing.id

    return handler, seen


@pytest.mark.parametrize("encoded", [False, True])
def test_a_request_of_api_gateway_is_answered(house: House, encoded: bool) -> None:
    sent: dict[str, Any] = {}

    def catch(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        sent["headers"] = {k[5:].replace("_", "-"): v for k, v in environ.items() if k.startswith("HTTP_WEBHOOK")}
        sent["body"] = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        start("204 OK", [])
        return [b""]

    house._server.set_app(catch)
    house.send(1)
    body = base64.b64encode(sent["body"]).decode() if encoded else sent["body"].decode()
    event = {"requestContext": {}, "headers": sent["headers"], "body": body, "isBase64Encoded": encoded}
    handler, seen = _lambda(MemoryStore(), SECRET)
    answer = handler(event, None)
    assert (answer["statusCode"], answer["body"]) == (200, f'"01KB-{T0}"')
    assert handler(event, None)["statusCode"] == 204
    assert handler({**event, "body": body[:-1] + ("A" if encoded else " ")})["statusCode"] in (400, 401)
    assert handler({"requestContext": {}, "headers": None, "body": None})["statusCode"] == 401
    assert len(seen) == 1
    assert (handler.__name__, handler.__doc__) == ("handler", "Take a firing.")


@pytest.mark.parametrize("stamp", ["9" * 5000, "1e9", "\u0661", "-1", " "])
def test_a_timestamp_that_is_none_is_refused_and_never_raises(stamp: str) -> None:
    handler, seen = _lambda(MemoryStore(), SECRET)
    headers = {"webhook-id": "E1", "webhook-timestamp": stamp, "webhook-signature": "v1,AAAA"}
    assert handler.receive(headers, b"{}").status == 401
    assert seen == []


@pytest.mark.parametrize(("body", "encoded"), [("\udc00", False), ("ключ", True), ("=", True)])
def test_a_body_that_cannot_be_read_is_refused(body: str, encoded: bool) -> None:
    handler, _ = _lambda(MemoryStore(), SECRET)
    assert handler({"requestContext": {}, "headers": {}, "body": body, "isBase64Encoded": encoded})["statusCode"] == 400


def test_what_the_product_puts_on_the_bus_comes_through_a_rule_and_a_queue() -> None:
    _needs_this_process()
    with mock_aws():
        session = boto3.Session("a", "b", region_name="us-east-1")
        events, sqs = session.client("events"), session.client("sqs")
        url = sqs.create_queue(QueueName="firings")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        events.create_event_bus(Name="chronowatch")
        pattern = {"source": ["chronowatch"], "detail-type": ["chronowatch.firings.v1"]}
        events.put_rule(Name="r", EventBusName="chronowatch", EventPattern=json.dumps(pattern))
        events.put_targets(Rule="r", EventBusName="chronowatch", Targets=[{"Id": "q", "Arn": arn}])
        sender = EventBridgeSender(lambda *_: events, default_bus="chronowatch")
        assert [
            o.kind for o in sender.dispatch([delivery(2), delivery(1, T0 + 1), delivery(3, T0 + 2, attempt=9)])
        ] == ["completed"] * 3
        got = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    records = [{"messageId": f"m{n}", "body": message["Body"]} for n, message in enumerate(got)]
    handler, seen = _lambda(MemoryStore())
    answer = handler({"Records": records}, None)
    assert [f.fencing_token for f in seen] == [2, 3]  # the stale one is dropped: no one would send it again
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m2"}]}


def test_a_firing_itself_and_an_event_of_a_rule_are_handled_and_what_is_raised_is_raised() -> None:
    handler, seen = _lambda(MemoryStore())
    event = json.loads(delivery(1).event)
    assert handler(event) == handler.__wrapped__(seen[0])
    assert handler({"detail-type": "chronowatch.firings.v1", "detail": event}) is None  # had before
    with pytest.raises(RuntimeError, match="no disk"):
        handler(json.loads(delivery(2, T0 + 1, attempt=9).event))
    for wrong in ({}, {"detail": 7}, "text", {**event, "specversion": "0.3"}, {**event, "fencingtoken": True}):
        with pytest.raises(Exception, match=r"CloudEvent|fencingtoken|no event"):
            handler(wrong)
