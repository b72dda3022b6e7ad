"""The page on policies holds what it says: its operators are all there are, and its ready policies do their work."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
import yaml

from chalicelib.core.rules import condition, operators, policy, ruling, subject
from chalicelib.core.rules.policy import CompiledPolicy, WrittenPolicy
from chalicelib.core.schedules.schedule import Definition
from tests.tidy.sources import ROOT

PAGE = (ROOT / "docs" / "policy-as-code.md").read_text()
READY = PAGE.partition("## Ten ready policies")[2]
_BLOCK = re.compile(r"```yaml\n(name:.*?)```", re.DOTALL)
_ROW = re.compile(r"^\| ((?:`[a-z_]+`(?:, )?)+) \| `(\{.*?\})` \|", re.MULTILINE)


def compiled(text: str) -> CompiledPolicy:
    return policy.compile_policy(msgspec.convert(yaml.safe_load(text), WrittenPolicy))


POLICIES = {found.policy.name: found for found in map(compiled, _BLOCK.findall(PAGE))}


def definition(**fields: Any) -> Definition:
    plain = {
        "tenant": "t",
        "id": "i",
        "version": "v",
        "since_ms": 0,
        "type": "CRON",
        "expr": "0 9 * * 1-5",
        "name": "a-b",
    }
    stamps = {"created_at_ms": 1_767_225_600_000, "updated_at_ms": 1_767_225_600_000}
    return Definition(**(plain | stamps | fields))


def hook(url: str) -> dict[str, Any]:
    return {"target": {"type": "webhook", "url": url}}


def tagged(*tags: str, **fields: Any) -> dict[str, Any]:
    return {"tags": tags, **fields}


def day(hours: float) -> dict[str, Any]:
    return {"monitor": {"window_ms": int(hours * 3_600_000)}}


GOOD_AND_BAD: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "https-only": (
        [hook("https://a.example/"), hook("HTTPS://A.example/"), {}],
        [hook("http://a.example/"), hook("https:\\\\a.example"), hook("https://u:p@a.example/")],
    ),
    "naming": ([{"name": "nightly-report"}], [{"name": "Nightly"}, {"name": None}, {"name": "a--b"}]),
    "not-too-often": (
        [
            {"expr": "*/5 * * * *"},
            {"type": "RATE", "expr": "rate:5m"},
            {"type": "AT", "expr": "at:2030-01-01T00:00:00Z"},
            {"type": "DELAY", "expr": "delay:5m"},
        ],
        [
            {"expr": "*/4 * * * *"},
            {"expr": "0,1 3 * * *"},
            {"type": "RATE", "expr": "rate:299s"},
            {"type": "DELAY", "expr": "delay:1m"},
            {"type": "ISO8601", "expr": "R/PT1M"},
        ],
    ),
    "working-hours": (
        [tagged("notifies-people"), tagged(expr="0 3 * * *")],
        [
            tagged("notifies-people", expr="0 3 * * *"),
            tagged("notifies-people", expr="0 9 * * *"),
            tagged("notifies-people", expr="0 18 * * 1-5"),
            tagged("notifies-people", type="RATE", expr="rate:1h"),
        ],
    ),
    "owners-of-production": (
        [tagged("production", owner="billing"), tagged(owner="eve")],
        [tagged("production", owner="eve"), tagged("x", "production")],
    ),
    "allowed-hosts": (
        [hook("https://api.example.com/x"), hook("https://A.Internal.Example.com:8443/"), {}],
        [
            hook("https://example.com/"),
            hook("https://api.example.com.evil.example/"),
            hook("https://api.example.com@evil.example/"),
            hook("https://internal.example.com/"),
            hook("https://evil.example/api.example.com"),
        ],
    ),
    "time-zones": (
        [{"timezone": "UTC"}, {"timezone": "Europe/Berlin"}],
        [{"timezone": "America/New_York"}, {"timezone": "Europe"}],
    ),
    "small-payloads": ([{"payload": "1" * 4096}], [{"payload": "1" * 4097}]),
    "fenced-targets": (
        [tagged("exclusive", **hook("https://a.example/")), {}],
        [tagged("exclusive"), tagged("exclusive", target={"type": "log"})],
    ),
    "watched": (
        [tagged("production", **day(24)), {}],
        [tagged("production"), tagged("production", **day(25))],
    ),
}


def decision(name: str, fields: dict[str, Any]) -> str:
    made = msgspec.convert(msgspec.to_builtins(definition()) | fields, Definition)
    return ruling.judge([POLICIES[name]], subject.of_definition(made, "schedules:create"), 0).decision


def test_there_are_ten_and_each_has_examples() -> None:
    assert [found.policy.name for found in map(compiled, _BLOCK.findall(READY))] == list(GOOD_AND_BAD)
    assert len(GOOD_AND_BAD) == 10


@pytest.mark.parametrize(("name", "fields"), [(n, f) for n, (good, _) in GOOD_AND_BAD.items() for f in good])
def test_what_keeps_to_it_passes(name: str, fields: dict[str, Any]) -> None:
    assert decision(name, fields) == "allow"


@pytest.mark.parametrize(("name", "fields"), [(n, f) for n, (_, bad) in GOOD_AND_BAD.items() for f in bad])
def test_what_does_not_is_denied(name: str, fields: dict[str, Any]) -> None:
    assert decision(name, fields) == "deny"


def test_the_page_names_every_operator_and_alias_with_an_example_that_is_taken() -> None:
    named: list[str] = []
    for names, example in _ROW.findall(PAGE):
        read = yaml.safe_load(example)
        own = re.findall(r"`([a-z_]+)`", names)
        assert read["operator"] in own
        for name in own:
            condition.read(read | {"operator": name}, "condition")
        named += own
    assert sorted(named) == sorted([*operators.OPERATORS, *operators.ALIASES])


def test_the_page_has_no_note_on_its_own_fields() -> None:
    assert not [note for found in POLICIES.values() for note in policy.notes(found)]
