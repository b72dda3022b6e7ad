"""Each function's policy allows what its code was seen to ask of AWS, and nothing else but what is listed here."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib import bootstrap
from chalicelib.adapters.aws.clients import Clients, resource_name
from chalicelib.adapters.aws.large_values import S3LargeValueStore
from chalicelib.adapters.aws.work_queue import SqsQueue
from chalicelib.adapters.dynamodb.stores import open_stores
from chalicelib.adapters.workflows.cel_expressions import CelExpressions
from chalicelib.adapters.workflows.sandboxed_scripts import SandboxedScripts
from chalicelib.adapters.workflows.stage import MemoryStage
from chalicelib.api.http.routes import table
from chalicelib.core.changes.change_log import Arrived, Change
from chalicelib.core.executions.execution import FAILED, Attempt
from chalicelib.core.queue_messages import decode_hint, encode
from chalicelib.core.security.caller import system_caller
from chalicelib.core.workflows.value_bucket import of_emulator
from chalicelib.functions import declare, subscribe
from chalicelib.functions.reconcile import audit_minute, workflow_minute
from chalicelib.ports.services import Config, Services, assemble
from chalicelib.ports.target import Delivery, Outcome
from chalicelib.ports.work_queue import Incoming, Outgoing
from chalicelib.ports.workflow_steps import WorkflowParts
from chalicelib.settings import load
from chalicelib.usecases.metrics import MetricReader
from chalicelib.workers import changes, deliver, feed, reconcile, sweep, workflow
from chalicelib.workers.feed import Written
from infra.create import create_bucket
from infra.state import State
from infra.tenant_keys import DEPLOYMENT_KEYS, TAG
from tests.contract.rights import Seen, allowed, permits
from tests.kit.changes import gone
from tests.kit.emulator import REGION
from tests.kit.house import House
from tests.kit.machine import NOW_MS, MovableClock, manual_machine
from tests.kit.services import NoCalls
from tests.kit.targets import Recorder
from tests.kit.workflow_calls import GATE, TRIGGER, edges

pytestmark = pytest.mark.emulator

FUNCTIONS = ("api", "deliver", "sweep", "reconcile", "feed", "declare", "workflow", "subscribe")
TASKS_STREAM = "/api/tasks/subscribe"
NO_BODY: dict[str, Any] = {
    "pathParameters": None,
    "multiValueQueryStringParameters": None,
    "stageVariables": None,
    "body": None,
}
LOGS = {"logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"}
TRACES = {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}
POLLED = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
STREAMED = {"dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"}
TARGETS = {"events:PutEvents", "sns:Publish", "lambda:InvokeFunction", "states:StartExecution"}
SECRETS = {"secretsmanager:GetSecretValue", "ssm:GetParameter", "kms:Decrypt"}
SEALED = {"kms:GenerateDataKey", "kms:Decrypt"}
PROOFS = {"s3:PutObject", "s3:GetObject", "s3:ListBucket", "kms:Sign", "kms:GetPublicKey"}

# What a function may do that its code does not ask for in this play, and why.
UNSEEN: dict[str, list[tuple[set[str], str]]] = {
    name: [
        (LOGS, "Lambda writes the log under the function's role"),
        (TRACES, "with CHRONO_TRACING=xray the X-Ray client sends them"),
    ]
    for name in FUNCTIONS
}
for name in ("api", "deliver", "sweep", "feed", "declare", "workflow", "subscribe"):
    UNSEEN[name].append((SEALED, "payloads that are sealed with CHRONO_KMS_KEY_ID: tests/contract/test_sealing.py"))
for name in ("api", "reconcile"):
    UNSEEN[name].append((PROOFS, "checkpoints of the audit, where a bucket and a key are set: test_audit_proofs.py"))
UNSEEN["deliver"] += [
    (POLLED, "Lambda polls the queue under the function's role"),
    (TARGETS, "kinds of targets: tests/tidy/test_target_kinds.py holds them to their descriptions"),
    (SECRETS, "signing secrets of webhooks: the same test"),
]
UNSEEN["api"].append(({"lambda:InvokeFunction"}, "scripts are checked by the function script: test_script_function.py"))
UNSEEN["api"].append((SECRETS, "the key that signs webhooks, where one is set: tests/unit/adapters/secrets"))
COUNTED = ({"dynamodb:UpdateItem"}, "a change that moves a schedule's weight moves its counter in the same transaction")
UNSEEN["deliver"].append(COUNTED)
UNSEEN["deliver"].append(({"s3:PutObject"}, "runs that begin with an event that is large with all its attributes"))
UNSEEN["workflow"] += [
    (POLLED, "Lambda polls the queue under the function's role"),
    (TARGETS, "kinds of targets, as for deliver"),
    ({"dynamodb:BatchGetItem"}, "the outputs of many items are read together where an expression names their join"),
    ({"dynamodb:UpdateItem"}, "a run that waited and goes on is to be checked sooner; here reconcile comes first"),
    (SECRETS, "secrets in headers of HTTP nodes, as those of webhooks"),
    ({"ses:SendEmail"}, "e-mails of notification nodes and rules: tests/contract/test_ses_mail.py"),
]
RULES = {"events:PutRule", "events:PutTargets", "events:RemoveTargets", "events:DeleteRule", "sqs:GetQueueAttributes"}
UNSEEN["api"].append((RULES, "rules of triggers: tests/contract/test_source_eventbridge.py"))
STRAY = {"events:RemoveTargets", "events:DeleteRule"}
UNSEEN["workflow"].append((STRAY, "rules of triggers that are gone: the same test"))
UNSEEN["sweep"].append(COUNTED)  # schedules are planned anew there
UNSEEN["reconcile"].append(({"dynamodb:PartiQLUpdate"}, "the next DELAY run, when the worker of the last one died"))
ALERTS = {"events:PutEvents"}
UNSEEN["reconcile"].append((ALERTS, "alerts of schedules without a success: a recorder takes them here, as in feed"))
UNSEEN["subscribe"].append(({"dynamodb:BatchGetItem"}, "definitions that several executions ran under"))
UNSEEN["feed"] += [
    (STREAMED, "Lambda reads the stream under the function's role"),
    ({"events:PutEvents"}, "events go out through the target kind of that name, which is a recorder here"),
]


class Copied:
    """The real queue, with a copy of its messages: they are due at instants of a clock that is not the emulator's."""

    def __init__(self, inner: SqsQueue, copies: list[Incoming]) -> None:
        self._inner, self._copies = inner, copies

    def send(self, messages: Sequence[Outgoing]) -> None:
        self._inner.send(messages)
        for message in messages:
            self._copies.append(Incoming(f"r{len(self._copies)}", encode(message.message), 1, "copied"))

    def hide(self, handles: Sequence[str], for_s: int) -> None:
        self._inner.hide(handles, for_s)

    def send_dead(self, execution_id: str, event: str, reason: str) -> None:
        self._inner.send_dead(execution_id, event, reason)


