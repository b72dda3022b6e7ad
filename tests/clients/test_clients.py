"""Clients that others' generators make from the served document work against the product: no hand touches them."""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients import generators
from tests.clients.served import Served, serve

pytestmark = pytest.mark.slow

DRIVERS = Path(__file__).parent / "drivers"
ONE = "/api/v1/schedules"
SEEN = {
    "url": "http://127.0.0.1:9/hook",
    "payload": {"hello": "world"},
    "refused": "name_taken",
    "listed": True,
    "state": "paused",
    "note": "enough",
    "deleted": True,
}


@pytest.fixture
def served() -> Iterator[Served]:
    with serve() as running:
        yield running


def document(served: Served, folder: Path) -> Path:
    """The document as the product serves it, in a file."""
    path = folder / "openapi.json"
    with urllib.request.urlopen(f"{served.url}/api/v1/openapi.json") as answer:
        path.write_bytes(answer.read())
    served.calls.clear()
    return path


def check(served: Served, printed: str) -> None:
    """The client saw what the product answered, and the product what the client was told to do."""
    seen: dict[str, Any] = json.loads(printed)
    assert seen == SEEN
    [schedule_id] = {path.rpartition("/")[2] for method, path, _ in served.calls if method == "DELETE"}
    assert [(method, path.replace("%3A", ":"), status) for method, path, status in served.calls] == [
        ("POST", ONE, 201),
        ("POST", ONE, 409),
        ("GET", ONE, 200),
        ("POST", f"{ONE}/{schedule_id}:pause", 200),
        ("DELETE", f"{ONE}/{schedule_id}", 200),
    ]
    assert served.house.call("GET", ONE).json["items"] == []


@pytest.mark.timeout(480)
def test_openapi_python_client_reads_all_of_it(served: Served, tmp_path: Path) -> None:
    python, made = generators.python(), tmp_path / "generated"
    # The generator knows few types of content by name: its settings say that a badge is text.
    (tmp_path / "types.json").write_text('{"content_type_overrides": {"image/svg+xml": "text/html"}}')
    source = ["--path", document(served, tmp_path), "--output-path", made, "--meta", "none", "--fail-on-warning"]
    source += ["--config", tmp_path / "types.json"]
    generators.run([python.with_name("openapi-python-client"), "generate", *source], tmp_path)
    check(served, generators.run([python, DRIVERS / "openapi_python_client.py", made, served.url], tmp_path))


@pytest.mark.timeout(480)
def test_openapi_generator_makes_a_python_client(served: Served, tmp_path: Path) -> None:
    python, java, made = generators.python(), generators.java(), tmp_path / "generated"
    [jar] = python.parent.parent.glob("lib/python*/site-packages/openapi_generator_cli/openapi-generator.jar")
    source = ["-i", document(served, tmp_path), "-g", "python", "-o", made]
    generators.run([java, "-jar", jar, "generate", *source], tmp_path)
    check(served, generators.run([python, DRIVERS / "openapi_generator.py", made, served.url], tmp_path))


@pytest.mark.timeout(480)
def test_hey_api_makes_a_typescript_client_that_compiles_strictly(served: Served, tmp_path: Path) -> None:
    modules = generators.node_modules()
    programs = modules / ".bin"
    (tmp_path / "node_modules").symlink_to(modules)
    for name in ("hey_api.ts", "tsconfig.json"):
        shutil.copy(DRIVERS / name, tmp_path)
    source = ["-i", document(served, tmp_path), "-o", tmp_path / "generated", "--no-log-file"]
    generators.run([programs / "openapi-ts", *source], tmp_path)
    generators.run([programs / "tsc", "-p", tmp_path], tmp_path)
    check(served, generators.run(["node", tmp_path / "built" / "hey_api.js", served.url], tmp_path))


def test_the_lock_file_names_no_registry() -> None:
    lock = json.loads((Path(__file__).parent / "package-lock.json").read_text())
    assert len(lock["packages"]) > 10
    assert [name for name, package in lock["packages"].items() if "resolved" in package] == []
    assert all("integrity" in package for name, package in lock["packages"].items() if name)
