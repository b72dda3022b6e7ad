"""The dashboard and the alert rules: every expression parses, and names metrics and labels that there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
import yaml

from chalicelib.core.telemetry.exposition import Measured, render
from chalicelib.core.telemetry.metric_catalogue import BY_NAME, CATALOGUE, MetricFamily
from tests.tidy.sources import ROOT

FOLDER = ROOT / "infra" / "observability"
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text())
GROUPS = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"]]
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
OF_PROMETHEUS = {"instance", "job"}  # what a scrape adds


def expressions() -> list[tuple[str, str]]:
    """Each expression and where it stands; Grafana's own variables filled in."""
    found = [(rule.get("alert") or rule["record"], rule["expr"]) for rule in RULES]
    found += [(panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel["targets"]]
    return [(where, text.replace("$__rate_interval", "5m")) for where, text in found]


def nodes(node: Any) -> Iterator[Any]:
    yield node
    for name in ("lhs", "rhs", "expr", "param", "args", "vector_selector"):
        below = getattr(node, name, None)
        for each in below if isinstance(below, list) else [below]:
            if each is not None:
                yield from nodes(each)


def family_of(name: str) -> MetricFamily | None:
    """The family of a sample's name."""
    found = BY_NAME.get(name)
    if found is None:
        found = BY_NAME.get(re.sub("_(bucket|sum|count)$", "", name))
        return found if found is not None and found.kind == "histogram" else None
    return found if found.kind != "histogram" else None


def selectors(text: str) -> Iterator[Any]:
    return (node for node in nodes(promql_parser.parse(text)) if type(node).__name__ == "VectorSelector")


@pytest.mark.parametrize(("where", "text"), expressions())
def test_an_expression_names_metrics_and_labels_that_there_are(where: str, text: str) -> None:
    known = set(OF_PROMETHEUS)
    for selector in selectors(text):
        if selector.name in RECORDED:
            continue
        family = family_of(selector.name)
        assert family is not None, f"{where}: there is no metric {selector.name}"
        mine = {*family.labels, *OF_PROMETHEUS, *(["le"] if family.kind == "histogram" else [])}
        assert {matcher.name for matcher in selector.matchers.matchers} <= mine, where
        known |= mine
    grouped = {label for node in nodes(promql_parser.parse(text)) for label in labels_of(node)}
    assert grouped <= known, f"{where}: {grouped - known}"


def labels_of(node: Any) -> list[str]:
    modifier = getattr(node, "modifier", None)
    return list(getattr(modifier, "labels", None) or []) if type(node).__name__ == "AggregateExpr" else []


@pytest.mark.parametrize(
    "text", ["rate(chronowatch_gone_total[5m])", "chronowatch_firing_lateness_ms", "chronowatch_sweep_lag_ms_bucket"]
)
def test_a_name_that_there_is_not_would_be_found(text: str) -> None:
    assert [family_of(selector.name) for selector in selectors(text)] == [None]


def test_a_label_that_there_is_not_would_be_found() -> None:
    tree = promql_parser.parse("sum by (owner) (chronowatch_in_flight)")
    assert [label for node in nodes(tree) for label in labels_of(node)] == ["owner"]


@pytest.mark.parametrize(("where", "text"), expressions())
def test_instances_which_all_show_the_same_are_never_added_up(where: str, text: str) -> None:
    for node in nodes(promql_parser.parse(text)):
        if type(node).__name__ == "AggregateExpr" and str(node.op) == "sum":
            assert "instance" in labels_of(node), where


def test_every_metric_is_shown_on_the_dashboard() -> None:
    shown = {family_of(selector.name) for _, text in expressions() for selector in selectors(text)}
    assert {family.name for family in CATALOGUE} == {family.name for family in shown if family is not None}


def test_the_dashboard_has_panels_beside_each_other_with_a_description() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert all(panel["title"] and panel["description"] for panel in DASHBOARD["panels"])
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_every_alert_has_a_severity_a_summary_and_a_place_in_the_docs() -> None:
    page = (ROOT / "docs" / "observability.md").read_text()
    for rule in (rule for rule in RULES if "alert" in rule):
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]
        assert f"`{rule['alert']}`" in page, f"docs/observability.md says nothing of {rule['alert']}"


def test_every_metric_has_its_row_in_the_docs_and_every_row_is_a_metric() -> None:
    page = (ROOT / "docs" / "observability.md").read_text()
    rows = re.findall(r"^\| `(chronowatch_\w+)`(?: by ([^|]+?))? \| (\w+) \| \S", page, re.MULTILINE)
    assert sorted((name, kind, re.findall("`([^`]+)`", labels)) for name, labels, kind in rows) == sorted(
        (family.name, family.kind, list(family.labels)) for family in CATALOGUE
    )


def test_what_the_rules_see_is_what_is_rendered() -> None:
    rendered = set(re.findall(r"^# TYPE (\w+)", render(Measured(), openmetrics=False), re.MULTILINE))
    assert rendered == set(BY_NAME)


def test_promtool_agrees() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (apt install prometheus): the alert rules were only parsed")
    for command in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]):
        done = subprocess.run([promtool, *command], cwd=FOLDER, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
