"""``scripts/workflow``: every example ends as its scenes say, and wrong input is said with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from localdev import workflow_tool
from localdev.workflow_tool import OK, OTHERWISE, WRONG, main

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = sorted((ROOT / "examples/workflows").glob("*.scenes.yaml"))
LINE: dict[str, Any] = {
    "name": "line",
    "nodes": [
        {"id": "t", "type": "trigger", "on": "manual"},
        {"id": "a", "type": "http", "method": "GET", "url": "https://a.example.com/", "retry": {"max_attempts": 2}},
    ],
    "edges": [{"from": "t", "to": "a"}],
}


def written(folder: Path, document: Any, name: str = "w.json") -> str:
    path = folder / name
    path.write_text(json.dumps(document))
    return str(path)


def definition_of(scenes: Path) -> Path:
    return scenes.with_name(scenes.name.replace(".scenes", ""))


def test_there_are_ten_examples_and_each_has_scenes() -> None:
    assert len(EXAMPLES) >= 10
    assert {definition_of(path) for path in EXAMPLES} | set(EXAMPLES) == set(EXAMPLES[0].parent.glob("*.yaml"))


@pytest.mark.parametrize("scenes", EXAMPLES, ids=lambda path: path.name.partition(".")[0])
def test_an_example_ends_as_its_scenes_say(scenes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = main(["play", str(definition_of(scenes)), "--scenes", str(scenes)])
    assert ended == OK, capsys.readouterr().err
    assert main(["export", str(definition_of(scenes)), "--as", "mermaid"]) == OK


@pytest.mark.parametrize(
    ("expect", "said"),
    [
        ({"state": "failed"}, "the run is completed; expected failed"),
        ({"nodes": {"a": "skipped"}}, "a is completed; expected skipped"),
        ({"nodes": {"z": "skipped"}}, "there is no such node"),
        ({"output": 7}, "expected 7"),
        ({"took_ms": 1}, "it took 40 ms; expected 1"),
        ({"ended": True}, "expect.ended is not known"),
    ],
)
def test_what_was_not_met_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], expect: dict[str, Any], said: str
) -> None:
    scenes = written(tmp_path, [{"mocks": {"a": {"takes_ms": 40}}, "expect": expect}], "scenes.json")
    assert main(["play", written(tmp_path, LINE), "--scenes", scenes]) == OTHERWISE
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("mocks", "place"),
    [
        ({"b": {}}, "mocks.b: there is no such node"),
        ({"t": {}}, "mocks.t: a trigger node reaches nothing outside"),
        ({"a": {"state": 200}}, "mocks.a.state: is not a field of this"),
        ({"a": {"status": 99}}, "mocks.a.status: must be 100 to 599"),
        ({"a": [{}, {"takes_ms": -1}]}, "mocks.a[1].takes_ms"),
        ({"a": {"items": {"x": {}}}}, "mocks.a.items.x: must be the index of an item"),
        ({"a": 7}, "mocks.a: must be an answer"),
    ],
)
def test_a_wrong_mock_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mocks: dict[str, Any], place: str
) -> None:
    assert main(["play", written(tmp_path, LINE), "--mocks", written(tmp_path, mocks, "m.json")]) == WRONG
    assert place in capsys.readouterr().err


def test_time_passes_side_by_side_and_the_story_is_the_same_each_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes = [*LINE["nodes"], {"id": "b", "type": "http", "method": "GET", "url": "https://b.example.com/"}]
    edges = [*LINE["edges"], {"from": "t", "to": "b"}]
    path = written(tmp_path, {**LINE, "nodes": nodes, "edges": edges})
    mocks = written(tmp_path, {"a": [{"takes_ms": 60_000}, {"takes_ms": 5000}], "b": {"takes_ms": 9000}}, "m.json")
    stories = []
    for _ in range(2):
        assert main(["play", path, "--mocks", mocks, "--json"]) == OK
        stories.append(capsys.readouterr().out)
    assert stories[0] == stories[1]
    ended = {s["node"]: s["after_ms"] for s in json.loads(stories[0])["story"] if s["type"] == "node_completed"}
    assert ended["b"] == 9000
    assert ended["a"] > 30_000 + 5000


@pytest.mark.parametrize("text", ["{", "[]", '{"name": "x"}'])
def test_a_file_that_is_no_definition_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    path = tmp_path / "w.json"
    path.write_text(text)
    assert main(["check", str(path)]) == WRONG
    assert capsys.readouterr().err


def test_an_expression_that_cannot_be_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = {**LINE, "nodes": [LINE["nodes"][0], {**LINE["nodes"][1], "body": {"cel": "input. +"}}]}
    assert main(["check", written(tmp_path, broken)]) == WRONG
    assert "nodes.a.body.cel" in capsys.readouterr().err


def test_export_and_import(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, LINE)
    assert main(["export", path, "--as", "asl"]) == OK
    machine = json.loads(capsys.readouterr().out)
    assert machine["States"]["a"]["Resource"] == "arn:aws:states:::http:invoke"
    taken = {"QueryLanguage": "JSONata", "StartAt": "w", "States": {"w": {"Type": "Wait", "Seconds": 3, "End": True}}}
    assert main(["import", written(tmp_path, taken, "m.asl.json")]) == OK
    document = json.loads(capsys.readouterr().out)
    assert document["name"] == "m"
    assert workflow_tool.definition(document).nodes[1].fields == {"for_ms": 3000}
