"""The command line: many seeds in parallel, or one seed told as a story. See docs/simulation.md."""

from __future__ import annotations

import argparse
import gc
import logging
import multiprocessing
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.simulation import instrument, mutants

CHUNK_SEEDS = 25
LONG_RUN_SEEDS = 2_000  # from here on, every fault and every step must have been hit
VERY_LONG_RUN_SEEDS = 20_000  # and every branch
SHOWN_FAILURES = 5
COLLECT_EVERY_SEEDS = 25


class Chunk(NamedTuple):
    """What some seeds gave: failures as (seed, problems), counts, and how many seeds."""

    failures: list[tuple[int, list[str]]]
    hits: Counter[str]
    branches: Counter[str]
    seeds: int


def main() -> int:
    """Returns the exit status: 0 when no seed broke anything and everything was hit."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The product walks over sets of strings, whose order must be the same for a seed in every process.
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.simulation.run", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
    options = _options()
    logging.disable(logging.CRITICAL)
    instrument.install(mutants.edits(options.mutant))
    if options.seed is not None:
        return _one(options)
    return _many(options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/simulate", description="Deterministic simulation of the way of a firing."
    )
    parser.add_argument("--seeds", type=int, default=2_000, help="how many seeds to play")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--seed", type=int, help="play this one seed")
    parser.add_argument("--story", action="store_true", help="tell the seed's story")
    parser.add_argument("--shrink", action="store_true", help="leave out of the seed what its failure does not need")
    parser.add_argument("--without", default="", help="parts to leave out, such as 'op 1,fault 3'")
    parser.add_argument("--mutant", help="plant a bug (scripts/mutants lists them)")
    parser.add_argument("--until-caught", action="store_true", help="stop at the first failure; print how many seeds")
    parser.add_argument("--coverage", action="store_true", help="print how often everything was hit")
    return parser.parse_args()


# -- one seed


def _one(options: argparse.Namespace) -> int:
    from tests.simulation.play import play
    from tests.simulation.shrink import shrink

    left_out = frozenset(part.strip() for part in options.without.split(",") if part.strip())
    played = play(options.seed, left_out)
    if options.shrink and played.problems:
        left_out = shrink(options.seed, played)
        print(f"fails still without: {', '.join(sorted(left_out)) or 'nothing'}")
        played = play(options.seed, left_out)
    if options.story:
        _tell(options.seed, left_out)
    else:
        print("\n".join(played.problems) or f"seed {options.seed}: all is well after {played.steps} steps")
    return 1 if played.problems else 0


def _tell(seed: int, left_out: frozenset[str]) -> None:
    from tests.simulation import story
    from tests.simulation.play import play

    for line in story.lines(play(seed, left_out, tell=True), left_out):
        print(line)


# -- many seeds


def _many(options: argparse.Namespace) -> int:
    began = time.monotonic()
    total = Chunk([], Counter(), Counter(), 0)
    _prepare()
    with multiprocessing.get_context("fork").Pool(options.jobs) as pool:
        starts = range(options.first_seed, options.first_seed + options.seeds, CHUNK_SEEDS)
        ends = options.first_seed + options.seeds
        results = pool.imap(_chunk, [(start, min(start + CHUNK_SEEDS, ends)) for start in starts])
        for part in _watched(results, options.seeds, began):
            total.failures.extend(part.failures)
            total.hits.update(part.hits)
            total.branches.update(part.branches)
            total = total._replace(seeds=total.seeds + part.seeds)
            if part.failures and options.until_caught:
                pool.terminate()
                break
    if options.until_caught:
        return _caught(options, total)
    return _report(options, total, time.monotonic() - began)


def _prepare() -> None:
    """Import the product before the processes part (one that cannot start would be started again for ever), and keep
    the collector away from what stays."""
    import tests.simulation.play

    assert tests.simulation.play
    gc.collect()
    gc.freeze()


def _chunk(seeds: tuple[int, int]) -> Chunk:
    from tests.simulation.play import play

    hits: Counter[str] = Counter()
    failures = []
    before = instrument.branches()
    for seed in range(*seeds):
        try:
            played = play(seed)
        except Exception:
            failures.append((seed, [f"simulator: {traceback.format_exc()}"]))
            continue
        hits.update(played.hits)
        if played.problems:
            failures.append((seed, played.problems))
    gc.collect()
    branches = Counter({label: n - before.get(label, 0) for label, n in instrument.branches().items()})
    return Chunk(failures, hits, branches, seeds[1] - seeds[0])


def _watched(results: Any, seeds: int, began: float) -> Iterator[Chunk]:
    """Pass results on, with a bar on a terminal."""
    done = 0
    is_shown = sys.stderr.isatty()
    for part in results:
        done += part.seeds
        if is_shown:
            width = 40 * done // seeds
            rate = done / max(time.monotonic() - began, 1e-9)
            left_s = (seeds - done) / rate
            print(
                f"\r[{'#' * width}{'.' * (40 - width)}] {done}/{seeds} {rate:.0f}/s {left_s:.0f} s left ",
                end="",
                file=sys.stderr,
            )
        yield part
    if is_shown:
        print(file=sys.stderr)


def _caught(options: argparse.Namespace, total: Chunk) -> int:
    if not total.failures:
        print(f"not caught within {total.seeds}")
        return 1
    seed, problems = min(total.failures)
    print(f"{seed - options.first_seed + 1} {problems[0][:150]}")
    return 0


def _report(options: argparse.Namespace, total: Chunk, took_s: float) -> int:
    from tests.simulation import coverage

    if options.coverage:
        print("\n".join(coverage.table(total.hits, total.branches)))
    for seed, problems in total.failures[:SHOWN_FAILURES]:
        print(f"seed {seed}:")
        print("".join(f"  {problem}\n" for problem in problems[:4]), end="")
    cold = _cold(options, total)
    for point in cold:
        print(f"never hit in {options.seeds} seeds: {point}")
    if total.failures:
        _tell_first(options, total.failures[0][0])
    verdict = f"{len(total.failures)} broke something" if total.failures else "nothing broke"
    print(f"{total.seeds} seeds in {took_s:.1f} s ({took_s * 1000 / max(total.seeds, 1):.1f} ms each): {verdict}")
    return 1 if total.failures or cold else 0


def _cold(options: argparse.Namespace, total: Chunk) -> list[str]:
    """What should have been hit in a run of this length and was not."""
    from tests.simulation import coverage

    if options.mutant or options.seeds < LONG_RUN_SEEDS:
        return []
    branches = coverage.cold_branches(total.branches)
    if options.seeds < VERY_LONG_RUN_SEEDS:
        print("".join(f"not hit yet: {label}\n" for label in branches), end="")
        branches = []
    return [*coverage.missing(total.hits), *branches]


def _tell_first(options: argparse.Namespace, seed: int) -> None:
    from tests.simulation.play import play
    from tests.simulation.shrink import shrink

    try:
        played = play(seed)
    except Exception:
        return
    if not played.problems:
        print(f"seed {seed} does not fail when played alone: the simulator is not deterministic")
        return
    left_out = shrink(seed, played)
    print(f"\nseed {seed}, shortened:")
    _tell(seed, left_out)
    without = f" --without '{','.join(sorted(left_out))}'" if left_out else ""
    mutant = f" --mutant {options.mutant}" if options.mutant else ""
    print(f"\nreplay with: scripts/simulate --seed {seed} --story{without}{mutant}")


if __name__ == "__main__":
    sys.exit(main())
