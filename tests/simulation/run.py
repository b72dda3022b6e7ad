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

from tests.kit.processes import end_with_parent
from tests.simulation import instrument, mutants, worlds
from tests.simulation.played import Played

CHUNK_SEEDS = 25
LONG_RUN_SEEDS = 2_000  # from here on, every fault and every step must have been hit
VERY_LONG_RUN_SEEDS = 20_000  # and every branch
SHOWN_FAILURES = 5


class Chunk(NamedTuple):
    """What some seeds gave: failures as (seed, world, problems), counts by world and point, and how many seeds."""

    failures: list[tuple[int, str, list[str]]]
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
    if options.with_parent:
        end_with_parent()
    options.worlds = worlds.chosen(options.world or mutants.world_of(options.mutant))
    logging.disable(logging.CRITICAL)
    instrument.install(mutants.edits(options.mutant))
    if options.seed is not None:
        return _one(options)
    return _many(options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/simulate", description="Deterministic simulation of firings, leases and ticks."
    )
    parser.add_argument("--world", choices=("all", *worlds.KINDS), help="default: all, or a mutant's own")
    parser.add_argument("--seeds", type=int, default=2_000, help="how many seeds to play")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--seed", type=int, help="play this one seed")
    parser.add_argument("--story", action="store_true", help="tell the seed's story")
    parser.add_argument("--shrink", action="store_true", help="leave out of the seed what its failure does not need")
    parser.add_argument("--without", default="", help="parts to leave out, such as 'op 1,fault 3'")
    parser.add_argument("--mutant", help="plant a bug (scripts/mutants lists them)")
    parser.add_argument("--until-caught", action="store_true", help="stop at the first failure; print how many seeds")
    parser.add_argument("--with-parent", action="store_true", help="end when the process that started this one ends")
    parser.add_argument("--coverage", action="store_true", help="print how often everything was hit")
    return parser.parse_args()


# -- one seed


def _one(options: argparse.Namespace) -> int:
    left_out = frozenset(part.strip() for part in options.without.split(",") if part.strip())
    return max([_one_in(options, world, left_out) for world in options.worlds])


def _one_in(options: argparse.Namespace, world: str, left_out: frozenset[str]) -> int:
    played = worlds.play(world, options.seed, left_out, tell=options.story)
    if options.shrink and played.problems:
        left_out = _shrunk(world, played)
        print(f"fails still without: {', '.join(sorted(left_out)) or 'nothing'}")
        played = worlds.play(world, options.seed, left_out, tell=options.story)
    if options.story:
        _tell(played)
    else:
        well = f"seed {options.seed}: all is well in a world of {world} after {played.steps} steps"
        print("\n".join(played.problems) or well)
    return 1 if played.problems else 0


def _shrunk(world: str, played: Played) -> frozenset[str]:
    from tests.simulation.shrink import shrink

    return shrink(lambda seed, left_out: worlds.play(world, seed, left_out), played)


def _tell(played: Played) -> None:
    from tests.simulation import story

    for line in story.lines(played):
        print(line)


# -- many seeds


def _many(options: argparse.Namespace) -> int:
    began = time.monotonic()
    total = Chunk([], Counter(), Counter(), 0)
    _prepare(options.worlds)
    # A process for each chunk: what its worlds leave behind goes with it, and is neither searched for nor freed.
    with multiprocessing.get_context("fork").Pool(options.jobs, end_with_parent, maxtasksperchild=1) as pool:
        starts = range(options.first_seed, options.first_seed + options.seeds, CHUNK_SEEDS)
        ends = options.first_seed + options.seeds
        chunks = [
            (range(start, min(start + CHUNK_SEEDS, ends)), options.worlds, options.until_caught) for start in starts
        ]
        results = pool.imap(_chunk, chunks)
        for part in _watched(results, options.seeds, began):
            if not options.until_caught:
                _show(part.failures[: max(0, SHOWN_FAILURES - len(total.failures))])
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


