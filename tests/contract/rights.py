"""What a function was seen to ask of AWS, and what its policy lets it ask: both as actions of IAM."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.tidy.sources import ROOT

CONFIG = json.loads((ROOT / ".chalice" / "config.json").read_text())
# Calls whose action has another name.
_RENAMED = {
    "SendMessageBatch": "SendMessage",
    "DeleteMessageBatch": "DeleteMessage",
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
    "PublishBatch": "Publish",
    "ListObjectsV2": "ListBucket",
    "DeleteObjects": "DeleteObject",
}
_IN_TRANSACTION = {
    "Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem",
}  # fmt: skip
_STATEMENTS = {
    "INSERT": "PartiQLInsert",
    "UPDATE": "PartiQLUpdate",
    "DELETE": "PartiQLDelete",
    "SELECT": "PartiQLSelect",
}


class Seen:
    """A listener of botocore's clients: the actions that they needed, on which resources."""

    def __init__(self) -> None:
        self.actions: set[tuple[str, str]] = set()
        self.leading_keys: set[str] = set()

    def attach(self, client: Any) -> None:
        service = client.meta.service_model.service_name
        client.meta.events.register(f"provide-client-params.{service}", self._note)

    def _note(self, params: Mapping[str, Any], model: Any, **_: object) -> None:
        service = model.service_model.service_name
        self.leading_keys |= set(_leading_keys(params))
        self.actions |= {(f"{service}:{action}", resource) for action, resource in _needed(model.name, params)}


def _needed(call: str, params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The actions that IAM judges a call by, with the name of the table (and index), queue or bus."""
    if call == "TransactWriteItems":
        for item in params["TransactItems"]:
            for kind, part in item.items():
                yield _IN_TRANSACTION[kind], part["TableName"]
    elif call == "BatchExecuteStatement":
        for statement in params["Statements"]:
            words = statement["Statement"].split('"')
            yield _STATEMENTS[words[0].split()[0]], words[1]
    elif call in ("BatchGetItem", "BatchWriteItem"):
        for table in params["RequestItems"]:
            yield call, table
    elif "IndexName" in params:
        yield call, f"{params['TableName']}/index/{params['IndexName']}"
    else:
        if "Bucket" in params:
            for key in _object_keys(params):
                yield _RENAMED.get(call, call), f"{params['Bucket']}{key}"
            return
        named = params.get("TableName") or params.get("QueueName") or params.get("QueueUrl", "*").rpartition("/")[2]
        yield _RENAMED.get(call, call), named


def _object_keys(params: Mapping[str, Any]) -> list[str]:
    """The objects that a call on a bucket names, each behind a slash; of a list the bucket alone."""
    named = [each["Key"] for each in params.get("Delete", {}).get("Objects", ())]
    named += [params["Key"]] if "Key" in params else []
    return [f"/{key}" for key in named] or [""]


def _leading_keys(params: Mapping[str, Any]) -> Iterator[str]:
    """The partition keys that a call on items names, as DynamoDB tells IAM; those of statements are left out."""
    for part in [params, *(inner for item in params.get("TransactItems", ()) for inner in item.values())]:
        for holder in ("Key", "Item"):
            if "pk" in part.get(holder, {}):
                yield part[holder]["pk"]["S"]
    for request in params.get("RequestItems", {}).values():
        deleted = [one["DeleteRequest"]["Key"] for one in request] if isinstance(request, list) else request["Keys"]
        yield from (key["pk"]["S"] for key in deleted)
    if "KeyConditionExpression" in params:
        placeholder = re.search(r"= *(:\w+)", params["KeyConditionExpression"])
        assert placeholder is not None
        yield params["ExpressionAttributeValues"][placeholder[1]]["S"]


def policy(function: str) -> list[dict[str, Any]]:
    """The statements of a function's policy."""
    file = CONFIG["lambda_functions"].get(function, CONFIG)["iam_policy_file"]
    statements: list[dict[str, Any]] = json.loads((ROOT / ".chalice" / file).read_text())["Statement"]
    return statements


def allowed(function: str) -> set[str]:
    """The actions that a policy allows on anything."""
    return {action for statement in policy(function) for action in statement["Action"]}


def permits(function: str, action: str, resource: str) -> bool:
    """Whether the policy allows an action on a table, index or queue of this name."""
    return any(
        action in statement["Action"] and any(_covers(pattern, resource) for pattern in statement["Resource"])
        for statement in policy(function)
    )


def _covers(pattern: str, resource: str) -> bool:
    """As IAM matches the last part of an ARN: an asterisk stands for any characters."""
    from fnmatch import fnmatchcase

    last = pattern.split(":", 5)[-1].removeprefix("table/")
    return pattern == "*" or fnmatchcase(resource, last)
