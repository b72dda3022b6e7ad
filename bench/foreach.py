"""``workflows --part foreach``: what a wide foreach weighs.

A worker of its own walks each width over one emulator, so that what is stored lies outside of it. Its peak of memory is
what the system says of the process at its end.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.report import Report, Target, table
from bench.root import ROOT
from bench.virtual import deployment

WIDTHS = (1_000, 5_000, 10_000)
AT_ONCE = 50
GROWTH_MOST_MB = 16.0
WORKER_MOST_S = 3_600


def measure(report: Report, widest: int | None) -> None:
    """Walk each width, and add what the workers weighed."""
    widths = WIDTHS if widest is None else tuple(sorted({max(1, widest // 10), max(1, widest // 2), widest}))
    found = []
    with deployment() as world:
        for width in widths:
            command = [sys.executable, "-m", "bench.foreach", world.endpoint, str(width)]
            ran = subprocess.run(  # noqa: S603
                command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, timeout=WORKER_MOST_S
            )
            found.append(json.loads(ran.stdout.splitlines()[-1]))
    growth = round(found[-1]["peak_mb"] - found[0]["peak_mb"], 1)
    report.results |= {"foreach": found, "foreach_growth_mb": growth}
    what = f"memory of a worker from {widths[0]} to {widths[-1]} items, MB more"
    report.targets.append(Target(what, GROWTH_MOST_MB, growth))
    rows = [[one["items"], one["peak_mb"], one["seconds"]] for one in found]
    report.tables.append(table((f"items, {AT_ONCE} at once", "peak MB", "seconds"), rows))


def main(arguments: Sequence[str]) -> int:
    """The worker: walk one foreach, and print what it weighed."""
    from bench.workflows import play, with_own_queue
    from chalicelib import bootstrap, settings
    from chalicelib.core.security.caller import ANONYMOUS_ADMIN
    from chalicelib.usecases import runs, workflows

    endpoint, width = arguments[0], int(arguments[1])
    chosen = settings.load({"LOG_LEVEL": "WARNING", "CHRONO_TICKS": ""})
    s, queue = with_own_queue(bootstrap.build(chosen._replace(endpoint_url=endpoint)))
    name = f"fan-{width}"
    workflows.create(s, ANONYMOUS_ADMIN, {"name": name, "nodes": NODES, "edges": EDGES})
    began = time.monotonic()
    run_id = play(s, queue, name, list(range(width)))
    seconds = round(time.monotonic() - began, 1)
    fan = runs.get(s, ANONYMOUS_ADMIN, run_id).run.state.nodes["each"].fan
    assert fan is not None
    assert (fan.count, fan.next, fan.failed) == (width, width, 0)
    print(json.dumps({"items": width, "peak_mb": peak_mb(), "seconds": seconds}))
    return 0


def peak_mb() -> float:
    """The most memory that this process has held since it began."""
    status = Path("/proc/self/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return round(int(line.split()[1]) / 1024, 1)


_FOREACH = {"items": {"cel": "input"}, "max_concurrency": AT_ONCE}
NODES: list[dict[str, Any]] = [
    {"id": "begin", "type": "trigger", "on": "manual"},
    {"id": "each", "type": "parallel", "foreach": _FOREACH},
    {"id": "step", "type": "condition", "cases": [{"name": "yes", "when": {"cel": "item >= 0"}}]},
    {"id": "all", "type": "join"},
]
EDGES = [{"from": "begin", "to": "each"}, {"from": "each", "to": "step"}, {"from": "step", "to": "all"}]

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
