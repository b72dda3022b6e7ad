"""``cold-start``: what a Lambda function loads before it can do anything, against a bare boto3 client.

Each run is a fresh interpreter, the kinds take turns, and the clock inside it starts when the interpreter is up. What
is timed: importing the function's module, and making the first DynamoDB client as the function makes it.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from argparse import Namespace

from bench.report import Report, Target, table
from bench.root import ROOT

RUNS = 15
RUNS_MIN = 3
RUN_TIMEOUT_S = 60
WORKER_MOST = 1.3
API_MOST = 1.6

BARE = "import boto3; boto3.client('dynamodb', region_name='us-east-1')"
# The services are made without I/O, and a client is made by the first call: here it is made as they would make it.
FIRST_CLIENT = """
from chalicelib import bootstrap
from chalicelib.adapters.aws import Clients
bootstrap.services()
Clients('us-east-1').get('dynamodb')
"""
KINDS = {
    "boto3": BARE,
    "sweep": "import chalicelib.functions.sweep" + FIRST_CLIENT,
    "deliver": "import chalicelib.functions.deliver" + FIRST_CLIENT,
    "reconcile": "import chalicelib.functions.reconcile" + FIRST_CLIENT,
    "feed": "import chalicelib.functions.feed" + FIRST_CLIENT,
    "api": "import app" + FIRST_CLIENT,
}
TIMED = """
import sys, time
begun, cpu = time.perf_counter(), time.process_time()
exec(compile(sys.argv[1], "timed", "exec"))
print((time.perf_counter() - begun) * 1000, (time.process_time() - cpu) * 1000)
"""


def run(options: Namespace) -> Report:
    """Medians of interleaved runs, and their ratios to bare boto3."""
    runs = max(RUNS_MIN, options.count or RUNS)
    report = Report("cold-start", {"runs": runs})
    wall: dict[str, list[float]] = {kind: [] for kind in KINDS}
    cpu: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for code in KINDS.values():
        _time(code)  # byte code is compiled and files are read once before anything counts
    for _ in range(runs):
        for kind, code in KINDS.items():
            wall_ms, cpu_ms = _time(code)
            wall[kind].append(wall_ms)
            cpu[kind].append(cpu_ms)
    bare_wall, bare_cpu = statistics.median(wall["boto3"]), statistics.median(cpu["boto3"])
    rows: list[list[object]] = []
    for kind in KINDS:
        wall_ms, cpu_ms = statistics.median(wall[kind]), statistics.median(cpu[kind])
        ratio, cpu_ratio = round(wall_ms / bare_wall, 3), round(cpu_ms / bare_cpu, 3)
        report.results[kind] = {
            "wall_ms": round(wall_ms, 1),
            "cpu_ms": round(cpu_ms, 1),
            "ratio": ratio,
            "cpu_ratio": cpu_ratio,
        }
        rows.append([kind, round(wall_ms, 1), round(cpu_ms, 1), ratio, cpu_ratio])
        if kind != "boto3":
            report.targets.append(
                Target(f"{kind}: CPU over bare boto3", API_MOST if kind == "api" else WORKER_MOST, cpu_ratio)
            )
    report.tables.append(table(["import and first client", "wall ms", "CPU ms", "wall ratio", "CPU ratio"], rows))
    report.notes.append(
        "the ratio judged is of CPU time: what a cold start costs, and what a busy machine distorts least"
    )
    if options.verbose:
        slow = [kind for kind, most in ((t.what.partition(":")[0], t) for t in report.targets) if not most.met]
        report.tables += [
            f"{kind}: dearest imports\n{_import_times(KINDS[kind])}" for kind in slow or ["deliver", "api"]
        ]
    return report


def _time(code: str) -> tuple[float, float]:
    """Wall and CPU milliseconds of ``code`` in a fresh interpreter."""
    ran = _python("-c", TIMED, code)
    wall_ms, cpu_ms = ran.stdout.split()
    return float(wall_ms), float(cpu_ms)


def _import_times(code: str, count: int = 25) -> str:
    """The dearest imports by their own time."""
    lines = _python("-X", "importtime", "-c", code).stderr.splitlines()
    found = []
    for each in lines:
        parts = each.removeprefix("import time:").split("|")
        if len(parts) == 3 and parts[0].strip().isdigit():
            found.append((int(parts[0]), int(parts[1]), parts[2].strip()))
    found.sort(reverse=True)
    return table(
        ["module", "own µs", "with its imports µs"], [[name, own, whole] for own, whole, name in found[:count]]
    )


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CHRONO_", "AWS_"))}
    lambda_like = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_REGION": "us-east-1"}
    return subprocess.run(  # noqa: S603
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**kept, **lambda_like},
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
        check=True,
    )
