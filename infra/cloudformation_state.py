"""CloudFormation: what holds state, as ``infra.state`` has it, and what watches over it."""

from __future__ import annotations

import json
from typing import Any, Final

from infra import value_bucket, watch
from infra.choices import ALARM_TOPIC, ARCHIVE_DAYS, DELETION_PROTECTION, OWN_KEY, Number, Switch, Text
from infra.functions import NO_VALUE
from infra.state import ROUTED_QUEUE, Queue, State, Table, sends_events
from infra.watch import Alarm

Json = dict[str, Any]

LOG_RETENTION_DAYS: Final = 30
KEY_ARN: Final[Json] = {"Fn::GetAtt": ["DataKey", "Arn"]}
# Services of AWS that encrypt with the key on behalf of the functions, which need no right of their own for it.
_ENCRYPTING = ("dynamodb", "s3", "sqs")
_TABLE_ENCRYPTION: Final[Json] = {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": KEY_ARN}


def chosen(choice: Switch | Number | Text) -> str:
    """The condition that a choice was made."""
    return f"{choice.parameter}Chosen"


def resources(state: State) -> Json:
    """Tables, queues, the bus and its archive, the key that may encrypt them, alarms and the dashboard."""
    made = {logical(table.logical, "Table"): _table(table) for table in state.tables}
    made |= {logical(queue.logical, "Queue"): _queue(queue, state) for queue in state.queues}
    rules = {"Fn::Sub": "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:rule/*chronowatch-*"}
    steps = logical(ROUTED_QUEUE, "Queue")
    policy: Any = sends_events({"Fn::GetAtt": [steps, "Arn"]}, rules)  # type: ignore[arg-type]  # texts are made of them
    made["TriggerRulesPolicy"] = {
        "Type": "AWS::SQS::QueuePolicy",
        "Properties": {"Queues": [{"Ref": steps}], "PolicyDocument": policy},
    }
    made["EventBus"] = {"Type": "AWS::Events::EventBus", "Properties": {"Name": state.event_bus}}
    made["EventArchive"] = {
        "Type": "AWS::Events::Archive",
        "Condition": chosen(ARCHIVE_DAYS),
        "Properties": {
            "ArchiveName": f"chronowatch-{state.stage}",
            "SourceArn": {"Fn::GetAtt": ["EventBus", "Arn"]},
            "RetentionDays": {"Ref": ARCHIVE_DAYS.parameter},
        },
    }
    made |= _key(state)
    made |= value_bucket.cloudformation(KEY_ARN, chosen(OWN_KEY))
    made |= {alarm.logical: _alarm(alarm) for alarm in watch.alarms(state)}
    body = json.dumps(watch.dashboard(state, "${AWS::Region}"))
    made["Dashboard"] = {
        "Type": "AWS::CloudWatch::Dashboard",
        "Properties": {"DashboardName": watch.dashboard_name(state), "DashboardBody": {"Fn::Sub": body}},
    }
    return made


def log_group(name: str) -> Json:
    """A group that forgets."""
    properties: Json = {"LogGroupName": name, "RetentionInDays": LOG_RETENTION_DAYS}
    properties["KmsKeyId"] = {"Fn::If": [chosen(OWN_KEY), KEY_ARN, NO_VALUE]}
    return {"Type": "AWS::Logs::LogGroup", "Properties": properties}


def logical(name: str, kind: str) -> str:
    """The name of a table or queue in a template."""
    return name.title().replace("_", "") + kind


def _table(table: Table) -> Json:
    properties: Json = {
        "TableName": table.name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": k.name, "AttributeType": k.type} for k in table.key_parts],
        "KeySchema": _key_schema(table.hash_key.name, table.range_key.name),
        "TimeToLiveSpecification": {"AttributeName": table.ttl_attribute, "Enabled": True},
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
        "DeletionProtectionEnabled": {"Fn::If": [chosen(DELETION_PROTECTION), True, False]},
        "SSESpecification": {"Fn::If": [chosen(OWN_KEY), _TABLE_ENCRYPTION, NO_VALUE]},
    }
    if table.indexes:
        properties["GlobalSecondaryIndexes"] = [
            {
                "IndexName": index.name,
                "KeySchema": _key_schema(index.hash_key.name, index.range_key.name),
                "Projection": {
                    "ProjectionType": index.projection,
                    **({"NonKeyAttributes": list(index.include)} if index.include else {}),
                },
            }
            for index in table.indexes
        ]
    if table.stream:
        properties["StreamSpecification"] = {"StreamViewType": table.stream}
    # What the service acknowledged outlives a stack that was deleted by mistake.
    return {
        "Type": "AWS::DynamoDB::Table",
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": properties,
    }


def _key_schema(hash_key: str, range_key: str) -> list[Json]:
    return [{"AttributeName": hash_key, "KeyType": "HASH"}, {"AttributeName": range_key, "KeyType": "RANGE"}]


def _queue(queue: Queue, state: State) -> Json:
    properties: Json = {
        "QueueName": queue.name,
        "VisibilityTimeout": queue.visibility_s,
        "MessageRetentionPeriod": queue.retention_s,
        "SqsManagedSseEnabled": {"Fn::If": [chosen(OWN_KEY), False, True]},
        "KmsMasterKeyId": {"Fn::If": [chosen(OWN_KEY), KEY_ARN, NO_VALUE]},
    }
    if queue.dead_letter is not None:
        target = logical(state.queue(queue.dead_letter).logical, "Queue")
        properties["RedrivePolicy"] = {
            "deadLetterTargetArn": {"Fn::GetAtt": [target, "Arn"]},
            "maxReceiveCount": queue.max_receive_count,
        }
    return {"Type": "AWS::SQS::Queue", "Properties": properties}


def _key(state: State) -> Json:
    """Its policy is that of AWS's own keys: who may use a table of the account may use the key through it."""
    root = {"AWS": {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}}
    using = [
        "kms:Encrypt",
        "kms:Decrypt",
        "kms:ReEncrypt*",
        "kms:GenerateDataKey*",
        "kms:CreateGrant",
        "kms:DescribeKey",
    ]
    through = [{"Fn::Sub": f"{service}.${{AWS::Region}}.amazonaws.com"} for service in _ENCRYPTING]
    logs = "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:*chronowatch-" + state.stage + "*"
    statements = [
        {"Sid": "Administer", "Effect": "Allow", "Principal": root, "Action": "kms:*", "Resource": "*"},
        {
            "Sid": "UseThroughServices",
            "Effect": "Allow",
            "Principal": {"AWS": "*"},
            "Action": using,
            "Resource": "*",
            "Condition": {"StringEquals": {"kms:CallerAccount": {"Ref": "AWS::AccountId"}, "kms:ViaService": through}},
        },
        {
            "Sid": "TriggerRules",
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
            "Resource": "*",
            "Condition": {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}},
        },
        {
            "Sid": "Logs",
            "Effect": "Allow",
            "Principal": {"Service": {"Fn::Sub": "logs.${AWS::Region}.amazonaws.com"}},
            "Action": [*using[:4], "kms:DescribeKey"],
            "Resource": "*",
            "Condition": {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": {"Fn::Sub": logs}}},
        },
    ]
    key = {
        "Type": "AWS::KMS::Key",
        "Condition": chosen(OWN_KEY),
        "DeletionPolicy": "Retain",  # the tables outlive the stack, and cannot be read without it
        "UpdateReplacePolicy": "Retain",
        "Properties": {
            "Description": f"ChronoWatch, stage {state.stage}: tables, queues, logs",
            "EnableKeyRotation": True,
            "KeyPolicy": {"Version": "2012-10-17", "Statement": statements},
        },
    }
    alias = {
        "Type": "AWS::KMS::Alias",
        "Condition": chosen(OWN_KEY),
        "Properties": {"AliasName": f"alias/chronowatch-{state.stage}", "TargetKeyId": {"Ref": "DataKey"}},
    }
    return {"DataKey": key, "DataKeyAlias": alias}


def _alarm(alarm: Alarm) -> Json:
    topic = {"Fn::If": [chosen(ALARM_TOPIC), [{"Ref": ALARM_TOPIC.parameter}], NO_VALUE]}
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmName": alarm.name,
            "AlarmDescription": alarm.description,
            "Namespace": alarm.namespace,
            "MetricName": alarm.metric,
            "Dimensions": [{"Name": name, "Value": value} for name, value in alarm.dimensions.items()],
            "Statistic": alarm.statistic,
            "Period": 60,
            "EvaluationPeriods": alarm.periods,
            "Threshold": alarm.threshold,
            "ComparisonOperator": alarm.comparison,
            "TreatMissingData": alarm.silence,
            "AlarmActions": topic,
            "OKActions": topic,
        },
    }
