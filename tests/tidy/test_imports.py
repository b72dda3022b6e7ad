"""Which room may import which, and who may load what from outside: docs/architecture.md, checked."""

from __future__ import annotations

import ast

import pytest

from chalicelib.api.http import routes
from chalicelib.core.targets import registry
from chalicelib.core.triggers import sources
from tests.tidy.house import KERNEL, LAYERS, MANY_NOUNS, NOUNS, tables
from tests.tidy.sources import ROOT, Source, beside, product

AWS_AND_NETWORK = {"boto3", "botocore", "pynamodb", "aws_xray_sdk", "http", "socket", "ssl", "requests"}
MAY_NOT_LOAD = {
    "core": AWS_AND_NETWORK | {"time", "random", "secrets", "uuid", "os", "subprocess", "logging", "chalice"},
    "ports": AWS_AND_NETWORK | {"time", "random", "secrets", "uuid", "os", "subprocess", "chalice"},
    "process": AWS_AND_NETWORK | {"time", "random", "secrets", "uuid", "os", "subprocess", "chalice"},
    "engine": AWS_AND_NETWORK | {"time", "random", "secrets", "uuid", "os", "subprocess", "chalice"},
    "usecases": AWS_AND_NETWORK | {"time", "random", "secrets", "uuid", "os", "subprocess", "chalice"},
    "workers": AWS_AND_NETWORK | {"time", "random", "secrets", "uuid", "os", "subprocess", "chalice"},
    "api": (AWS_AND_NETWORK - {"http"}) | {"time", "random", "secrets", "uuid", "os", "subprocess"},
    "functions": AWS_AND_NETWORK | {"time", "random", "secrets", "uuid", "os", "subprocess"},
    "adapters": {"chalice"},
}


@pytest.mark.parametrize("source", product(), ids=lambda source: source.path)
def test_layers_import_only_what_they_may(source: Source) -> None:
    assert source.room == "__init__" or source.room in LAYERS, "a new layer: say in house.py what it may import"
    allowed = LAYERS[source.room].imports if source.room in LAYERS else frozenset()
    wrong = []
    for name, line in source.imports():
        parts = name.split(".")
        if parts[0] == "chalicelib" and len(parts) > 1 and parts[1] not in {source.room, "VERSION"} | allowed:
            wrong.append(f"{source.path}:{line} imports {name}")
        if parts[0] in MAY_NOT_LOAD.get(source.room, set()):
            wrong.append(f"{source.path}:{line} imports {name}")
        if parts[0] == "app":
            wrong.append(f"{source.path}:{line} imports the application")
    assert not wrong


@pytest.mark.parametrize("source", [s for s in product() if s.room == "core"], ids=lambda source: source.path)
def test_nouns_import_only_what_they_may(source: Source) -> None:
    noun = source.path.split("/")[2].removesuffix(".py")
    if noun in MANY_NOUNS | {"__init__"}:
        return
    assert noun in KERNEL or noun in NOUNS, "a new noun: say in house.py what it may import"
    allowed = KERNEL | {noun} | (NOUNS[noun].imports if noun in NOUNS else frozenset())
    imported = [(name.split(".")[2], line) for name, line in source.imports() if name.startswith("chalicelib.core.")]
    assert not [f"{source.path}:{line} imports {other}" for other, line in imported if other not in allowed]


def test_no_layer_and_no_noun_imports_in_a_circle() -> None:
    for axis in (LAYERS, NOUNS):
        for name in axis:
            reached, left = set(), set(axis[name].imports)
            while left:
                below = left.pop()
                reached.add(below)
                left |= axis[below].imports - reached
            assert name not in reached


def test_the_architecture_page_shows_what_is_tested() -> None:
    assert tables() in (ROOT / "docs" / "architecture.md").read_text()


CLOCKS = {
    ("time", "time"), ("time", "time_ns"), ("time", "monotonic"), ("time", "monotonic_ns"), ("time", "perf_counter"),
    ("time", "sleep"), ("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today"),
    ("os", "urandom"), ("uuid", "uuid4"), ("uuid", "uuid1"),
}  # fmt: skip
READS_CLOCKS = {
    "chalicelib/adapters/machine/system.py",
    "chalicelib/adapters/machine/time_sources.py",  # hears what the time is elsewhere, and when it heard it
}


@pytest.mark.parametrize("source", product(), ids=lambda source: source.path)
def test_only_one_place_reads_clocks_and_randomness(source: Source) -> None:
    if source.path in READS_CLOCKS:
        return
    read = [
        f"{source.path}:{node.lineno} uses {node.value.id}.{node.attr}"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        and ((node.value.id, node.attr) in CLOCKS or node.value.id == "random")
    ]  # fmt: skip
    assert not read


@pytest.mark.parametrize("source", product(), ids=lambda source: source.path)
def test_only_settings_reads_the_environment(source: Source) -> None:
    if source.path == "chalicelib/settings.py":
        return
    names = {"environ", "getenv", "environb", "putenv"}
    read = [
        f"{source.path}:{node.lineno} uses os.{node.attr}"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute) and node.attr in names
    ]
    assert not read


# Named by the templates and by the local processes, or loaded by tests and examples only.
ENTRY_MODULES = {
    "chalicelib.adapters.memory.stores",
    "chalicelib.adapters.memory.checkpoints",
    "chalicelib.adapters.memory.machine",
    "chalicelib.adapters.policies.rego_child",
    "chalicelib.api.http.edge",
    "chalicelib.functions.api",
    "chalicelib.adapters.workflows.jsonata_child",  # a process of its own
}


def test_every_module_is_used() -> None:
    application = (ROOT / "app.py").read_text()
    named = {name for source in (*product(), *beside()) for name, _ in source.imports()}
    named |= {name.rpartition(".")[0] for name in named}
    rooms = ("core.targets.kinds", "adapters.targets")
    named |= {f"chalicelib.{room}.{module}" for room in rooms for module in registry.MODULES.values()}
    named |= {f"chalicelib.api.{noun}" for noun in routes.NOUNS}
    named |= {f"chalicelib.adapters.sources.{kind}" for kind in (*sources.LISTENED, *sources.ROUTED)}
    modules = {
        source.path.removesuffix(".py").replace("/", ".") for source in product() if "__init__" not in source.path
    }
    unused = {name for name in modules - named - ENTRY_MODULES if name.rpartition(".")[2] not in application}
    assert not unused


def test_nothing_is_mocked_by_patching() -> None:
    here = ROOT / "tests" / "tidy"
    texts = {path: path.read_text() for path in (ROOT / "tests").rglob("*.py") if here not in path.parents}
    assert not [path for path, text in texts.items() if "mock.patch" in text or "monkeypatch.setattr" in text]
