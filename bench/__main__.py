"""``scripts/bench NAME [--json]``: run one bench. The JSON object is the last line; with ``--json``, the only one."""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bench.report import Report, line, machine
from bench.root import ROOT
from localdev import environments

# Each is a module of this package with ``run(options) -> Report``; docs/performance.md explains every name.
BENCHES = (
    "lateness", "rate", "herd", "calls", "cpu", "cold-start", "lease", "api", "rpc", "jobs", "workflows",
    "subscribers", "load", "postgres",
)  # fmt: skip
SYSTEMS = {
    "load": ("chronowatch", "apscheduler", "celery"),
    "postgres": ("chronowatch", "procrastinate", "graphile-worker", "pg-boss"),
}
PARTS = {
    "cpu": ("herd", "rate", "idle", "reads"),
    "workflows": ("chain", "foreach"),
    "postgres": ("start", "lateness", "herd", "load", "idle", "takeover", "million"),
}
TARGETS = ("eventbridge", "webhook")
# These are scripts of their own, which print in the same way.
SCRIPTS = {"recurrence": "scripts/bench_recurrence.py"}


def main(arguments: list[str]) -> int:
    """0 when it ran without fault; 1 with faults, or with missed targets under --strict."""
    options, rest = _parser().parse_known_args(arguments)
    for option, given, known in (("part", options.part, PARTS), ("only", options.only, SYSTEMS)):
        stray = [name for name in given or () if name not in known.get(options.name, ())]
        if stray:
            names = ", ".join(known.get(options.name, ())) or "none"
            print(f"scripts/bench: --{option} {stray[0]}: {options.name} has {names}", file=sys.stderr)
            return 2
    _enter_environment(arguments)
    if options.name in SCRIPTS:
        return _run_script(ROOT / SCRIPTS[options.name], rest, options.json)
    if rest:
        print(f"scripts/bench: unknown: {' '.join(rest)}", file=sys.stderr)
        return 2
    busy = machine()
    report = load(options.name)(options)
    if not options.json:
        print(report.as_text())
    print(line(report.as_json(busy)), flush=True)
    missed = options.strict and not all(target.met for target in report.targets)
    return 1 if report.faults or missed else 0


def _run_script(path: Path, rest: list[str], only_json: bool) -> int:
    """Run a script whose last line is its JSON object."""
    ran = subprocess.run([sys.executable, path, *rest], stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603
    lines = ran.stdout.splitlines()
    print("\n".join(lines[-1:] if only_json else lines), flush=True)
    return ran.returncode


def load(name: str) -> Callable[[argparse.Namespace], Report]:
    """The ``run`` of a bench."""
    found: Callable[[argparse.Namespace], Report] = importlib.import_module(f"bench.{name.replace('-', '_')}").run
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description="Run one bench. The last line is its JSON object."
    )
    parser.add_argument("name", choices=[*BENCHES, *SCRIPTS], help="what to measure; docs/performance.md explains each")
    parser.add_argument("--json", action="store_true", help="print nothing but the JSON object")
    parser.add_argument("--count", type=int, help="firings, or runs; fewer than the standard for a quick look")
    parser.add_argument("--seed", type=int, help="repeats the random instants of an earlier run")
    parser.add_argument("--no-peer", dest="peer", action="store_false", help="leave the peer out")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a target is missed")
    parser.add_argument("--alone", action="store_true", help="lateness: only random instants, each alone")
    parser.add_argument("--spread", type=numbers, metavar="N,N", help="lateness: only these, rate:1s over the second")
    parser.add_argument("--apart", type=numbers, metavar="N,N", help="lateness: only these, instants 3 ms apart")
    parser.add_argument("--to", choices=TARGETS, help="lateness, rate, herd: only to this target")
    parser.add_argument("--rates", type=numbers, metavar="N,N", help="load, postgres: the rates to try, lowest first")
    parser.add_argument("--hold", type=int, metavar="S", help="load, postgres: for how many seconds the rate is held")
    parser.add_argument("--only", action="append", metavar="NAME", help="load, postgres: only this system, or these")
    parser.add_argument("--part", action="append", metavar="NAME", help="cpu, workflows, postgres: only this, or these")
    parser.add_argument("--verbose", action="store_true", help="cold-start: also print the cost of the imports")
    parser.add_argument(
        "--beside", type=Path, metavar="DIR", help="cold-start: a checkout of another release, which takes turns"
    )
    return parser


def numbers(text: str) -> tuple[int, ...]:
    """Whole numbers above zero, by commas. Raises ArgumentTypeError."""
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or min(found) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers such as 25,100")
    return found


def _enter_environment(arguments: list[str]) -> None:
    """Go on inside the product's environment, making it (and the emulator's) first when it is missing."""
    environments.ensure((environments.PRODUCT, environments.EMULATOR))
    if Path(sys.prefix).resolve() != environments.PRODUCT.directory.resolve():
        environments.go_on_inside("bench", arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
