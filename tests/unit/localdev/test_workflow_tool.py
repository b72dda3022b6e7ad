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


NODES = LINE["nodes"]


def after_trigger(**node: Any) -> dict[str, Any]:
    return {**LINE, "nodes": [NODES[0], {"id": "a", **node}]}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (after_trigger(type="job", target={"type": "pigeon"}), "nodes.a.target.type: must be one of"),
        (after_trigger(type="job", target={"type": "sqs"}), "nodes.a.target.queue_url: is required"),
        (after_trigger(type="job", target={"type": "workflow", "workflow": "x"}), "nodes.a.target.type: a subworkflow"),
        (
            after_trigger(type="notification", message="m", channel={"type": "slack", "url": "x", "to": 1}),
            "nodes.a.channel.to: is not a field of channels of slack",
        ),
        (
            after_trigger(type="notification", message="m", channel={"type": "sns", "topic_arn": "x"}),
            "nodes.a.channel.topic_arn: ",
        ),
        (after_trigger(type="subworkflow", workflow="line"), "nodes.a.workflow: it would begin itself"),
        ({**LINE, "on_failure": "line@1"}, "on_failure: a workflow cannot handle its own failures"),
        ({**LINE, "input_schema": {"type": {}}}, "input_schema.type: "),
    ],
)
def test_what_the_service_would_refuse_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], document: dict[str, Any], said: str
) -> None:
    path = written(tmp_path, document)
    assert main(["check", path]) == WRONG
    assert f"{path}: {said}" in capsys.readouterr().err


def test_what_is_for_a_deployment_to_say_is_let_through(tmp_path: Path) -> None:
    secret = {"Authorization": {"secret_ref": "env:TOKEN"}}
    target = {"type": "webhook", "url": "http://127.0.0.1:9/", "headers": secret}
    assert main(["check", written(tmp_path, after_trigger(type="job", target=target))]) == OK


def test_each_file_is_judged_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [
        written(tmp_path, {**LINE, "name": "No"}, "a.json"),
        str(tmp_path / "gone.json"),
        written(tmp_path, [], "b.json"),
        written(tmp_path, LINE, "c.json"),
    ]
    (tmp_path / "d.yaml").write_text("a: [")
    assert main(["check", *paths, str(tmp_path / "d.yaml")]) == WRONG
    out, err = capsys.readouterr()
    assert out.startswith(f"{paths[3]}: line ")
    said = err.splitlines()
    assert [line.partition(": ")[0] for line in said if "Errno" not in line] == [
        paths[0], paths[2], str(tmp_path / "d.yaml"),
    ]  # fmt: skip
    assert any("gone.json" in line for line in said)
    assert "the file is not YAML" in said[-1]


@pytest.mark.parametrize(
    ("scene", "said"),
    [
        ({"mocks": [1]}, "scenes[0].mocks: must be an object"),
        ({"expect": []}, "scenes[0].expect: must be an object"),
        ({"expect": {"nodes": 1}}, "scenes[0].expect.nodes: must be an object"),
        ({"begins": 5}, "scenes[0].begins: must be text"),
        ({"begins": "soon"}, "begins: "),
        ({"with": "x.yaml"}, "scenes[0].with: must be a list"),
    ],
)
def test_a_scene_of_the_wrong_kind_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], scene: dict[str, Any], said: str
) -> None:
    assert main(["play", written(tmp_path, LINE), "--scenes", written(tmp_path, [scene], "s.json")]) == WRONG
    assert capsys.readouterr().err.startswith(said)


def test_options_that_cannot_be_read_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, LINE)
    assert main(["play", path, "--input", "{bad"]) == WRONG
    assert capsys.readouterr().err.startswith("--input: is not JSON")
    mocks = written(tmp_path, [1], "m.json")
    assert main(["play", path, "--mocks", mocks]) == WRONG
    assert capsys.readouterr().err.startswith(f"{mocks}: must be an object")


def test_scenes_as_json_are_nothing_but_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenes = written(tmp_path, [{"says": "it goes well"}], "s.json")
    assert main(["play", written(tmp_path, LINE), "--scenes", scenes, "--json"]) == OK
    assert json.loads(capsys.readouterr().out)["says"] == "it goes well"


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
