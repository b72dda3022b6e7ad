"""Workflows on the served product: gates that many decide at once, and channels that others really hear."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from threading import Barrier, Thread
from typing import Any

import pytest

from chalicelib.adapters.aws.clients import Clients
from tests.e2e.dev_server import DevServer, wait_for
from tests.e2e.pager import Pager, problems

TRIGGER = {"id": "t", "type": "trigger", "on": "manual"}
ROUTING_KEY = "R0UT1NGKEYOF32CHARACTERS00000001"
AT_ONCE = 8


@pytest.fixture
def pager() -> Iterator[Callable[[int], Pager]]:
    """Makes receivers of PagerDuty's events that are away for so many calls."""
    made: list[Pager] = []

    def make(busy: int = 0) -> Pager:
        made.append(Pager(busy))
        return made[-1]

    yield make
    for each in made:
        each.close()


def publish(server: DevServer, name: str, node: dict[str, Any]) -> None:
    document = {"name": name, "nodes": [TRIGGER, node], "edges": [{"from": "t", "to": node["id"]}]}
    status, said = server.call("POST", "/api/v1/workflows", document)
    assert status == 201, said


def start(server: DevServer, name: str, given: object = None) -> str:
    status, said = server.call("POST", f"/api/v1/workflows/{name}:start", {"input": given})
    assert status == 202, said
    return str(said["run_id"])


def ended(server: DevServer, run_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        run: dict[str, Any] = server.call("GET", f"/api/v1/runs/{run_id}")[1]
        return run if run["state"] in ("completed", "failed") else None

    found = wait_for(f"run {run_id} to end", look, 60)
    assert found is not None
    return found


@pytest.mark.parametrize("words", [("approve",), ("approve", "reject")], ids=["approvals", "approvals-and-rejections"])
def test_of_eight_decisions_at_once_one_is_taken(server: DevServer, words: tuple[str, ...]) -> None:
    name = "-".join(("gate", *words))
    publish(server, name, {"id": "g", "type": "approval", "approvers": ["role:admin"], "allow_self": True})
    run_id = start(server, name)
    path = f"/api/v1/runs/{run_id}"

    def nonce_of() -> str:
        node = server.call("GET", path)[1]["nodes"]["g"]
        return str(node.get("approval", {}).get("nonce", ""))

    nonce = wait_for("the gate to be open", nonce_of)
    together, answers = Barrier(AT_ONCE), []

    def decide(word: str) -> None:
        together.wait()
        answers.append((word, server.call("POST", f"{path}/nodes/g:{word}", {"nonce": nonce})))

    threads = [Thread(target=decide, args=(words[who % len(words)],)) for who in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(status for _, (status, _) in answers) == {200: 1, 409: AT_ONCE - 1}
    assert {said["code"] for _, (status, said) in answers if status == 409} == {"already_decided"}
    [won] = [word for word, (status, _) in answers if status == 200]
    assert ended(server, run_id)["state"] == ("completed" if won == "approve" else "failed")
    log = server.call("GET", f"{path}/events?limit=1000")[1]["items"]
    decided = [event["type"] for event in log if event["type"].startswith("approval_")]
    assert decided == [f"approval_{'given' if won == 'approve' else 'rejected'}"]
    assert server.call("GET", f"{path}/nodes/g:approve")[0] == 405, "only POST decides"


def test_a_large_output_is_kept_and_shown_by_reference(server: DevServer) -> None:
    letters = 70_000
    publish(server, "large", {"id": "big", "type": "transform", "jsonata": f'$string($pad("", {letters}, "x"))'})
    run = ended(server, start(server, "large"))
    assert run["state"] == "completed", run
    assert run["output"]["size"] == letters + 2, "it lies in the bucket that scripts/dev made"
    inline = server.call("GET", f"/api/v1/runs/{run['id']}?inline_bytes=100000")[1]
    assert inline["output"] == "x" * letters


def test_a_notification_to_a_topic_is_heard_by_its_subscribers(server: DevServer) -> None:
    clients = Clients("us-east-1", server.endpoint)
    sns, sqs = clients.get("sns"), clients.get("sqs")
    topic = sns.create_topic(Name="of-workflows")["TopicArn"]
    queue = sqs.create_queue(QueueName="hears-workflows")["QueueUrl"]
    asked = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=asked["Attributes"]["QueueArn"])
    channel = {"type": "sns", "topic_arn": topic}
    message = {"order": {"cel": "input.order"}, "by": {"cel": "run.workflow"}}
    publish(server, "tells-a-topic", {"id": "n", "type": "notification", "channel": channel, "message": message})
    run_id = start(server, "tells-a-topic", {"order": 4711})
    run = ended(server, run_id)
    assert run["state"] == "completed", run
    heard: list[dict[str, Any]] = []

    def look() -> bool:
        got = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1, MaxNumberOfMessages=10).get("Messages", [])
        heard.extend(json.loads(json.loads(one["Body"])["Message"]) for one in got)
        return bool(heard)

    wait_for("the subscriber to hear it", look)
    [event] = heard
    assert (event["id"], event["data"]) == (f"{run_id}/n", {"order": 4711, "by": "tells-a-topic"})


def test_pagerduty_takes_the_event_and_knows_it_again(server: DevServer, pager: Callable[[int], Pager]) -> None:
    away = pager(1)
    channel = {"type": "pagerduty", "routing_key": ROUTING_KEY, "url": away.url}
    retry = {"max_attempts": 3, "backoff": "fixed", "base_ms": 100, "max_ms": 100, "jitter": False}
    node = {"id": "page", "type": "notification", "channel": channel, "message": {"cel": "input.title"}}
    publish(server, "pages", {**node, "retry": retry})
    run_id = start(server, "pages", {"title": "the disk is full"})
    run = ended(server, run_id)
    assert (run["state"], away.refused) == ("completed", [])
    assert run["output"]["body"] == {"status": "success", "message": "Event processed", "dedup_key": f"{run_id}/page"}
    assert [event["dedup_key"] for event in away.asked] == [f"{run_id}/page"] * 2, "tried again under the same key"
    assert away.incidents[f"{run_id}/page"]["payload"] == {
        "summary": "the disk is full",
        "source": "pages",
        "severity": "error",
    }


def test_what_pagerduty_refuses_fails_the_node(server: DevServer, pager: Callable[[int], Pager]) -> None:
    here = pager(0)
    channel = {"type": "pagerduty", "routing_key": "short", "url": here.url}
    publish(server, "pages-wrong", {"id": "page", "type": "notification", "channel": channel, "message": "x"})
    run = ended(server, start(server, "pages-wrong"))
    assert (run["nodes"]["page"]["state"], run["nodes"]["page"]["error_type"]) == ("failed", "http_error")
    assert here.refused == [["routing_key must be a string of 32 characters"]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"event_action": "open"}, "event_action"),
        ({"dedup_key": "k" * 256}, "dedup_key"),
        ({"payload": {"summary": "", "source": "s", "severity": "error"}}, "summary"),
        ({"payload": {"summary": "x", "source": "s", "severity": "fatal"}}, "severity"),
        ({"severity": "error"}, "unknown field severity"),
    ],
)
def test_the_receiver_judges_as_pagerduty_does(change: dict[str, Any], said: str) -> None:
    payload = {"summary": "x", "source": "s", "severity": "error"}
    event = {"routing_key": ROUTING_KEY, "event_action": "trigger", "dedup_key": "k", "payload": payload}
    assert problems(event) == []
    [found] = problems(event | change)
    assert said in found
