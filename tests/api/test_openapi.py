"""The OpenAPI document is complete and true: routes, parameters, bodies and what is really answered."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from chalicelib.api.http.routes import table
from tests.kit.conformance import conforms, validator
from tests.kit.house import RATE, House
from tests.kit.workflow_calls import GATE, TRIGGER, edges, publish, settle, start

OPERATIONS = table().operations
RULE = {"name": "r", "condition": {"field": "name", "operator": "eq", "value": "x"}, "action": "warn", "message": "m"}


@pytest.fixture(scope="module")
def document(shared: House) -> dict[str, Any]:
    found: dict[str, Any] = shared.call("GET", "/api/v1/openapi.json").json
    return found


def test_the_document_is_openapi(document: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(document).validate()
    assert document["openapi"] == "3.1.0"


def test_every_call_is_in_it_with_all_that_it_takes(document: dict[str, Any]) -> None:
    assert {(m.upper(), p) for p, methods in document["paths"].items() for m in methods} == {
        (o.method, o.path) for o in OPERATIONS
    }
    for operation in OPERATIONS:
        described = document["paths"][operation.path][operation.method.lower()]
        named = {p["name"] for p in described["parameters"] if "name" in p}
        assert named >= set(operation.query.__struct_fields__)
        refs = {p["$ref"].rpartition("/")[2] for p in described["parameters"] if "$ref" in p}
        assert ("IdempotencyKey" in refs) == operation.creates
        assert ("IfMatch" in refs) == operation.guarded
        assert {str(s) for s in operation.answers} <= set(described["responses"])
        assert {"401", "422", "500", "503"} <= set(described["responses"])
        if operation.takes_body:
            schema = described["requestBody"]["content"]["application/json"]["schema"]
            if operation.any_json:
                assert schema == {}
                continue
            if operation.body_list:
                assert schema["type"] == "array"
                continue
            fields = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
            assert set(fields["properties"]) == set(operation.body.__struct_fields__)
            assert fields["additionalProperties"] is False
    ids = [m["operationId"] for methods in document["paths"].values() for m in methods.values()]
    assert len(ids) == len(set(ids))


def test_answers_are_as_described(house: House, document: dict[str, Any]) -> None:
    one, run = "/api/v1/schedules/{schedule_id}", "/api/v1/executions/{execution_id}"
    full = {"name": "n", "tags": ["a"], "exclude": ["0 12 * * *", {"from_unix_ms": 1, "to_unix_ms": 2}]}
    made = house.make(**full, target={"type": "webhook", "url": "http://127.0.0.1/"})
    failed, accepted = house.fire(), house.fire()
    house.end(failed, "failed")
    house.accept(accepted)

    def check(method: str, path: str, body: Any = None, execution_id: str = failed, status: int = 200) -> None:
        where = path.replace("{schedule_id}", made["id"]).replace("{job_id}", made["id"])
        where = where.replace("{execution_id}", execution_id).replace("{policy}", "p")
        where = where.replace("{workflow}", "w").replace("{run_id}", "r").replace("{node}", "g")
        answer = house.call(method, where.replace("{version}", "1"), body)
        assert answer.status == status, answer.body
        conforms(document, path, method, answer)

    check("POST", "/api/v1/schedules", RATE, status=201)
    check("POST", "/api/v1/schedules", RATE | {"name": "n"}, status=409)
    check("POST", "/api/v1/schedules", {"type": "x"}, status=422)
    check("GET", "/api/v1/schedules")
    check("POST", "/api/v1/schedules:parse", {"text": "every weekday at 9:00"})
    check("POST", "/api/v1/schedules:parse", {"text": "every month at 9:00"})
    check("POST", "/api/v1/schedules:preview", {"type": "CRON", "expr": "30 2 * * *", "timezone": "Europe/Berlin"})
    check("GET", one)
    check("PATCH", one, {"sla_ms": 1})
    check("POST", one + ":pause", {"note": "x"})
    check("POST", one + ":resume")
    check("POST", one + ":trigger", status=202)
    check("GET", one + "/executions")
    check("GET", "/api/v1/executions")
    check("GET", run)
    check("POST", run + ":retry")
    check("POST", run + ":cancel")
    check("POST", run + ":cancel", status=409)
    check("POST", run + ":heartbeat", execution_id=accepted)
    check("POST", run + ":complete", {"result": [1]}, execution_id=accepted)
    check("POST", run + ":fail", {"error": "x"}, status=409)
    check("GET", "/api/v1/time/now")
    check("GET", "/api/v1/time/drift")
    check("GET", "/health", status=503)
    job = "/jobs/{job_id}"
    check("POST", "/jobs", {"type": "unico", "timestamp": "2026-12-25T10:00:00Z", "payload": [1]}, status=201)
    check("POST", "/jobs", {"type": "unico"}, status=422)
    check("GET", "/jobs")
    check("GET", job)
    check("GET", job + "/status")
    check("GET", job + "/executions")
    check("POST", run + "/logs", {"message": "x"}, status=201)
    check("GET", run + "/logs")
    check("POST", "/join", {"node_id": "n", "address": "a"})
    check("GET", "/debug/cluster")
    batch = [{"op": "create", "schedule": RATE}, {"op": "delete", "id": "0" * 26}, {"op": "pause", "id": made["id"]}]
    check("POST", "/api/v1/schedules:batch", {"operations": batch})
    check("POST", "/api/v1/schedules:resume", {"tag": "a"})
    file = [RATE | {"name": "f"}, RATE | {"name": "n", "sla_ms": 5}, RATE]
    check("POST", "/api/v1/schedules:import", {"schedules": file})
    check("POST", job + "/cancel", {"reason": "x"})
    check("POST", job + "/cancel", status=409)
    policies = "/api/v1/policies"
    exception = {"until_unix_ms": 1, "match": {"owner": "bob"}}
    first = {"name": "p", "match": {"tag": "x"}, "rules": [RULE], "exceptions": [exception]}
    check("POST", policies, first, status=201)
    check("POST", policies, {"name": "p", "rules": [RULE]}, status=409)
    check("PUT", policies + "/{policy}", {"rules": [RULE | {"action": "deny", "required": True}]})
    check("POST", "/api/v1/schedules", RATE, status=403)
    check("POST", "/api/v1/schedules:batch", {"operations": [{"op": "create", "schedule": RATE}]})
    check("GET", policies)
    check("GET", policies + "/{policy}")
    check("GET", policies + "/{policy}/versions")
    check("GET", policies + "/{policy}/schedules")
    check("POST", policies + ":evaluate", {"subject": RATE})
    check("POST", policies + ":dry-run")
    check("POST", policies + "/{policy}:dry-run", {"policy": {"rules": [RULE]}})
    check("GET", one + "/policies")
    check("DELETE", policies + "/{policy}")
    _check_workflows(house, check)
    _check_triggers(house, document)
    check("GET", "/api/v1/openapi.json")
    check("DELETE", one)
    check("DELETE", one, status=404)


def _check_triggers(house: House, document: dict[str, Any]) -> None:
    all_of, one = "/api/v1/triggers", "/api/v1/triggers/{trigger_id}"
    rules = {
        "filter": {"cel": "true"},
        "dedupe": {"key": {"cel": "1"}, "window_ms": 1},
        "absence": {"after": {"cel": "true"}, "within_ms": 5},
    }
    answer = house.call("POST", all_of, {"name": "r", "source": {"type": "webhook"}, **rules})
    assert answer.status == 201, answer.body
    conforms(document, all_of, "POST", answer)
    made = house.call("POST", all_of, {"name": "t", "source": {"type": "webhook"}}).json
    inlet = made["ingest_url"]
    for method, path, body in (
        ("POST", inlet, [1]),
        ("GET", all_of, None),
        ("GET", one, None),
        ("PATCH", one, {"debounce_ms": 5}),
        ("POST", one + ":pause", None),
        ("POST", one + ":resume", None),
        ("GET", one + "/executions", None),
        ("DELETE", one, None),
        ("DELETE", one, None),
    ):
        answer = house.call(method, path.replace("{trigger_id}", made["id"]), body)
        assert answer.status in (200, 202, 404)
        conforms(document, "/ingest/{trigger_id}/{token}" if path == inlet else path, method, answer)


def _check_workflows(house: House, check: Callable[..., None]) -> None:
    flows, run_of = "/api/v1/workflows", "/api/v1/runs/{run_id}"
    gated = {"nodes": [TRIGGER, GATE], "edges": edges(("t", "g"))}
    check("POST", flows, {"name": "w", **gated}, status=201)
    check("POST", flows, {"name": "w", **gated}, status=409)
    check("PUT", flows + "/{workflow}", gated | {"description": "x"})
    check("GET", flows)
    check("GET", flows + "/{workflow}")
    check("GET", flows + "/{workflow}/versions/{version}")
    check("POST", flows + "/{workflow}:validate", gated)
    check("GET", flows + "/{workflow}:export")
    check("POST", flows + ":test", {"definition": gated})
    check("POST", flows + ":test", {"workflow": "w", "node": "g"})
    check("POST", flows + ":test", {"workflow": "w", "node": "t"}, status=422)
    check("POST", flows + "/{workflow}:start", {"run_id": "r"}, status=202)
    settle(house)
    check("GET", "/api/v1/runs")
    check("GET", run_of)
    check("GET", run_of + "/events")
    check("POST", run_of + "/nodes/{node}:reject", {"nonce": "x"}, status=409)
    check("POST", run_of + "/nodes/{node}:approve", {"nonce": "x"}, status=409)
    check("POST", run_of + "/nodes/{node}:complete", {}, status=409)
    check("POST", run_of + "/nodes/{node}:fail", {"error": "x"}, status=409)
    check("POST", run_of + ":cancel", {}, status=202)
    check("POST", run_of + ":redrive", {"dry_run": True})
    check("POST", run_of + "/sessions", {}, status=201)
    check("DELETE", flows + "/{workflow}")


def test_examples_are_taken(house: House, document: dict[str, Any]) -> None:
    key_id = house.call("POST", "/api/v1/keys", {"name": "ci"}).json["id"]
    for operation in OPERATIONS:
        if operation.example is None:
            continue
        execution_id = house.fire()
        if operation.permission == "executions:retry":
            house.end(execution_id, "failed")
        else:
            house.accept(execution_id)
        path = operation.path.replace("{schedule_id}", execution_id[:26]).replace("{job_id}", execution_id[:26])
        path = path.replace("{execution_id}", execution_id).replace("{key_id}", key_id).replace("{role}", "retrier")
        path = path.replace("{policy}", "https-only")
        for name, noun in (("{monitor_id}", "monitors"), ("{rule_id}", "notification-rules")):
            if name in path:
                path = path.replace(name, house.call("GET", f"/api/v1/{noun}").json["items"][0]["id"])
        path = path.replace("{task_id}", execution_id).replace("{workflow}", "hello")
        if "{trigger_id}" in path:
            made = house.call("POST", "/api/v1/triggers", {"name": path, "source": {"type": "webhook"}}).json
            path = path.replace("{trigger_id}", made["id"]).replace("{token}", made["ingest_url"].rpartition("/")[2])
        answer = house.call(operation.method, path, operation.example)
        assert answer.status in operation.answers, (operation.path, answer.body)
        schema = document["paths"][operation.path][operation.method.lower()]["requestBody"]
        validator(document, schema["content"]["application/json"]["schema"]).validate(operation.example)


def schemas_in(node: Any) -> Iterator[dict[str, Any]]:
    """Every object of the document, however deep."""
    if isinstance(node, dict):
        yield node
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from schemas_in(inner)


def test_a_union_has_one_name_wherever_it_stands(document: dict[str, Any]) -> None:
    """Generators make one type of it; in place of a name they would make many, or give up on its default."""
    schemas = document["components"]["schemas"]
    unions = {name for name, schema in schemas.items() if "discriminator" in schema}
    assert unions == {"Target", "Source", "BatchOperation"}
    assert len([s for s in schemas_in(document) if "discriminator" in s]) == len(unions)
    assert schemas["NewSchedule"]["properties"]["target"]["$ref"] == "#/components/schemas/Target"
    assert schemas["ScheduleView"]["properties"]["target"]["$ref"] == "#/components/schemas/Target"


def test_enums_say_their_type(document: dict[str, Any]) -> None:
    enums = [schema for schema in schemas_in(document) if isinstance(schema.get("enum"), list)]
    assert len(enums) > 20
    for schema in enums:
        assert (schema.get("type") == "string") == all(isinstance(value, str) for value in schema["enum"]), schema


def test_parameters_of_paths_look_as_the_document_says(house: House, document: dict[str, Any]) -> None:
    execution_id = house.fire()
    assert house.call("POST", "/api/v1/leases:acquire", {"name": "a", "holder_id": "h", "ttl_ms": 1000}).status == 200
    known = {"schedule_id": execution_id[:26], "job_id": execution_id[:26], "execution_id": execution_id}
    known["task_id"] = execution_id
    wanted = {"action": "cancel", "filter": {"state": "failed"}}
    known["bulk_id"] = house.call("POST", "/api/v1/executions:bulk", wanted).json["job_id"]
    known |= {
        "name": "a",
        "frequency": "second",
        "role": "viewer",
        "policy": house.call("POST", "/api/v1/policies", {"name": "p", "rules": [RULE]}).json["name"],
        "subject_id": "ann@example.com",
        "key_id": house.call("POST", "/api/v1/keys", {"name": "ci"}).json["id"],
        "release": house.call("GET", "/console").headers["ETag"][3:-1],
        "file": "main.mjs",
        "workflow": publish(house)["name"],
        "version": "1",
        "run_id": start(house),
        "node": "s",
    }
    monitor = house.call("POST", "/api/v1/monitors", RATE | {"name": "m", "grace_ms": 5_000}).json
    channel = {"type": "webhook", "url": "https://example.com/"}
    rule = {"name": "r", "when": ["failed"], "channels": [channel]}
    known |= {
        "monitor_id": monitor["id"],
        "ping_id": monitor["ping_url"].split("/")[-1],
        "signal_id": "start",
        "badge_id": monitor["badge_url"].split("/")[-1],
        "rule_id": house.call("POST", "/api/v1/notification-rules", rule).json["id"],
    }
    trigger = house.call("POST", "/api/v1/triggers", {"name": "t", "source": {"type": "webhook"}}).json
    known |= {"trigger_id": trigger["id"], "token": trigger["ingest_url"].rpartition("/")[2]}
    known["session_id"] = house.call("POST", f"/api/v1/runs/{known['run_id']}/sessions").json["session_id"]
    seen = set()
    for path, methods in document["paths"].items():
        for parameter in (p for m in methods.values() for p in m["parameters"] if p.get("in") == "path"):
            name, judge = parameter["name"], validator(document, parameter["schema"])
            seen.add(name)
            assert judge.is_valid(known[name])
            assert not judge.is_valid("" if name == "subject_id" else "no such!"), "an issuer may name subjects at will"
        if set(methods) & {"get"} and "{" in path:
            assert house.call("GET", path.format(**known)).status == 200, path
            assert house.call("GET", path.format(**dict.fromkeys(known, "no%20such!"))).status == 404, path
    assert seen == set(known)


JOB = {"type": "unico", "timestamp": "2026-12-25T10:00:00Z"}
FOREVER = {"type": "recurrente", "cron_expression": "0 3 * * *"}
QUEUE, TOPIC = "https://sqs.eu-central-1.amazonaws.com/123456789012/q", "arn:aws:sns:eu-central-1:123456789012:t"


@pytest.mark.parametrize(
    ("body", "allowed"),
    [
        ({"name": "Grüße"}, True),
        ({"name": "a\nb"}, False),
        ({"tags": ["a\x7fb"]}, False),
        ({"owner": "\x00"}, False),
        ({"shard_key": "\t"}, False),
        ({"target": {"type": "webhook", "url": "HTTPS://example.com/"}}, True),
        ({"target": {"type": "webhook", "url": "ftp://example.com/"}}, False),
        ({"target": {"type": "webhook", "url": "https://example.com/ x"}}, False),
        ({"target": {"type": "webhook", "url": "https://example.com/", "headers": {"x-y": "z"}}}, True),
        ({"target": {"type": "webhook", "url": "https://example.com/", "headers": {"x y": "z"}}}, False),
        ({"target": {"type": "webhook", "url": "https://example.com/", "headers": {"x": "y\nz"}}}, False),
        ({"target": {"type": "webhook", "url": "https://example.com/", "secret_ref": "ssm:a"}}, True),
        ({"target": {"type": "webhook", "url": "https://example.com/", "secret_ref": "a"}}, False),
        ({"target": {"type": "eventbridge", "bus": "a b"}}, False),
        ({"target": {"type": "sqs", "queue_url": QUEUE, "message_group_id": "g"}}, True),
        ({"target": {"type": "sqs", "queue_url": "q"}}, False),
        ({"target": {"type": "sqs", "queue_url": QUEUE, "message_group_id": "g h"}}, False),
        ({"target": {"type": "sns", "topic_arn": TOPIC}}, True),
        ({"target": {"type": "sns", "topic_arn": TOPIC.replace("sns", "sqs")}}, False),
        ({"target": {"type": "lambda", "function": "f g"}}, False),
        ({"target": {"type": "stepfunctions", "state_machine_arn": TOPIC}}, False),
    ],
)
def test_what_a_schedule_may_hold_is_in_its_schema(
    house: House, document: dict[str, Any], body: dict[str, Any], allowed: bool
) -> None:
    schema = {"$ref": "#/components/schemas/NewSchedule"}
    assert house.call("POST", "/api/v1/schedules", RATE | body).status == (201 if allowed else 422)
    assert validator(document, schema).is_valid(RATE | body) == allowed


@pytest.mark.parametrize(
    ("body", "allowed"),
    [
        (JOB, True),
        (JOB | {"cron_expression": None, "last_date": None}, True),
        (JOB | {"cron_expression": "0 3 * * *"}, False),
        (JOB | {"last_date": "2027-12-25T10:00:00Z"}, False),
        (JOB | {"timestamp": None}, False),
        (JOB | {"webhook_url": "example.com"}, False),
        ({"type": "unico"}, False),
        (FOREVER, True),
        (FOREVER | {"timestamp": None, "last_date": "2027-12-25T10:00:00Z"}, True),
        (FOREVER | {"timestamp": "2026-12-25T10:00:00Z"}, False),
        ({"type": "recurrente"}, False),
    ],
)
def test_which_fields_a_job_takes_is_in_its_schema(
    house: House, document: dict[str, Any], body: dict[str, Any], allowed: bool
) -> None:
    assert house.call("POST", "/jobs", body).status == (201 if allowed else 422)
    assert validator(document, {"$ref": "#/components/schemas/NewJob"}).is_valid(body) == allowed


def test_the_stamp_that_a_call_takes_is_the_one_that_an_answer_has(house: House, document: dict[str, Any]) -> None:
    answered = house.call("GET", "/api/v1/time/now").headers["X-Chrono-HLC"]
    asked = validator(document, document["components"]["parameters"]["Hlc"]["schema"])
    shown = validator(document, document["components"]["headers"]["X-Chrono-HLC"]["schema"])
    assert asked.is_valid(answered)
    assert shown.is_valid(answered)
    for wrong in ("0", "1.", "1.x", "-1.0"):
        assert not asked.is_valid(wrong)
        assert house.call("GET", "/health", headers={"x-chrono-hlc": wrong}).status == 422


def test_yaml_bodies_are_named_in_words(document: dict[str, Any]) -> None:
    for operation in OPERATIONS:
        described = document["paths"][operation.path][operation.method.lower()]
        assert ("text/yaml" in described.get("description", "")) == operation.yaml
        assert set(described.get("requestBody", {}).get("content", {})) <= {"application/json"}


def test_defaults_are_those_that_a_schedule_gets(house: House, document: dict[str, Any]) -> None:
    made = house.make()
    for name, schema in document["components"]["schemas"]["NewSchedule"]["properties"].items():
        if "default" in schema:
            assert made[name] == schema["default"], name
    assert "default" not in json.dumps(document["components"]["schemas"]["ScheduleChanges"])


def test_the_page_asks_nobody_else(shared: House) -> None:
    page = shared.call("GET", "/docs")
    assert page.status == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    text = page.body.decode()
    assert "://" not in text
    assert "innerHTML" not in text


def test_answers_about_leases_are_as_described(house: House, document: dict[str, Any]) -> None:
    def check(method: str, path: str, body: Any = None, status: int = 200) -> None:
        answer = house.call(method, path.replace("{name}", "a%2Fb"), body)
        assert answer.status == status, answer.body
        conforms(document, path, method, answer)

    lease = {"name": "a/b", "holder_id": "h"}
    one, collection = "/api/v1/leases/{name}", "/api/v1/leases"
    check("GET", one, status=404)
    check("POST", collection + ":acquire", lease | {"ttl_ms": 1000, "metadata": {"host": "x"}})
    check("POST", collection + ":acquire", {"name": "a/b", "holder_id": "other", "ttl_ms": 1000})
    check("GET", one)
    check("GET", collection)
    check("POST", collection + ":renew", lease | {"fencing_token": 1})
    check("POST", collection + ":renew", lease | {"fencing_token": 2}, status=409)
    check("POST", collection + ":validate", {"name": "a/b", "fencing_token": 1})
    check("POST", collection + ":release", lease | {"fencing_token": 1})
    check("POST", collection + ":acquire", {"name": "a/b", "holder_id": "third", "ttl_ms": 1000})
    check("GET", one)
    check("POST", collection + ":break", {"name": "a/b"})
    check("POST", collection + ":break", {"name": "nobody"}, status=404)
