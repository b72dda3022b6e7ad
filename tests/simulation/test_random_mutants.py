"""Faults drawn by a seed: each can be planted, the same seed draws the same, and no file is touched."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.simulation import mutants, random_mutants
from tests.simulation.random_mutants import ENGINE, PLANTED, ROOT, Site


def test_every_site_of_the_engine_still_compiles_when_it_is_broken() -> None:
    several = [site for path in sorted(ENGINE.rglob("*.py")) for site in random_mutants.sites(path)]
    assert {site.operator for site in several} == {"negated", "dropped", "off by one", "swapped"}
    for site in several:
        source = site.path.read_text()
        assert site.broken() != source, site
        compile(site.broken(), site.module, "exec")


def test_a_seed_draws_the_same_lines_and_a_longer_draw_begins_with_a_shorter_one() -> None:
    assert random_mutants.drawn(5, 12)[:4] == random_mutants.drawn(5, 4)
    assert random_mutants.drawn(5, 12) != random_mutants.drawn(6, 12)
    assert len({(site.path, site.start[0]) for site in random_mutants.drawn(5, 40)}) == 40


def test_a_mutant_is_named_by_its_seed_and_number() -> None:
    (edit,) = mutants.edits(random_mutants.name_of(3, 2))
    assert edit.new == random_mutants.drawn(3, 3)[2].broken()
    for wrong in ("random:3", "random:3:x", "random:3:99999"):
        with pytest.raises(SystemExit, match="no mutant"):
            mutants.edits(wrong)


def _site_that(line: str, operator: str) -> tuple[int, int, Site]:
    for seed in range(1, 200):
        for number, site in enumerate(random_mutants.drawn(seed, 40)):
            if site.line == line and site.operator == operator:
                return seed, number, site
    raise AssertionError(f"no seed draws {line!r}")


def test_a_planted_mutant_fails_a_unit_test_and_leaves_its_file_alone() -> None:
    seed, number, site = _site_that("s.queue.send(outgoing)", "dropped")
    before = site.path.read_bytes()
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "tests.simulation.planted", "-p", "no:cacheprovider"]
    environment = {**os.environ, PLANTED: random_mutants.name_of(seed, number)}
    tests = "tests/unit/engine/test_pipeline.py"
    done = subprocess.run([*command, tests], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout[-2000:] + done.stderr[-2000:]
    assert f"FAILED {tests}" in done.stdout
    assert site.path.read_bytes() == before
