"""Imports modules of the product changed: with a planted bug, or with a counter in every branch. No file is edited.

Both happen to the source in memory while it is imported, so ``install`` must be called before anything imports the
product. A process serves one mutant.
"""

from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Iterable, Mapping, Sequence
from types import CodeType, ModuleType
from typing import NamedTuple

COUNTED = ("chalicelib.engine.claim", "chalicelib.engine.resume", "chalicelib.workers.reconcile")
_COUNTS = "__branch_counts__"


class Edit(NamedTuple):
    """Replace ``old`` (which must occur exactly once) by ``new`` in the source of a module."""

    module: str
    old: str
    new: str


class DoesNotApply(Exception):
    """Raised when the product has changed so that an edit finds its text not exactly once."""


labels: dict[str, list[str]] = {}
counts: dict[str, list[int]] = {}


def edited(source: str, edits: Iterable[Edit]) -> str:
    """The source with edits made. Raises DoesNotApply."""
    for edit in edits:
        if source.count(edit.old) != 1:
            raise DoesNotApply(f"{edit.module}: found {source.count(edit.old)} times, not once: {edit.old!r}")
        source = source.replace(edit.old, edit.new)
    return source


def install(edits: Sequence[Edit] = ()) -> None:
    """From now on import the product with ``edits`` made and branches counted."""
    touched = {edit.module for edit in edits} | set(COUNTED)
    early = sorted(touched & sys.modules.keys())
    if early:
        raise RuntimeError(f"imported before they could be changed: {early}")
    by_module = {name: [e for e in edits if e.module == name] for name in touched}
    sys.meta_path.insert(0, _Finder(by_module))


def branches() -> dict[str, int]:
    """How often each branch of the counted modules was taken, by its label."""
    return {label: n for name in labels for label, n in zip(labels[name], counts[name], strict=True)}


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, edits: Mapping[str, Sequence[Edit]]) -> None:
        self._edits = edits

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in self._edits:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and spec.origin is not None:
            spec.loader = _Loader(name, spec.origin, self._edits[name])
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, edits: Sequence[Edit]) -> None:
        super().__init__(name, path)
        self._edits = edits

    def get_code(self, fullname: str) -> CodeType:
        source = edited(self.get_data(self.path).decode(), self._edits)
        tree = ast.parse(source, self.path)
        if fullname in COUNTED:
            counter = _Counter(fullname.rpartition(".")[2])
            tree = ast.fix_missing_locations(counter.visit(tree))
            labels[fullname] = counter.labels
            counts[fullname] = [0] * len(counter.labels)
        return compile(tree, self.path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        if module.__name__ in COUNTED:
            code = self.get_code(module.__name__)
            setattr(module, _COUNTS, counts[module.__name__])
            exec(code, module.__dict__)
        else:
            super().exec_module(module)


class _Counter(ast.NodeTransformer):
    """Puts a counter at the head of each branch; an ``if`` without ``else`` gets one."""

    def __init__(self, module: str) -> None:
        self.labels: list[str] = []
        self._where = module

    def _hit(self, what: str) -> ast.stmt:
        number = len(self.labels)
        self.labels.append(f"{self._where}: {what}"[:110])
        return ast.parse(f"{_COUNTS}[{number}] += 1").body[0]

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        outer, self._where = self._where, f"{self._where.partition('.')[0]}.{node.name}"
        first = self._hit("called")
        self.generic_visit(node)
        is_documented = ast.get_docstring(node) is not None
        node.body.insert(1 if is_documented else 0, first)
        self._where = outer
        return node

    def visit_If(self, node: ast.If) -> ast.AST:
        test = ast.unparse(node.test)
        yes, no = self._hit(f"if {test}"), self._hit(f"if not ({test})")
        self.generic_visit(node)
        node.body.insert(0, yes)
        node.orelse.insert(0, no)
        return node

    def visit_For(self, node: ast.For) -> ast.AST:
        hit = self._hit(f"for {ast.unparse(node.target)} in {ast.unparse(node.iter)}")
        self.generic_visit(node)
        node.body.insert(0, hit)
        return node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        hit = self._hit(f"except {ast.unparse(node.type) if node.type else ''}")
        self.generic_visit(node)
        node.body.insert(0, hit)
        return node
