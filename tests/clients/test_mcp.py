"""MCP by others' hands: the official conformance suite against ``/mcp``, and the official client by stdio."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from chalicelib.api.agents.tools import TOOLS
from tests.clients import generators
from tests.clients.agents import suite_offer
from tests.clients.chronosctl_calls import SOURCE
from tests.clients.served import serve

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent / "agents"
BASELINE = HERE / "not_ours.yaml"
# What the suite asks of any server. All else asks for its own tools, resources and prompts by their names.
OF_ANY_SERVER = {
    "server-initialize",
    "ping",
    "tools-list",
    "resources-list",
    "prompts-list",
    "dns-rebinding-protection",
}


def _judged(url: str, *how: str | Path) -> tuple[int, dict[str, bool]]:
    """The suite's exit code, and each scenario: whether something of it passed and nothing failed."""
    suite = generators.node_modules() / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
    command = ["node", "--import", HERE / "older_node.mjs", suite, "server", "--suite", "all", "--url", f"{url}/mcp"]
    ran = subprocess.run([*command, *how], capture_output=True, text=True, timeout=200, check=False)
    counts = re.findall(r"(\S+): (\d+) passed, (\d+) failed", ran.stdout)
    found = {name: int(passed) > 0 and int(failed) == 0 for name, passed, failed in counts if name != "Total"}
    assert len(found) == 32, ran.stdout[-3000:] + ran.stderr
    return ran.returncode, found


def test_the_conformance_suite_finds_nothing_in_the_protocol() -> None:
    with serve(operations=suite_offer.operations()) as running:
        code, found = _judged(running.url, "--expected-failures", BASELINE)
    named = set(re.findall(r"^  - (\S+)$", BASELINE.read_text(), re.M))
    assert {name for name, passes in found.items() if not passes} == named
    assert (code, len(named)) == (0, 11)


def test_the_service_passes_what_is_asked_of_any_server() -> None:
    with serve() as running:
        _, found = _judged(running.url)
    assert {name for name, passes in found.items() if passes} == OF_ANY_SERVER


def test_the_official_client_speaks_by_stdio(tmp_path: Path) -> None:
    modules = generators.node_modules()
    with serve() as running:
        env = {**os.environ, "CHRONO_URL": running.url, "PYTHONPATH": str(SOURCE), "COVERAGE_PROCESS_START": ""}
        ran = subprocess.run(
            ["node", HERE / "stdio.mjs", sys.executable, modules],
            env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout) == {
        "server": "chronowatch",
        "tools": len(TOOLS),
        "dry": True,
        "before": 0,
        "found": [True],
        "gone": [True, 404],
        "wrong": -32602,
    }
