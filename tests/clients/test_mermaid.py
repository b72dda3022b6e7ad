"""Workflows exported as flowcharts: the real Mermaid reads each, and draws what it says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chalicelib.core.workflows import mermaid
from localdev import workflow_tool
from tests.clients import generators
from tests.kit.block_workflows import BlockWorkflow
from tests.kit.chromium import BrowserFailed, Page, running

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).resolve().parents[2] / "examples/workflows"
RANDOM_COUNT = 10
# Names that mean something to Mermaid, to HTML, or to neither.
NAMES = (
    'say "hi"', "a]b", "(x)", "{y}", "<b>bold</b>", "a & b", "#35; #quot;", "%% no comment", "end", "click n0 call f()",
    "x --> y", "a|b|c", "`code`", "Zürich", "日本", "🚀 go", "a; b", "subgraph", "two\nlines", "back\\slash",
    "%{init}%",
)  # fmt: skip
CASES = ("end", 'a "b"', "x|y", "<i>", "c & d")
SHAPES: list[dict[str, Any]] = [
    {"id": "end", "type": "condition", "cases": [{"name": name, "when": {"cel": "true"}} for name in CASES]},
    {"id": "graph", "type": "parallel"},
    {"id": "class", "type": "join"},
    {"id": "style", "type": "delay", "for_ms": 1},
    {"id": "default", "type": "approval", "approvers": ["ann"]},
    {"id": "call", "type": "http", "method": "POST", "url": "https://example.com/", "compensate": "undo"},
    {"id": "undo", "type": "script", "language": "python", "code": "1"},
]
ONS = ("success", "failure", "timeout", "rejected", "skipped", "always")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    source = (generators.node_modules() / "@mermaid-js/tiny/dist/mermaid.tiny.js").read_text()
    with running(tmp_path_factory.mktemp("chromium")) as browser:
        opened = browser.page()
        opened.run(source + ";mermaid.initialize({startOnLoad: false}), true")
        yield opened


def definition(nodes: list[dict[str, Any]], edges: list[dict[str, Any]]) -> str:
    trigger = {"id": "t", "type": "trigger", "on": "manual"}
    document = {"name": "w", "nodes": [trigger, *nodes], "edges": edges}
    return mermaid.flowchart(workflow_tool.definition(document))


def named() -> str:
    nodes = [{"id": f"n{place}", "name": name, "type": "transform", "jsonata": "$"} for place, name in enumerate(NAMES)]
    return definition(nodes, [{"from": "t", "to": node["id"]} for node in nodes])


def shaped() -> str:
    """A node of each shape, and an edge of each kind and of each case."""
    names = [node["id"] for node in SHAPES if node["id"] != "undo"]
    ways: list[dict[str, Any]] = [{"from": "t", "to": names[0]}]
    ways += [{"from": names[0], "to": names[1 + place], "case": case} for place, case in enumerate(CASES)]
    ways += [{"from": a, "to": "call", "on": on} for a, on in zip(names[1:5], ONS, strict=False)]
    return definition(SHAPES, ways)


def flowcharts() -> dict[str, str]:
    found = {"names": named(), "shapes": shaped()}
    for seed in range(RANDOM_COUNT):
        found[f"random-{seed}"] = mermaid.flowchart(workflow_tool.definition(BlockWorkflow(seed).document))
    for path in sorted(EXAMPLES.glob("*.yaml")):
        if ".scenes" not in path.name:
            found[path.stem] = mermaid.flowchart(workflow_tool.definition(workflow_tool.read(path)))
    assert len(found) > RANDOM_COUNT + 10
    return found


def test_mermaid_reads_every_flowchart_and_refuses_what_is_none(page: Page) -> None:
    with pytest.raises(BrowserFailed):
        page.run("mermaid.parse('flowchart TD\\n  a[\"b')")
    for name, text in flowcharts().items():
        kind = page.run(f"mermaid.parse({json.dumps(text)}).then((found) => found.diagramType)")
        assert kind == "flowchart-v2", name


@pytest.mark.parametrize("name", ["names", "shapes", "order-saga"])
def test_mermaid_draws_each_node_and_each_edge_with_its_words(page: Page, name: str) -> None:
    text = flowcharts()[name]
    drawn = (
        f"mermaid.render('drawn', {json.dumps(text)}).then((found) => {{"
        " const svg = new DOMParser().parseFromString(found.svg, 'text/html');"
        " const said = (of) => [...svg.querySelectorAll(of)].map((e) => e.textContent.trim());"
        " return {nodes: said('.node'), edges: said('.edgeLabel .edgeLabel'),"
        " ways: svg.querySelectorAll('path.flowchart-link').length,"
        " others: svg.querySelectorAll('.node b, .node i, a, script').length}; })"
    )
    found = page.run(drawn)
    if name == "names":
        for one in NAMES:
            assert _plain(f"{one}transform") in map(_plain, found["nodes"]), one
        assert found["others"] == 0, "a name is no markup"
    if name == "shapes":
        assert len(found["nodes"]) == len(SHAPES) + 1
        assert set(map(_plain, CASES)) <= set(map(_plain, found["edges"]))
        assert {*ONS[1:4], "compensate"} <= set(found["edges"])
    lines = text.splitlines()[1:]
    assert found["ways"] == sum(_is_way(line) for line in lines)
    assert len(found["nodes"]) == sum(not _is_way(line) for line in lines)


def _is_way(line: str) -> bool:
    return re.match(r"  n\d+ -", line) is not None


def _plain(text: str) -> str:
    """Without what a browser makes of blanks."""
    return re.sub(r"\s+", "", text)
