"""Terraform: what holds state, as ``infra.state`` has it, and what watches over it."""

from __future__ import annotations

import json
from typing import Any, Final

from infra import value_bucket, watch
from infra.choices import ALARM_TOPIC, ARCHIVE_DAYS, DELETION_PROTECTION, OWN_KEY
from infra.cloudformation_state import LOG_RETENTION_DAYS
from infra.state import ROUTED_QUEUE, Queue, State, Table, sends_events
from infra.watch import Alarm

Json = dict[str, Any]

_OWN: Final = f"var.{OWN_KEY.variable}"
_KEY_ARN: Final = f"${{{_OWN} ? aws_kms_key.data[0].arn : null}}"
_REGION: Final = "${data.aws_region.chalice.name}"
_ACCOUNT: Final = "${data.aws_caller_identity.chalice.account_id}"
_PARTITION: Final = "${data.aws_partition.chalice.partition}"
_ENCRYPTING: Final = ("dynamodb", "s3", "sqs")


def resources(state: State) -> Json:
    """Tables, queues, the bus and its archive, the key that may encrypt them, alarms and the dashboard."""
    days = f"var.{ARCHIVE_DAYS.variable}"
    return {
        "aws_dynamodb_table": {table.logical: _table(table) for table in state.tables},
        "aws_sqs_queue": {queue.logical: _queue(queue) for queue in state.queues},
        "aws_sqs_queue_policy": {
            "trigger_rules": {
                "queue_url": f"${{aws_sqs_queue.{ROUTED_QUEUE}.id}}",
                "policy": json.dumps(
                    sends_events(
                        f"${{aws_sqs_queue.{ROUTED_QUEUE}.arn}}",
                        f"arn:{_PARTITION}:events:{_REGION}:{_ACCOUNT}:rule/*chronowatch-*",
                    )
                ),
            }
        },
        "aws_cloudwatch_event_bus": {"bus": {"name": state.event_bus}},
        "aws_cloudwatch_event_archive": {
            "bus": {
                "count": f"${{{days} == 0 ? 0 : 1}}",
                "name": f"chronowatch-{state.stage}",
                "event_source_arn": "${aws_cloudwatch_event_bus.bus.arn}",
                "retention_days": f"${{{days}}}",
            }
        },
        **_key(state),
        **value_bucket.terraform(state, _KEY_ARN),
        "aws_cloudwatch_metric_alarm": {
            alarm.name.removeprefix(f"chronowatch-{state.stage}-").replace("-", "_"): _alarm(alarm)
            for alarm in watch.alarms(state)
        },
        "aws_cloudwatch_dashboard": {
            "operator": {
                "dashboard_name": watch.dashboard_name(state),
                "dashboard_body": json.dumps(watch.dashboard(state, _REGION)),
            }
        },
    }


def log_group(name: str) -> Json:
    """A group that forgets."""
    return {"name": name, "retention_in_days": LOG_RETENTION_DAYS, "kms_key_id": _KEY_ARN}


def _table(table: Table) -> Json:
    answer: Json = {
        "name": table.name,
        "billing_mode": "PAY_PER_REQUEST",
        "hash_key": table.hash_key.name,
        "range_key": table.range_key.name,
        "attribute": [{"name": key.name, "type": key.type} for key in table.key_parts],
        "ttl": {"attribute_name": table.ttl_attribute, "enabled": True},
        "point_in_time_recovery": {"enabled": True},
        "deletion_protection_enabled": f"${{var.{DELETION_PROTECTION.variable}}}",
        "dynamic": {
            "server_side_encryption": {
                "for_each": "${aws_kms_key.data}",
                "content": {"enabled": True, "kms_key_arn": "${server_side_encryption.value.arn}"},
            }
        },
    }
    if table.indexes:
        answer["global_secondary_index"] = [
            {
                "name": index.name,
                "hash_key": index.hash_key.name,
                "range_key": index.range_key.name,
                "projection_type": index.projection,
                **({"non_key_attributes": list(index.include)} if index.include else {}),
            }
            for index in table.indexes
        ]
    if table.stream:
        answer |= {"stream_enabled": True, "stream_view_type": table.stream}
    return answer


def _queue(queue: Queue) -> Json:
    answer: Json = {
        "name": queue.name,
        "visibility_timeout_seconds": queue.visibility_s,
        "message_retention_seconds": queue.retention_s,
        "sqs_managed_sse_enabled": f"${{{_OWN} ? null : true}}",
        "kms_master_key_id": _KEY_ARN,
    }
    if queue.dead_letter is not None:
        arn = f"${{aws_sqs_queue.{queue.dead_letter}.arn}}"
        redrive = f'${{jsonencode({{deadLetterTargetArn = "{arn}", maxReceiveCount = {queue.max_receive_count}}})}}'
        answer["redrive_policy"] = redrive
    return answer


def _key(state: State) -> Json:
    """As ``infra.cloudformation_state`` has it."""
    using = [
        "kms:Encrypt",
        "kms:Decrypt",
        "kms:ReEncrypt*",
        "kms:GenerateDataKey*",
        "kms:CreateGrant",
        "kms:DescribeKey",
    ]
    through = [f"{service}.{_REGION}.amazonaws.com" for service in _ENCRYPTING]
    logs = f"arn:{_PARTITION}:logs:{_REGION}:{_ACCOUNT}:log-group:*chronowatch-{state.stage}*"
    root = {"AWS": f"arn:{_PARTITION}:iam::{_ACCOUNT}:root"}
    statements = [
        {"Sid": "Administer", "Effect": "Allow", "Principal": root, "Action": "kms:*", "Resource": "*"},
        {
            "Sid": "UseThroughServices",
            "Effect": "Allow",
            "Principal": {"AWS": "*"},
            "Action": using,
            "Resource": "*",
            "Condition": {"StringEquals": {"kms:CallerAccount": _ACCOUNT, "kms:ViaService": through}},
        },
        {
            "Sid": "TriggerRules",
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
            "Resource": "*",
            "Condition": {"StringEquals": {"aws:SourceAccount": _ACCOUNT}},
        },
        {
            "Sid": "Logs",
            "Effect": "Allow",
            "Principal": {"Service": f"logs.{_REGION}.amazonaws.com"},
            "Action": [*using[:4], "kms:DescribeKey"],
            "Resource": "*",
            "Condition": {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": logs}},
        },
    ]
    only = f"${{{_OWN} ? 1 : 0}}"
    return {
        "aws_kms_key": {
            "data": {
                "count": only,
                "description": f"ChronoWatch, stage {state.stage}: tables, queues, logs",
                "enable_key_rotation": True,
                "policy": json.dumps({"Version": "2012-10-17", "Statement": statements}),
            }
        },
        "aws_kms_alias": {
            "data": {
                "count": only,
                "name": f"alias/chronowatch-{state.stage}",
                "target_key_id": "${aws_kms_key.data[0].key_id}",
            }
        },
    }


def _alarm(alarm: Alarm) -> Json:
    topic = f"var.{ALARM_TOPIC.variable}"
    actions = f'${{{topic} == "" ? [] : [{topic}]}}'
    return {
        "alarm_name": alarm.name,
        "alarm_description": alarm.description,
        "namespace": alarm.namespace,
        "metric_name": alarm.metric,
        "dimensions": dict(alarm.dimensions),
        "statistic": alarm.statistic,
        "period": 60,
        "evaluation_periods": alarm.periods,
        "threshold": alarm.threshold,
        "comparison_operator": alarm.comparison,
        "treat_missing_data": alarm.silence,
        "alarm_actions": actions,
        "ok_actions": actions,
    }