def _prepare(names: tuple[str, ...]) -> None:
    """Import the product before the processes part (one that cannot start would be started again for ever), and keep
    the collector away from what stays."""
    worlds.prepare(names)
    gc.collect()
    gc.freeze()


def _chunk(given: tuple[range, tuple[str, ...], bool]) -> Chunk:
    seeds, names, until_caught = given
    hits: Counter[str] = Counter()
    failures = []
    gc.disable()
    before = instrument.branches()
    for seed in seeds:
        for world in worlds.plays_of(seed, names):
            problems = _played(world, seed, hits)
            if problems:
                failures.append((seed, world, problems))
        if failures and until_caught:  # a bug that is caught may keep a later world going for ever
            break
    branches = Counter({label: n - before.get(label, 0) for label, n in instrument.branches().items()})
    return Chunk(failures, hits, branches, len(seeds))


def _played(world: str, seed: int, hits: Counter[str]) -> list[str]:
    """What broke; adds to ``hits`` what was met."""
    try:
        played = worlds.play(world, seed)
    except Exception:
        return [f"simulator: {traceback.format_exc()}"]
    hits.update({f"{world} {point}": count for point, count in played.hits.items()})
    return played.problems


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
    seed, _, problems = min(total.failures)
    print(f"{seed - options.first_seed + 1} {problems[0][:150]}")
    return 0


def _show(failures: list[tuple[int, str, list[str]]]) -> None:
    """Print failures as they are found: a run of an hour need not be waited for."""
    below_bar = "\n" if sys.stderr.isatty() else ""
    for seed, world, problems in failures:
        print(f"{below_bar}seed {seed} in a world of {world}:")
        print("".join(f"  {problem}\n" for problem in problems[:4]), end="", flush=True)


def _report(options: argparse.Namespace, total: Chunk, took_s: float) -> int:
    from tests.simulation import coverage

    if options.coverage:
        print("\n".join(coverage.table(options.worlds, total.hits, total.branches)))
    cold = _cold(options, total)
    for point in cold:
        print(f"never hit in {options.seeds} seeds: {point}")
    if total.failures:
        _tell_first(options, *total.failures[0][:2])
    verdict = f"{len(total.failures)} broke something" if total.failures else "nothing broke"
    print(f"{total.seeds} seeds in {took_s:.1f} s ({took_s * 1000 / max(total.seeds, 1):.1f} ms each): {verdict}")
    return 1 if total.failures or cold else 0


def _cold(options: argparse.Namespace, total: Chunk) -> list[str]:
    """What should have been hit in a run of this length and was not."""
    from tests.simulation import coverage

    if options.mutant or options.seeds < LONG_RUN_SEEDS:
        return []
    branches, unknown = [], []
    if "firings" in options.worlds:
        branches, unknown = coverage.cold_branches(total.branches), coverage.unknown_branches(total.branches)
    if options.seeds < VERY_LONG_RUN_SEEDS:
        print("".join(f"not hit yet: {label}\n" for label in branches), end="")
        branches = []
    return [*coverage.missing(options.worlds, total.hits), *branches, *unknown]


def _tell_first(options: argparse.Namespace, seed: int, world: str) -> None:
    try:
        played = worlds.play(world, seed)
    except Exception:
        return
    if not played.problems:
        print(f"seed {seed} does not fail when played alone: the simulator is not deterministic")
        return
    left_out = _shrunk(world, played)
    print(f"\nseed {seed}, shortened:")
    _tell(worlds.play(world, seed, left_out, tell=True))
    without = f" --without '{','.join(sorted(left_out))}'" if left_out else ""
    mutant = f" --mutant {options.mutant}" if options.mutant else ""
    print(f"\nreplay with: scripts/simulate --world {world} --seed {seed} --story{without}{mutant}")


if __name__ == "__main__":
    sys.exit(main())
