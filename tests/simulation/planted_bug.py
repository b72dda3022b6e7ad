"""What a planted bug is: see ``mutants``."""

from __future__ import annotations

from typing import NamedTuple

from tests.simulation.instrument import Edit


class Mutant(NamedTuple):
    """One planted bug, what it stands for, and the kind of world that must catch it."""

    says: str
    edits: tuple[Edit, ...]
    world: str = "firings"
