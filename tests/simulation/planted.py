"""A plugin of pytest that plants a mutant before any test imports the product: ``-p tests.simulation.planted``."""

from __future__ import annotations

import os

from tests.simulation import instrument, mutants, random_mutants

instrument.install(mutants.edits(os.environ.get(random_mutants.PLANTED)))
