"""``sla_ms`` of runs and nodes: a miss is in the log at its instant, ends nothing, and is announced."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
from jsonschema import Draft202012Validator

from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.ports.target import Outcome
from chalicelib.ports.workflow_steps import HttpReply
from chalicelib.usecases import runs
from tests.kit.workflow_play import FakeTarget, Play

TRIGGER = {"id": "t", "type": "trigger", "on": "manual"}
GATE = {"id": "gate", "type": "approval", "approvers": ["ann"]}
WAIT = {"id": "wait", "type": "delay", "for_ms": 3000}


def play_of(*nodes: dict[str, Any], **more: Any) -> tuple[Play, FakeTarget]:
    """A workflow ``w`` of a line of nodes, and the bus."""
    play, bus = Play(), FakeTarget()
    play.s = msgspec.structs.replace(play.s, targets={**play.s.targets, "eventbridge": bus})
    names = ["t", *(node["id"] for node in nodes)]
    play.publish("w", [TRIGGER, *nodes], list(pairwise(names)), **more)
    return play, bus


def announced(bus: FakeTarget) -> list[dict[str, Any]]:
    return [json.loads(delivery.event) for delivery in bus.got]


def events_of(play: Play, run: str, kind: str) -> list[tuple[str, int]]:
    found = play.s.stores.runs.events("default", run, 0, 1000)
    return [(event.node, event.at_ms - found[0].at_ms) for event in found if event.type == kind]


def test_a_run_and_a_node_that_take_too_long_are_late_at_their_instants() -> None:
    play, bus = play_of(GATE | {"sla_ms": 2000}, sla_ms=5000)
    run = play.start("w")
    play.advance(12_000)
    assert events_of(play, run, "sla_missed") == [("gate", 2000), ("", 5000)]
    assert play.state(run).shown_status == "waiting", "a miss ends nothing"
    node, whole = announced(bus)
    assert (node["type"], node["source"]) == ("chronowatch.run_sla.v1", f"/chronowatch/runs/{run}")
    assert (node["data"]["node"], node["data"]["sla_ms"], node["data"]["state"]) == ("gate", 2000, "waiting")
    assert (whole["data"]["node"], whole["data"]["sla_ms"], whole["data"]["workflow"]) == (None, 5000, "w")
    assert node["id"] != whole["id"]
    registry = json.loads((Path(__file__).parents[4] / "docs" / "events.json").read_text())
    schema = {"$ref": "#/$defs/chronowatch.run_sla.v1", "$defs": registry["$defs"]}
    for event in (node, whole):
        assert [wrong.message for wrong in Draft202012Validator(schema).iter_errors(event)] == []
    assert (play.state(run).late, play.state(run).nodes["gate"].late) == ("told", "told")


def test_what_ends_in_time_is_never_late() -> None:
    play, bus = play_of(WAIT | {"sla_ms": 3001}, sla_ms=4000)
    run = play.start("w")
    play.advance(60_000)
    assert play.state(run).status == "completed"
    assert not events_of(play, run, "sla_missed")
    assert not bus.got


def test_a_node_that_is_tried_again_has_its_time_since_its_first_attempt() -> None:
    call = {"id": "call", "type": "http", "method": "GET", "url": "https://example.com/", "sla_ms": 2500}
    play, bus = play_of(call | {"retry": {"max_attempts": 3}})
    play.calls.answers["https://example.com/"] = lambda request: HttpReply(503, {}, b"", 2000)
    run = play.start("w")
    play.advance(60_000)
    [(name, at_ms)] = events_of(play, run, "sla_missed")
    assert (name, at_ms) == ("call", 2500)
    assert len(bus.got) == 1


def test_a_miss_that_the_bus_did_not_take_is_announced_again_with_the_same_id() -> None:
    play, bus = play_of(GATE | {"sla_ms": 2000})
    bus.outcome = Outcome("failed", None, "connection_error", "no bus")
    run = play.start("w")
    play.advance(70_000)
    assert play.state(run).nodes["gate"].late == "untold"
    refused = {event["id"] for event in announced(bus)}
    bus.outcome = Outcome("completed", 200)
    play.advance(180_000)
    assert play.state(run).nodes["gate"].late == "told"
    assert {event["id"] for event in announced(bus)} == refused
    told = len(bus.got)
    play.advance(300_000)
    assert len(bus.got) == told


def test_a_run_that_ended_late_rests_once_that_is_announced() -> None:
    play, bus = play_of(WAIT, sla_ms=1000)
    bus.outcome = Outcome("failed", None, "connection_error", "no bus")
    run = play.start("w")
    play.advance(5_000)
    assert (play.state(run).status, play.state(run).late) == ("completed", "untold")
    bus.outcome = Outcome("completed", 200)
    play.advance(180_000)
    assert play.state(run).late == "told"
    kept = play.s.stores.runs.load("default", run)
    assert kept is not None
    retention_ms = play.s.config.run_retention_ms
    assert kept.wake_ms == (None if retention_ms is None else (kept.finished_ms or 0) + retention_ms)


def test_a_run_that_is_driven_again_is_not_late_a_second_time() -> None:
    play, bus = play_of(WAIT, GATE, sla_ms=1000)
    run = play.start("w")
    play.advance(10_000)
    runs.cancel(play.s, ANONYMOUS_ADMIN, run, "")
    play.settle()
    runs.drive_again(play.s, ANONYMOUS_ADMIN, run, None, None, None, False)
    play.advance(60_000)
    assert len(bus.got) == 1
    assert play.state(run).late == "told"
