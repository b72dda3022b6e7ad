"""Make the resources of ``infra.state`` through the AWS API: for emulators, tests and throw-away accounts.

Deployments get theirs from CloudFormation or Terraform. Everything here may be repeated: what exists is left as it is,
and a second run costs a list call for each kind of resource.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any, Final

from chalicelib.adapters.machine.system import pause
from infra.state import ROUTED_QUEUE, Index, Queue, Rule, State, Table, sends_events

Client = Any

ACTIVE_WITHIN_POLLS: Final = 400
POLL_MS: Final = 50
_REGION_WITHOUT_NAME: Final = "us-east-1"  # S3 refuses its name as a place


def create_all(dynamodb: Client, sqs: Client, events: Client, state: State) -> dict[str, str]:
    """Make what is missing and wait until it can be used; the URLs of the queues by logical name.

    The clients are botocore's. Rules are made without targets: those are functions, which another tool deploys.
    """
    create_tables(dynamodb, state)
    urls = create_queues(sqs, state)
    create_events(events, state)
    return urls


def create_tables(dynamodb: Client, state: State) -> None:
    """The tables, their indexes, streams and expiry."""
    existing = _table_names(dynamodb)
    missing = [table for table in state.tables if table.name not in existing]
    for table in missing:
        try:
            dynamodb.create_table(**table_arguments(table))
        except dynamodb.exceptions.ResourceInUseException:
            continue  # another process makes the same at the same time
    for table in missing:
        _wait_active(dynamodb, table.name)
        _enable_expiry(dynamodb, table)
    for table in state.tables:
        if table not in missing and table.stream is not None:
            _enable_stream(dynamodb, table)


def create_queues(sqs: Client, state: State) -> dict[str, str]:
    """The queues, those that take dead letters first; their URLs by logical name."""
    urls: dict[str, str] = {}
    for queue in sorted(state.queues, key=lambda q: q.dead_letter is not None):
        attributes = queue_attributes(queue)
        if queue.dead_letter is not None:
            answer = sqs.get_queue_attributes(QueueUrl=urls[queue.dead_letter], AttributeNames=["QueueArn"])
            attributes["RedrivePolicy"] = redrive_policy(queue, answer["Attributes"]["QueueArn"])
        # SQS gives back the queue that exists when its attributes are the same.
        urls[queue.logical] = str(sqs.create_queue(QueueName=queue.name, Attributes=attributes)["QueueUrl"])
    _let_rules_send(sqs, urls[ROUTED_QUEUE])
    return urls


def _let_rules_send(sqs: Client, queue_url: str) -> None:
    asked = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn", "Policy"])["Attributes"]
    partition, _, region, account = asked["QueueArn"].split(":")[1:5]
    rules = f"arn:{partition}:events:{region}:{account}:rule/*chronowatch-*"
    policy = json.dumps(sends_events(asked["QueueArn"], rules))
    if asked.get("Policy") != policy:
        sqs.set_queue_attributes(QueueUrl=queue_url, Attributes={"Policy": policy})


def create_events(events: Client, state: State) -> None:
    """The event bus and the rules, which exist once they were put."""
    if state.event_bus != "default":
        with contextlib.suppress(events.exceptions.ResourceAlreadyExistsException):
            events.create_event_bus(Name=state.event_bus)
    for rule in state.rules:
        events.put_rule(**rule_arguments(rule))


def create_bucket(s3: Client, name: str, region: str) -> None:
    """The bucket for large values of runs. Raises where the name is another account's."""
    where: dict[str, Any] = {}
    if region != _REGION_WITHOUT_NAME:
        where = {"CreateBucketConfiguration": {"LocationConstraint": region}}
    with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=name, **where)


def delete_tables(dynamodb: Client, state: State) -> None:
    """Drop the tables and all they hold: for tests."""
    for table in state.tables:
        dynamodb.delete_table(TableName=table.name)


def table_arguments(table: Table) -> dict[str, Any]:
    """CreateTable's arguments."""
    arguments: dict[str, Any] = {
        "TableName": table.name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": k.name, "AttributeType": k.type} for k in table.key_parts],
        "KeySchema": _key_schema(table),
    }
    if table.indexes:
        arguments["GlobalSecondaryIndexes"] = [_index_arguments(index) for index in table.indexes]
    if table.stream is not None:
        arguments["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": table.stream}
    return arguments


def queue_attributes(queue: Queue) -> dict[str, str]:
    """CreateQueue's attributes, without the redrive policy."""
    return {"VisibilityTimeout": str(queue.visibility_s), "MessageRetentionPeriod": str(queue.retention_s)}


def redrive_policy(queue: Queue, dead_letter_arn: str) -> str:
    """The RedrivePolicy attribute."""
    return json.dumps({"deadLetterTargetArn": dead_letter_arn, "maxReceiveCount": str(queue.max_receive_count)})


def rule_arguments(rule: Rule) -> dict[str, str]:
    """PutRule's arguments."""
    return {"Name": rule.name, "ScheduleExpression": rule.schedule, "State": "ENABLED"}


def _key_schema(keys: Table | Index) -> list[dict[str, str]]:
    return [
        {"AttributeName": keys.hash_key.name, "KeyType": "HASH"},
        {"AttributeName": keys.range_key.name, "KeyType": "RANGE"},
    ]


def _index_arguments(index: Index) -> dict[str, Any]:
    projection: dict[str, Any] = {"ProjectionType": index.projection}
    if index.include:
        projection["NonKeyAttributes"] = list(index.include)
    return {"IndexName": index.name, "KeySchema": _key_schema(index), "Projection": projection}


def _table_names(dynamodb: Client) -> set[str]:
    names: set[str] = set()
    position: Mapping[str, str] = {}
    while True:
        answer = dynamodb.list_tables(**position)
        names.update(answer["TableNames"])
        if "LastEvaluatedTableName" not in answer:
            return names
        position = {"ExclusiveStartTableName": answer["LastEvaluatedTableName"]}


def _wait_active(dynamodb: Client, name: str) -> None:
    for _ in range(ACTIVE_WITHIN_POLLS):
        if dynamodb.describe_table(TableName=name)["Table"]["TableStatus"] == "ACTIVE":
            return
        pause(POLL_MS)
    raise TimeoutError(f"table {name} did not become active")


def _enable_stream(dynamodb: Client, table: Table) -> None:
    """The stream of a table that an earlier release made without."""
    described = dynamodb.describe_table(TableName=table.name)["Table"]
    if not described.get("StreamSpecification", {}).get("StreamEnabled"):
        wanted = {"StreamEnabled": True, "StreamViewType": table.stream}
        dynamodb.update_table(TableName=table.name, StreamSpecification=wanted)
        _wait_active(dynamodb, table.name)


def _enable_expiry(dynamodb: Client, table: Table) -> None:
    answer = dynamodb.describe_time_to_live(TableName=table.name)
    if answer["TimeToLiveDescription"]["TimeToLiveStatus"] in ("ENABLED", "ENABLING"):
        return
    dynamodb.update_time_to_live(
        TableName=table.name,
        TimeToLiveSpecification={"Enabled": True, "AttributeName": table.ttl_attribute},
    )