class Cast:
    """The functions over one set of tables and one clock, each with clients and a memory of its own."""

    def __init__(self, endpoint: str, stage: str) -> None:
        self.clock = MovableClock(NOW_MS)
        self.queued: list[Incoming] = []
        self.hints: list[Incoming] = []
        self.seen = {name: Seen() for name in FUNCTIONS}
        self.bus = Recorder(self.clock)
        self.of = {name: self._services(name, endpoint, stage) for name in FUNCTIONS}
        self.house = House()
        self.house.services = self.of["api"]
        self.called: set[tuple[str, str]] = set()

    def _services(self, name: str, endpoint: str, stage: str) -> Services:
        clients = Clients(REGION, endpoint, meter=self.seen[name])
        queue = Copied(SqsQueue.of_stage(clients.factory("sqs"), stage), self.queued)
        bucket = S3LargeValueStore(clients.factory("s3"), of_emulator(stage), stage)
        stores = open_stores(clients.factory("dynamodb"), stage, large_values=bucket)
        config = Config(shards=1, zone_data="2026.6", reads_per_s=100_000, job_limit=1000, ticks=("minute",))
        config = replace(config, instance=f"{name}-1", run_retention_ms=120_000)
        targets = {"eventbridge": self.bus, "log": self.bus, "webhook": self.bus}
        made = assemble(config, manual_machine(self.clock), stores, queue, targets)
        steps = SqsQueue(clients.factory("sqs"), resource_name(stage, "steps"), resource_name(stage, "dead"))
        expressions, scripts = CelExpressions(), SandboxedScripts()
        stage = partial(MemoryStage, expressions, scripts)
        parts = WorkflowParts(Copied(steps, self.hints), expressions, NoCalls(), scripts, stage)
        return replace(made, workflows=parts)

    def call(self, method: str, path: str, body: Any = None, *, query: str = "", **params: str) -> Any:
        """A call of the API by the path of its operation."""
        filled = path.format(**params)
        headers = (
            {"idempotency-key": f"key {len(self.called)} {body}"}
            if method == "POST" and path == "/api/v1/schedules"
            else {}
        )
        answer = self.house.call(method, filled, body, query=query, headers=headers)
        assert answer.status < 300, (method, filled, answer)
        self.called.add((method, path))
        return answer.json if answer.body.startswith(b"{") else None

    def subscribe(self) -> None:
        """As a subscriber with a key does, from the first change on, and one without the right to."""
        made = self.call("POST", "/api/v1/keys", {"name": "subscriber", "roles": ["viewer"]})
        with bootstrap.override(self.of["subscribe"], load({"CHRONO_AUTH": "apikey"})):
            for key, status in ((made["key"], 200), ("cw_wrong", 401)):
                headers = {"authorization": f"Bearer {key}", "last-event-id": "0000000000000000"}
                asked = {"resourcePath": TASKS_STREAM, "httpMethod": "GET", "identity": {}}
                several = {name: [value] for name, value in headers.items()}
                event = {"path": TASKS_STREAM, "requestContext": asked, "headers": headers, **NO_BODY}
                event["multiValueHeaders"] = several
                answer = subscribe.handle(event, None)
                assert (answer["statusCode"], "event: task" in answer["body"]) == (status, status == 200), answer

    def deliver(self) -> None:
        """Hand the function what was queued, and what that queued; what is held back longer comes a minute later."""
        for _ in range(2):
            batch, self.queued[:] = list(self.queued), []
            deliver.run(self.of["deliver"], batch)

    def take_steps(self) -> None:
        """Hand the function all hints but those of instants to come, which its queue would hold back."""
        while batch := [hint for hint in self.hints if decode_hint(hint.body).due_ms <= self.clock.now_ms()]:
            self.hints[:] = [hint for hint in self.hints if hint not in batch]
            workflow.run(self.of["workflow"], batch)

    def minute(self) -> None:
        self.clock.advance(60_000)
        workflow_minute(self.of["reconcile"])
        self.take_steps()
        sweep.run(self.of["sweep"])
        reconcile.run(self.of["reconcile"])
        audit_minute(self.of["reconcile"])
        self.deliver()


