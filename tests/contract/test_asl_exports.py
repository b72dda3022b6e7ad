"""Workflows exported to Amazon States Language: run by the emulator they come to what they come to here, and the
linters of others accept them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from chalicelib.adapters.aws.clients import Clients
from chalicelib.core.workflows import asl_export
from localdev import workflow_tool
from tests.kit.block_workflows import BlockWorkflow

COUNT = 50
EXAMPLES = Path(__file__).resolve().parents[2] / "examples/workflows"
PATIENCE_S = 120
VALIDATOR, STATELINT = "4.0.0", "3.1.0"


def machine_of(seed: int) -> tuple[BlockWorkflow, dict[str, Any]]:
    made = BlockWorkflow(seed)
    return made, asl_export.state_machine(workflow_tool.definition(made.document))


def test_the_random_workflows_have_every_kind_of_state() -> None:
    machines = [machine_of(seed)[1] for seed in range(COUNT)]
    text = json.dumps(machines)
    assert {kind for kind in ("Pass", "Choice", "Parallel", "Map", "Wait") if f'"Type": "{kind}"' in text} == {
        "Pass",
        "Choice",
        "Parallel",
        "Map",
        "Wait",
    }
    assert len({json.dumps(machine) for machine in machines}) > COUNT * 0.9


@pytest.mark.emulator
@pytest.mark.slow
def test_fifty_random_workflows_come_to_the_same_in_the_states_of_the_emulator(clients: Clients) -> None:
    name = f"blocks-{uuid.uuid4().hex[:8]}"
    states = clients.get("stepfunctions")
    begun = []
    for seed in range(COUNT):
        made, machine = machine_of(seed)
        arn = states.create_state_machine(
            name=f"{name}-{seed}", definition=json.dumps(machine), roleArn="arn:aws:iam::000000000000:role/any"
        )["stateMachineArn"]
        run = states.start_execution(stateMachineArn=arn, input=json.dumps(made.input))["executionArn"]
        begun.append((seed, made, arn, run))
    outputs = []
    for seed, made, arn, run in begun:
        found = _ended(states, run)
        assert found["status"] == "SUCCEEDED", (seed, found.get("error"), found.get("cause"), made.document)
        here = workflow_tool.rehearse(workflow_tool.definition(made.document), [], made.input, {})
        assert here.state.status == "completed", (seed, here.state.error)
        assert json.loads(found["output"]) == here.output, (seed, made.document, made.input)
        outputs.append(here.output)
        states.delete_state_machine(stateMachineArn=arn)
    assert len({json.dumps(output) for output in outputs}) > COUNT // 3


def _ended(states: Any, run: str) -> dict[str, Any]:
    until = time.monotonic() + PATIENCE_S
    while True:
        found: dict[str, Any] = states.describe_execution(executionArn=run)
        if found["status"] != "RUNNING" or time.monotonic() > until:
            return found
        time.sleep(0.02)


CALL = {"id": "c", "type": "http", "method": "POST", "url": "https://a.example.com/", "body": {"a": "{% 1 %}"}}
CALLS = {
    "name": "calls",
    "nodes": [
        {"id": "t", "type": "trigger", "on": "manual"},
        {"id": "p", "type": "parallel", "foreach": {"items": {"cel": "input"}}},
        {**CALL, "retry": {"max_attempts": 9}, "timeout_ms": 5000},
        {"id": "j", "type": "join"},
    ],
    "edges": [{"from": "t", "to": "p"}, {"from": "p", "to": "c"}, {"from": "c", "to": "j"}],
}


def exports() -> dict[str, dict[str, Any]]:
    """Random workflows, and the examples that are shaped in blocks."""
    found = {f"random-{seed}": machine_of(seed)[1] for seed in range(COUNT)}
    found["calls"] = asl_export.state_machine(workflow_tool.definition(CALLS))
    for path in sorted(EXAMPLES.glob("*.yaml")):
        if ".scenes" not in path.name:
            try:
                machine = asl_export.state_machine(workflow_tool.definition(workflow_tool.read(path)))
            except workflow_tool.InvalidField:
                continue
            found[path.stem] = machine
    assert len(found) > COUNT + 1, "no example is shaped in blocks"
    return found


def _installed(folder: Path, package: str, version: str) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip(f"npm is not on PATH: {package} cannot judge the exports")
    command = [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), f"{package}@{version}"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if ran.returncode:
        pytest.skip(f"{package} {version} cannot be installed: {ran.stderr[-300:]}")
    return folder / "node_modules"


@pytest.mark.slow
def test_the_validator_of_others_accepts_every_export(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("asl-validator")
    modules = _installed(folder, "asl-validator", VALIDATOR)
    (folder / "exports.json").write_text(json.dumps(exports()))
    script = (
        f"const validate = require({json.dumps(str(modules / 'asl-validator'))});"
        f"const all = require({json.dumps(str(folder / 'exports.json'))});"
        "const bad = Object.entries(all).map(([n, d]) => [n, validate(d)]).filter(([, r]) => !r.isValid);"
        "const broken = validate({StartAt: 'x', States: {}});"
        "console.log(JSON.stringify({bad, catches: !broken.isValid}));"
    )
    ran = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True, timeout=120)
    said = json.loads(ran.stdout)
    assert said["catches"], "it judges nothing"
    assert said["bad"] == []


@pytest.mark.slow
def test_statelint_accepts_every_export(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("statelint")
    command = [sys.executable, "-m", "pip", "install", "-q", "--target", str(folder / "lib"), f"statelint=={STATELINT}"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if ran.returncode:
        pytest.skip(f"statelint {STATELINT} cannot be installed: {ran.stderr[-300:]}")
    paths = []
    for name, machine in exports().items():
        paths.append(folder / f"{name}.json")
        paths[-1].write_text(json.dumps(machine))
    broken = folder / "broken.json"
    broken.write_text(json.dumps({"StartAt": "x", "States": {"y": {"Type": "Pass", "End": True}}}))
    lint = [sys.executable, str(folder / "lib/bin/statelint")]
    env = {"PYTHONPATH": str(folder / "lib"), "PATH": "/usr/bin:/bin"}
    assert subprocess.run([*lint, str(broken)], env=env, check=False, capture_output=True).returncode, (
        "it judges nothing"
    )
    said = subprocess.run([*lint, *map(str, paths)], env=env, check=False, capture_output=True, text=True)
    assert (said.returncode, said.stdout) == (0, "")
