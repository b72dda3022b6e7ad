"""``cpu``: CPU time of a firing outside the emulator: server and worker, user and system, all they do meanwhile."""

from __future__ import annotations

from argparse import Namespace

from bench.herd import herds
from bench.rate import rates
from bench.report import Report, Target, table

COUNT = 1000
RATE_COUNT = 60
PER_THOUSAND_MOST_S = 2.0


def run(options: Namespace) -> Report:
    """A herd and a rate, the product's and APScheduler's."""
    count = options.count or COUNT
    report = Report("cpu", {"count": count, "rate_count": min(count, RATE_COUNT)})
    rows: list[list[object]] = []
    for fired in herds(count, options.peer):
        each_ms = fired.cpu_firing_s * 1000 / count
        creating_ms = fired.cpu_creating_s * 1000 / count
        report.results[f"herd: {fired.label}"] = {
            "cpu_ms_each": round(each_ms, 3),
            "cpu_s_per_thousand": round(each_ms, 3),
            "cpu_creating_ms_each": round(creating_ms, 3),
        }
        rows.append([f"herd: {fired.label}", each_ms, creating_ms])
        report.faults += [f"{fired.label}: {fault}" for fault in fired.faults[:5]]
        if fired.label.startswith("chronowatch"):
            report.targets.append(Target(f"{fired.label}: CPU s per 1,000", PER_THOUSAND_MOST_S, round(each_ms, 3)))
    for rated in rates(min(count, RATE_COUNT), options.peer):
        each_ms = rated.cpu_s * 1000 / min(count, RATE_COUNT)
        report.results[f"rate: {rated.label}"] = {"cpu_ms_each": round(each_ms, 3)}
        rows.append([f"rate: {rated.label}", each_ms, None])
        report.faults += [f"{rated.label}: {fault}" for fault in rated.faults[:5]]
    report.tables.append(table(["CPU", "firing, ms each", "creating, ms each"], rows))
    report.notes.append("a rate's minute holds all that idles beside it: polling, the minute's sweep and reconcile")
    return report