def play(cast: Cast) -> None:
    """A day of a deployment: every call of the API, firings that succeed, fail and die."""
    one = "/api/v1/schedules/{schedule_id}"
    rate = {"type": "RATE", "expr": "rate:30s", "target": {"type": "log"}}
    sweep.run(cast.of["sweep"])
    made = cast.call("POST", "/api/v1/schedules", {**rate, "name": "a", "monitor": {"window_ms": 120_000}})["id"]
    cast.call("POST", "/api/v1/schedules", {**rate, "overlap": "forbid", "expr": "rate:31s"})
    at = {"schedule_id": made}
    cast.call("PATCH", one, {"name": "b", "tags": ["x"]}, **at)
    cast.call("PATCH", one, {"name": None, "monitor": None}, **at)
    cast.call("PATCH", one, {"monitor": {"window_ms": 60_000}, "retry_policy": {"max_attempts": 2}}, **at)
    cast.call("POST", "/api/v1/schedules", {**rate, "expr": "rate:29s", "pause_after_failures": 1, "name": "p"})
    cast.call("POST", "/api/v1/schedules", {**rate, "expr": "rate:28s", "catch_up_window_ms": 1000, "name": "c"})
    for verb in ("pause", "resume", "trigger"):
        cast.call("POST", one + f":{verb}", {}, **at)
    for _ in range(3):
        cast.minute()
    cast.bus.answer = lambda _: Outcome("failed", error_type="http_error", http_status=500)
    for _ in range(4):
        cast.minute()
    cast.bus.answer = lambda _: Outcome("completed")
    _read_all(cast, one, at)
    _change_executions(cast, made)
    _use_the_rest(cast)
    _use_workflows(cast)
    _use_alerts(cast)
    _die_on_the_way(cast, rate)
    _feed_all(cast)
    _declare(cast)
    cast.subscribe()
    MetricReader().gauges(cast.of["sweep"], system_caller("default"))  # once a minute, where counts leave by the log
    cast.call("DELETE", one, **at)
    for _ in range(3):
        cast.minute()


