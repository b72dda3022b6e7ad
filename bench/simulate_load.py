"""``scripts/simulate-load``: 10,000 firings a second for ten minutes, with 10 million schedules, on AWS's limits.

Six million firings cannot be played one by one in a script. So it is done in two parts, and each number says which:

- *played*: a slice by the real workers over memory stores, with AWS's latencies, in virtual time (``load_slice``);
- *modelled*: the whole load as a flow through AWS's limits, second by second (``aws_model``).

``bench/data/slice.json`` keeps the slices of the last play, so that the tables can be printed in a moment. ``--play``
plays anew. ``--write`` then keeps them, and puts the tables into docs/scale.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from typing import Any

from bench import aws_model, load_slice
from bench.aws_model import Limits, Need, Rung
from bench.load_slice import KINDS, Kind, Slice
from bench.report import table
from bench.root import ROOT

LIMITS = ROOT / "bench" / "data" / "limits.json"
SLICES = ROOT / "bench" / "data" / "slice.json"
PAGE = ROOT / "docs" / "scale.md"
BEGIN, END = "<!-- scripts/simulate-load -->\n", "<!-- end of scripts/simulate-load -->\n"
FIRINGS_PER_S = 10_000
SECONDS = 600
SCHEDULES = 10_000_000
PLAYED_PER_S = 100
SMALL_PER_S = 20  # of the slice that the tests play again
CREATE_UNITS = 12  # scripts/bench calls

Json = dict[str, Any]


def play(dated: str) -> Json:
    """Both slices of each kind of fleet."""
    latencies = _latencies(json.loads(LIMITS.read_text()))
    return {
        "dated": dated,
        "played_per_s": PLAYED_PER_S,
        "small_per_s": SMALL_PER_S,
        "kinds": {kind.name: load_slice.play(kind, PLAYED_PER_S, latencies).as_json() for kind in KINDS},
        "small": {kind.name: load_slice.play(kind, SMALL_PER_S, latencies).as_json() for kind in KINDS},
    }


def play_small(kind: Kind) -> Slice:
    """The small slice of one kind, as the tests play it."""
    return load_slice.play(kind, SMALL_PER_S, _latencies(json.loads(LIMITS.read_text())))


def _latencies(listed: Mapping[str, Any]) -> dict[str, int]:
    return {name: int(each["value"]) for name, each in listed["latencies_ms"].items() if not name.endswith("_cpu")}


def needs(listed: Mapping[str, Any], kept: Mapping[str, Any]) -> dict[str, Need]:
    """What a firing of each kind needs, by the slices that were kept."""
    cpu_ms = {name: float(listed["latencies_ms"][f"{name}_cpu"]["value"]) for name in ("firing", "instant")}
    batch = aws_model.values(listed)["sqs_batch"]
    return {
        kind.name: aws_model.need_of(Slice(**kept["kinds"][kind.name]), cpu_ms, batch, kind.period_s) for kind in KINDS
    }


def text(listed: Mapping[str, Any], kept: Mapping[str, Any], per_s: int = FIRINGS_PER_S, seconds: int = SECONDS) -> str:
    """The tables, as they stand in docs/scale.md."""
    limits = aws_model.values(listed)
    parts = [_played_table(kept)]
    for name, need in needs(listed, kept).items():
        parts.append(_ladder_table(name, aws_model.ladder(need, limits, per_s, seconds), per_s))
    parts.append(_loading_table(limits))
    parts.append(f"slices played {kept['dated']}, limits of {listed['dated']}, {listed['region']}")
    return "\n".join(parts)


def _played_table(kept: Mapping[str, Any]) -> str:
    rows: list[list[object]] = []
    for kind in KINDS:
        s = kept["kinds"][kind.name]
        rows.append(
            [
                kind.name,
                s["firings"],
                s["late_p99_ms"],
                s["firings_a_message"],
                s["deliver_ms"],
                s["sweep_ms_an_advance"],
                round(sum(s["calls"].values()), 2),
            ]
        )
    columns = ["played: a slice", "firings", "late p99 ms", "firings a message", "deliver ms", "sweep ms", "calls"]
    return table(columns, rows)


def _ladder_table(name: str, rungs: list[Rung], per_s: int) -> str:
    rows: list[list[object]] = [
        [
            f"{number}. {rung.change}",
            rung.outcome.binding or "none",
            rung.outcome.since_s if rung.outcome.binding else None,
            *(_seconds(ms) for ms in (rung.outcome.p50_ms, rung.outcome.p99_ms, rung.outcome.worst_ms)),
            rung.outcome.waiting,
            rung.outcome.drained_s,
        ]
        for number, rung in enumerate(rungs, 1)
    ]
    columns = [
        f"modelled: {per_s:,}/s of {name}",
        "binds first",
        "at s",
        "p50 s",
        "p99 s",
        "max s",
        "waiting",
        "drained s",
    ]
    return table(columns, rows)


def _seconds(ms: float) -> float:
    return round(ms / 1000, 1)


def _loading_table(limits: Limits) -> str:
    """How long creating ten million schedules takes, by the limit that binds."""
    rows: list[list[object]] = []
    for what, units in (
        ("new tables", limits["table_new_write_units"]),
        ("warmed to the quota", limits["table_quota_write_units"]),
        ("quotas raised", 1e9),
    ):
        bounds = {"write units": units / CREATE_UNITS, "requests of API Gateway": limits["api_requests"]}
        name = min(bounds, key=lambda each: bounds[each])
        rows.append([what, round(bounds[name]), name, round(SCHEDULES / bounds[name] / 3600, 1)])
    return table([f"modelled: creating {SCHEDULES:,} schedules", "a second", "binds", "hours"], rows)


def written(page: str, fresh: str) -> str:
    """The page with the tables in their place. Raises ValueError when the page has no place for them."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"docs/scale.md has no place between {BEGIN.strip()} and {END.strip()}")
    return f"{head}{BEGIN}\n```text\n{fresh}\n```\n\n{END}{tail}"


def main(arguments: list[str]) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="scripts/simulate-load", description="A large load on AWS's limits.")
    parser.add_argument("--play", action="store_true", help="play the slices anew: a minute")
    parser.add_argument("--write", action="store_true", help="keep the slices, and put the tables into docs/scale.md")
    parser.add_argument("--per-second", type=int, default=FIRINGS_PER_S, help="firings a second (10000)")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="for how long (600)")
    options = parser.parse_args(arguments)
    if min(options.per_second, options.seconds) < 1:
        parser.error("--per-second and --seconds must be 1 or more")
    if options.write and (options.per_second, options.seconds) != (FIRINGS_PER_S, SECONDS):
        parser.error("--write keeps the standard load: leave --per-second and --seconds out")
    listed = json.loads(LIMITS.read_text())
    if options.play or not SLICES.exists():
        kept = play(time.strftime("%Y-%m-%d", time.gmtime()))
    else:
        kept = json.loads(SLICES.read_text())
    found = text(listed, kept, options.per_second, options.seconds)
    print(found)
    if options.write:
        SLICES.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
        PAGE.write_text(written(PAGE.read_text(), found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
