"""What is read off the description of a kind: errors by name, the stored form, the destination that limits count by."""

from __future__ import annotations

import pytest

from chalicelib.core.targets import registry
from chalicelib.core.targets.target_description import FieldRule, TargetDescription, TargetFields, named_by

ACCOUNT = "eu-west-1:123456789012"
# Of each kind, targets at two destinations; a kind that has but one shows one.
EXAMPLES: dict[str, list[dict[str, object]]] = {
    "eventbridge": [{}, {"bus": "other"}],
    "webhook": [{"url": "https://a.example/"}, {"url": "https://b.example/"}],
    "sqs": [{"queue_url": "https://sqs.example/1/a"}, {"queue_url": "https://sqs.example/1/b"}],
    "sns": [{"topic_arn": f"arn:aws:sns:{ACCOUNT}:a"}, {"topic_arn": f"arn:aws:sns:{ACCOUNT}:b"}],
    "lambda": [{"function": "a"}, {"function": "b"}],
    "stepfunctions": [
        {"state_machine_arn": f"arn:aws:states:{ACCOUNT}:stateMachine:a"},
        {"state_machine_arn": f"arn:aws:states:{ACCOUNT}:stateMachine:b"},
    ],
    "log": [{}],
    "nats": [
        {"servers": ["nats://n.example:4222"], "subject": "orders.a"},
        {"servers": ["tls://n.example"], "subject": "orders.a"},
    ],
    "kafka": [
        {"brokers": ["k.example:9092"], "topic": "a", "security": {"protocol": "SSL"}},
        {"brokers": ["k.example:9092"], "topic": "b"},
    ],
    "rabbitmq": [
        {"url": "amqp://r.example/v", "exchange": "", "routing_key": "a"},
        {"url": "amqps://r.example/v", "exchange": "e", "routing_key": "a"},
    ],
    "mqtt": [
        {"broker": "mqtt://m.example", "topic": "a/b"},
        {"broker": "mqtts://m.example", "topic": "a/b"},
    ],
    "grpc": [
        {"address": "g.example:443", "method": "/a.v1.B/C", "tls": {"server_name": "h.example"}},
        {"address": "G.example:444", "method": "/a.v1.B/C", "tls": True, "metadata": {"tenant": "a"}},
    ],
    "workflow": [{"workflow": "a"}, {"workflow": "b", "version": "2"}],
    "redis": [
        {"url": "redis://r.example:6379/0", "stream": "a"},
        {"url": "rediss://r.example:6379/0", "stream": "a"},
    ],
}


def examples(name: str) -> list[dict[str, object]]:
    return [{"type": name, **fields} for fields in EXAMPLES[name]]


def wrong(target: dict[str, object]) -> dict[str, str]:
    return {error.field: error.message for error in registry.problems(target, ())}


@pytest.mark.parametrize("name", registry.NAMES)
def test_a_kind_takes_its_targets_and_stores_them_with_their_defaults(name: str) -> None:
    for target in examples(name):
        stored = registry.normal_target(target)
        assert wrong(target) == wrong(stored) == {}
        assert stored == {**registry.kind_of(name).defaults, **target}
        assert list(stored) == [f for f in ("type", *registry.kind_of(name).field_names) if f in stored]


@pytest.mark.parametrize("name", registry.NAMES)
def test_a_required_field_that_is_missing_is_named(name: str) -> None:
    required = {f"target.{field}" for field in registry.kind_of(name).required}
    assert wrong({"type": name}) == dict.fromkeys(required, "is required")


@pytest.mark.parametrize("name", registry.NAMES)
def test_a_field_of_another_kind_is_named(name: str) -> None:
    assert wrong({**examples(name)[0], "wing": 1}) == {"target.wing": f"is not a field of a target of type {name}"}


@pytest.mark.parametrize("name", registry.NAMES)
def test_a_value_of_a_wrong_type_is_told_what_it_must_be(name: str) -> None:
    kind = registry.kind_of(name)
    for field in kind.field_names:
        problem = wrong({**examples(name)[0], field: [1]})
        assert problem == {f"target.{field}": f"must be {kind.rules[field].must_be}"}


@pytest.mark.parametrize("topic", [".", "..", "", "a b", "a/b", "ä", "a" * 250])
def test_what_kafka_takes_for_no_topic_is_none(topic: str) -> None:
    assert wrong({**examples("kafka")[0], "topic": topic}) == {"target.topic": "must be the name of a topic"}


@pytest.mark.parametrize("topic", ["a", "_", "...", ".a", "..a", "a.", "a..b", "a" * 249])
def test_what_kafka_takes_for_a_topic_is_one(topic: str) -> None:
    assert wrong({**examples("kafka")[0], "topic": topic}) == {}


@pytest.mark.parametrize("name", registry.NAMES)
def test_two_destinations_are_counted_apart(name: str) -> None:
    found = [registry.destination_of(registry.normal_target(target)) for target in examples(name)]
    assert len(set(found)) == len(found)
    assert len(found) == 2 or not registry.kind_of(name).field_names


@pytest.mark.parametrize(
    ("target", "destination"),
    [
        ({"type": "webhook", "url": "https://Example.com/a?b=c"}, "https://example.com"),
        ({"type": "webhook", "url": "https://example.com:443/d"}, "https://example.com"),
        ({"type": "webhook", "url": "http://example.com:8080/"}, "http://example.com:8080"),
        ({"type": "eventbridge"}, "eventbridge"),
        ({"type": "eventbridge", "bus": "other"}, "eventbridge/other"),
        ({"type": "sqs", "queue_url": "https://sqs/q", "message_group_id": "g"}, "sqs/https://sqs/q"),
        ({"type": "lambda", "function": "f"}, "lambda/f"),
    ],
)
def test_limits_count_by_destination(target: dict[str, object], destination: str) -> None:
    assert registry.destination_of(target) == destination


def test_a_kind_that_nobody_described_has_no_destination() -> None:
    with pytest.raises(LookupError, match="no kind of target is named 'pigeon'"):
        registry.destination_of({"type": "pigeon"})
    assert wrong({"type": "pigeon"}) == {"target.type": "must be one of " + ", ".join(registry.NAMES)}


@pytest.mark.parametrize("left_out", ["destination", "max_batch", "permissions", "secret_fields", "rules", "sent_as"])
def test_a_description_decides_everything(left_out: str) -> None:
    class PigeonTarget(TargetFields, tag="pigeon", kw_only=True):
        loft: str

    whole = {
        "fields": PigeonTarget,
        "rules": {"loft": FieldRule("a loft")},
        "secret_fields": (),
        "destination": named_by("pigeon", "loft"),
        "max_batch": 1,
        "permissions": (),
        "sent_as": "a letter",
        "completed_means": "it flew",
    }
    assert TargetDescription(**whole).name == "pigeon"
    del whole[left_out]
    with pytest.raises(TypeError, match=left_out):
        TargetDescription(**whole)
