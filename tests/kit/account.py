"""What there is in an account of AWS, as an emulator has it."""

from __future__ import annotations

from typing import Any

import boto3

from tests.kit.emulator import REGION


def client(endpoint: str, service: str) -> Any:
    """With credentials that no real account accepts."""
    keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    return boto3.client(service, region_name=REGION, endpoint_url=endpoint, **keys)


def left(endpoint: str) -> dict[str, list[str]]:
    """What there is in the account by kind, of what a stage is made of."""
    tables = client(endpoint, "dynamodb").list_tables()["TableNames"]
    queues = client(endpoint, "sqs").list_queues().get("QueueUrls", [])
    functions = [f["FunctionName"] for f in client(endpoint, "lambda").list_functions()["Functions"]]
    layers = [layer["LayerName"] for layer in client(endpoint, "lambda").list_layers()["Layers"]]
    sources = [m["UUID"] for m in client(endpoint, "lambda").list_event_source_mappings()["EventSourceMappings"]]
    rules = [r["Name"] for r in client(endpoint, "events").list_rules()["Rules"]]
    buses = [b["Name"] for b in client(endpoint, "events").list_event_buses()["EventBuses"] if b["Name"] != "default"]
    groups = [g["logGroupName"] for g in client(endpoint, "logs").describe_log_groups()["logGroups"]]
    roles = [r["RoleName"] for r in client(endpoint, "iam").list_roles()["Roles"]]
    alarms = [a["AlarmName"] for a in client(endpoint, "cloudwatch").describe_alarms()["MetricAlarms"]]
    apis = [a["name"] for a in client(endpoint, "apigateway").get_rest_apis()["items"]]
    kinds = {"tables": tables, "queues": queues, "functions": functions, "layers": layers, "sources": sources}
    kinds |= {"rules": rules, "buses": buses, "log groups": groups, "roles": roles, "alarms": alarms, "apis": apis}
    kinds["buckets"] = [b["Name"] for b in client(endpoint, "s3").list_buckets()["Buckets"]]
    return {kind: found for kind, found in kinds.items() if found}
