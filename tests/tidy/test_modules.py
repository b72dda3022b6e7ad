"""What every module keeps to: its length, names that mean one thing, packages without work."""

from __future__ import annotations

import ast
from collections import Counter

import pytest

from tests.tidy.house import LINES_MAX
from tests.tidy.sources import PRODUCT, ROOT, Source, product


def test_no_module_is_too_long() -> None:
    lengths = {source.path: len((ROOT / source.path).read_text().splitlines()) for source in product()}
    assert not {path: lines for path, lines in lengths.items() if lines > LINES_MAX}


def test_no_public_class_name_means_two_things() -> None:
    names = Counter(
        node.name
        for source in product()
        for node in source.tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert not {name for name, times in names.items() if times > 1}


def _is_module(name: str) -> bool:
    path = PRODUCT.parent / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


def _renamed_modules(source: Source) -> list[str]:
    found: list[str] = []
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                full = f"{node.module}.{alias.name}" if isinstance(node, ast.ImportFrom) else alias.name
                renames = alias.asname not in (None, alias.name)
                if renames and (isinstance(node, ast.Import) or _is_module(full)):
                    found.append(f"{source.path}: {alias.name} as {alias.asname}")
    return found


def test_no_import_renames_a_module() -> None:
    assert not {renamed for source in product() for renamed in _renamed_modules(source)}


PACKAGES = [source for source in product() if source.path.endswith("__init__.py")]


@pytest.mark.parametrize("source", PACKAGES, ids=lambda source: source.path)
def test_packages_do_no_work_of_their_own(source: Source) -> None:
    """An ``__init__`` says what the package is, and the root's which version it is; imports cost every cold start."""
    allowed = (ast.Expr,) if source.path != "chalicelib/__init__.py" else (ast.Expr, ast.Assign, ast.ImportFrom)
    assert all(isinstance(node, allowed) for node in source.tree.body)
    assert {name for name, _ in source.imports()} <= {"__future__.annotations"}
