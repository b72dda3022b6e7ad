"""Statements whose text the emulator as we start it has met before: each is run with its own values, and refused as a
first one is. The emulator's own tests know nothing of this."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from botocore.exceptions import ClientError

from chalicelib.adapters.aws.clients import Clients

pytestmark = pytest.mark.emulator
Value = dict[str, Any]
Said = list[str | None]


@pytest.fixture
def table(clients: Clients) -> Iterator[str]:
    """A table with a stream."""
    table_name = f"statements-{uuid.uuid4().hex[:8]}"
    client = clients.get("dynamodb")
    client.create_table(
        TableName=table_name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    yield table_name
    client.delete_table(TableName=table_name)


def run(clients: Clients, *statements: tuple[str, Sequence[Value]]) -> Said:
    """The error code of each statement of a batch; None where it has none."""
    batch = [
        {"Statement": text, "Parameters": values} if values else {"Statement": text} for text, values in statements
    ]
    answers = clients.get("dynamodb").batch_execute_statement(Statements=batch)["Responses"]
    return [answer.get("Error", {}).get("Code") for answer in answers]


def item(clients: Clients, table: str, sk: str) -> Value | None:
    key = {"pk": {"S": "p"}, "sk": {"S": sk}}
    found: Value | None = clients.get("dynamodb").get_item(TableName=table, Key=key).get("Item")
    return found


def key(sk: str, *more: Value) -> list[Value]:
    return [{"S": "p"}, {"S": sk}, *more]


def test_each_insert_has_its_own_values(clients: Clients, table: str) -> None:
    text = f"INSERT INTO \"{table}\" VALUE {{'pk':?,'sk':?,'n':?,'same':'constant'}}"
    assert run(clients, *((text, key(f"s{n}", {"N": str(n)})) for n in range(5))) == [None] * 5
    assert run(clients, (text, key("s1", {"N": "7"})), (text, key("s9", {"S": "x"}))) == ["DuplicateItem", None]
    for n in range(5):
        expected = {"pk": {"S": "p"}, "sk": {"S": f"s{n}"}, "n": {"N": str(n)}, "same": {"S": "constant"}}
        assert item(clients, table, f"s{n}") == expected
    assert (item(clients, table, "s9") or {})["n"] == {"S": "x"}


def test_each_update_has_its_own_condition_and_values(clients: Clients, table: str) -> None:
    insert = f"INSERT INTO \"{table}\" VALUE {{'pk':?,'sk':?,'rev':?,'old':?}}"
    update = f'UPDATE "{table}" SET rev=? SET doc=? REMOVE old WHERE pk=? AND sk=? AND rev=?'
    run(clients, *((insert, key(f"s{n}", {"N": "1"}, {"S": "gone"})) for n in range(3)))
    said = run(
        clients,
        (update, [{"N": "2"}, {"S": "a"}, *key("s0", {"N": "1"})]),
        (update, [{"N": "2"}, {"S": "b"}, *key("s1", {"N": "9"})]),
        (update, [{"N": "2"}, {"S": "c"}, *key("none", {"N": "1"})]),
        (update, [{"N": "3"}, {"S": "d"}, *key("s0", {"N": "2"})]),
        (update, [{"N": "2"}, {"M": {"deep": {"L": [{"S": "e"}]}}}, *key("s2", {"N": "1"})]),
    )
    assert said == [None, "ConditionalCheckFailed", "ConditionalCheckFailed", None, None]
    assert item(clients, table, "s0") == {"pk": {"S": "p"}, "sk": {"S": "s0"}, "rev": {"N": "3"}, "doc": {"S": "d"}}
    assert (item(clients, table, "s1") or {})["old"] == {"S": "gone"}
    assert (item(clients, table, "s2") or {})["doc"] == {"M": {"deep": {"L": [{"S": "e"}]}}}


def test_faults_are_found_in_a_known_text_as_in_a_new_one(clients: Clients, table: str) -> None:
    text = f"INSERT INTO \"{table}\" VALUE {{'pk':?,'sk':?,'n':?}}"
    assert run(clients, (text, key("fine", {"N": "1"}))) == [None]
    assert run(clients, (text, key("wrong", {"N": "one"}))) == ["ValidationError"]
    assert run(clients, (text, key("short")), (text, [])) == ["ValidationError"] * 2
    assert run(clients, ("INSERT INTO nothing", []), ("INSERT INTO nothing", [])) == ["ValidationError"] * 2
    assert run(clients, (text.replace(table, "no-such-table"), key("a", {"N": "1"}))) == ["ResourceNotFound"]
    assert item(clients, table, "wrong") is None
    with pytest.raises(ClientError):
        clients.get("dynamodb").execute_statement(Statement=text, Parameters=key("wrong", {"N": "one"}))


def test_a_projection_that_is_known_shows_what_a_new_one_does(clients: Clients, table: str) -> None:
    client = clients.get("dynamodb")
    items: list[Value] = [
        {"pk": {"S": "p"}, "sk": {"S": "a"}, "many": {"L": [{"S": "x"}, {"S": "y"}]}, "n": {"N": "1"}}
    ]
    items.append({"pk": {"S": "p"}, "sk": {"S": "b"}, "who": {"S": "bee"}})
    for each in items:
        client.put_item(TableName=table, Item=each)

    def shown(text: str, names: dict[str, str] | None = None) -> list[Value]:
        keys = [{name: each[name] for name in ("pk", "sk")} for each in items]
        asked: Value = {"Keys": keys, "ProjectionExpression": text}
        asked |= {"ExpressionAttributeNames": names} if names else {}
        found: list[Value] = client.batch_get_item(RequestItems={table: asked})["Responses"][table]
        return found

    for _ in "ab":
        assert shown("sk, n,who") == [
            {"sk": {"S": "a"}, "n": {"N": "1"}},
            {"sk": {"S": "b"}, "who": {"S": "bee"}},
        ]
        assert shown("#n", {"#n": "n"}) == [{"n": {"N": "1"}}, {}]
        assert shown("many[1]") == [{"many": {"L": [{"S": "y"}]}}, {}]
        for wrong in ("sk, sk", "sk, name"):  # twice, and a reserved word
            with pytest.raises(ClientError, match="ProjectionExpression"):
                shown(wrong)


def test_the_stream_holds_what_was_and_what_is(clients: Clients, table: str) -> None:
    insert = f"INSERT INTO \"{table}\" VALUE {{'pk':?,'sk':?,'n':?}}"
    update = f'UPDATE "{table}" SET n=? WHERE pk=? AND sk=?'
    run(clients, (insert, key("s", {"N": "0"})), *((update, [{"N": str(n)}, *key("s")]) for n in (1, 2)))
    streams = clients.get("dynamodbstreams")
    arn = clients.get("dynamodb").describe_table(TableName=table)["Table"]["LatestStreamArn"]
    shard = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]
    position = streams.get_shard_iterator(StreamArn=arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    records = streams.get_records(ShardIterator=position["ShardIterator"])["Records"]
    images = [(r["dynamodb"].get("OldImage", {}).get("n"), r["dynamodb"]["NewImage"]["n"]) for r in records]
    assert images == [(None, {"N": "0"}), ({"N": "0"}, {"N": "1"}), ({"N": "1"}, {"N": "2"})]
