"""``scripts/package --format chalice``: what the stack beside the project has, and what it must leave to Chalice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from chalice.config import Config

from infra.chalice_project import DEPLOYED, MAPPING, SECRET
from tests.tidy.sources import ROOT

pytestmark = pytest.mark.slow


def packaged(out: Path, secret: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "infra.package",
        "--stage",
        "dev",
        "--format",
        "chalice",
        "--out",
        str(out),
        *words,
    ]
    env = {**os.environ, SECRET: secret}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


def resources(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())["Resources"]
    return found


def test_a_stack_beside_a_project(tmp_path: Path) -> None:
    out = tmp_path / "dev"
    ran = packaged(out, "s" * 32)
    assert ran.returncode == 0, ran.stderr
    whole, first = resources(out / "stack.json"), resources(out / "first.json")
    mappings = {name: each["Properties"] for name, each in whole.items() if each["Type"] == MAPPING}
    assert set(whole) - set(first) == set(mappings)
    fed = {name: each["FunctionName"] for name, each in mappings.items()}
    assert sorted(fed.values()) == [
        "chronowatch-dev-deliver",
        *["chronowatch-dev-feed"] * 4,
        "chronowatch-dev-workflow",
    ]
    for each in mappings.values():
        if each["FunctionName"] != "chronowatch-dev-feed":
            assert each["FunctionResponseTypes"] == ["ReportBatchItemFailures"], "else a batch's failures are lost"
    types = {each["Type"] for each in whole.values()}
    assert {"AWS::DynamoDB::Table", "AWS::SQS::Queue", "AWS::CloudWatch::Alarm"} <= types
    assert not types & {
        "AWS::Serverless::Function",
        "AWS::Serverless::Api",
        "AWS::IAM::Role",
        "AWS::Lambda::Permission",
    }
    assert "chronowatch-dev-api" not in json.dumps(whole), "Chalice names it chronowatch-dev"
    names = set(whole) | set(json.loads((out / "stack.json").read_text())["Parameters"])
    assert not {ref for ref in _references(whole) if ref not in names and not ref.startswith("AWS::")}

    config = json.loads((out / "project" / ".chalice" / "config.json").read_text())
    assert config["lambda_architecture"] == "arm64"
    assert config["stages"]["dev"]["environment_variables"][SECRET] == "s" * 32
    assert list(config["stages"]) == ["dev"]
    note = out / "project" / DEPLOYED / "dev.json"
    note.write_text("{}")
    assert packaged(out, "s" * 32).returncode == 0
    assert note.read_text() == "{}", "Chalice must know what it deployed"

    outputs = json.dumps([{"OutputKey": "CryptoLayerArn", "OutputValue": "arn:crypto"}])
    command = [sys.executable, str(out / "project" / "layers.py")]
    ran = subprocess.run(command, input=outputs, capture_output=True, text=True, check=False)
    assert (ran.returncode, "it lacks BrokersLayerArn" in ran.stderr) == (1, True)
    stated = json.loads((out / "stack.json").read_text())["Outputs"]
    outputs = json.dumps([{"OutputKey": name, "OutputValue": f"made-{name}"} for name in stated])
    subprocess.run(command, input=outputs, check=True, text=True)
    config = json.loads((out / "project" / ".chalice" / "config.json").read_text())
    found = {
        name: Config("dev", function_name=name, config_from_disk=config).environment_variables.get(
            "CHRONO_VALUE_BUCKET"
        )
        for name in ("api_handler", "deliver", "workflow", "sweep", "script")
    }
    made = "made-ValueBucketName"
    assert found == {"api_handler": made, "deliver": made, "workflow": made, "sweep": None, "script": None}


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    for words, secret, said in (
        ((), "", f"{SECRET}: must have 32 characters or more"),
        (("--snapstart",), "s" * 32, "--snapstart is not for --format chalice"),
        (("--tenant-tags",), "s" * 32, "--tenant-tags is for --format cloudformation"),
    ):
        ran = packaged(tmp_path / "dev", secret, *words)
        assert ran.returncode == 1
        assert said in ran.stderr, ran.stderr
        assert not (tmp_path / "dev" / "stack.json").exists()


def _references(node: Any) -> set[str]:
    found: set[str] = set()
    for name, each in node.items() if isinstance(node, dict) else enumerate(node):
        if name == "Ref":
            found.add(each)
        elif name == "Fn::GetAtt":
            found.add(each[0])
        elif isinstance(each, dict | list):
            found |= _references(each)
    return found
