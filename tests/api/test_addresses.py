"""URLs and addresses of callers that no parser takes apart: 422, the field, and words of ours."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.kit.house import RATE, House

# What Python says of them. Its words are for who wrote the program, and change with its release.
PYTHONS = re.compile(r"IPv6 URL|cast to integer|out of range|does not appear|NFKC|permitted|colons")
PLACES = ("[::1", "[zz]", "[v1.x]", "h.example:65536", "h.example:port", "h.example:0", "a\u2100b.example", "[]")


def target(kind: str, field: str, value: Any, **more: Any) -> tuple[str, dict[str, Any], str]:
    return "/api/v1/schedules", {**RATE, "target": {"type": kind, field: value, **more}}, f"target.{field}"


def source(kind: str, field: str, value: Any, **more: Any) -> tuple[str, dict[str, Any], str]:
    return "/api/v1/triggers", {"name": "t", "source": {"type": kind, field: value, **more}}, f"source.{field}"


def calls(place: str) -> dict[str, tuple[str, dict[str, Any], str]]:
    """A call for each field that takes a URL or an address: its path, its body, and the field that is wrong."""
    url, mail = f"https://{place}/", {"type": "webhook", "url": f"https://{place}/"}
    job = {"type": "unico", "timestamp": "2099-12-25T10:00:00Z", "webhook_url": url}
    call = {"id": "x", "type": "http", "method": "GET", "url": url}
    nodes, edges = [{"id": "t", "type": "trigger", "on": "manual"}, call], [{"from": "t", "to": "x"}]
    return {
        "webhook": target("webhook", "url", url),
        "kafka": target("kafka", "brokers", [place], topic="t"),
        "nats": target("nats", "servers", [f"nats://{place}"], subject="s"),
        "rabbitmq": target("rabbitmq", "url", f"amqp://{place}", exchange="", routing_key="q"),
        "mqtt": target("mqtt", "broker", f"mqtt://{place}", topic="t"),
        "redis": target("redis", "url", f"redis://{place}/0", stream="s"),
        "grpc": target("grpc", "address", place if place.count(":") == 1 else f"{place}:443", method="/a.B/C"),
        "hear kafka": source("kafka", "brokers", [place], topic="t"),
        "hear nats": source("nats", "servers", [f"nats://{place}"], subject="s"),
        "hear rabbitmq": source("rabbitmq", "url", f"amqp://{place}", queue="q"),
        "hear sqs": source("sqs", "queue_url", f"https://{place}/1/q"),
        "job": ("/jobs", job, "webhook_url"),
        "rule": ("/api/v1/notification-rules", {"name": "r", "when": ["failed"], "channels": [mail]}, "channels.0.url"),
        "node": ("/api/v1/workflows", {"name": "w", "nodes": nodes, "edges": edges}, "nodes.x.url"),
    }


@pytest.mark.parametrize("name", calls("h.example"))
def test_a_url_without_a_host_is_named_in_words_of_ours(shared: House, name: str) -> None:
    for place in PLACES:
        path, body, field = calls(place)[name]
        answer = shared.call("POST", path, body)
        assert answer.status == 422, (place, answer.body)
        assert field in answer.fields, (place, answer.body)
        assert not PYTHONS.search(answer.body.decode()), (place, answer.body)


def test_what_else_callers_send_as_a_url_is_no_fault_of_the_service(shared: House) -> None:
    for place in PLACES:
        url = f"https://{place}/"
        assert shared.call("GET", f"//{place}/api/v1/schedules").status in {400, 404}
        assert (
            shared.call("POST", "/api/v1/schedules", RATE, headers={"origin": url, "host": "h.example"}).status == 403
        )