def _read_all(cast: Cast, one: str, at: dict[str, str]) -> None:
    cast.call("GET", "/api/v1/schedules", query="limit=1")
    cast.call("GET", one, **at)
    cast.call("GET", one + "/ledger", **at)
    cast.call("GET", one + "/executions", **at)
    cast.call("POST", one + ":backfill", {"from_unix_ms": NOW_MS - 60_000, "to_unix_ms": NOW_MS}, **at)
    cast.call("GET", "/api/v1/upcoming")
    cast.call("GET", one + "/versions", **at)
    cast.call("POST", "/api/v1/schedules:parse", {"text": "every day at 9:00"})
    cast.call("POST", "/api/v1/schedules:preview", {"type": "RATE", "expr": "rate:30s"})
    cast.call("GET", "/api/v1/schedules:export")
    cast.call("GET", "/api/v1/executions", query="limit=10")


def _change_executions(cast: Cast, schedule_id: str) -> None:
    one = "/api/v1/executions/{execution_id}"
    found = cast.call("GET", "/api/v1/executions", query=f"schedule_id={schedule_id}&limit=50")["items"]
    failed = [e for e in found if e["delivery_state"] == "failed"]
    done = [e for e in found if e["delivery_state"] == "completed"]
    assert failed
    assert done
    cast.call("GET", one, execution_id=done[0]["id"])
    cast.call("POST", one + "/logs", {"message": "hello"}, execution_id=done[0]["id"])
    cast.call("GET", one + "/logs", execution_id=done[0]["id"])
    cast.call("POST", one + ":retry", {}, execution_id=failed[0]["id"])
    cast.deliver()
    triggered = cast.call("POST", "/api/v1/schedules/{schedule_id}:trigger", {}, schedule_id=schedule_id)
    cast.call("POST", one + ":cancel", {}, execution_id=triggered["execution_id"])


def _use_workflows(cast: Cast) -> None:
    flows, run = "/api/v1/workflows", "/api/v1/runs/{run_id}"
    script = {"id": "s", "type": "script", "language": "python", "code": "'x' * 9000"}
    job = {"id": "j", "type": "job", "target": {"type": "log"}, "payload": {"cel": "nodes.s.output"}}
    wait = {"id": "d", "type": "delay", "for_ms": 90_000}
    each = {"id": "p", "type": "parallel", "foreach": {"items": [1, 2]}}
    ways = [("t", "s"), ("s", "j"), ("j", "d"), ("d", "p"), ("p", "i"), ("i", "k"), ("k", "g")]
    large = script | {"id": "i", "code": "'x' * 70_000"}
    inner = [each, large, {"id": "k", "type": "join"}, GATE]
    line = {"nodes": [TRIGGER, script, job, wait, *inner], "edges": edges(*ways)}
    at = {"workflow": "w", "version": "1"}
    cast.call("POST", flows, {"name": "w", **line})
    cast.call("PUT", flows + "/{workflow}", line | {"description": "x"}, workflow="w")
    for path in ("", "/versions/{version}", ":export"):
        cast.call("GET", flows + "/{workflow}" + path, **at)
    cast.call("GET", flows)
    cast.call("POST", flows + "/{workflow}:validate", line, workflow="w")
    cast.call("POST", flows + ":test", {"workflow": "w"})
    for run_id in ("one", "two", "three"):
        cast.call("POST", flows + "/{workflow}:start", {"run_id": run_id}, workflow="w")
    cast.take_steps()
    for _ in range(3):
        cast.minute()
    gates = {r: cast.call("GET", run, run_id=r)["nodes"]["g"]["approval"]["nonce"] for r in ("one", "two")}
    cast.call("POST", run + "/nodes/{node}:approve", {"nonce": gates["one"]}, run_id="one", node="g")
    cast.call("POST", run + "/nodes/{node}:reject", {"nonce": gates["two"]}, run_id="two", node="g")
    cast.call("POST", run + ":cancel", {}, run_id="three")
    cast.call("POST", run + ":redrive", {}, run_id="two")
    cast.take_steps()
    cast.call("GET", "/api/v1/runs")
    cast.call("GET", run + "/events", run_id="one")
    made = cast.call("POST", run + "/sessions", {}, run_id="one")["session_id"]
    travel = "/api/v1/sessions/{session_id}"
    cast.call("POST", travel + ":jump", {"position": 2}, session_id=made)
    for verb in ("step-forward", "step-backward", "continue"):
        cast.call("POST", f"{travel}:{verb}", {}, session_id=made)
    cast.call("PUT", travel + "/breakpoints", [{"kind": "error"}], session_id=made)
    cast.call("POST", "/api/v1/sessions:import", cast.call("GET", travel + ":export", session_id=made))
    cast.bus.answer = lambda _: Outcome("accepted")
    cast.call("POST", flows, {"name": "v", "nodes": [TRIGGER, job | {"payload": 1}], "edges": edges(("t", "j"))})
    for run_id, verb, body in (("four", "complete", {"output": "y" * 70_000}), ("five", "fail", {"error": "x"})):
        cast.call("POST", flows + "/{workflow}:start", {"run_id": run_id}, workflow="v")
        cast.take_steps()
        cast.call("POST", run + "/nodes/{node}:" + verb, body, run_id=run_id, node="j")
    cast.bus.answer = lambda _: Outcome("completed")
    cast.call("DELETE", flows + "/{workflow}", workflow="v")
    for _ in range(4):  # what has ended goes
        cast.minute()


