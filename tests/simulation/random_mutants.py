"""Faults that nobody aimed at: lines of ``chalicelib/engine`` drawn by a seed, each broken by one operator.

``scripts/mutants --random N --seed S`` plays each against the simulation and against the unit tests of the engine and
of what calls it. What both miss goes on to what else the gate has for it: types, and the tests of the API. The changed
source exists in the memory of the processes that judge it, or in a copy; no file of the product is touched.
"""

from __future__ import annotations

import ast
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.simulation.instrument import Edit

ROOT = Path(__file__).resolve().parents[2]
ENGINE = ROOT / "chalicelib" / "engine"
PREFIX = "random:"
UNIT_TESTS = tuple(f"tests/unit/{folder}" for folder in ("engine", "usecases", "workers", "functions", "process"))
API_TESTS = ("tests/api",)
SEEDS = 400
# A mutant that takes longer has stopped the world, which the gate notices too. A busy machine takes six times as long.
SIMULATION_S, TESTS_S = 1_800, 1_200
PLANTED = "CHRONO_PLANTED"  # what ``planted`` reads
CHECKED = ("app.py", "chalicelib", "infra", "container", "localdev", "pyproject.toml", ".mypy_cache")  # by mypy
SAME_IN_ANY_ORDER = frozenset({"max", "min", "isinstance"})
OPPOSITE: dict[type[ast.cmpop], type[ast.cmpop]] = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}


class Site(NamedTuple):
    """One place of a module that an operator breaks: the text between two (line, byte) positions gives way."""

    path: Path
    operator: str
    start: tuple[int, int]
    end: tuple[int, int]
    text: str

    @property
    def module(self) -> str:
        return ".".join(self.path.relative_to(ROOT).with_suffix("").parts)

    @property
    def line(self) -> str:
        return self.path.read_text().splitlines()[self.start[0] - 1].strip()

    def broken(self) -> str:
        """The module's source with the text in its place."""
        lines = self.path.read_bytes().splitlines(keepends=True)
        (first, left), (last, right) = self.start, self.end
        before, after = lines[first - 1][:left], lines[last - 1][right:]
        return b"".join([*lines[: first - 1], before, self.text.encode(), after, *lines[last:]]).decode()

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.start[0]} {self.operator}: {self.line}"


class Verdict(NamedTuple):
    """What noticed a mutant: the simulation after so many seeds, a unit test by its name; None for what did not. What
    both missed: ``rest`` of the gate, by types or by a test of the API."""

    site: Site
    simulation: str | None
    unit: str | None
    rest: str | None = None

    @property
    def is_left_to_the_rest(self) -> bool:
        return self.simulation is None and self.unit is None

    @property
    def survives(self) -> bool:
        return self.is_left_to_the_rest and self.rest is None


# -- where a line can be broken


def sites(path: Path) -> Iterator[Site]:
    """Every place of a module that some operator breaks."""
    for node in ast.walk(ast.parse(path.read_text())):
        yield from (_site(path, "negated", at, f"(not ({ast.unparse(at)}))") for at in _conditions(node))
        if isinstance(node, ast.stmt) and _may_be_dropped(node):
            yield _site(path, "dropped", node, "pass")
        if isinstance(node, ast.Call):
            yield from _swapped(path, node)
        yield from _off_by_one(path, node)


def _site(path: Path, operator: str, node: ast.expr | ast.stmt, text: str) -> Site:
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return Site(path, operator, (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset), text)


def _conditions(node: ast.AST) -> Iterable[ast.expr]:
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        return [] if isinstance(node.test, ast.Constant) else [node.test]
    if isinstance(node, ast.comprehension):
        return node.ifs
    if isinstance(node, ast.Return) and isinstance(node.value, ast.Compare | ast.BoolOp):
        return [node.value]
    return []


