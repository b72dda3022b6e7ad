"""``cpu``: what the service's processes cost: a firing, a creation, a minute at rest, and reads beside firings.

CPU time is user and system time of server, worker and supervisor, all they do meanwhile. The emulator stands for AWS
and is left out of what a firing costs. At rest it is counted, since it runs on the same machine.
"""

from __future__ import annotations

from argparse import Namespace

from bench import resting
from bench.herd import herds
from bench.rate import rates
from bench.report import Report, Target, table

COUNT = 1000
RATE_COUNT = 60
PARTS = ("herd", "rate", "idle", "reads")
FIRING_MOST_MS = {"eventbridge": 1.0, "webhook": 2.0}
CREATING_MOST_MS = 2.0


def run(options: Namespace) -> Report:
    """All parts, or those that ``--part`` names."""
    count, parts = options.count or COUNT, options.part or PARTS
    report = Report("cpu", {"count": count, "rate_count": min(count, RATE_COUNT), "parts": list(parts)})
    rows: list[list[object]] = []
    if "herd" in parts:
        rows += _herd(report, count, options.peer)
    if "rate" in parts:
        rows += _rate(report, min(count, RATE_COUNT), options.peer)
        report.notes.append("a rate's minute holds all that idles beside it: polling, the minute's sweep and reconcile")
    if rows:
        report.tables.append(table(["CPU", "firing, ms each", "creating, ms each"], rows))
    if "idle" in parts:
        resting.idle(report, options.count)
    if "reads" in parts:
        resting.reads(report)
    return report


def _herd(report: Report, count: int, peer: bool) -> list[list[object]]:
    rows: list[list[object]] = []
    for fired in herds(count, peer):
        each_ms = fired.cpu_firing_s * 1000 / count
        creating_ms = fired.cpu_creating_s * 1000 / count
        report.results[f"herd: {fired.label}"] = {
            "cpu_ms_each": round(each_ms, 3),
            "cpu_s_per_thousand": round(each_ms, 3),
            "cpu_creating_ms_each": round(creating_ms, 3),
        }
        rows.append([f"herd: {fired.label}", each_ms, creating_ms])
        report.faults += [f"{fired.label}: {fault}" for fault in fired.faults[:5]]
        kind = fired.label.rpartition(" ")[2]
        if fired.label.startswith("chronowatch"):
            report.targets += [
                Target(f"{fired.label}: CPU ms a firing", FIRING_MOST_MS[kind], round(each_ms, 3)),
                Target(f"{fired.label}: CPU ms a creation", CREATING_MOST_MS, round(creating_ms, 3)),
            ]
    return rows


def _rate(report: Report, count: int, peer: bool) -> list[list[object]]:
    rows: list[list[object]] = []
    for rated in rates(count, peer):
        each_ms = rated.cpu_s * 1000 / count
        report.results[f"rate: {rated.label}"] = {"cpu_ms_each": round(each_ms, 3)}
        rows.append([f"rate: {rated.label}", each_ms, None])
        report.faults += [f"{rated.label}: {fault}" for fault in rated.faults[:5]]
    return rows
