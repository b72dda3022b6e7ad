"""``cold-start``: what a Lambda function loads before it can do anything, against a bare boto3 client.

Each run is a fresh interpreter, the kinds take turns, and the clock inside it starts when the interpreter is up. The
bench times the import of the function's module, and the making of the services and the first DynamoDB client. For the
API also: until it knows its first caller, by the kind of credentials, and until it has answered a first list, since a
start leaves the nouns to their first call. All byte code is compiled before, also against
the caller's environment. ``--verbose`` adds a second table, for a zip without byte code, and what the imports cost.
``--beside DIR`` times the functions of another checkout in turn with these, in the same environment.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from bench import identified
from bench.report import Report, Target, table
from bench.root import ROOT

RUNS = 15
RUNS_MIN = 3
RUNS_UNCOMPILED = 3
RUN_TIMEOUT_S = 60
WORKER_MOST = 1.3
API_MOST = 1.6
BESIDE_MOST = 1.05  # medians of equal code differ by as much on a busy machine
AUTH_MOST = {"apikey": 0.4, "jwt": 0.4}  # what it costs more to know the first caller, beside a bare client
IMPORTS_SHOWN = 30

BARE = "import boto3; boto3.client('dynamodb', region_name='us-east-1')"
# The services are made without I/O, and a client is made by the first call: here it is made as they would make it.
FIRST_CLIENT = """
from chalicelib import bootstrap
from chalicelib.adapters.aws.clients import Clients
bootstrap.services()
Clients('us-east-1').get('dynamodb')
"""
KINDS = {
    "boto3": BARE,
    "sweep": "import chalicelib.functions.sweep" + FIRST_CLIENT,
    "deliver": "import chalicelib.functions.deliver" + FIRST_CLIENT,
    "reconcile": "import chalicelib.functions.reconcile" + FIRST_CLIENT,
    "feed": "import chalicelib.functions.feed" + FIRST_CLIENT,
    "api": "import chalicelib.functions.api" + FIRST_CLIENT,
}
# A list of schedules, from a table that is empty.
FIRST_LIST = """
import chalicelib.functions.api as api
path = "/api/v1/schedules"
event = {
    "requestContext": {"path": path, "resourcePath": path, "httpMethod": "GET", "identity": {}},
    "pathParameters": None, "multiValueQueryStringParameters": None, "headers": {}, "multiValueHeaders": {},
    "stageVariables": None, "isBase64Encoded": False, "body": None,
}
answer = api.handle(event, None)
assert answer["statusCode"] == 200, answer
"""
ANSWERED = "api, first list"
TIMED = """
import sys, time
begun, cpu = time.perf_counter(), time.process_time()
exec(compile(sys.argv[1], "timed", "exec"))
print((time.perf_counter() - begun) * 1000, (time.process_time() - cpu) * 1000)
"""

Medians = Mapping[str, tuple[float, float]]


class Kind(NamedTuple):
    """What is timed, and the variables of its environment beside Lambda's."""

    code: str
    env: Mapping[str, str] = MappingProxyType({})
    root: Path = ROOT


def run(options: Namespace) -> Report:
    """Medians of interleaved runs, and their ratios to bare boto3."""
    runs = max(RUNS_MIN, options.count or RUNS)
    report = Report("cold-start", {"runs": runs})
    with tempfile.TemporaryDirectory(prefix="chronowatch-pyc-") as compiled, identified.modes() as modes:
        kinds = {name: Kind(code) for name, code in KINDS.items()}
        first_list = Kind(FIRST_LIST, modes["off"].env)
        kinds |= {f"api, {auth}": Kind(KINDS["api"] + mode.code, mode.env) for auth, mode in modes.items()}
        kinds[ANSWERED] = first_list
        if options.beside:
            kinds = _beside(options.beside.resolve(), first_list)
        for kind in kinds.values():
            _time(kind, _environment(compiled))  # compiles, and reads the files once, before anything counts
        medians = _medians(kinds, runs, _environment(compiled))
        report.results.update(_ratios(medians))
        report.tables.append(_table("import and first client", medians))
        if options.verbose:
            _explain(report, compiled)
    if options.beside:
        report.targets += [
            Target(
                f"{kind}: CPU beside the other checkout's",
                BESIDE_MOST,
                round(medians[kind][1] / medians[f"{kind}, before"][1], 3),
            )
            for kind in (*KINDS, ANSWERED)
            if kind != "boto3"
        ]
        return report
    for kind in KINDS:
        if kind != "boto3":
            most = API_MOST if kind == "api" else WORKER_MOST
            report.targets.append(Target(f"{kind}: CPU over bare boto3", most, report.results[kind]["cpu_ratio"]))
    for auth, most in AUTH_MOST.items():
        cost = report.results[f"api, {auth}"]["cpu_ratio"] - report.results["api, off"]["cpu_ratio"]
        report.targets.append(Target(f"api, {auth}: CPU more than off, over bare boto3", most, round(cost, 3)))
    report.notes.append("judged is CPU time: what a cold start costs, and what a busy machine distorts least")
    return report


