"""Workflows as they are published."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.core.errors import InvalidField, PreconditionFailed
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.core.targets import registry
from chalicelib.usecases import workflows
from tests.kit.workflow_play import Play

TRIGGER = {"id": "t", "type": "trigger", "on": "manual"}


def http(name: str) -> dict[str, Any]:
    return {"id": name, "type": "http", "method": "POST", "url": f"https://example.com/{name}"}


@pytest.fixture
def play() -> Play:
    return Play()


def test_a_workflow_that_would_begin_itself_is_refused(play: Play) -> None:
    call = {"id": "s", "type": "subworkflow", "workflow": "two"}
    play.publish("two", [TRIGGER, http("a")], [("t", "a")])
    play.publish("one", [TRIGGER, call], [("t", "s")])
    back = {"nodes": [TRIGGER, {**call, "workflow": "one"}], "edges": [{"from": "t", "to": "s"}]}
    with pytest.raises(InvalidField) as refused:
        workflows.put(play.s, ANONYMOUS_ADMIN, "two", back, None)
    assert refused.value.errors[0].field == "nodes.s.workflow"
    assert "two -> one -> two" in refused.value.errors[0].message


def test_a_failed_run_begins_the_workflow_that_handles_it(play: Play) -> None:
    play.publish("handler", [TRIGGER, http("alert")], [("t", "alert")])
    script = {"id": "s", "type": "script", "language": "python", "code": "1 / 0"}
    play.publish("w", [TRIGGER, script], [("t", "s")], on_failure="handler@1")
    run = play.start("w", {"x": 1})
    play.settle()
    assert play.state(run).status == "failed"
    handler = play.calls.keys[0].removesuffix("/alert")
    given = play.shown(handler).input
    assert (given["run_id"], given["input"], given["error_type"]) == (run, {"x": 1}, "script_error")


def test_a_handler_that_is_not_there_is_refused(play: Play) -> None:
    for name in ("gone", "w", "handler@7"):
        with pytest.raises(InvalidField) as refused:
            play.publish("w", [TRIGGER, http("a")], [("t", "a")], on_failure=name)
        assert [error.field for error in refused.value.errors] == ["on_failure"]


@pytest.mark.parametrize(
    ("channel", "field"),
    [
        ({"to": "a@example.com"}, "from"),
        ({"to": [], "from": "b@example.com"}, "to"),
        ({"to": ["a@example.com\r\nBcc: c@example.com"], "from": "b@example.com"}, "to"),
        ({"to": "nobody", "from": "b@example.com"}, "to"),
        ({"to": "a@example.com", "from": "nobody"}, "from"),
        ({"to": "a@example.com", "from": "b@example.com", "cc": "c@example.com"}, "cc"),
    ],
)
def test_an_e_mail_that_cannot_be_sent_is_refused_with_its_field(
    play: Play, channel: dict[str, Any], field: str
) -> None:
    mail = {"id": "n", "type": "notification", "channel": {"type": "email", **channel}, "message": "x"}
    with pytest.raises(InvalidField) as refused:
        play.publish("w", [TRIGGER, mail], [("t", "n")])
    assert [error.field for error in refused.value.errors] == [f"nodes.n.channel.{field}"]


CHANNELS: dict[str, dict[str, Any]] = {
    "webhook": {
        "url": "https://example.com/x",
        "headers": {"X-Of": {"cel": "run.id"}, "X-Key": {"secret_ref": "env:K"}},
    },
    "slack": {"url": "https://hooks.slack.com/services/T/B/X"},
    "pagerduty": {"routing_key": "R0UT1NGKEY"},
    "sns": {"topic_arn": "arn:aws:sns:us-east-1:123456789012:alarms"},
}


@pytest.mark.parametrize("kind", CHANNELS)
def test_a_channel_that_says_what_it_must_is_taken(play: Play, kind: str) -> None:
    told = {"id": "n", "type": "notification", "channel": {"type": kind, **CHANNELS[kind]}, "message": "x"}
    play.publish("w", [TRIGGER, told], [("t", "n")])


@pytest.mark.parametrize(
    ("kind", "wrong", "field"),
    [
        ("webhook", {"url": {"cel": "input.url"}}, "url"),
        ("webhook", {"url": "ftp://example.com"}, "url"),
        ("webhook", {"url": "http://169.254.169.254/latest/meta-data"}, "url"),
        ("webhook", {"headers": ["x"]}, "headers"),
        ("webhook", {"headers": {"a b": "x"}}, "headers.a b"),
        ("webhook", {"headers": {"X-Of": {"cel": "nodes.gone.output"}}}, "headers.X-Of.cel"),
        ("webhook", {"headers": {"X-Of": {"cel": "run."}}}, "headers.X-Of.cel"),
        ("webhook", {"method": "PUT"}, "method"),
        ("slack", {"channel": "#x"}, "channel"),
        ("slack", {"url": "nowhere"}, "url"),
        ("slack", {"url": "http://[::ffff:10.0.0.1]/"}, "url"),
        ("pagerduty", {"routing_key": ""}, "routing_key"),
        ("pagerduty", {"routing_key": {"cel": "input.key"}}, "routing_key"),
        ("pagerduty", {"severity": "info"}, "severity"),
        ("sns", {"topic_arn": "alarms"}, "topic_arn"),
        ("sns", {"topic_arn": {"cel": "input.topic"}}, "topic_arn"),
        ("sns", {"subject": "x"}, "subject"),
        ("email", {"to": "a@example.com", "from": "b@example.com", "subject": {"cel": "input."}}, "subject.cel"),
    ],
)
def test_a_channel_that_could_not_be_sent_to_is_refused_with_its_field(
    play: Play, kind: str, wrong: dict[str, Any], field: str
) -> None:
    channel = {"type": kind, **CHANNELS.get(kind, {}), **wrong}
    told = {"id": "n", "type": "notification", "channel": channel, "message": "x"}
    with pytest.raises(InvalidField) as refused:
        play.publish("w", [TRIGGER, told], [("t", "n")])
    assert [error.field for error in refused.value.errors] == [f"nodes.n.channel.{field}"]


def test_without_aws_no_e_mail_is_taken(play: Play) -> None:
    play.s = replace(play.s, config=replace(play.s.config, unoffered=registry.OF_AWS))
    channel = {"type": "email", "to": "a@example.com", "from": "b@example.com"}
    mail = {"id": "n", "type": "notification", "channel": channel, "message": "x"}
    with pytest.raises(InvalidField) as refused:
        play.publish("w", [TRIGGER, mail], [("t", "n")])
    assert [error.field for error in refused.value.errors] == ["nodes.n.channel.type"]


def test_an_edit_of_another_version_than_the_live_one_is_refused(play: Play) -> None:
    play.publish("w", [TRIGGER, http("a")], [("t", "a")])
    changed = {"nodes": [TRIGGER, http("b")], "edges": [{"from": "t", "to": "b"}]}
    with pytest.raises(PreconditionFailed):
        workflows.put(play.s, ANONYMOUS_ADMIN, "w", changed, ["other"])
    live = workflows.get(play.s, ANONYMOUS_ADMIN, "w").head.live
    assert workflows.put(play.s, ANONYMOUS_ADMIN, "w", changed, [live]).version.number == 2
