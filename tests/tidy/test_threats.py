"""docs/security.md names a test for each threat: it exists, and every kind of threat of STRIDE has one."""

from __future__ import annotations

import ast
import re

import pytest

from tests.tidy.sources import ROOT

SECTION = (ROOT / "docs" / "security.md").read_text().partition("\n## Threats\n")[2].partition("\n## ")[0]
ROWS = re.findall(r"^\| ([STRIDE]) \| (.+?) \| (.+?) \| `([^`]+)` \|$", SECTION, re.MULTILINE)


def exists(named: str) -> bool:
    """Whether a file of tests, or the test ``file::name``, is there."""
    path, _, name = named.partition("::")
    if not (ROOT / path).is_file():
        return False
    tree = ast.parse((ROOT / path).read_text())
    tests = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    return name in tests if name else any(test.startswith("test_") for test in tests)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1][:40])
def test_the_test_of_a_threat_exists(row: tuple[str, str, str, str]) -> None:
    assert exists(row[3]), row[3]


def test_every_row_is_read_and_every_kind_of_threat_has_one() -> None:
    lines = [line for line in SECTION.splitlines() if line.startswith("|")]
    assert len(ROWS) == len(lines) - 2
    assert {kind for kind, *_ in ROWS} == set("STRIDE")


def test_a_test_that_is_not_there_is_found() -> None:
    assert not exists("tests/tidy/test_threats.py::test_of_another_name")
    assert not exists("tests/tidy/test_nothing.py")
    assert exists("tests/tidy/test_threats.py::test_a_test_that_is_not_there_is_found")