def _beside(other: Path, first_list: Kind) -> dict[str, Kind]:
    """Each function beside its like of another checkout."""
    kinds = {"boto3": Kind(BARE)}
    for name, kind in {**{name: Kind(code) for name, code in KINDS.items()}, ANSWERED: first_list}.items():
        if name != "boto3":
            kinds |= {name: kind, f"{name}, before": kind._replace(root=other)}
    return kinds


def _explain(report: Report, compiled: str) -> None:
    with tempfile.TemporaryDirectory(prefix="chronowatch-pyc-") as empty:
        kinds = {name: Kind(code) for name, code in KINDS.items()}
        medians = _medians(kinds, RUNS_UNCOMPILED, _environment(empty, write=False))
    report.results["without_byte_code"] = _ratios(medians)
    report.tables.append(_table("the same without byte code", medians))
    for kind in ("boto3", "deliver", "api"):
        report.tables.append(_import_times(kind, _environment(compiled)))


def _medians(kinds: Mapping[str, Kind], runs: int, env: Mapping[str, str]) -> Medians:
    """Wall and CPU milliseconds of each kind."""
    times: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
    for _ in range(runs):
        for name, kind in kinds.items():
            times[name].append(_time(kind, env))
    return {kind: (statistics.median(w for w, _ in t), statistics.median(c for _, c in t)) for kind, t in times.items()}


def _ratios(medians: Medians) -> dict[str, dict[str, Any]]:
    bare_wall, bare_cpu = medians["boto3"]
    return {
        kind: {
            "wall_ms": round(wall, 1),
            "cpu_ms": round(cpu, 1),
            "ratio": round(wall / bare_wall, 3),
            "cpu_ratio": round(cpu / bare_cpu, 3),
        }
        for kind, (wall, cpu) in medians.items()
    }


def _table(title: str, medians: Medians) -> str:
    rows = [[kind, *numbers.values()] for kind, numbers in _ratios(medians).items()]
    return table([title, "wall ms", "CPU ms", "wall ratio", "CPU ratio"], rows)


def _time(kind: Kind, env: Mapping[str, str]) -> tuple[float, float]:
    """Wall and CPU milliseconds of a kind in a fresh interpreter."""
    wall_ms, cpu_ms = _python({**env, **kind.env}, "-c", TIMED, kind.code, root=kind.root).stdout.split()
    return float(wall_ms), float(cpu_ms)


def _import_times(kind: str, env: Mapping[str, str]) -> str:
    """The dearest imports of a kind by their own time."""
    found = []
    for each in _python(env, "-X", "importtime", "-c", KINDS[kind]).stderr.splitlines():
        parts = each.removeprefix("import time:").split("|")
        if len(parts) == 3 and parts[0].strip().isdigit():
            found.append((int(parts[0]), int(parts[1]), parts[2].strip()))
    found.sort(reverse=True)
    rows = [[name, own, whole] for own, whole, name in found[:IMPORTS_SHOWN]]
    return table([f"{kind}: dearest imports", "own µs", "with its imports µs"], rows)


def _environment(compiled: str, write: bool = True) -> dict[str, str]:
    """As in Lambda, where there is no file of settings; byte code lies in ``compiled`` and nowhere else."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("CHRONO_", "AWS_", "PYTHON"))}
    lambda_like = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_REGION": "us-east-1"}
    return {
        **kept,
        **lambda_like,
        "CHRONO_CONFIG": "",
        "PYTHONPYCACHEPREFIX": compiled,
        **({} if write else {"PYTHONDONTWRITEBYTECODE": "1"}),
    }


def _python(env: Mapping[str, str], *arguments: str, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    ran = subprocess.run(  # noqa: S603
        [sys.executable, *arguments],
        cwd=root,
        env=dict(env),
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
        check=False,
    )
    if ran.returncode != 0:
        raise RuntimeError(f"it does not load: {ran.stderr.strip().splitlines()[-1:]}")
    return ran
