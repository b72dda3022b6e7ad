"""The tests keep house as well: what they share is in tests/kit, and their folders are those of the product."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.tidy.sources import ROOT

TESTS = ROOT / "tests"
FILES = sorted(TESTS.rglob("*.py"))
# Beside chalicelib: rooms of the checkout that have unit tests of their own.
OTHER_ROOMS = ("infra", "localdev", "container")


def imported(path: Path) -> list[str]:
    """The modules that a file imports, also within functions; both readings of ``from a import b``."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


def is_test_or_conftest(module: str) -> bool:
    path = ROOT.joinpath(*module.split("."))
    return path.with_suffix(".py").is_file() and (path.name.startswith("test_") or path.name == "conftest")


def test_no_test_takes_something_out_of_another() -> None:
    taken = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in [*FILES, *(ROOT / "bench").rglob("*.py")]
        for module in imported(path)
        if is_test_or_conftest(module)
    ]
    assert not taken, f"put it into tests/kit: {taken}"


def test_that_rule_would_notice() -> None:
    assert is_test_or_conftest("tests.tidy.test_tests")
    assert is_test_or_conftest("tests.e2e.conftest")
    assert not is_test_or_conftest("tests.kit.plant")


def folders() -> list[str]:
    unit = TESTS / "unit"
    return sorted({str(path.parent.relative_to(unit)) for path in unit.rglob("test_*.py")} - {"."})


@pytest.mark.parametrize("folder", folders())
def test_each_folder_of_unit_tests_is_one_of_the_product(folder: str) -> None:
    root = ROOT if folder.split("/")[0] in OTHER_ROOMS else ROOT / "chalicelib"
    assert (root / folder).is_dir(), f"there is no {folder} to test"
    assert list((root / folder).glob("*.py"))


@pytest.mark.parametrize("use_case", sorted((ROOT / "chalicelib" / "usecases").glob("[a-z]*.py")), ids=lambda p: p.stem)
def test_each_use_case_has_a_test_file_of_its_name(use_case: Path) -> None:
    assert (TESTS / "unit" / "usecases" / f"test_{use_case.name}").is_file()


def test_timing_tests_of_the_dev_server_come_last() -> None:
    for path in (TESTS / "e2e").glob("test_*.py"):
        assert ("mark.timing" in path.read_text()) == (path.name == "test_timing.py"), path.name
