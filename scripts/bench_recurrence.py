"""Next runs per second beside croniter and cronsim, in one process, interleaved, at equal answers.

Warm: an expression that is already compiled is asked for one next run after another. Cold: parse and first run, nothing
remembered from before (the compile cache is not used; zone tables are loaded, as zoneinfo's are for the peers).
Every answer that is timed was first compared: an expression on which a peer disagrees is reported, not timed.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from croniter import croniter
from cronsim import CronSim

from chalicelib.core.recurrence.expressions import Spec, compile_uncached

ENGINES = ("chronowatch", "cronsim", "croniter")
EXPRESSIONS = (
    "* * * * *", "*/5 * * * *", "0 * * * *", "30 2 * * *", "0 9 * * 1-5", "15,45 8-18 * * mon-fri", "0 0 1 * *",
    "0 12 1-7 * *", "0 0 1 1 *", "5 4 * * sun", "0 22 * * 5", "23 0-20/2 * * *", "0 0 L * *",
)  # fmt: skip
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata")
ROUNDS = 9
WARM_RUNS = 40
COLD_RUNS = 20
EQUAL_RUNS = 5
PATHOLOGICAL_EXCLUSIONS = 1000


def answers(expr: str, zone: str, start_s: int) -> dict[str, list[int]]:
    """The next runs by each engine, as unix seconds."""
    info = ZoneInfo(zone)
    moment = datetime.fromtimestamp(start_s, info)
    made = compile_uncached(Spec("CRON", expr, zone))
    ours: list[int] = []
    at: int | None = start_s * 1000
    while len(ours) < EQUAL_RUNS and at is not None and (at := made.next_after(at)) is not None:
        ours.append(at // 1000)
    sim, peer = CronSim(expr, moment), croniter(expr, moment)
    return {
        "chronowatch": ours,
        "cronsim": [int(next(sim).timestamp()) for _ in range(EQUAL_RUNS)],
        "croniter": [int(peer.get_next(datetime).timestamp()) for _ in range(EQUAL_RUNS)],
    }


def warm_runs(expr: str, zone: str, start_s: int) -> dict[str, Callable[[], object]]:
    """For each engine a function that finds WARM_RUNS runs in a row with what is already parsed."""
    moment = datetime.fromtimestamp(start_s, ZoneInfo(zone))
    next_after = compile_uncached(Spec("CRON", expr, zone)).next_after
    sim, peer = CronSim(expr, moment), croniter(expr, moment)

    def ours() -> None:
        at: int | None = start_s * 1000
        for _ in range(WARM_RUNS):
            assert at is not None
            at = next_after(at)

    def cronsim() -> None:
        sim.dt = sim.dt.replace(year=moment.year, month=moment.month, day=moment.day)
        for _ in range(WARM_RUNS):
            next(sim)

    def croniter_() -> None:
        peer.set_current(moment, force=True)
        for _ in range(WARM_RUNS):
            peer.get_next(datetime)

    return {"chronowatch": ours, "cronsim": cronsim, "croniter": croniter_}


def cold_runs(expr: str, zone: str, start_s: int) -> dict[str, Callable[[], object]]:
    """For each engine a function that parses anew and finds the first run, COLD_RUNS times."""
    moment = datetime.fromtimestamp(start_s, ZoneInfo(zone))

    def ours() -> None:
        for _ in range(COLD_RUNS):
            compile_uncached(Spec("CRON", expr, zone)).next_after(start_s * 1000)

    def cronsim() -> None:
        for _ in range(COLD_RUNS):
            next(CronSim(expr, moment))

    def croniter_() -> None:
        for _ in range(COLD_RUNS):
            croniter(expr, moment).get_next(datetime)

    return {"chronowatch": ours, "cronsim": cronsim, "croniter": croniter_}


def median_us(work: dict[str, Callable[[], object]], each: int, rng: random.Random) -> dict[str, float]:
    """Median microseconds per run of each engine over ROUNDS rounds, in every round in another order."""
    spent: dict[str, list[float]] = {engine: [] for engine in work}
    for call in work.values():
        call()
    for _ in range(ROUNDS):
        for engine in rng.sample(list(work), len(work)):
            began = time.perf_counter()
            work[engine]()
            spent[engine].append((time.perf_counter() - began) / each * 1e6)
    return {engine: statistics.median(values) for engine, values in spent.items()}


def pathological_ms(zone: str, start_s: int) -> dict[str, float]:
    """Median milliseconds of a next run of ``0 0 29 2 1`` with a thousand exclusions, and of compiling it."""
    day_ms = 86_400_000
    start = start_s * 1000
    ranges = tuple(
        (start + i * 7 * day_ms, start + i * 7 * day_ms + 6 * day_ms) for i in range(PATHOLOGICAL_EXCLUSIONS)
    )
    crons = tuple(f"{i % 60} {i // 60} {1 + i % 28} 2 *" for i in range(PATHOLOGICAL_EXCLUSIONS))
    found: dict[str, float] = {}
    for name, exclude in (("ranges", ranges), ("crons", crons)):
        spec = Spec("CRON", "0 0 29 2 1", zone, exclude=exclude)
        compiling, asking = [], []
        for i in range(ROUNDS):
            began = time.perf_counter()
            made = compile_uncached(spec)
            compiling.append(time.perf_counter() - began)
            began = time.perf_counter()
            made.next_after(start + i * 31 * day_ms)
            asking.append(time.perf_counter() - began)
        found[f"{name}_compile_ms"] = round(statistics.median(compiling) * 1e3, 3)
        found[f"{name}_next_ms"] = round(statistics.median(asking) * 1e3, 3)
    return found


def run(seed: int | None = None) -> dict[str, object]:
    """Measure everything; the answer is what ``main`` prints as JSON."""
    seed = random.SystemRandom().randrange(1 << 32) if seed is None else seed
    rng = random.Random(seed)
    base = int(datetime(2026, 11, 21, 9, 20, tzinfo=UTC).timestamp())
    cases: list[dict[str, object]] = []
    unequal: list[dict[str, object]] = []
    for zone in ZONES:
        for expr in EXPRESSIONS:
            start = base + rng.randrange(20 * 86_400)
            found = answers(expr, zone, start)
            if not found["chronowatch"] == found["cronsim"] == found["croniter"]:
                unequal.append({"expr": expr, "zone": zone, "start_s": start, "answers": found})
                continue
            gc.collect()
            cases.append(
                {
                    "expr": expr,
                    "zone": zone,
                    "warm_us": median_us(warm_runs(expr, zone, start), WARM_RUNS, rng),
                    "cold_us": median_us(cold_runs(expr, zone, start), COLD_RUNS, rng),
                }
            )
    return {
        "seed": seed,
        "cases": cases,
        "unequal": unequal,
        "warm": _ratios(cases, "warm_us"),
        "cold": _ratios(cases, "cold_us"),
        "pathological": pathological_ms("Europe/Berlin", base),
    }


def _ratios(cases: list[dict[str, object]], column: str) -> dict[str, float]:
    """Runs per second of each engine (median case), and how many times faster: median and worst case."""
    found: dict[str, float] = {}
    rows: list[dict[str, float]] = [case[column] for case in cases]  # type: ignore[misc]
    for engine in ENGINES:
        found[f"{engine}_per_s"] = round(1e6 / statistics.median(row[engine] for row in rows))
    for peer in ENGINES[1:]:
        times = [row[peer] / row["chronowatch"] for row in rows]
        found[f"times_{peer}"] = round(statistics.median(times), 1)
        found[f"times_{peer}_worst"] = round(min(times), 1)
    return found


def table(result: dict[str, object]) -> str:
    """The cases as text, microseconds per run."""
    lines = [
        f"{'expression':<24}{'zone':<18}" + "".join(f"{k + ' ' + e:>18}" for k in ("warm", "cold") for e in ENGINES)
    ]
    for case in result["cases"]:  # type: ignore[attr-defined]
        numbers = [case[k][e] for k in ("warm_us", "cold_us") for e in ENGINES]
        lines.append(f"{case['expr']:<24}{case['zone']:<18}" + "".join(f"{n:>18.2f}" for n in numbers))
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Print the table and, as the last line, the JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=None)
    result = run(parser.parse_args(arguments).seed)
    print(table(result))
    print(json.dumps({key: value for key, value in result.items() if key != "cases"}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
