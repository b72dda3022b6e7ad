"""Bad input, field by field: every field of every body and every parameter of every list has its row here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from chalicelib.api.http.operations import Operation
from chalicelib.api.http.routes import table
from chalicelib.core.keys.limits import KEY_OVERLAP_MAX_MS
from chalicelib.core.leases.limits import LEASE_TTL_MAX_MS
from chalicelib.core.limits import BODY_MAX_BYTES, DURATION_MAX_MS, INSTANT_MAX_MS
from chalicelib.core.schedules.limits import JITTER_MAX_MS, RUNS_MAX
from chalicelib.core.ticks.limits import SEQUENCE_MAX
from tests.kit.house import RATE, House

OPERATIONS = table().operations
FAR = INSTANT_MAX_MS + 1
LONG = DURATION_MAX_MS + 1
HUGE = 10**400

NOT_TEXT: list[Any] = [1, True, 1.5, [], {}]
NOT_INT: list[Any] = ["1", True, 1.5, 1e3, [], {}, HUGE]
NOT_LIST: list[Any] = [1, True, "x", {}]
NOT_BOOL: list[Any] = ["true", 1, 0, [], {}]
INSTANT = [*NOT_INT, -1, FAR]
DURATION = [*NOT_INT, None, -1, LONG]

WEBHOOK = {"type": "webhook", "url": "https://example.com/"}

# Wrong values by the field they are wrong in; a pair also says which nested field is named.
SCHEDULE: dict[str, list[Any]] = {
    "name": [*NOT_TEXT, "", "x" * 129, "a\u0000b", "a\nb"],
    "type": [*NOT_TEXT, None, "", "cron", "NEVER"],
    "expr": [
        *NOT_TEXT,
        None,
        "",
        "rate:",
        "rate:0s",
        "rate:999ms",
        "rate:-5s",
        "rate:5",
        "5s",
        "x" * 1025,
        "rate:9999d",
    ],
    "timezone": [*NOT_TEXT, None, "", "Mars/Olympus", "../etc/passwd", "x" * 65],
    "start_at_unix_ms": INSTANT,
    "end_at_unix_ms": INSTANT,
    "max_runs": [*NOT_INT, 0, -1, RUNS_MAX + 1],
    "target": [
        *[1, True, "webhook", [], None],
        ({}, "target.type"),
        ({"type": "pigeon"}, "target.type"),
        ({"type": "webhook"}, "target.url"),
        *[(WEBHOOK | {"url": v}, "target.url") for v in [*NOT_TEXT, None, "", "example.com", "file:///etc/passwd"]],
        *[
            (WEBHOOK | {"url": v}, "target.url")
            for v in ["http://10.0.0.1/", "http://[::1", "http://u:p@e.org/", "http://0"]
        ],
        *[(WEBHOOK | {"method": v}, "target.method") for v in [*NOT_TEXT, None, "get", "BREW"]],
        *[(WEBHOOK | {"headers": v}, "target.headers") for v in [1, None, [], {"a": 1}, {"Host": "x"}, {"a b": "c"}]],
        *[(WEBHOOK | {"headers": {"a": v}}, "target.headers") for v in ["x\r\ny", "\u2028", "x" * 5000]],
        *[(WEBHOOK | {"secret_ref": v}, "target.secret_ref") for v in [*NOT_TEXT, None, "", "plain", "ssm:"]],
        *[(WEBHOOK | {"timeout_ms": v}, "target.timeout_ms") for v in [*NOT_INT, None, 0, 900_001]],
        (WEBHOOK | {"urll": "x"}, "target.urll"),
        *[({"type": "eventbridge", "bus": v}, "target.bus") for v in [*NOT_TEXT, None, "", "a b"]],
        ({"type": "eventbridge", "url": "x"}, "target.url"),
        *[({"type": "sqs", "queue_url": v}, "target.queue_url") for v in [*NOT_TEXT, None, "", "q"]],
        ({"type": "sqs", "queue_url": "https://q/1/q", "message_group_id": "é"}, "target.message_group_id"),
        ({"type": "sns"}, "target.topic_arn"),
        *[({"type": "sns", "topic_arn": v}, "target.topic_arn") for v in [*NOT_TEXT, None, "", "t"]],
        *[({"type": "lambda", "function": v}, "target.function") for v in [*NOT_TEXT, None, "", "a b"]],
        *[
            ({"type": "stepfunctions", "state_machine_arn": v}, "target.state_machine_arn")
            for v in [*NOT_TEXT, None, "", "m"]
        ],
    ],
    "enabled": [*NOT_BOOL, None],
    "owner": [*NOT_TEXT, None, "", "x" * 129],
    "shard_key": [*NOT_TEXT, "", "x" * 129],
    "sla_ms": DURATION,
    "overlap": [*NOT_TEXT, None, "", "sometimes", "Forbid"],
    "catch_up_window_ms": DURATION,
    "jitter_ms": [*DURATION, JITTER_MAX_MS + 1],
    "dst_gap": [*NOT_TEXT, None, "", "once"],
    "dst_overlap": [*NOT_TEXT, None, "", "skip"],
    "exclude": [
        *[1, True, "x", {}, None],
        *[([v], "exclude.0") for v in [1, None, True, [], "nonsense", "* * * *", "BEGIN:nothing"]],
        ([{}], "exclude.0.from_unix_ms"),
        ([{"from_unix_ms": 1}], "exclude.0.to_unix_ms"),
        (["0 12 * * *", {"from_unix_ms": 2, "to_unix_ms": 1}], "exclude.1.to_unix_ms"),
        *[([{"from_unix_ms": v, "to_unix_ms": 1}], "exclude.0.from_unix_ms") for v in [*INSTANT, None]],
        ([{"from_unix_ms": 1, "to_unix_ms": 2, "too": 3}], "exclude.0.too"),
    ],
    "retry_policy": [
        *[1, True, "x", [], None],
        *[({"max_attempts": v}, "retry_policy.max_attempts") for v in [*NOT_INT, None, 0, -1, 101]],
        *[({"backoff": v}, "retry_policy.backoff") for v in [*NOT_TEXT, None, "", "linear"]],
        *[({"base_ms": v}, "retry_policy.base_ms") for v in DURATION],
        *[({"max_ms": v}, "retry_policy.max_ms") for v in [*DURATION, 999]],
        *[({"jitter": v}, "retry_policy.jitter") for v in [*NOT_BOOL, None]],
        ({"attempts": 3}, "retry_policy.attempts"),
    ],
    "timeout_ms": [*DURATION, 0],
    "pause_after_failures": [*NOT_INT, 0, -1, 1001],
    "monitor": [
        *[1, True, "x", []],
        *[({"window_ms": v}, "monitor.window_ms") for v in (*NOT_INT, None, 0, -1, 59_999, DURATION_MAX_MS + 1)],
        ({}, "monitor.window_ms"),
        ({"window_ms": 60_000, "grace_ms": 1}, "monitor.grace_ms"),
    ],
    "tags": [
        *[1, True, "x", {}, None, ["t"] * 21],
        *[(["fine", v], "tags.1") for v in [*NOT_TEXT, None, "", "x" * 65, "a\tb"]],
    ],
}
PREVIEW = {name: SCHEDULE[name] for name in ("type", "expr", "timezone", "start_at_unix_ms", "end_at_unix_ms")}
PREVIEW |= {name: SCHEDULE[name] for name in ("exclude", "dst_gap", "dst_overlap")}
PREVIEW |= {"after_unix_ms": INSTANT, "count": [*NOT_INT, None, 0, -1, 1001]}
LEASE_NAME = [*NOT_TEXT, None, "", "x" * 129, "a b", "é", "a\n", "a%2Fb", "a#b"]
HOLDER = [*NOT_TEXT, None, "", "x" * 129, "a\u0000", "a\nb", "\u2028"]
TTL = [*NOT_INT, None, 0, -1, 99, LEASE_TTL_MAX_MS + 1]
TOKEN = [*NOT_INT, None, -1, 1 << 53]
RULE = {"name": "r", "condition": {"field": "name", "operator": "eq", "value": "x"}, "action": "warn", "message": "m"}
MONITOR: dict[str, list[Any]] = {
    "name": [*NOT_TEXT, None, "", "x" * 129],
    "type": [*NOT_TEXT, None, "", "cron", "AT", "DELAY"],
    "expr": [*NOT_TEXT, None, "", "x" * 1025],
    "timezone": [*NOT_TEXT, None, "", "Mars/Base"],
    "grace_ms": [*DURATION, 0, 999],
    "tags": [*NOT_LIST, None, ([1], "tags.0"), ([""], "tags.0")],
}
CHANNEL = {"type": "webhook", "url": "https://example.com/"}
MAIL = {"type": "email", "to": "a@example.com", "from": "b@example.com"}
NOTICE_RULE: dict[str, list[Any]] = {
    "name": [*NOT_TEXT, None, "", "x" * 129],
    "when": [*NOT_LIST, None, [], (["never"], "when.0")],
    "match": [1, None, "x", ({"tags": "x"}, "match.tags"), ({"tag": ""}, "match.tag")],
    "channels": [
        *NOT_LIST,
        *[None, [], [CHANNEL] * 11],
        ([CHANNEL | {"type": "fax"}], "channels.0.type"),
        ([{"type": "webhook"}], "channels.0.url"),
        ([CHANNEL | {"url": "http://10.0.0.1/"}], "channels.0.url"),
        ([CHANNEL | {"secret_ref": "plain"}], "channels.0.secret_ref"),
        ([CHANNEL | {"topic_arn": "x"}], "channels.0.topic_arn"),
        ([{"type": "slack"}], "channels.0.url"),
        ([{"type": "pagerduty"}], "channels.0.routing_key"),
        ([{"type": "sns", "topic_arn": "x"}], "channels.0.topic_arn"),
        ([MAIL | {"to": []}], "channels.0.to"),
        ([MAIL | {"to": ["a@example.com", "nobody"]}], "channels.0.to"),
        ([MAIL | {"to": ["a@example.com"] * 51}], "channels.0.to"),
        ([MAIL | {"from": "Ops <a@example.com>"}], "channels.0.from"),
        ([MAIL | {"from": "a@example.com\r\nBcc: b@example.com"}], "channels.0.from"),
        ([{"type": "email", "to": "a@example.com"}], "channels.0.from"),
        ([MAIL | {"secret_ref": "env:X"}], "channels.0.secret_ref"),
    ],
    "group_ms": [*NOT_INT, None, -1, 3_600_001],
    "quiet": [1, "x", ({}, "quiet.cron"), ({"cron": "nonsense", "for_ms": 1}, "quiet.cron")],
    "enabled": [*NOT_BOOL, None],
}
BODIES: dict[str, dict[str, list[Any]]] = {
    "NewSchedule": SCHEDULE,
    "ScheduleChanges": SCHEDULE,
    "PreviewBody": PREVIEW,
    "NewMonitor": MONITOR,
    "MonitorChanges": MONITOR,
    "NewNotificationRule": NOTICE_RULE,
    "NotificationRuleChanges": NOTICE_RULE,
    "ParseBody": {
        "text": [*NOT_TEXT, None, "", "x" * 501],
        "timezone": [*NOT_TEXT, None, "", "Mars/Base"],
        "language": [*NOT_TEXT, None, "", "de"],
    },
    "PauseBody": {"note": [*NOT_TEXT, "x" * 513], "until_unix_ms": [*INSTANT, 0, 1]},
    "SignInBody": {"token": [*NOT_TEXT, None, "", "x" * 8193]},
    "PauseQueueBody": {"note": [*NOT_TEXT, "x" * 257], "until_unix_ms": [*INSTANT, 0, 1]},
    "TriggerBody": {},
    "BackfillBody": {
        "from_unix_ms": [*INSTANT, None, (1795252800001, "to_unix_ms")],
        "to_unix_ms": [*INSTANT, None],
    },
    "CancelBody": {"reason": [*NOT_TEXT, "x" * 501]},
    "CompleteBody": {},
    "FailBody": {"error": [*NOT_TEXT, None, "", "x" * 501]},
    "AcquireBody": {
        "name": LEASE_NAME,
        "holder_id": HOLDER,
        "ttl_ms": TTL,
        "wait_ms": [*NOT_INT, None, -1, 25_001],
        "metadata": [1, True, "x", [], {"x": "y" * 4096}],
    },
    "RenewBody": {"name": LEASE_NAME, "holder_id": HOLDER, "fencing_token": TOKEN, "ttl_ms": TTL},
    "ReleaseBody": {"name": LEASE_NAME, "holder_id": HOLDER, "fencing_token": TOKEN},
    "ValidateBody": {"name": LEASE_NAME, "fencing_token": TOKEN},
    "BreakBody": {"name": LEASE_NAME},
    "PolicyBody": {
        "name": [*NOT_TEXT, None, "", "no such!", "x" * 65],
        "description": [*NOT_TEXT, None, "x" * 1025],
        "mode": [*NOT_TEXT, None, "", "off"],
        "match": [
            1,
            "x",
            [],
            None,
            {},
            *[({"tag": v}, "match.tag") for v in (1, None, [], "")],
            ({"tag": [""]}, "match.tag.0"),
        ],
        "rules": [
            1,
            "x",
            {},
            None,
            [],
            [RULE] * 51,
            *[([RULE | {"name": v}], "rules.0.name") for v in (1, None, "", "x" * 65, "a\nb")],
            *[([RULE | {"action": v}], "rules.0.action") for v in (1, None, "", "allow")],
            *[([RULE | {"message": v}], "rules.0.message") for v in (1, None, "", "x" * 513)],
            *[([RULE | {"required": v}], "rules.0.required") for v in (1, None, "")],
            *[([RULE | {"condition": v}], "rules.0.condition") for v in (1, None, "x", [])],
            ([RULE | {"condition": {}}], "rules.0.condition.field"),
        ],
        "exceptions": [
            1,
            "x",
            {},
            None,
            *[([{"until_unix_ms": v, "schedule_id": "x"}], "exceptions.0.until_unix_ms") for v in INSTANT],
        ],
    },
    "DryRunBody": {
        "policy": [1, "x", [], None, ({"rules": []}, "policy.rules"), ({"rules": [RULE, RULE]}, "policy.rules.1.name")]
    },
    "EvaluateBody": {
        "subject": [1, "x", [], None],
        "action": [*NOT_TEXT, None, "", "keys:write"],
    },
    "RoleBody": {
        "permissions": [1, True, "x", {}, None, *[([v], "permissions.0") for v in ("x" * 65, "schedules:fly")]],
        "every_owner": [1, "true", [], {}, None],
        "description": [*NOT_TEXT, None, "x" * 257],
    },
    "EnableTicksBody": {"target": [v for v in SCHEDULE["target"] if v is not None]},
    "NewJob": {
        "type": [*NOT_TEXT, None, "", "RATE", "Unico"],
        "timestamp": [
            *[*NOT_TEXT, "", "x" * 65, "tomorrow", "2026-12-25", "2026-12-25T10:00:00", "2026-13-01T00:00:00Z"],
            "2020-01-01T00:00:00Z",
        ],
        "cron_expression": [*NOT_TEXT, "", "x" * 1025, ("* * * * *", "cron_expression")],
        "last_date": [*NOT_TEXT, "", "x" * 65, ("2027-01-01T00:00:00Z", "last_date")],
        "webhook_url": [*NOT_TEXT, "", "x" * 2049, "example.com", "http://10.0.0.1/", "file:///etc/passwd"],
    },
    "NewKeyBody": {
        "name": [*NOT_TEXT, None, "", "x" * 129, "a\n"],
        "owner": [*NOT_TEXT, None, "", "x" * 129, "a\n"],
        "roles": [*NOT_LIST, None, [], (["god"], "roles.0"), (["user", 1], "roles.1")],
        "permissions": [*NOT_LIST, None, [], (["schedules.read"], "permissions.0"), ([None], "permissions.0")],
        "expires_at_unix_ms": [*INSTANT, 0, 1],
        "cidrs": [*NOT_LIST, [], ["10.0.0.0/8"] * 33, (["x"], "cidrs.0"), (["10.0.0.1/8"], "cidrs.0")],
    },
    "RotateBody": {
        "overlap_ms": [*NOT_INT, None, -1, KEY_OVERLAP_MAX_MS + 1],
        "expires_at_unix_ms": [*INSTANT, None, 0, 1],
    },
    "LogBody": {"message": [*NOT_TEXT, None, "", "x" * 4097], "level": [*NOT_TEXT, None, "", "INFO", "fatal"]},
    "JoinBody": {
        "node_id": [*NOT_TEXT, None, "", "x" * 129, "a b", "é", "a#b"],
        "address": [*NOT_TEXT, None, "", "x" * 257],
    },
    "TagBody": {"tag": [*NOT_TEXT, None, "", "x" * 65]},
    "TagPauseBody": {
        "tag": [*NOT_TEXT, None, "", "x" * 65],
        "note": [*NOT_TEXT, "x" * 513],
        "until_unix_ms": [*INSTANT, 0, 1],
    },
    "BatchBody": {
        "operations": [
            *[1, True, "x", {}, None, [], [{"op": "resume", "id": "0" * 26}] * 101],
            *[([v], "operations.0") for v in (1, None, True, "x", [])],
            *[([{"op": v}], "operations.0.op") for v in (1, None, "drop", "")],
            ([{}], "operations.0.op"),
            *[([{"op": op}], "operations.0.id") for op in ("patch", "pause", "resume", "delete")],
            *[([{"op": "delete", "id": v}], "operations.0.id") for v in [*NOT_TEXT, None, "", "x"]],
            ([{"op": "delete", "id": "0" * 26, "if_match": "x"}], "operations.0.if_match"),
            ([{"op": "pause", "id": "0" * 26, "note": 1}], "operations.0.note"),
            ([{"op": "create"}], "operations.0.schedule"),
            ([{"op": "create", "schedule": {"type": "RATE"}}], "operations.0.schedule.expr"),
            ([{"op": "create", "schedule": RATE | {"exprr": "x"}}], "operations.0.schedule.exprr"),
            ([{"op": "patch", "id": "0" * 26, "changes": {"sla_ms": -1}}], "operations.0.changes.sla_ms"),
        ]
    },
    "ImportBody": {
        "version": [*NOT_INT, None, 0, 2],
        "schedules": [
            *[1, True, "x", {}, None, [RATE] * 501],
            *[([v], "schedules.0") for v in (1, None, True, "x", [])],
            ([{"type": "RATE"}], "schedules.0.expr"),
            ([RATE | {"exprr": 1}], "schedules.0.exprr"),
            *[([RATE | {"id": v}], "schedules.0.id") for v in (1, None, "", "x")],
            ([RATE | {"name": "a"}, RATE | {"name": "a"}], "schedules.1.name"),
            ([RATE | {"id": "0" * 26}] * 2, "schedules.1.id"),
        ],
    },
    "RetryBody": {},
    "BulkBody": {
        "action": [*NOT_TEXT, None, "", "delete", "Retry"],
        "filter": [
            *[1, True, "x", [], None, {}],
            *[({"schedule_id": v}, "filter.schedule_id") for v in [*NOT_TEXT, None, "", "x"]],
            *[({"state": v}, "filter.state") for v in [*NOT_TEXT, None, "", "done"]],
            *[({"owner": v}, "filter.owner") for v in [*NOT_TEXT, None, "", "x" * 129]],
            *[({"from_unix_ms": v}, "filter.from_unix_ms") for v in [*INSTANT, None]],
            *[({"to_unix_ms": v}, "filter.to_unix_ms") for v in [*INSTANT, None]],
            ({"from_unix_ms": 2, "to_unix_ms": 1}, "filter.to_unix_ms"),
            ({"status": "failed"}, "filter.status"),
        ],
        "dry_run": [*NOT_BOOL, None],
    },
    "WorkflowBody": {
        "format": [*NOT_TEXT, None, "", "chronowatch.workflow/v2"],
        "name": [*NOT_TEXT, None, "", "A", "a b", "x" * 65],
        "description": [*NOT_TEXT, None],
        "input_schema": [1, True, "x", [], None],
        "concurrency": [1, True, "x", [], None],
        "timeout_ms": DURATION,
        "sla_ms": DURATION,
        "on_failure": [*NOT_TEXT, None],
        "nodes": [*NOT_LIST, None, [], [{}] * 501],
        "edges": [*NOT_LIST, None],
        "layout": [1, True, "x", [], None],
    },
    "StartBody": {
        "version": [*NOT_TEXT, None],
        "run_id": [*NOT_TEXT, None, "", "a b", "a/b", "x" * 65],
    },
    "TestWorkflowBody": {
        "definition": [1, True, "x", [], None],
        "workflow": [*NOT_TEXT, None],
        "version": [*NOT_TEXT, None],
        "node": [*NOT_TEXT, None, ("", "node"), ("nowhere", "node")],
        "outputs": [1, True, "x", [], None],
        "item": [],
        "fork": [
            *[1, True, "x", [], None, ({}, "fork.run_id"), ({"run_id": 1}, "fork.run_id")],
            *[({"run_id": "r", "position": v}, "fork.position") for v in (0, -1, "1", True, None)],
        ],
        "mocks": [1, True, "x", [], None, ({"nowhere": {}}, "mocks.nowhere")],
    },
    "CancelRunBody": {"reason": [*NOT_TEXT, None, "x" * 1025]},
    "RedriveBody": {"from": [*NOT_TEXT, None], "version": [*NOT_TEXT, None], "dry_run": [*NOT_BOOL, None]},
    "DecisionBody": {"nonce": [*NOT_TEXT, None], "comment": [*NOT_TEXT, None, "x" * 1025]},
    "CompleteNodeBody": {},
    "TravelBody": {"live": [*NOT_BOOL, None]},
    "JumpBody": {
        "position": [*NOT_INT, None, -1, 25_001],
        "watch": [*NOT_LIST, None, ["x"] * 21],
    },
    "ImportTravelBody": {
        "format": [*NOT_TEXT, None, "", "x"],
        "run_id": [*NOT_TEXT, None, "", "a b", "x" * 513],
        "position": [*NOT_INT, None, -1, 25_001],
        "events": [*NOT_LIST, None],
        "document": [1, True, "x", [], None],
        "breakpoints": [*NOT_LIST, None],
        "payloads": [1, True, "x", [], None, {"a": 1}],
    },
    "FailNodeBody": {
        "error": [*NOT_TEXT, None, "", "x" * 1025],
        "error_type": [*NOT_TEXT, None, "", "x" * 65],
    },
    "Body": {},
}
ANY_JSON = {
    "payload",
    "result",
    "input",
    "output",
    "patch_input",
}  # no value of these is wrong; their size has tests of its own
QUERIES: dict[str, list[str]] = {
    "actor": ["", "x" * 385],
    "action": ["", "x" * 385],
    "resource": ["", "x" * 385],
    "limit": [
        "0",
        "-1",
        "1001",
        "x",
        "",
        "1.5",
        "1e1",
        "+5",
        "1_0",
        "\u0661",
        "999999999999999999999",
        "9" * 5000,
        "null",
        "%00",
        "1&limit=1",
    ],
    "page_token": ["x&page_token=y"],
    "owner": ["", "x" * 129, "a&owner=b"],
    "enabled": ["", "x", "2", "null"],
    "type": ["", "cron", "CRON&type=RATE", "null"],
    "tag": ["", "x" * 65],
    "name_prefix": ["", "x" * 129],
    "schedule_id": ["", "x", "x" * 27],
    "state": ["", "done", "null"],
    "from_unix_ms": ["", "x", "-1", str(FAR), "1.5", "1795252800001&to_unix_ms=1795252800000"],
    "to_unix_ms": ["", "x", "-1", str(FAR), "1e400"],
    "after_sequence": ["", "x", "-1", "1.5", "1e1", str(SEQUENCE_MAX + 1), "null", "1&after_sequence=1"],
    "consistency": ["", "strong", "Cluster", "null"],
    "status": ["", "done", "null"],
    "after": ["x", "1", "9" * 17, "-" + "0" * 15, "%00", "0000000000000000&after=0000000000000000"],
    "types": ["leases", "lease,", "lease&types=schedule"],
    "name": ["", "x" * 129, "a&name=b"],
    "id": ["", "x" * 65, "a&id=b"],
    "sort": ["", "color", "--id", "ID", "id&sort=name"],
    "last_event_id": ["x", "1", "9" * 17],
    "at_unix_ms": ["", "x", "-1", str(FAR), "1.5"],
    "dry_run": ["", "x", "2", "null", "true&dry_run=true"],
    "as": ["", "png", "Mermaid", "ASL", "mermaid&as=mermaid"],
    "rid": ["x" * 65, "a&rid=b"],
    "rule_id": ["", "x" * 65, "a&rule_id=b"],
    "incident_id": ["", "x" * 65, "a&incident_id=b"],
    "workflow": ["", "A", "x" * 65, "a&workflow=b"],
    "inline_bytes": ["", "x", "65535", "2097153", "65536.5", "65536&inline_bytes=65536"],
}
# What an issuer sends back is taken as text; its ``state`` is not the one of an execution.
CALLBACK: dict[str, list[str]] = {
    name: ["x" * (most + 1), f"a&{name}=b"]
    for name, most in {
        "state": 512,
        "code": 4096,
        "error": 512,
        "error_description": 4096,
        "iss": 2048,
        "session_state": 2048,
        "scope": 4096,
    }.items()
}
QUERIES["return_to"] = ["", "x", "//example.org", "/%5Cexample.org", "https://example.org", "/" + "x" * 512]
RUN_EVENTS = "/api/v1/runs/{run_id}/events"
NUMBERED = ["", "x", "-1", "1.5", "25001", "1&after=1"]  # events have numbers, where other lists have positions
SPECIAL: dict[str, dict[str, Any]] = {
    "ParseBody": {"text": "every day"},
    "NewMonitor": RATE | {"name": "m", "grace_ms": 60_000},
    "NewNotificationRule": {"name": "r", "when": ["failed"], "channels": [CHANNEL]},
    "SignInBody": {"token": "x"},
    "NewJob": {"type": "unico", "timestamp": "2026-12-25T10:00:00Z"},
    "LogBody": {"message": "x"},
    "JoinBody": {"node_id": "n", "address": "a"},
    "TagBody": {"tag": "t"},
    "TagPauseBody": {"tag": "t"},
    "BatchBody": {"operations": [{"op": "resume", "id": "0" * 26}]},
    "ImportBody": {"schedules": []},
    "RoleBody": {"permissions": []},
    "PolicyBody": {"name": "p", "rules": [RULE]},
    "NewPolicyBody": {"name": "p", "rules": [RULE]},
    "DryRunBody": {},
    "EvaluateBody": {"subject": {}},
    "BulkBody": {"action": "retry", "filter": {"state": "failed"}},
    "WorkflowBody": {"nodes": [{"id": "t", "type": "trigger", "on": "manual"}]},
    "NewWorkflowBody": {"name": "w", "nodes": [{"id": "t", "type": "trigger", "on": "manual"}]},
    "TestWorkflowBody": {"definition": {"nodes": [{"id": "t", "type": "trigger", "on": "manual"}], "edges": []}},
    "NewTriggerBody": {"name": "t", "source": {"type": "webhook"}},
    "DecisionBody": {"nonce": "x"},
    "JumpBody": {"position": 1},
    "ImportTravelBody": {
        "format": "chronowatch.session/v1",
        "run_id": "r",
        "position": 1,
        "events": [],
        "document": {},
    },
}
BODIES["NewPolicyBody"] = BODIES["PolicyBody"]
BODIES["NewWorkflowBody"] = BODIES["WorkflowBody"]
BODIES["EventBody"] = {}
BODIES["NewTriggerBody"] = BODIES["TriggerChanges"] = {
    "name": [*NOT_TEXT, "", "x" * 121],
    "source": [1, "webhook", [], ({}, "source.type"), ({"type": "cow"}, "source.type")],
    "filter": [1, "true", [], ({}, "filter.cel"), ({"cel": 1}, "filter.cel"), ({"cel": ""}, "filter.cel")],
    "dedupe": [1, [], ({"key": {"cel": "1"}}, "dedupe.window_ms"), ({"window_ms": 1}, "dedupe.key")],
    "debounce_ms": ["1", 1.5, -1, 31 * 86_400_000 + 1],
    "throttle": [1, [], ({"limit": 1}, "throttle.per_ms"), ({"limit": 0, "per_ms": 1}, "throttle.limit")],
    "absence": [1, [], ({"after": {"cel": "1"}}, "absence.within_ms"), ({"within_ms": 1}, "absence.after")],
    "target": [1, "log", [], ({}, "target.type"), ({"type": "cow"}, "target.type")],
    "enabled": [1, "true", None],
    "owner": [*NOT_TEXT, "", "x" * 129],
    "retry_policy": [1, [], ({"max_attempts": 0}, "retry_policy.max_attempts")],
    "timeout_ms": ["1", 1.5, 0, -1],
    "tags": [1, "a", ([""], "tags.0"), (["x" * 65], "tags.0"), (["x"] * 21, "tags")],
}


def _minimum(operation: Operation) -> dict[str, Any]:
    """A body that is right but for the field under test."""
    if operation.body.__name__ in SPECIAL:
        return dict(SPECIAL[operation.body.__name__])
    needed = {f.name for f in msgspec.structs.fields(operation.body) if f.required}
    right = RATE | {"error": "x", "from_unix_ms": 1_795_252_800_000, "to_unix_ms": 1_795_252_800_000}
    right |= {"name": "a/b", "holder_id": "h", "ttl_ms": 1000, "fencing_token": 1}
    return {name: value for name, value in right.items() if name in needed}


def _path(house: House, operation: Operation) -> str:
    if "{schedule_id}" in operation.path:
        return operation.path.replace("{schedule_id}", house.make()["id"])
    if "{job_id}" in operation.path:
        return operation.path.replace("{job_id}", house.make()["id"])
    if "{key_id}" in operation.path:
        return operation.path.replace("{key_id}", house.call("POST", "/api/v1/keys", {"name": "n"}).json["id"])
    if "{execution_id}" in operation.path:
        return operation.path.replace("{execution_id}", house.fire())
    if "{task_id}" in operation.path:
        return operation.path.replace("{task_id}", house.fire())
    return (
        operation.path.replace("{bulk_id}", "0" * 26)
        .replace("{name}", "a%2Fb")
        .replace("{frequency}", "second")
        .replace("{role}", "r")
        .replace("{policy}", "p")
        .replace("{workflow}", "w")
        .replace("{version}", "1")
        .replace("{run_id}", "r")
        .replace("{session_id}", "0" * 26)
        .replace("{trigger_id}", "0" * 26)
        .replace("{token}", "t" * 22)
        .replace("{node}", "n")
        .replace("{monitor_id}", _watching(house, "monitors", "NewMonitor"))
        .replace("{rule_id}", _watching(house, "notification-rules", "NewNotificationRule"))
    )


def _watching(house: House, noun: str, body: str) -> str:
    """A monitor or a rule, one a house."""
    found = house.call("GET", f"/api/v1/{noun}").json["items"]
    made = found[0] if found else house.call("POST", f"/api/v1/{noun}", SPECIAL[body]).json
    return str(made["id"])


def _name(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


def _wrong_fields() -> Iterator[Any]:
    for operation in OPERATIONS:
        if not operation.takes_body or operation.body_list:
            continue
        for field, values in BODIES[operation.body.__name__].items():
            if field in operation.body.__struct_fields__:
                yield pytest.param(operation, field, values, id=f"{_name(operation)} {field}")


@pytest.mark.parametrize(("operation", "field", "values"), list(_wrong_fields()))
def test_a_wrong_field_is_named(shared: House, operation: Operation, field: str, values: list[Any]) -> None:
    path = _path(shared, operation)
    for value in values:
        wrong, named = value if isinstance(value, tuple) else (value, field)
        answer = shared.call(operation.method, path, _minimum(operation) | {field: wrong})
        assert answer.status == 422, (wrong, answer.body)
        assert answer.fields == [named], (wrong, answer.body)
        assert answer.code in ("invalid_field", "not_supported")


def test_every_field_of_every_body_has_its_row() -> None:
    for operation in (o for o in OPERATIONS if not o.body_list and not o.any_json):
        if operation.any_body_bytes:
            continue  # it takes anything
        rows = set(BODIES[operation.body.__name__])
        assert rows | ANY_JSON >= set(operation.body.__struct_fields__), _name(operation)


# A body that is a list, or any JSON, has tests of its own, beside its noun's.
BODY_CALLS = [o for o in OPERATIONS if o.takes_body and not o.body_list and not o.any_json]


@pytest.mark.parametrize("operation", BODY_CALLS, ids=_name)
def test_an_unknown_field_is_named(shared: House, operation: Operation) -> None:
    path = _path(shared, operation)
    for name in ("nam", "", "__class__", "a.b", "ü", "id", "x" * 1000):
        answer = shared.call(operation.method, path, _minimum(operation) | {name: 1})
        assert answer.fields == [name]


@pytest.mark.parametrize("operation", BODY_CALLS, ids=_name)
def test_a_required_field_that_is_missing_is_named(shared: House, operation: Operation) -> None:
    path, body = _path(shared, operation), _minimum(operation)
    for name in body:
        answer = shared.call(operation.method, path, {k: v for k, v in body.items() if k != name} | {"tags": []})
        assert answer.status == 422
        assert (
            shared.call(operation.method, path, {k: v for k, v in body.items() if k != name} or None, raw=b"{}").status
            == 422
        )


NOT_JSON = [
    b"{",
    b"nonsense",
    b"{'type': 'RATE'}",
    b'{"type":"RATE",}',
    b'{"type":NaN}',
    b'{"type":Infinity}',
    b'{"type":-Infinity}',
    b'{"a":1e999}',
    b'{"type":"RATE","expr":"rate:5s","payload":[NaN]}',
    b'{"type":"RATE","expr":"rate:5s","payload":[1e999]}',
    b'{"type":"RATE","expr":"rate:5s","payload":"\\ud800"}',
    b'{"type":"RATE","expr":"rate:5s","payload":"\xff"}',
    b'{"type":"RATE","expr":"rate:5s","payload":"\xed\xa0\x80"}',
    b'{"type":"RATE","expr":"rate:5s","payload":"a\x01"}',
    b'{"type":"RATE","expr":"rate:5s","payload":' + b"[" * 64 + b"]" * 64 + b"}",
    b'{"type":"RATE","expr":"rate:5s","payload":' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}",
    b"[" * 100_000,
    b'{"type":"RATE"} {"type":"RATE"}',
    b"\xef\xbb\xbf{}",
    '{"type":"RATE"}'.encode("utf-16"),
    b"\x00",
    b" ",
]


@pytest.mark.parametrize("operation", BODY_CALLS, ids=_name)
def test_what_is_not_json_is_a_bad_request(shared: House, operation: Operation) -> None:
    path = _path(shared, operation)
    for raw in NOT_JSON:
        answer = shared.call(operation.method, path, raw=raw)
        assert (answer.status, answer.code) == (400, "bad_request"), raw[:80]


@pytest.mark.parametrize("operation", BODY_CALLS, ids=_name)
def test_json_of_another_shape_is_a_wrong_body(shared: House, operation: Operation) -> None:
    path = _path(shared, operation)
    for raw in (b"[]", b"1", b'"x"', b"null", b"true"):
        assert shared.call(operation.method, path, raw=raw).fields == ["body"]


@pytest.mark.parametrize("operation", BODY_CALLS, ids=_name)
def test_other_media_types_are_refused(shared: House, operation: Operation) -> None:
    path = _path(shared, operation)
    for media in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/jsonx",
        "application/json; charset=latin-1",
        "text/json",
        "json",
        "",
        "é",
    ):
        answer = shared.call(operation.method, path, raw=b"{}", headers={"Content-Type": media})
        assert (answer.status, answer.code) == (415, "unsupported_media_type"), media


@pytest.mark.parametrize(
    "media",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        'application/json;charset="UTF-8"',
        "application/vnd.mine+json",
        "application/CLOUDEVENTS+JSON; charset=UTF-8; x=y",
    ],
)
def test_json_by_any_of_its_names_is_taken(shared: House, media: str) -> None:
    raw = msgspec.json.encode(RATE)
    assert shared.call("POST", "/api/v1/schedules", raw=raw, headers={"Content-Type": media}).status == 201


@pytest.mark.parametrize("operation", BODY_CALLS, ids=_name)
def test_a_body_over_the_limit_is_too_large(shared: House, operation: Operation) -> None:
    path = _path(shared, operation)
    for raw in (b" " * (BODY_MAX_BYTES + 1), b"{" * 10_000_000):
        answer = shared.call(operation.method, path, raw=raw)
        assert (answer.status, answer.code) == (413, "body_too_large")


def test_a_body_at_the_limit_is_read(shared: House) -> None:
    raw = msgspec.json.encode(RATE)
    padded = raw + b" " * (BODY_MAX_BYTES - len(raw))
    assert shared.call("POST", "/api/v1/schedules", raw=padded).status == 201


def test_a_body_that_is_needed_may_not_be_empty(shared: House) -> None:
    for path in ("/api/v1/schedules", "/api/v1/schedules:preview"):
        assert shared.call("POST", path).code == "bad_request"


def _wrong_queries() -> Iterator[Any]:
    for operation in OPERATIONS:
        for name in operation.query.__struct_fields__:
            yield pytest.param(operation, name, id=f"{_name(operation)} ?{name}")


@pytest.mark.parametrize(("operation", "name"), list(_wrong_queries()))
def test_a_wrong_parameter_is_named(shared: House, operation: Operation, name: str) -> None:
    path = _path(shared, operation)
    body = _minimum(operation) if operation.takes_body else None
    known = (
        {"after": NUMBERED}
        if operation.path == RUN_EVENTS
        else CALLBACK
        if operation.path.endswith("/callback")
        else {}
    )
    for value in known.get(name) or QUERIES[name]:
        answer = shared.call(operation.method, path, body, query=f"{name}={value}")
        assert answer.status == 422, (value, answer.body)
        assert answer.fields == ["to_unix_ms" if "&to_unix_ms" in value else name], (value, answer.body)


@pytest.mark.parametrize("operation", OPERATIONS, ids=_name)
def test_an_unknown_parameter_is_named(shared: House, operation: Operation) -> None:
    path = _path(shared, operation)
    body: Any = _minimum(operation) if operation.takes_body else None
    lists: dict[str, Any] = {"tokens": [{"token": "x"}], "breakpoints": [{"kind": "error"}]}
    body = lists.get(operation.body_list, body)
    for name, text in (("lmit", "lmit"), ("x.y", "x.y"), ("ü", "%C3%BC"), ("", ""), ("Limit", "Limit")):
        assert shared.call(operation.method, path, body, query=f"{text}=1").fields == [name]


@pytest.mark.parametrize("operation", OPERATIONS, ids=_name)
def test_broken_percent_encoding_is_a_bad_request(shared: House, operation: Operation) -> None:
    path = _path(shared, operation)
    for broken in ("%", "%z1", "%1", "%ff", "%C3", "%ED%A0%80"):
        assert shared.call(operation.method, path, query=f"a={broken}").code == "bad_request"
        assert shared.call(operation.method, f"{path}{broken}").code == "bad_request"


@pytest.mark.parametrize("operation", OPERATIONS, ids=_name)
def test_other_methods_are_told_which_are_allowed(shared: House, operation: Operation) -> None:
    path = _path(shared, operation)
    allowed = {o.method for o in OPERATIONS if o.path == operation.path}
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PURGE", "get"):
        if method not in allowed:
            answer = shared.call(method, path)
            assert (answer.status, answer.code) == (405, "method_not_allowed")
            assert set(answer.headers["Allow"].split(", ")) == allowed


@pytest.mark.parametrize(
    "path",
    [
        *["/", "", "*", "/api", "/api/v1", "/api/v2/schedules", "/api/v1/schedule", "/api/v1/schedules/a/b", "//docs"],
        *["/api/v1/schedules:nothing", "/api/v1/executions:retry", "/api/v1/schedules/x:y:z/executions/1", "/health/x"],
        *["/api/v1/schedules//executions", "/api/v1/schedules/:pause", "/%2e%2e/docs", "/docs;x", "/docs%00", "/DOCS"],
        *["/api/v1/schedules/" + "0" * 26 + ":nothing", "/api/v1/schedules/" + "0" * 26 + ":", "/é"],
    ],
)
def test_what_is_no_route_is_not_found(shared: House, path: str) -> None:
    for method in ("GET", "POST", "OPTIONS"):
        answer = shared.call(method, path)
        assert (answer.status, answer.code) == (404, "not_found")


@pytest.mark.parametrize("stamp", ["", "x", "1", "-1.0", f"1.{1 << 63}", "9" * 30 + ".0", "1.0.0", "１.0", "1.0\n"])
def test_what_is_no_stamp_is_refused(shared: House, stamp: str) -> None:
    answer = shared.call("GET", "/api/v1/time/now", headers={"X-Chrono-HLC": stamp})
    assert answer.fields == ["X-Chrono-HLC"]