def _use_the_rest(cast: Cast) -> None:
    key = "/api/v1/keys/{key_id}"
    made = cast.call("POST", "/api/v1/keys", {"name": "k", "roles": ["viewer"]})["id"]
    cast.call("GET", "/api/v1/keys")
    cast.call("GET", key, key_id=made)
    cast.call("POST", key + ":rotate", {}, key_id=made)
    cast.call("GET", "/api/v1/audit", query="limit=3")
    cast.call("POST", "/api/v1/audit:verify")
    cast.call("POST", "/api/v1/subjects/{subject_id}:export", subject_id="somebody")
    cast.call("POST", "/api/v1/subjects/{subject_id}:erase", subject_id="somebody")
    role = "/api/v1/roles/{role}"
    cast.call("PUT", role, {"permissions": ["schedules:read"]}, role="reader")
    cast.call("GET", "/api/v1/roles")
    cast.call("GET", role, role="reader")
    cast.call("DELETE", role, role="reader")
    cast.call("POST", "/api/admin/queue/pause", {"note": "n"})
    cast.call("GET", "/api/admin/queue")
    cast.call("POST", "/api/admin/queue/resume")
    trigger = "/api/v1/triggers/{trigger_id}"
    made = cast.call(
        "POST", "/api/v1/triggers", {"name": "t", "source": {"type": "webhook"}, "target": {"type": "log"}}
    )["id"]
    for path in ("/api/v1/triggers", trigger, trigger + "/executions"):
        cast.call("GET", path, trigger_id=made)
    cast.call("PATCH", trigger, {"name": "u"}, trigger_id=made)
    for verb in (":pause", ":resume"):
        cast.call("POST", trigger + verb, {}, trigger_id=made)
    cast.call("DELETE", trigger, trigger_id=made)
    policy = "/api/v1/policies/{policy}"
    rule = {"name": "r", "condition": {"field": "name", "operator": "exists"}, "action": "audit", "message": "m"}
    cast.call("POST", "/api/v1/policies", {"name": "p", "rules": [rule]})
    cast.call("PUT", policy, {"rules": [rule], "mode": "audit"}, policy="p")
    for path in (policy, policy + "/versions", policy + "/schedules"):
        cast.call("GET", path, policy="p")
    cast.call("GET", "/api/v1/policies")
    cast.call("POST", "/api/v1/policies:evaluate", {"subject": {}})
    cast.call("POST", "/api/v1/policies:dry-run")
    cast.call("POST", policy + ":dry-run", policy="p")
    cast.call("DELETE", policy, policy="p")
    job = cast.call("POST", "/jobs", {"type": "recurrente", "cron_expression": "*/5 * * * *"})
    for method, path in (("GET", ""), ("GET", "/status"), ("GET", "/executions"), ("POST", "/cancel"), ("DELETE", "")):
        cast.call(method, "/jobs/{job_id}" + path, {} if method == "POST" else None, job_id=job["id"])
    for query in ("", "status=in_progress", "status=failed"):
        cast.call("GET", "/jobs", query=query)
    for verb, body in (
        ("acquire", {"name": "l", "holder_id": "x", "ttl_ms": 60_000}),
        ("break", {"name": "l"}),
    ):
        cast.call("POST", f"/api/v1/leases:{verb}", body)
    cast.call("GET", "/api/v1/leases")
    begun = cast.call("POST", "/api/v1/executions:bulk", {"action": "retry", "filter": {"state": "failed"}})
    cast.call("GET", "/api/v1/bulk-jobs/{bulk_id}", bulk_id=begun["job_id"])
    cast.call("POST", "/api/v1/bulk-jobs/{bulk_id}:cancel", {}, bulk_id=begun["job_id"])
    cast.call("GET", "/api/v1/changes")
    cast.call("GET", "/api/v1/changes", query="after=" + "0" * 16)
    cast.call("GET", "/api/tasks/metrics")
    cast.call("GET", "/api/v1/ticks")
    cast.call("POST", "/api/v1/ticks/{frequency}:enable", {}, frequency="second")
    cast.house.call("GET", "/health")
    cast.call("GET", "/debug/cluster")


