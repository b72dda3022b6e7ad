"""Next runs around clock changes, held against cronsim on random (expression, zone, start) triples.

``python -m tests.unit.core.recurrence.dst_differential --triples 100000 --seed 1`` runs the whole of it and prints the
count and the seed; the unit tests run a slice. An answer counts as equal when the next three runs agree to the second.

cronsim itself breaks its own fields in a few places, all of them jobs with ``*`` in minute or hour near a midnight that
the zone skips or a change of the clock by half an hour: there it fires on a wall time that its fields do not name,
passes one over that they do, or never comes back. Such triples are counted apart, and only when a scan of every single
minute's wall time, with cronsim's own field sets, gives our answer and not cronsim's.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim

from chalicelib.core.errors import InvalidField
from chalicelib.core.recurrence import expressions, zones
from chalicelib.core.recurrence.expressions import Spec

RUNS = 3
TICKS_MAX = 200_000
Engine = Callable[[str, int, str], list[int]]
FIRST_YEAR, LAST_YEAR = 2000, 2045
NEAR_S = 3 * 86_400


@dataclass
class Tally:
    """What came out, with the triples that differ."""

    seed: int
    triples: int = 0
    equal: int = 0
    oracle_breaks_its_fields: int = 0
    oracle_hangs: list[tuple[str, str, int]] = field(default_factory=list)
    never: int = 0
    different: list[tuple[str, str, int]] = field(default_factory=list)
    zones: int = 0
    seconds: float = 0.0

    def summary(self) -> dict[str, object]:
        """The numbers, for printing."""
        return {
            **self.__dict__,
            "oracle_hangs": len(self.oracle_hangs),
            "different": len(self.different),
            "seconds": round(self.seconds, 1),
        }


def transitions(name: str) -> list[int]:
    """Unix seconds of a zone's changes in the years looked at."""
    zone = zones.zone(name)
    at = int(datetime(FIRST_YEAR, 1, 1, tzinfo=UTC).timestamp())
    stop = int(datetime(LAST_YEAR, 1, 1, tzinfo=UTC).timestamp())
    found = []
    while at < stop:
        start, end, offset, before = zone.segment(at)
        if offset != before and start == at:
            found.append(start)
        at = end
    return found


def changing_zones() -> dict[str, list[int]]:
    """Every zone that changes its clock in those years, with its changes."""
    found = {name: transitions(name) for name in sorted(available_timezones()) if name not in ("Factory", "localtime")}
    return {name: changes for name, changes in found.items() if changes}


def random_field(rng: random.Random, low: int, high: int) -> str:
    """One field: a number, list, range, step or star, weighted towards numbers."""

    def number() -> int:
        return rng.randint(low, high)

    kind = rng.random()
    if kind < 0.45:
        return str(number())
    if kind < 0.60:
        return ",".join(str(n) for n in sorted({number() for _ in range(rng.randint(2, 4))}))
    if kind < 0.70:
        first, last = sorted((number(), number()))
        return f"{first}-{last}"
    if kind < 0.76:  # never n-n/step: cronsim reads that as n/step, Debian's cron as n alone, and so do we
        first, last = sorted(rng.sample(range(low, high + 1), 2))
        return f"{first}-{last}/{rng.randint(1, 5)}"
    if kind < 0.80:
        return f"{number()}/{rng.randint(1, 20)}"
    if kind < 0.90:
        return f"*/{rng.choice((2, 3, 5, 7, 15, 20, 30))}"
    return "*"


def random_expression(rng: random.Random) -> str:
    """Five fields; hours lean to the night, where clocks change; days are mostly free."""
    minute = random_field(rng, 0, 59)
    hour = random_field(rng, 0, 3) if rng.random() < 0.6 else random_field(rng, 0, 23)
    day = weekday = month = "*"
    if rng.random() < 0.25:
        day = rng.choice((random_field(rng, 1, 28), "L", "LW", "1", "*/2"))
    if rng.random() < 0.1:
        month = random_field(rng, 1, 12)
    if rng.random() < 0.25:
        weekday = rng.choice((random_field(rng, 0, 7), "SUN", "MON-FRI", "0L", "6L", "7#1", "0#2", "SUN#4"))
    return f"{minute} {hour} {day} {month} {weekday}"


