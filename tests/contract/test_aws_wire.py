"""The quick client against the emulator: what it answers, and how it fails, is what botocore's client answers."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from chalicelib.adapters.aws import Clients, code_of
from chalicelib.adapters.dynamodb import Database, Names
from chalicelib.adapters.dynamodb_registry import DynamoLeaseStore
from infra.state import State

pytestmark = pytest.mark.emulator


def both(clients: Clients, operation: str, **arguments: Any) -> list[Any]:
    """The answers, or error codes, of both clients, without what botocore adds about the transport."""
    found = []
    for client in (clients.get("dynamodb"), clients.quick_dynamodb()()):
        try:
            answer = getattr(client, operation)(**arguments)
        except ClientError as error:
            found.append((code_of(error), error.response["ResponseMetadata"]["HTTPStatusCode"]))
        else:
            found.append({name: value for name, value in answer.items() if name != "ResponseMetadata"})
    return found


def test_both_clients_answer_alike(clients: Clients, resources: tuple[State, dict[str, str]], tenant: str) -> None:
    table = resources[0].table("registry").name
    item = {"pk": {"S": tenant}, "sk": {"S": "é/#"}, "doc": {"S": '{"a":"ü"}'}, "rev": {"N": "1"}}
    key = {"pk": item["pk"], "sk": item["sk"]}
    condition = {"ConditionExpression": "rev = :r", "ExpressionAttributeValues": {":r": {"N": "1"}}}
    calls: list[tuple[str, dict[str, Any]]] = [
        ("put_item", {"TableName": table, "Item": item}),
        ("get_item", {"TableName": table, "Key": key, "ConsistentRead": True}),
        ("get_item", {"TableName": table, "Key": {**key, "sk": {"S": "none"}}}),
        ("put_item", {"TableName": table, "Item": item, **condition}),
        ("put_item", {"TableName": table, "Item": {**item, "rev": {"N": "2"}}, "ConditionExpression": "rev = x"}),
        ("put_item", {"TableName": table, "Item": item, "ConditionExpression": "attribute_not_exists(pk)"}),
        ("put_item", {"TableName": table, "Item": {"pk": {"S": tenant}}}),
        ("get_item", {"TableName": "no-such-table", "Key": key}),
    ]
    for operation, arguments in calls:
        ours, theirs = both(clients, operation, **arguments)
        assert ours == theirs, (operation, arguments)


def test_a_lease_store_over_it(clients: Clients, resources: tuple[State, dict[str, str]], tenant: str) -> None:
    names = Names.of_stage(resources[0].stage)
    quick = DynamoLeaseStore(Database(clients.quick_dynamodb(), names))
    plain = DynamoLeaseStore(Database(clients.factory("dynamodb"), names))
    assert quick.load(tenant, "n") is None
    assert quick.save(tenant, "n", "one", 1, 0)
    assert not quick.save(tenant, "n", "two", 1, 0)
    assert plain.load(tenant, "n") == ("one", 1)
    assert quick.save(tenant, "n", "two", 2, 1)
    assert not quick.save(tenant, "n", "three", 2, 1)
    assert quick.load(tenant, "n") == plain.load(tenant, "n") == ("two", 2)
    assert quick.save(tenant, "m/é", "x" * 300_000, 1, 0)
    assert quick.list(tenant, 1, None) == plain.list(tenant, 1, None) == (["x" * 300_000], "m/é")
    assert quick.list(tenant, 5, "m/é") == (["two"], None)