def _may_be_dropped(node: ast.stmt) -> bool:
    """What leaves names bound: a call for its effect, a step out of a loop, a write to what is kept. What is only said
    to the log is nobody's to notice."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Call) and not ast.unparse(node.value.func).startswith("log.")
    if isinstance(node, ast.Assign):
        return all(isinstance(target, ast.Attribute | ast.Subscript) for target in node.targets)
    return isinstance(node, ast.AugAssign | ast.Continue | ast.Break | ast.Raise)


def _swapped(path: Path, node: ast.Call) -> Iterator[Site]:
    name = ast.unparse(node.func)
    if name in SAME_IN_ANY_ORDER or name.startswith("log."):
        return
    for place, (left, right) in enumerate(zip(node.args, node.args[1:], strict=False)):
        texts = [ast.unparse(left), ast.unparse(right)]
        if "s" in texts or texts[0] == texts[1] or any(isinstance(a, ast.Starred) for a in (left, right)):
            continue  # with the services in another's place nothing runs at all
        args = [*node.args[:place], right, left, *node.args[place + 2 :]]
        yield _site(path, "swapped", node, ast.unparse(ast.Call(node.func, args, node.keywords)))


def _off_by_one(path: Path, node: ast.AST) -> Iterator[Site]:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        yield _site(path, "off by one", node, str(node.value + 1))
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in OPPOSITE:
        other = ast.Compare(node.left, [OPPOSITE[type(node.ops[0])]()], node.comparators)
        yield _site(path, "off by one", node, f"({ast.unparse(other)})")


# -- drawing


def drawn(seed: int, count: int) -> list[Site]:
    """``count`` sites, each of another line; a longer draw of one seed begins with the shorter one. A line that several
    operators break has one of them chosen first, since most calls have many arguments to swap."""
    by_line: dict[tuple[Path, int], list[Site]] = {}
    for path in sorted(ENGINE.rglob("*.py")):
        for site in sites(path):
            by_line.setdefault((path, site.start[0]), []).append(site)
    lines = sorted(by_line)
    random.Random(f"lines/{seed}").shuffle(lines)
    return [_chosen(random.Random(f"site/{seed}/{n}"), by_line[line]) for n, line in enumerate(lines[:count])]


def _chosen(r: random.Random, several: Sequence[Site]) -> Site:
    operator = r.choice(sorted({site.operator for site in several}))
    return r.choice([site for site in several if site.operator == operator])


def name_of(seed: int, number: int) -> str:
    """How a mutant is asked for: ``scripts/simulate --mutant random:SEED:NUMBER``."""
    return f"{PREFIX}{seed}:{number}"


def edits(name: str) -> Sequence[Edit]:
    """The edit of a mutant by its name. Raises SystemExit for what is no such name."""
    found = re.fullmatch(r"random:(\d+):(\d+)", name)
    if found is None:
        raise SystemExit(f"no mutant {name}; a drawn one is named random:SEED:NUMBER")
    seed, number = map(int, found.groups())
    several = drawn(seed, number + 1)
    if len(several) <= number:
        raise SystemExit(f"no mutant {name}; there are {len(several)} lines to draw")
    site = several[number]
    return (Edit(site.module, site.path.read_text(), site.broken()),)


# -- judging


def judge(name: str, site: Site) -> Verdict:
    """Play seeds of all kinds of world, and run the tests, with the mutant planted."""
    found = Verdict(site, _simulated(name), _tested(name, UNIT_TESTS))
    if not found.is_left_to_the_rest:
        return found
    return found._replace(rest=mistyped(site) or _tested(name, API_TESTS))


def mistyped(site: Site) -> str | None:
    """What the types say of a broken module. mypy's own way to swap a file trusts its cache of the whole one: so a copy
    is checked."""
    with tempfile.TemporaryDirectory() as copy:
        for name in filter(Path.exists, (ROOT / name for name in CHECKED)):
            if name.is_dir():
                shutil.copytree(name, Path(copy, name.name))
            else:
                shutil.copy2(name, copy)
        Path(copy, site.path.relative_to(ROOT)).write_text(site.broken())
        done = subprocess.run([sys.executable, "-m", "mypy"], cwd=copy, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"mypy does not run: {_last(done.stdout + done.stderr)}")
    error = re.search(r"^chalicelib/.*? error: (.*)", done.stdout, re.MULTILINE)
    return error[1][:100] if error else None


def _simulated(name: str) -> str | None:
    command = [
        sys.executable, "-m", "tests.simulation.run", "--with-parent", "--mutant", name, "--until-caught",
        "--jobs", "1", "--seeds", str(SEEDS), "--world", "all",
    ]  # fmt: skip
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=SIMULATION_S)
    except subprocess.TimeoutExpired:
        return "did not end"
    if done.returncode == 0:
        return done.stdout.strip().partition("\n")[0][:100]
    return None if done.stdout.startswith("not caught") else f"does not start: {_last(done.stderr)}"


def _tested(name: str, tests: Sequence[str]) -> str | None:
    command = [
        sys.executable, "-m", "pytest", "-x", "-q", "-p", "tests.simulation.planted", "-p", "no:cacheprovider", *tests,
    ]  # fmt: skip
    environment = {**os.environ, PLANTED: name}
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=TESTS_S, env=environment
        )
    except subprocess.TimeoutExpired:
        return "did not end"
    if done.returncode == 0:
        return None
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    return failed[1] if failed else f"does not start: {_last(done.stdout + done.stderr)}"


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["nothing said"])[-1][:100]


def report(count: int, seed: int, jobs: int) -> int:
    """Judge ``count`` drawn mutants and print what noticed each, then those that nothing noticed."""
    several = drawn(seed, count)
    verdicts = []
    with ThreadPoolExecutor(jobs) as pool:
        names = [name_of(seed, number) for number in range(len(several))]
        for name, found in zip(names, pool.map(judge, names, several), strict=True):
            verdicts.append((name, found))
            print(f"{name}  {found.site}")
            print(f"    becomes     {' '.join(found.site.text.split())[:110]}")
            print(f"    simulation  {found.simulation or f'-  ({SEEDS} seeds)'}")
            print(f"    unit tests  {found.unit or '-'}", flush=True)
            if found.is_left_to_the_rest:
                print(f"    rest        {found.rest or '-'}", flush=True)
    left = [(name, found.site) for name, found in verdicts if found.survives]
    print(f"{len(verdicts) - len(left)} of {len(verdicts)} noticed; left:" + "".join(f"\n  {n}  {x}" for n, x in left))
    return 1 if left else 0
