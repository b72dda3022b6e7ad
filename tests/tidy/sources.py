"""The sources as syntax trees, for tests that watch the house."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ROOT / "chalicelib"


class Source(NamedTuple):
    """One module: its path below the checkout, its room (the package below chalicelib), its tree."""

    path: str
    room: str
    tree: ast.Module

    def imports(self) -> list[tuple[str, int]]:
        """Every imported module, functions' own imports included, with its line; names without their alias."""
        found: list[tuple[str, int]] = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found += [(alias.name, node.lineno) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.path}:{node.lineno}: relative import"
                found += [(f"{node.module}.{alias.name}", node.lineno) for alias in node.names]
        return found


@cache
def product() -> tuple[Source, ...]:
    """Every module of chalicelib."""
    return tuple(
        Source(str(path.relative_to(ROOT)), path.relative_to(PRODUCT).parts[0].removesuffix(".py"), _parse(path))
        for path in sorted(PRODUCT.rglob("*.py"))
    )


@cache
def beside() -> tuple[Source, ...]:
    """What runs the product on one machine or describes its deployment."""
    paths = sorted(path for room in ("localdev", "infra", "container") for path in (ROOT / room).rglob("*.py"))
    return tuple(Source(str(path.relative_to(ROOT)), path.parent.name, _parse(path)) for path in paths)


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))