class BoundedCronSim(CronSim):
    """cronsim, stopped when it goes round in circles: a repeated half hour can send it back for ever."""

    ticks = 0

    def tick(self, seconds: int = 1) -> None:
        self.ticks += 1
        if self.ticks > TICKS_MAX:
            raise OracleHangsError
        super().tick(seconds)


class OracleHangsError(Exception):
    """Raised when cronsim does not come to an answer."""


def oracle_runs(expr: str, start_s: int, info: ZoneInfo) -> list[int]:
    """cronsim's next runs after ``start_s``; past ones, which it names when started in a second pass, are left out."""
    found: list[int] = []
    last = start_s
    for moment in BoundedCronSim(expr, datetime.fromtimestamp(start_s, info)):
        instant = int(moment.timestamp())
        if instant > last:
            found.append(instant)
            last = instant
        if len(found) == RUNS:
            break
    return found


def our_runs(expr: str, start_s: int, zone: str) -> list[int]:
    """This engine's next runs; none when it refuses an expression that never fires (31 April)."""
    try:
        made = expressions.compile(Spec("CRON", expr, zone))
    except InvalidField:
        return []
    found: list[int] = []
    at: int | None = start_s * 1000
    while len(found) < RUNS and at is not None and (at := made.next_after(at)) is not None:
        found.append(at // 1000)
    return found


def named_by_scan(expr: str, after_s: int, upto_s: int, info: ZoneInfo) -> int | None:
    """The first whole minute in (after, upto] whose wall time cronsim's own fields name."""
    fields = CronSim(expr, datetime(2020, 1, 1, tzinfo=UTC))
    for at in range((after_s // 60 + 1) * 60, upto_s + 1, 60):
        wall = datetime.fromtimestamp(at, info)
        if wall.minute not in fields.minutes or wall.hour not in fields.hours or wall.month not in fields.months:
            continue
        if fields.match_day(wall.date()):
            return at
    return None


def oracle_breaks_its_fields(expr: str, start_s: int, info: ZoneInfo, ours: list[int], theirs: list[int]) -> bool:
    """Whether the first difference is cronsim's: only for jobs with a star in minute or hour."""
    minute, hour, *_ = expr.split()
    if not (minute.startswith("*") or hour.startswith("*")):
        return False
    last = start_s
    for mine, other in zip(ours, theirs, strict=False):
        if mine != other:
            return named_by_scan(expr, last, max(mine, other), info) == mine
        last = mine
    return False


def run(triples: int, seed: int, engine: Engine | None = None) -> Tally:
    """Compare ``triples`` random triples drawn with ``seed``; another ``engine`` shows that the comparison can fail."""
    engine = engine or our_runs
    rng = random.Random(seed)
    began = time.perf_counter()
    changes = changing_zones()
    names = list(changes)
    infos = {name: ZoneInfo(name) for name in names}
    tally = Tally(seed, zones=len(names))
    for _ in range(triples):
        name = rng.choice(names)
        start = rng.choice(changes[name]) + rng.randint(-NEAR_S, NEAR_S)
        expr = random_expression(rng)
        ours = engine(expr, start, name)
        tally.triples += 1
        try:
            theirs = oracle_runs(expr, start, infos[name])
        except OracleHangsError:
            tally.oracle_hangs.append((expr, name, start))
            if [named_by_scan(expr, a, b, infos[name]) for a, b in pairwise([start, *ours])] != ours:
                tally.different.append((expr, name, start))
            continue
        tally.never += not theirs
        if ours == theirs:
            tally.equal += 1
        elif oracle_breaks_its_fields(expr, start, infos[name], ours, theirs):
            tally.oracle_breaks_its_fields += 1
        else:
            tally.different.append((expr, name, start))
    tally.seconds = time.perf_counter() - began
    return tally


def main(arguments: list[str]) -> int:
    """Run, print, and fail when one triple differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--triples", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    tally = run(options.triples, seed)
    for expr, name, start in tally.oracle_hangs:
        print(f"cronsim does not come back: {expr!r} in {name} after {start}")
    for expr, name, start in tally.different[:20]:
        print(f"differs: {expr!r} in {name} after {start}")
    print(json.dumps(tally.summary()))
    return 1 if tally.different else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
