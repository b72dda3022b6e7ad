"""A workflow on the packaged functions: CEL from its layer, scripts in the function that may do nothing else."""

from __future__ import annotations

import pytest

from tests.e2e.dev_server import DevServer, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NODES = [
    {"id": "t", "type": "trigger", "on": "manual"},
    {"id": "s", "type": "script", "language": "python", "code": "input['n'] + 1"},
    {"id": "j", "type": "transform", "jsonata": "$sum(items)"},
    {"id": "c", "type": "condition", "cases": [{"name": "big", "when": {"cel": "nodes.s.output > 41"}}]},
    {"id": "d", "type": "delay", "for_ms": 50},
]
EDGES = [
    {"from": "t", "to": "s"},
    {"from": "t", "to": "j"},
    {"from": "s", "to": "c"},
    {"from": "c", "to": "d", "case": "big"},
]


def test_a_deployed_workflow_runs_scripts_and_expressions(deployed: DevServer) -> None:
    status, made = deployed.call("POST", "/api/v1/workflows", {"name": "deployed-one", "nodes": NODES, "edges": EDGES})
    assert status == 201, made
    wrong = [NODES[0], NODES[1] | {"code": "x = ("}]
    status, found = deployed.call(
        "POST", "/api/v1/workflows/deployed-one:validate", {"nodes": wrong, "edges": EDGES[:1]}
    )
    assert (status, found["valid"], found["errors"][0]["field"]) == (200, False, "nodes.s.code")
    status, started = deployed.call(
        "POST", "/api/v1/workflows/deployed-one:start", {"input": {"n": 41, "items": [1, 2, 3]}}
    )
    assert status == 202, started

    def ended() -> bool:
        return deployed.call("GET", f"/api/v1/runs/{started['run_id']}")[1]["state"] in ("completed", "failed")

    wait_for("the run's end", ended, 120)
    run = deployed.call("GET", f"/api/v1/runs/{started['run_id']}")[1]
    assert {name: node["state"] for name, node in run["nodes"].items()} == dict.fromkeys("tsjcd", "completed"), run
    assert (run["nodes"]["s"]["output"], run["nodes"]["j"]["output"]) == (42, 6)
