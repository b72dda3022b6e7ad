"""The clients of examples/, run against a server: one in Python, one in JavaScript."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from chalicelib.grpc_server.server import GrpcServer
from tests.kit.house import House
from tests.tidy.sources import ROOT

MODULES = ("@grpc/grpc-js", "@grpc/proto-loader")


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def address(house: House) -> Iterator[str]:
    server = GrpcServer(house.edge, "127.0.0.1", 0)
    server.start()
    yield f"127.0.0.1:{server.port}"
    server.stop()


def ran(*command: str | Path, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def made(house: House) -> dict[str, object]:
    (schedule,) = house.call("GET", "/api/v1/schedules").json["items"]
    assert schedule["payload"] == {"hello": "grpc"}
    found: dict[str, object] = schedule
    return found


def test_the_client_in_python_makes_a_schedule(house: House, address: str) -> None:
    said = ran(sys.executable, ROOT / "examples" / "grpc_client.py", address)
    assert f'id: "{made(house)["id"]}"' in said


def test_the_client_in_node_makes_a_schedule(house: House, address: str, tmp_path: Path) -> None:
    node, modules = shutil.which("node"), _modules()
    if node is None or modules is None:
        pytest.skip(
            f"node, or its modules {' and '.join(MODULES)}, are not here: "
            "npm install them in this checkout, or name a node_modules by CHRONO_TEST_NODE_MODULES"
        )
    (tmp_path / "examples").mkdir()
    shutil.copy(ROOT / "examples" / "grpc_client.mjs", tmp_path / "examples")
    (tmp_path / "proto").symlink_to(ROOT / "proto")
    (tmp_path / "node_modules").symlink_to(modules)
    said = json.loads(ran(node, tmp_path / "examples" / "grpc_client.mjs", address))
    schedule = made(house)
    assert (said["id"], said["next_run_unix_ms"]) == (schedule["id"], str(schedule["next_run_unix_ms"]))
    refused = subprocess.run(
        [node, tmp_path / "examples" / "grpc_client.mjs", "127.0.0.1:1"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert refused.returncode == 1
    assert refused.stderr.startswith("UNAVAILABLE: ")


def _modules() -> Path | None:
    given = os.environ.get("CHRONO_TEST_NODE_MODULES")
    beside = [ROOT / "node_modules", Path("/usr/lib/node_modules"), Path("/usr/local/lib/node_modules")]
    places = [Path(given)] if given else beside
    return next((place for place in places if all((place / name).is_dir() for name in MODULES)), None)
