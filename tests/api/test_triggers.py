"""Triggers over HTTP: what callers make, see and change, and what the inlet takes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from msgspec.structs import replace

from chalicelib.adapters.secrets.inlet_signatures import StoredInletSignatures
from chalicelib.core.secrets.secret_policy import SecretPolicy
from chalicelib.core.targets import registry
from chalicelib.core.triggers.listening import STALE_MS
from chalicelib.core.triggers.received_event import digest
from chalicelib.engine.triggers.listening import SourceReport
from tests.contract.broker_deliveries import KnownSecrets
from tests.kit.house import Answer, House
from tests.kit.machine import NOW_MS

ALL = "/api/v1/triggers"
WEBHOOK = {"type": "webhook"}
OTHERS: dict[str, dict[str, Any]] = {
    "eventbridge": {"type": "eventbridge", "bus": "b"},
    "sqs": {"type": "sqs", "queue_url": "https://sqs.eu-west-1.amazonaws.com/123456789012/q"},
    "nats": {"type": "nats", "servers": ["nats://n.example"], "subject": "a.>"},
    "kafka": {"type": "kafka", "brokers": ["k.example:9092"], "topic": "t"},
    "rabbitmq": {"type": "rabbitmq", "url": "amqp://r.example", "queue": "q"},
}
EVENT = {"specversion": "1.0", "id": "4711", "source": "/shop", "type": "order.created", "data": {"n": 1}}
KEY = b"a secret of thirty-two bytes ...."
SECRET = "whsec_" + base64.b64encode(KEY).decode()


def made(house: House, **fields: Any) -> dict[str, Any]:
    answer = house.call("POST", ALL, {"name": "orders", "source": WEBHOOK, **fields})
    assert answer.status == 201, answer.body
    found: dict[str, Any] = answer.json
    return found


def inlet(trigger: dict[str, Any]) -> str:
    return urlsplit(trigger["ingest_url"]).path


def send(house: House, trigger: dict[str, Any], event: Any = None, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return house.call("POST", inlet(trigger), EVENT if event is None else event, headers=named)


def fired(house: House, trigger: dict[str, Any]) -> list[dict[str, Any]]:
    answer = house.call("GET", f"{ALL}/{trigger['id']}/executions")
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.json["items"]
    return found


def test_a_trigger_as_it_is_shown(house: House) -> None:
    asked = {
        "name": "orders",
        "source": WEBHOOK,
        "filter": {"cel": "event.type == 'order.created'"},
        "dedupe": {"key": {"cel": "event.data.n"}, "window_ms": 60_000},
        "throttle": {"limit": 5, "per_ms": 1000},
        "target": {"type": "log"},
        "tags": ["a"],
    }
    answer = house.call("POST", ALL, asked)
    found = answer.json
    assert {name: found[name] for name in asked} == asked
    assert (found["enabled"], found["debounce_ms"], found["absence"], found["owner"]) == (True, 0, None, "anonymous")
    assert found["ingest_url"].startswith(f"/ingest/{found['id']}/")
    seen = house.call("GET", f"{ALL}/{found['id']}", headers={"host": "x.example", "x-forwarded-proto": "https"})
    assert seen.json["ingest_url"] == "https://x.example" + found["ingest_url"]
    assert answer.headers["ETag"] == f'"{found["version"]}"'
    assert house.call("GET", f"{ALL}/{found['id']}").json == found
    assert house.call("GET", ALL).json["items"] == [found]


def test_a_trigger_is_no_schedule(house: House) -> None:
    trigger = made(house)
    assert house.call("GET", "/api/v1/schedules").json["items"] == []
    assert house.call("GET", "/jobs").json["items"] == []
    for method, path in (("GET", ""), ("DELETE", ""), ("PATCH", ""), ("POST", ":trigger"), ("POST", ":pause")):
        assert house.call(method, f"/api/v1/schedules/{trigger['id']}{path}", {}).status == 404


def test_an_event_fires_once(house: House) -> None:
    trigger = made(house)
    answer = send(house, trigger)
    wanted = f"{trigger['id']}-{digest('/shop', '4711')}"
    assert (answer.status, answer.json) == (
        202,
        {"outcome": "fired", "event_id": "4711", "execution_id": wanted},
    )
    assert send(house, trigger).json == {"outcome": "repeated", "event_id": "4711", "execution_id": wanted}
    (execution,) = fired(house, trigger)
    assert (execution["id"], execution["schedule_id"], execution["delivery_state"]) == (
        wanted,
        trigger["id"],
        "pending",
    )
    assert execution["firing_time_unix_ms"] == NOW_MS
    assert house.call("GET", f"/api/v1/executions/{wanted}").json == execution


def test_the_digest_is_of_source_nul_and_id() -> None:
    whole = hashlib.sha256(b"/shop\x004711").digest()
    assert digest("/shop", "4711") == base64.b32encode(whole).decode().lower()[:26]


def test_any_json_is_wrapped(house: House) -> None:
    trigger = made(house, filter={"cel": "event.data[0] == 1 && event.type == 'chronowatch.webhook.v1'"})
    assert send(house, trigger, [1, 2]).json["outcome"] == "fired"
    assert send(house, trigger, [1, 2]).json["outcome"] == "fired"
    assert send(house, trigger, [1], webhook_id="m1").json["outcome"] == "fired"
    assert send(house, trigger, [1], webhook_id="m1").json["outcome"] == "repeated"
    assert len(fired(house, trigger)) == 3


def test_the_binary_form_has_its_attributes_in_headers(house: House) -> None:
    trigger = made(house, filter={"cel": "event.source == '/a' && event.data.x == 2"})
    how = {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "/a", "ce_type": "t"}
    assert send(house, trigger, {"x": 2}, **how).json["execution_id"] == f"{trigger['id']}-{digest('/a', '1')}"


def test_an_event_of_the_binary_form_may_have_no_data(house: House) -> None:
    trigger = made(house)
    named = {"ce-specversion": "1.0", "ce-id": "4711", "ce-source": "/shop", "ce-type": "order.created"}
    answer = house.call("POST", inlet(trigger), raw=b"", headers=named)
    assert answer.status == 202, answer.body
    assert answer.json["event_id"] == "4711"
    assert [one["id"] for one in fired(house, trigger)] == [f"{trigger['id']}-{digest('/shop', '4711')}"]
    assert house.call("POST", inlet(trigger), raw=b"").status == 400


def test_headers_of_the_binary_form_are_percent_decoded_once(house: House) -> None:
    trigger = made(house, filter={"cel": "event.subject == 'Ünï €' && event.note == '%41' && event.raw == '%FF%'"})
    how = {"ce_specversion": "1.0", "ce_id": "a%20b", "ce_source": "/a", "ce_type": "t", "ce_raw": "%FF%"}
    how |= {"ce_subject": "%C3%9Cn%C3%AF%20%E2%82%AC", "ce_note": "%2541"}
    assert send(house, trigger, {}, **how).json["execution_id"] == f"{trigger['id']}-{digest('/a', 'a b')}"


def test_a_batch_is_refused_and_not_taken_for_one_event(house: House) -> None:
    trigger = made(house)
    answer = send(house, trigger, [EVENT, EVENT], content_type="application/cloudevents-batch+json")
    assert (answer.status, answer.json["code"]) == (415, "unsupported_media_type")
    assert "send each event by itself" in answer.json["detail"]
    assert fired(house, trigger) == []


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        ({**EVENT, "id": ""}, ["id"]),
        ({**EVENT, "specversion": "0.3", "source": 5}, ["specversion", "source"]),
        ({"specversion": "1.0"}, ["id", "source", "type"]),
    ],
)
def test_a_wrong_event_names_its_fields(house: House, event: Any, fields: list[str]) -> None:
    assert send(house, made(house), event).fields == fields


def test_what_the_filter_leaves_out_fires_nothing(house: House) -> None:
    trigger = made(house, filter={"cel": "event.type == 'other'"})
    assert send(house, trigger).json == {"outcome": "filtered", "event_id": "4711"}
    assert fired(house, trigger) == []


@pytest.mark.parametrize(
    ("cel", "reason"), [("event.data.missing > 1", "missing"), ("event.data.n", "gave int, and not true or false")]
)
def test_a_filter_that_cannot_be_evaluated_sends_the_event_to_the_dead_letters(
    house: House, cel: str, reason: str
) -> None:
    trigger = made(house, filter={"cel": cel})
    answer = send(house, trigger).json
    assert answer["outcome"] == "dead_letter"
    assert reason in answer["reason"]
    queue: Any = house.services.queue
    ((execution_id, text, why),) = queue.dead
    assert (execution_id, json.loads(text), why) == (answer["execution_id"], EVENT, answer["reason"])


def test_a_chain_ends_at_its_tenth(house: House) -> None:
    trigger = made(house)
    assert send(house, trigger, {**EVENT, "chronodepth": 9}).status == 202
    refused = send(house, trigger, {**EVENT, "id": "2", "chronodepth": 10})
    assert (refused.status, refused.code) == (403, "webhook_loop")
    assert send(house, trigger, {**EVENT, "id": "3", "chronodepth": "x"}).status == 403
    assert send(house, trigger, {**EVENT, "id": "4"}, x_chrono_depth="10").status == 403
    assert send(house, trigger, {**EVENT, "id": "5"}, x_chrono_depth="9").status == 202


def signed(body: Any, at_s: int, key: bytes = KEY) -> dict[str, str]:
    text = b"m1.%d." % at_s + json.dumps(body).encode()
    signature = base64.b64encode(hmac.digest(key, text, "sha256")).decode()
    return {"webhook_id": "m1", "webhook_timestamp": str(at_s), "webhook_signature": f"v1,{signature}"}


def test_a_signature_is_verified(house: House) -> None:
    house.services = replace(
        house.services,
        config=replace(house.services.config, secrets=SecretPolicy(environment=True)),
        inlet_signatures=StoredInletSignatures(KnownSecrets(SHOP=SECRET), lambda: NOW_MS),
    )
    trigger = made(house, source={"type": "webhook", "secret_ref": "env:SHOP"})
    now_s = NOW_MS // 1000
    for wrong in (
        {},
        signed(EVENT, now_s, b"another"),
        signed({**EVENT, "id": "1"}, now_s),
        signed(EVENT, now_s - 301),
        signed(EVENT, now_s) | {"webhook_timestamp": str(now_s - 1)},
    ):
        answer = send(house, trigger, **wrong)
        assert (answer.status, answer.code) == (401, "unauthorized"), wrong
    assert send(house, trigger, **signed(EVENT, now_s)).json["outcome"] == "fired"
    assert len(fired(house, trigger)) == 1


def test_a_wrong_inlet_is_404(house: House) -> None:
    trigger = made(house)
    path = inlet(trigger)
    for wrong in (path[:-2] + "xx", f"/ingest/{trigger['id']}/x", path.replace(trigger["id"], "0" * 26)):
        assert house.call("POST", wrong, EVENT).status == 404


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"filter": {"cel": "event.type =="}}, ["filter.cel"]),
        ({"filter": {"cel": "other.type == 'x'"}}, ["filter.cel"]),
        ({"source": {"type": "nats", "servers": ["http://x"], "subject": "a"}}, ["source.servers"]),
        ({"source": {"type": "kafka", "brokers": ["10.0.0.1:9092"], "topic": "a"}}, ["source.brokers"]),
        ({"source": {"type": "kafka", "brokers": ["k.example:9092"], "topic": ".."}}, ["source.topic"]),
        ({"source": {"type": "webhook", "secret_ref": "env:X"}}, ["source.secret_ref"]),
        ({"source": {"type": "eventbridge", "pattern": {"detail": {}}}}, ["source.pattern"]),
        ({"source": {"type": "cow"}}, ["source.type"]),
        ({"target": {"type": "webhook", "url": "http://10.0.0.1/"}}, ["target.url"]),
        ({"absence": {"after": {"cel": "true"}, "within_ms": 5}, "debounce_ms": 1}, ["debounce_ms"]),
        ({"throttle": {"limit": 0, "per_ms": 1}}, ["throttle.limit"]),
        ({"name": ""}, ["name"]),
        ({"cow": 1}, ["cow"]),
    ],
)
def test_what_is_wrong_is_named(house: House, fields: dict[str, Any], wrong: list[str]) -> None:
    answer = house.call("POST", ALL, {"name": "orders", "source": WEBHOOK, **fields})
    assert answer.fields == wrong
    assert house.call("GET", ALL).json["items"] == []


@pytest.mark.parametrize("source", list(OTHERS.values()))
def test_every_source_is_shown_as_it_was_given(house: House, source: dict[str, Any]) -> None:
    found = made(house, source=source)
    assert found["source"] == source
    assert "ingest_url" not in found
    changed = house.call("PATCH", f"{ALL}/{found['id']}", {"source": WEBHOOK}).json
    assert "ingest_url" in changed


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("sqs", {"unoffered": registry.OF_AWS}),
        ("eventbridge", {"unoffered": registry.OF_AWS}),
        ("sqs", {"listens": False}),
        ("kafka", {"listens": False}),
        ("nats", {"listens": False}),
        ("rabbitmq", {"listens": False}),
    ],
)
def test_a_source_that_nothing_reads_is_refused(house: House, kind: str, config: dict[str, Any]) -> None:
    house.services = replace(house.services, config=replace(house.services.config, **config))
    answer = house.call("POST", ALL, {"name": "orders", "source": OTHERS[kind], "target": {"type": "log"}})
    assert (answer.status, answer.fields, answer.code) == (422, ["source.type"], "not_configured")


@pytest.mark.parametrize(
    ("queue", "problem"),
    [
        ("https://sqs.eu-west-1.amazonaws.com/123456789012/orders-new", ""),
        ("http://127.0.0.1:4566/123456789012/orders-new", ""),
        ("https://sqs.us-east-1.amazonaws.com/123456789012/orders-new", "is not among the queues"),
        ("https://sqs.eu-west-1.amazonaws.com/999999999999/orders-new", "is not among the queues"),
        ("https://sqs.eu-west-1.amazonaws.com/123456789012/invoices", "is not among the queues"),
        ("https://sqs.eu-west-1.amazonaws.com/123456789012/chronowatch-local-work", "is a queue of this service"),
        ("https://[/123456789012/orders-new", "must be the URL of a queue"),
    ],
)
def test_a_deployment_says_which_queues_may_be_read(house: House, queue: str, problem: str) -> None:
    allowed = ("arn:aws:sqs:eu-west-1:123456789012:orders-*", "arn:aws:sqs:eu-west-1:123456789012:chronowatch-*")
    house.services = replace(house.services, config=replace(house.services.config, trigger_queues=allowed))
    answer = house.call("POST", ALL, {"name": "orders", "source": {"type": "sqs", "queue_url": queue}})
    assert answer.status == (422 if problem else 201)
    assert not problem or answer.fields == ["source.queue_url"]
    assert problem in answer.body.decode()


def test_a_name_is_taken_once(house: House) -> None:
    first = made(house)
    house.call("POST", "/api/v1/schedules", {"type": "RATE", "expr": "rate:1h", "name": "orders"})
    again = house.call("POST", ALL, {"name": "orders", "source": WEBHOOK})
    assert (again.status, again.code) == (409, "name_taken")
    assert house.call("GET", ALL).json["items"] == [first]
    house.call("DELETE", f"{ALL}/{first['id']}")
    made(house)


def test_the_same_call_again_makes_one(house: House) -> None:
    body, how = {"name": "orders", "source": WEBHOOK}, {"idempotency-key": "k"}
    first, second = (house.call("POST", ALL, body, headers=how).json for _ in range(2))
    assert first == second
    assert len(house.call("GET", ALL).json["items"]) == 1


def test_an_edit_is_guarded_and_moves_what_it_names(house: House) -> None:
    trigger = made(house, target={"type": "log"})
    one, tag = f"{ALL}/{trigger['id']}", f'"{trigger["version"]}"'
    changes = {"filter": {"cel": "false"}, "target": {"type": "eventbridge"}, "name": "others"}
    changed = house.call("PATCH", one, changes, headers={"if-match": tag})
    assert changed.status == 200
    assert {name: changed.json[name] for name in ("filter", "name")} == {"filter": {"cel": "false"}, "name": "others"}
    assert changed.json["target"]["type"] == "eventbridge"
    assert changed.json["ingest_url"] == trigger["ingest_url"]
    assert house.call("PATCH", one, changes, headers={"if-match": tag}).status == 412
    assert send(house, trigger).json["outcome"] == "filtered"
    assert house.call("PATCH", one, {"filter": None}).json["filter"] is None
    assert send(house, trigger).json["outcome"] == "fired"
    assert house.call("PATCH", one, {"debounce_ms": -1}).fields == ["debounce_ms"]


def test_a_paused_one_fires_nothing(house: House) -> None:
    trigger = made(house)
    assert house.call("POST", f"{ALL}/{trigger['id']}:pause").json["enabled"] is False
    assert send(house, trigger).json == {"outcome": "paused", "event_id": "4711"}
    assert house.call("POST", f"{ALL}/{trigger['id']}:resume").json["enabled"] is True
    assert send(house, trigger).json["outcome"] == "fired"


def test_a_target_that_this_deployment_runs_without_is_refused_as_for_schedules(house: House) -> None:
    trigger = made(house, target={"type": "log"})
    house.services = replace(house.services, config=replace(house.services.config, unoffered=registry.OF_AWS))
    asked = {"name": "orders", "source": WEBHOOK, "target": {"type": "eventbridge"}}
    for answer in (house.call("POST", ALL, asked), house.call("PATCH", f"{ALL}/{trigger['id']}", asked)):
        assert (answer.status, answer.fields, answer.code) == (422, ["target.type"], "not_configured")


def test_a_deleted_one_is_gone_and_its_executions_stay(house: House) -> None:
    trigger = made(house)
    execution_id = send(house, trigger).json["execution_id"]
    assert house.call("DELETE", f"{ALL}/{trigger['id']}").json == {"id": trigger["id"]}
    assert house.call("GET", f"{ALL}/{trigger['id']}").status == 404
    assert send(house, trigger).status == 404
    assert house.call("GET", f"/api/v1/executions/{execution_id}").status == 200


def test_what_it_fired_comes_in_pages(house: House) -> None:
    trigger = made(house)
    ids = []
    for number in range(5):
        house.clock.advance(1)
        ids.append(send(house, trigger, {**EVENT, "id": str(number)}).json["execution_id"])
    seen, token = [], ""
    while True:
        answer = house.call("GET", f"{ALL}/{trigger['id']}/executions?limit=2{token}").json
        seen += [one["id"] for one in answer["items"]]
        if answer["next_page_token"] is None:
            break
        token = f"&page_token={answer['next_page_token']}"
    assert seen == ids[::-1]


def test_a_key_fires_once_in_its_window(house: House) -> None:
    trigger = made(house, dedupe={"key": {"cel": "event.data.n"}, "window_ms": 1000})
    first = send(house, trigger).json["execution_id"]
    again = send(house, trigger, {**EVENT, "id": "2"}).json
    assert again == {"outcome": "deduplicated", "event_id": "2", "execution_id": first}
    assert send(house, trigger, {**EVENT, "id": "3", "data": {"n": 2}}).json["outcome"] == "fired"
    house.clock.advance(1000)
    assert send(house, trigger, {**EVENT, "id": "4"}).json["outcome"] == "fired"


def test_the_throttle_drops_and_counts(house: House) -> None:
    trigger = made(house, throttle={"limit": 2, "per_ms": 1000})
    outcomes = [send(house, trigger, {**EVENT, "id": str(number)}).json["outcome"] for number in range(4)]
    assert outcomes == ["fired", "fired", "throttled", "throttled"]
    assert house.call("GET", f"{ALL}/{trigger['id']}").json["dropped"] == 2
    assert [one["dropped"] for one in house.call("GET", ALL).json["items"]] == [2]
    house.clock.advance(1000)
    assert send(house, trigger, {**EVENT, "id": "9"}).json["outcome"] == "fired"


def test_what_became_of_events_is_counted(house: House) -> None:
    trigger = made(house, filter={"cel": "event.data.n > 0"})
    send(house, trigger)
    send(house, trigger)
    send(house, trigger, {**EVENT, "id": "2", "data": {"n": 0}})
    send(house, trigger, {**EVENT, "id": "3", "data": "no object"})
    text = house.call("GET", "/metrics").body.decode()
    lines = [line for line in text.splitlines() if line.startswith("chronowatch_trigger_events_total{")]
    outcomes = ("fired", "repeated", "filtered", "dead_letter")
    assert len(lines) == len(outcomes)
    assert all(any(f'outcome="{one}"' in line and line.endswith("} 1") for line in lines) for one in outcomes), lines
    assert all('source="webhook"' in line for line in lines)


def test_whether_a_source_is_heard_and_why_not(house: House) -> None:
    brought = made(house)
    assert "listening" not in brought
    trigger = made(house, name="heard", source=OTHERS["nats"])
    nothing = {"state": "unattended", "since_unix_ms": None, "seen_unix_ms": None, "last_error": None}
    assert trigger["listening"] == {**nothing, "last_error_unix_ms": None}
    one, stored = f"{ALL}/{trigger['id']}", house.services.stores.triggers.load("default", trigger["id"])
    assert stored is not None
    report = SourceReport(house.services, stored)
    began_ms = house.clock.now_ms()
    report.fails("NATS refused the credentials")
    failing = {
        "state": "failing",
        "since_unix_ms": began_ms,
        "seen_unix_ms": began_ms,
        "last_error": "NATS refused the credentials",
        "last_error_unix_ms": began_ms,
    }
    seen = house.call("GET", one)
    assert seen.json["listening"] == failing
    assert seen.json["version"] == trigger["version"]
    listed = {found["name"]: found.get("listening") for found in house.call("GET", ALL).json["items"]}
    assert listed == {"heard": failing, "orders": None}
    house.clock.advance(1000)
    report.hears()
    heard = {**failing, "state": "listening", "since_unix_ms": began_ms + 1000, "seen_unix_ms": began_ms + 1000}
    assert house.call("GET", one).json["listening"] == heard
    assert house.call("POST", one + ":pause").json["listening"] == {**heard, "state": "paused", "since_unix_ms": None}
    assert house.call("POST", one + ":resume").json["listening"] == heard
    house.clock.advance(STALE_MS)
    assert house.call("GET", one).json["listening"]["state"] == "unattended"
    report.hears()
    changed = house.call("PATCH", one, {"source": {**OTHERS["nats"], "subject": "b.>"}}).json
    assert changed["listening"]["state"] == "unattended"
    assert changed["listening"]["last_error"] is None