def _use_alerts(cast: Cast) -> None:
    """Monitors that go down and come up, and the rules that hear of it; the minutes after it bring the checks."""
    rules, monitors = "/api/v1/notification-rules", "/api/v1/monitors"
    channels = [{"type": "webhook", "url": "https://example.com/"}]
    rule = cast.call("POST", rules, {"name": "r", "when": ["failed", "recovered", "silent"], "channels": channels})[
        "id"
    ]
    cast.call("GET", rules)
    cast.call("GET", rules + "/{rule_id}", rule_id=rule)
    cast.call("PATCH", rules + "/{rule_id}", {"name": "s"}, rule_id=rule)
    watch = {"name": "m", "type": "RATE", "expr": "rate:10s", "grace_ms": 5_000}
    made = cast.call("POST", monitors, watch)
    at = {"monitor_id": made["id"]}
    cast.call("GET", monitors)
    cast.call("GET", monitors + "/{monitor_id}", **at)
    cast.call("PATCH", monitors + "/{monitor_id}", {"name": "n"}, **at)
    for verb in ("pause", "resume"):
        cast.call("POST", monitors + "/{monitor_id}:" + verb, **at)
    token = made["ping_url"].rpartition("/")[2]
    cast.call("POST", "/ping/{ping_id}", ping_id=token)
    cast.call("GET", "/badge/{badge_id}", badge_id=made["badge_url"].rpartition("/")[2])
    for _ in range(2):  # the missing ping is found, and sent
        cast.minute()
    cast.call("POST", "/ping/{ping_id}/{signal_id}", ping_id=token, signal_id="fail")
    cast.call("GET", "/ping/{ping_id}", ping_id=token)
    cast.take_steps()
    cast.call("POST", rules + "/{rule_id}:test", rule_id=rule)
    cast.call("GET", "/api/v1/notifications")
    cast.call("DELETE", monitors + "/{monitor_id}", **at)
    cast.call("DELETE", rules + "/{rule_id}", rule_id=rule)


def _die_on_the_way(cast: Cast, rate: dict[str, Any]) -> None:
    """A worker that dies while it sends, and one schedule that ends."""

    def die(_: Delivery) -> Outcome:
        raise SystemExit

    cast.call("POST", "/api/v1/schedules", {**rate, "max_runs": 2, "expr": "rate:20s", "name": "ends"})
    cast.bus.answer = die
    cast.clock.advance(60_000)
    sweep.run(cast.of["sweep"])
    batch, cast.queued[:] = list(cast.queued), []
    with contextlib.suppress(SystemExit):
        deliver.run(cast.of["deliver"], batch)
    cast.bus.answer = lambda _: Outcome("completed")
    cast.clock.advance(600_000)  # what was due meanwhile is missed, and what the dead worker had is taken over
    for name in ("sweep", "reconcile"):
        cast.of[name] = replace(cast.of[name], config=replace(cast.of[name].config, zone_data="2026.7"))
    for _ in range(4):
        cast.minute()


