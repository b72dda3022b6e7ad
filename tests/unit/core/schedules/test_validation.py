"""Which definitions may exist: every rule refused by name, all of them at once, and everything else let through."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chalicelib.core.errors import InvalidField, TooLarge
from chalicelib.core.limits import DURATION_MAX_MS, INSTANT_MAX_MS
from chalicelib.core.schedules import validation
from chalicelib.core.schedules.limits import JITTER_MAX_MS, PAYLOAD_MAX_BYTES, RUNS_MAX
from chalicelib.core.schedules.schedule import Definition, Monitor, RetryPolicy
from chalicelib.core.targets import registry

NOW_MS = 1_795_252_800_000
GOOD = Definition(
    tenant="default",
    id="01KB0E5T0QJ8Z3V7M4N2X9YRSC",
    version="v1",
    since_ms=NOW_MS,
    type="RATE",
    expr="rate:5s",
    created_at_ms=NOW_MS,
    updated_at_ms=NOW_MS,
)
WEBHOOK = {"type": "webhook", "url": "https://example.com/", "method": "POST", "timeout_ms": 30_000}


def refused(definition: Definition, **options: bool) -> dict[str, str]:
    """The wrong fields of a definition that must be refused."""
    with pytest.raises(InvalidField) as caught:
        validation.check(definition, NOW_MS, (), **options)
    return {e.field: e.message for e in caught.value.errors}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"type": "AT", "expr": "at:2027-01-01T00:00:00Z"},
        {"type": "CRON", "expr": "*/5 * * * *", "timezone": "Europe/Berlin"},
        {"type": "DELAY", "expr": "delay:30s"},
        {"type": "ISO8601", "expr": "PT5M"},
        {"name": "n" * 128, "tags": ("t" * 64,) * 20, "note": "n" * 512, "shard_key": "k" * 128, "owner": "o" * 128},
        {"payload": '"' + "x" * (PAYLOAD_MAX_BYTES - 2) + '"'},
        {"sla_ms": 0, "catch_up_window_ms": 0, "jitter_ms": JITTER_MAX_MS, "timeout_ms": 1},
        {"start_at_ms": NOW_MS, "end_at_ms": NOW_MS, "max_runs": 1},
        {"exclude": ((1, 1), "0 12 * * *")},
        {"pause_after_failures": 1},
        {"pause_after_failures": 1000},
        {"monitor": Monitor(60_000)},
        {"monitor": Monitor(DURATION_MAX_MS)},
        {"target": WEBHOOK},
        {"target": WEBHOOK | {"headers": {"X-Mine": "1"}, "secret_ref": "ssm:/hooks/key", "method": "PUT"}},
        {"target": {"type": "eventbridge", "bus": "default"}},
        {"target": {"type": "sqs", "queue_url": "https://sqs.eu-west-1.amazonaws.com/123456789012/q.fifo"}},
        {"target": {"type": "sns", "topic_arn": "arn:aws:sns:eu-west-1:123456789012:t"}},
        {"target": {"type": "lambda", "function": "arn:aws:lambda:eu-west-1:123456789012:function:f:live"}},
        {"target": {"type": "lambda", "function": "f"}},
        {
            "target": {
                "type": "stepfunctions",
                "state_machine_arn": "arn:aws:states:eu-west-1:123456789012:stateMachine:m",
            }
        },
    ],
)
def test_lets_through(changes: dict[str, object]) -> None:
    validation.check(replace(GOOD, **changes), NOW_MS, ())


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"type": "WEEKLY"}, "type"),
        ({"expr": "rate:5 parsecs"}, "expr"),
        ({"expr": "rate:999ms"}, "expr"),
        ({"expr": "x" * 1025}, "expr"),
        ({"type": "CRON", "expr": "0 0 30 2 *"}, "expr"),
        ({"type": "CRON", "expr": "* * * *"}, "expr"),
        ({"type": "AT", "expr": "at:2020-01-01T00:00:00Z"}, "expr"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"name": ""}, "name"),
        ({"name": "n" * 129}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"owner": ""}, "owner"),
        ({"owner": "o" * 129}, "owner"),
        ({"shard_key": "k" * 129}, "shard_key"),
        ({"note": "n" * 513}, "note"),
        ({"tags": ("t",) * 21}, "tags"),
        ({"tags": ("fine", "")}, "tags.1"),
        ({"tags": ("t" * 65,)}, "tags.0"),
        ({"start_at_ms": -1}, "start_at_unix_ms"),
        ({"end_at_ms": INSTANT_MAX_MS + 1}, "end_at_unix_ms"),
        ({"start_at_ms": 2, "end_at_ms": 1}, "end_at_unix_ms"),
        ({"max_runs": 0}, "max_runs"),
        ({"max_runs": RUNS_MAX + 1}, "max_runs"),
        ({"sla_ms": -1}, "sla_ms"),
        ({"catch_up_window_ms": DURATION_MAX_MS + 1}, "catch_up_window_ms"),
        ({"jitter_ms": -1}, "jitter_ms"),
        ({"jitter_ms": JITTER_MAX_MS + 1}, "jitter_ms"),
        ({"timeout_ms": 0}, "timeout_ms"),
        ({"pause_after_failures": 0}, "pause_after_failures"),
        ({"pause_after_failures": 1001}, "pause_after_failures"),
        ({"monitor": Monitor(59_999)}, "monitor.window_ms"),
        ({"monitor": Monitor(DURATION_MAX_MS + 1)}, "monitor.window_ms"),
        ({"overlap": "sometimes"}, "overlap"),
        ({"dst_gap": "twice"}, "dst_gap"),
        ({"dst_overlap": "skip"}, "dst_overlap"),
        ({"exclude": ((5, 4),)}, "exclude.0.to_unix_ms"),
        ({"exclude": ((-5, 4),)}, "exclude.0.from_unix_ms"),
        ({"exclude": ("nonsense",)}, "exclude.0"),
        ({"retry_policy": RetryPolicy(max_attempts=0)}, "retry_policy.max_attempts"),
        ({"retry_policy": RetryPolicy(max_attempts=101)}, "retry_policy.max_attempts"),
        ({"retry_policy": RetryPolicy(backoff="linear")}, "retry_policy.backoff"),
        ({"retry_policy": RetryPolicy(base_ms=-1)}, "retry_policy.base_ms"),
        ({"retry_policy": RetryPolicy(base_ms=2, max_ms=1)}, "retry_policy.max_ms"),
        ({"target": {}}, "target.type"),
        ({"target": {"type": "pigeon"}}, "target.type"),
        ({"target": {"type": ["webhook"]}}, "target.type"),
        ({"target": {"type": "webhook"}}, "target.url"),
        ({"target": WEBHOOK | {"url": 5}}, "target.url"),
        ({"target": WEBHOOK | {"url": "ftp://example.com/"}}, "target.url"),
        ({"target": WEBHOOK | {"url": "http://127.0.0.1/"}}, "target.url"),
        ({"target": WEBHOOK | {"url": "http://[::ffff:169.254.169.254]/"}}, "target.url"),
        ({"target": WEBHOOK | {"method": "post"}}, "target.method"),
        ({"target": WEBHOOK | {"headers": []}}, "target.headers"),
        ({"target": WEBHOOK | {"headers": {"Host": "x"}}}, "target.headers"),
        ({"target": WEBHOOK | {"headers": {"X": "a\r\nb"}}}, "target.headers"),
        ({"target": WEBHOOK | {"secret_ref": "vault:x"}}, "target.secret_ref"),
        ({"target": WEBHOOK | {"timeout_ms": 0}}, "target.timeout_ms"),
        ({"target": WEBHOOK | {"timeout_ms": True}}, "target.timeout_ms"),
        ({"target": WEBHOOK | {"timeout_ms": 900_001}}, "target.timeout_ms"),
        ({"target": WEBHOOK | {"ur": "x"}}, "target.ur"),
        ({"target": {"type": "eventbridge", "bus": ""}}, "target.bus"),
        ({"target": {"type": "sqs"}}, "target.queue_url"),
        ({"target": {"type": "sqs", "queue_url": "q"}}, "target.queue_url"),
        (
            {"target": {"type": "sqs", "queue_url": "https://sqs/1/q", "message_group_id": ""}},
            "target.message_group_id",
        ),
        ({"target": {"type": "sns", "topic_arn": "t"}}, "target.topic_arn"),
        ({"target": {"type": "lambda", "function": "no blanks"}}, "target.function"),
        ({"target": {"type": "stepfunctions", "state_machine_arn": "m"}}, "target.state_machine_arn"),
    ],
)
def test_refuses_by_name(changes: dict[str, object], field: str) -> None:
    assert list(refused(replace(GOOD, **changes))) == [field]


def test_names_all_wrong_fields_at_once() -> None:
    wrong = replace(GOOD, name="", sla_ms=-1, expr="nonsense", target={"type": "webhook"}, overlap="queue")
    assert set(refused(wrong)) == {"name", "sla_ms", "expr", "target.url"}


def test_listed_private_addresses_may_be_called() -> None:
    local = replace(GOOD, target=WEBHOOK | {"url": "http://127.0.0.1:9000/"})
    validation.check(local, NOW_MS, ("127.0.0.1",))
    assert "CHRONO_WEBHOOK_ALLOW" in refused(local)["target.url"]


@pytest.mark.parametrize("overlap", ["forbid", "replace", "queue"])
def test_every_overlap_of_the_contract_is_offered(overlap: str) -> None:
    validation.check(replace(GOOD, overlap=overlap), NOW_MS, ())


def test_a_past_at_is_let_through_only_when_told() -> None:
    past = replace(GOOD, type="AT", expr="at:2020-01-01T00:00:00Z")
    validation.check(past, NOW_MS, (), allow_past=True)
    assert refused(past) == {"expr": "lies in the past"}


def test_an_at_of_this_very_millisecond_is_not_past() -> None:
    validation.check(replace(GOOD, type="AT", expr="at:2026-11-21T09:20:00Z"), NOW_MS, ())


def test_a_payload_over_the_limit_is_too_large_before_anything_else() -> None:
    long = '"' + "é" * (PAYLOAD_MAX_BYTES // 2) + '"'
    with pytest.raises(TooLarge) as caught:
        validation.check(replace(GOOD, payload=long, name=""), NOW_MS, ())
    assert caught.value.code == "payload_too_large"


def test_a_webhook_gets_its_defaults_in_the_documented_order() -> None:
    given_target = {
        "timeout_ms": 5,
        "secret_ref": None,
        "headers": {"A": "b"},
        "url": "https://e.org/",
        "type": "webhook",
    }
    normal = registry.normal_target(given_target)
    assert list(normal.items()) == [
        ("type", "webhook"),
        ("url", "https://e.org/"),
        ("method", "POST"),
        ("headers", {"A": "b"}),
        ("timeout_ms", 5),
    ]
    assert registry.normal_target({"type": "eventbridge"}) == {"type": "eventbridge"}


_VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.lists(st.integers(), max_size=2))


@given(
    st.dictionaries(st.sampled_from(["type", "url", "bus", "method", "x"]) | st.text(max_size=4), _VALUES, max_size=5)
)
def test_normalising_twice_changes_nothing(target: dict[str, object]) -> None:
    once = registry.normal_target(target)
    assert registry.normal_target(once) == once


@given(
    st.sampled_from([*registry.NAMES, "other"]),
    st.dictionaries(
        st.sampled_from(["url", "bus", "method", "headers", "timeout_ms", "function"]), _VALUES, max_size=5
    ),
)
def test_no_target_makes_it_stumble(kind: str, target: dict[str, object]) -> None:
    assert all(name.startswith("target.") for name in _wrong(replace(GOOD, target={"type": kind, **target})))


def _wrong(definition: Definition) -> list[str]:
    try:
        validation.check(definition, NOW_MS, ())
    except InvalidField as error:
        return [e.field for e in error.errors]
    return []
