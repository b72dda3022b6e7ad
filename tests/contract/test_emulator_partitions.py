"""Queries of partitions that the emulator as we start it keeps in order, and of small ones that it puts in order for a
query: what they answer, against the same items sorted and cut here, while items come, change and go. The emulator's own
tests know nothing of this."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chalicelib.adapters.aws.clients import Clients
from localdev.ministack_extended import SORTED_FROM

pytestmark = pytest.mark.emulator
LARGE, SMALL = 256, SORTED_FROM // 2
QUERIES = 80
Item = dict[str, Any]
Model = dict[str, tuple[str, int]]  # of each sort key the group it is indexed under, and its number there


@pytest.fixture
def table(clients: Clients) -> Iterator[str]:
    """A table with one index, on a string and a number."""
    table_name = f"large-{uuid.uuid4().hex[:8]}"
    client = clients.get("dynamodb")
    client.create_table(
        TableName=table_name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": kind}
            for name, kind in {"pk": "S", "sk": "S", "g": "S", "n": "N"}.items()
        ],
        KeySchema=_keys("pk", "sk"),
        GlobalSecondaryIndexes=[
            {"IndexName": "by_n", "KeySchema": _keys("g", "n"), "Projection": {"ProjectionType": "KEYS_ONLY"}}
        ],
    )
    yield table_name
    client.delete_table(TableName=table_name)


def _keys(hash_name: str, sort_name: str) -> list[dict[str, str]]:
    return [{"AttributeName": hash_name, "KeyType": "HASH"}, {"AttributeName": sort_name, "KeyType": "RANGE"}]


def _change(client: Any, table: str, r: random.Random, model: Model, sk: str) -> None:
    """Write or delete one item, in one of the ways that our stores use."""
    key = {"pk": {"S": "p"}, "sk": {"S": sk}}
    if sk in model and r.random() < 0.3:
        client.delete_item(TableName=table, Key=key)
        del model[sk]
        return
    group, number = r.choice("ab"), r.randrange(-9, 40)
    model[sk] = (group, number)
    values = {":g": {"S": group}, ":n": {"N": str(number)}}
    way = r.randrange(3)
    if way == 0:
        client.put_item(TableName=table, Item={**key, "g": values[":g"], "n": values[":n"]})
    elif way == 1:
        client.update_item(
            TableName=table, Key=key, UpdateExpression="SET g = :g, n = :n", ExpressionAttributeValues=values
        )
    else:
        client.transact_write_items(
            TransactItems=[{"Put": {"TableName": table, "Item": {**key, "g": values[":g"], "n": values[":n"]}}}]
        )


def _key_condition(r: random.Random, in_index: bool, count: int) -> tuple[str, dict[str, Any], Callable[[Any], bool]]:
    """A condition on the sort key, its values, and what it means."""
    name = "n" if in_index else "sk"
    a, b = sorted((r.randrange(-10, 41), r.randrange(-10, 41))) if in_index else sorted(_sk(r, count) for _ in "ab")
    one, two = ({"N": str(v)} if in_index else {"S": v} for v in (a, b))
    meanings: list[tuple[str, dict[str, Any], Callable[[Any], bool]]] = [
        ("", {}, lambda v: True),
        (f" AND {name} < :a", {":a": one}, lambda v: v < a),
        (f" AND {name} <= :a", {":a": one}, lambda v: v <= a),
        (f" AND {name} > :a", {":a": one}, lambda v: v > a),
        (f" AND {name} >= :a", {":a": one}, lambda v: v >= a),
        (f" AND {name} = :a", {":a": one}, lambda v: v == a),
        (f" AND {name} BETWEEN :a AND :b", {":a": one, ":b": two}, lambda v: a <= v <= b),
    ]
    if not in_index:
        prefix = str(a)[: r.randrange(1, 4)]
        meanings.append((" AND begins_with(sk, :a)", {":a": {"S": prefix}}, lambda v: v.startswith(prefix)))
    return r.choice(meanings)


def _sk(r: random.Random, count: int) -> str:
    return f"{r.randrange(2 * count):04d}"


def _all_pages(client: Any, limit: int | None, **asked: Any) -> list[str]:
    """The sort keys on all pages; no page may be longer than the limit, nor may one but the last be shorter."""
    found: list[str] = []
    position: dict[str, Any] = {}
    while True:
        answer = client.query(**asked, **position, **({} if limit is None else {"Limit": limit}))
        page = [item["sk"]["S"] for item in answer["Items"]]
        found += page
        if "LastEvaluatedKey" not in answer:
            return found
        assert len(page) == limit
        position = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}


@pytest.mark.parametrize(("seed", "count"), [(0, LARGE), (1, LARGE), (2, SMALL), (3, SMALL)])
def test_answers_are_those_of_the_items_sorted(clients: Clients, table: str, seed: int, count: int) -> None:
    client, r = clients.get("dynamodb"), random.Random(seed)
    model: Model = {}
    for _ in range(2 * count):
        _change(client, table, r, model, _sk(r, count))
    for _ in range(QUERIES):
        for _ in range(r.choice((0, 1, 5))):
            _change(client, table, r, model, _sk(r, count))
        in_index, group = r.random() < 0.6, r.choice("ab")
        condition, values, meant = _key_condition(r, in_index, count)
        if in_index:
            order = sorted((n, sk) for sk, (g, n) in model.items() if g == group and meant(n))
            wanted = [sk for _, sk in order]
        else:
            wanted = sorted(filter(meant, model))
        forward, limit = r.random() < 0.5, r.choice((None, 1, 7, 50, 1000))
        asked: dict[str, Any] = {
            "TableName": table,
            "KeyConditionExpression": ("g = :of" if in_index else "pk = :of") + condition,
            "ExpressionAttributeValues": {":of": {"S": group if in_index else "p"}, **values},
            "ScanIndexForward": forward,
            **({"IndexName": "by_n"} if in_index else {}),
        }
        if limit == 1 and len(wanted) > LARGE // 4:
            limit = 7
        assert _all_pages(client, limit, **asked) == (wanted if forward else wanted[::-1]), asked
        del asked["ScanIndexForward"]
        counted = client.query(**asked, Select="COUNT", **({} if limit is None else {"Limit": limit}))
        assert counted["Count"] == counted["ScannedCount"] == min(len(wanted), limit or len(wanted)), asked
        assert ("LastEvaluatedKey" in counted) == (limit is not None and len(wanted) >= limit), asked
    assert (len(model) > SORTED_FROM) == (count == LARGE)


def test_a_query_is_refused_as_before_when_another_of_its_kind_was_taken(clients: Clients, table: str) -> None:
    client = clients.get("dynamodb")
    asked: dict[str, Any] = {"TableName": table, "IndexName": "by_n", "KeyConditionExpression": "g = :of AND n < :a"}
    for _ in "ab":
        assert client.query(**asked, ExpressionAttributeValues={":of": {"S": "a"}, ":a": {"N": "1"}})["Items"] == []
    for wrong in ({"S": "1"}, None):
        values = {":of": {"S": "a"}, **({":a": wrong} if wrong else {})}
        with pytest.raises(client.exceptions.ClientError, match="ValidationException"):
            client.query(**asked, ExpressionAttributeValues=values)