def _declare(cast: Cast) -> None:
    """As Terraform does: created, changed, and destroyed twice."""
    rate = {"name": "declared", "type": "RATE", "expr": "rate:27s", "target": {"type": "log"}}
    with bootstrap.override(cast.of["declare"], load({"CHRONO_AUTH": "apikey"})):
        for action, more in (
            ("create", {}),
            ("update", {"expr": "rate:26s"}),
            ("update", {"monitor": {"window_ms": 60_000}, "pause_after_failures": 2}),
            ("update", {"name": "renamed", "enabled": False}),
            ("delete", {"name": "renamed"}),
            ("delete", {}),
        ):
            before = {"schedule": rate} if action == "update" else None
            declare.handle({"schedule": {**rate, **more}, "tf": {"action": action, "prev_input": before}}, None)
    cast.queued.clear()


def _feed_all(cast: Cast) -> None:
    stores = cast.of["api"].stores
    page = stores.executions.recent("default", range(1), 0, 1 << 50, 100, None)
    changes.record(cast.of["feed"], "shard", [gone(1)])
    records = list(stores.executions.get(page.keys).values())
    attempt = Attempt(1, 1, NOW_MS, NOW_MS, FAILED, error_type="policy_denied", denied_by="p/r")
    records.append(replace(records[0], state=FAILED, attempts=(attempt,), finished_ms=NOW_MS))
    feed.run(cast.of["feed"], [Written(None, e) for e in records])
    news = [Arrived(2, "default", Change("execution", records[0].id, NOW_MS, records[0].owner, records[0]))]
    changes.record(cast.of["feed"], "shard", news)


@pytest.fixture(scope="module")
def cast(endpoint: str, resources: tuple[State, dict[str, str]]) -> Cast:
    made = Cast(endpoint, resources[0].stage)
    create_bucket(Clients(REGION, endpoint).get("s3"), of_emulator(resources[0].stage), REGION)
    play(made)
    return made


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_call_that_was_seen_is_allowed(cast: Cast, function: str) -> None:
    seen = cast.seen[function].actions
    assert seen
    as_deployed = {(action, name) for action, name in seen}
    assert not {(action, name) for action, name in as_deployed if not permits(function, action, name)}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_permission_was_seen_in_use_or_is_listed_with_its_reason(cast: Cast, function: str) -> None:
    seen = {action for action, _ in cast.seen[function].actions}
    listed = {action for actions, _ in UNSEEN[function] for action in actions}
    assert allowed(function) - seen - listed == set()
    assert listed <= allowed(function), "a reason without a permission"


def test_the_play_calls_the_nouns_of_the_api(cast: Cast) -> None:
    assert len(cast.called) > 25
    assert {path.split("/")[3].partition(":")[0] for _, path in cast.called if path.startswith("/api/v1")} >= {
        op.path.split("/")[3].partition(":")[0]
        for op in table().operations
        if op.path.startswith("/api/v1/") and op.permission not in ("docs:read", "time:read")
    }


def test_the_keys_that_the_api_names_are_those_of_its_tenant_or_the_deployment(cast: Cast) -> None:
    """So it goes on working where its role is bound to them (scripts/package --tenant-tags)."""
    named = cast.seen["api"].leading_keys
    patterns = [pattern.replace(TAG, "default") for pattern in (TAG, f"{TAG}#*", *DEPLOYMENT_KEYS)]
    assert len(named) > 10
    assert not {key for key in named if not any(fnmatchcase(key, pattern) for pattern in patterns)}


def test_a_call_without_a_permission_would_be_found(cast: Cast) -> None:
    assert not permits("api", "dynamodb:Scan", "chronowatch-x-schedules")
    assert not permits("api", "dynamodb:GetItem", "others-table")
    assert permits("api", "dynamodb:GetItem", "chronowatch-x-schedules")
