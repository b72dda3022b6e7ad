"""A delivery stays within its table of phases, and the table is the one that docs/architecture.md draws."""

from __future__ import annotations

import ast
import re

import pytest

from chalicelib.core.executions.delivery_phase import PHASES, DeliveryPhase, IllegalMove, moved
from tests.tidy.sources import ROOT, product

FINAL = {DeliveryPhase.RECORDED, DeliveryPhase.FENCED, DeliveryPhase.HELD_BACK, DeliveryPhase.DROPPED}


def drawn() -> dict[str, set[str]]:
    """The table as the document has it: a row for each phase, its followers in the second column."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    section = text.partition("## The phases of a delivery")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \|", section, re.MULTILINE)
    return {phase: set(re.findall(r"`(\w+)`", followers)) for phase, followers in rows}


def test_every_move_of_the_table_is_made_and_every_other_is_refused() -> None:
    for source in DeliveryPhase:
        for to in DeliveryPhase:
            if to in PHASES[source]:
                assert moved(source, to) is to
            else:
                with pytest.raises(IllegalMove, match=f"a delivery that is {source} cannot become {to}"):
                    moved(source, to)


def test_every_phase_is_reached_from_waiting_and_the_final_ones_are_left_by_no_move() -> None:
    reached, fresh = set[DeliveryPhase](), {DeliveryPhase.WAITING}
    while fresh:
        reached |= fresh
        fresh = {to for source in fresh for to in PHASES[source]} - reached
    assert reached == set(PHASES) == set(DeliveryPhase)
    assert {phase for phase, followers in PHASES.items() if not followers} == FINAL


def test_what_was_dispatched_is_never_held_back_or_dropped() -> None:
    after = {DeliveryPhase.DISPATCHED}
    for _ in DeliveryPhase:
        after |= {to for source in after for to in PHASES[source]}
    assert after.isdisjoint({DeliveryPhase.HELD_BACK, DeliveryPhase.DROPPED})


def test_the_document_draws_the_table() -> None:
    assert drawn() == {str(phase): {str(to) for to in followers} for phase, followers in PHASES.items()}


def test_phases_are_set_by_the_table_alone() -> None:
    places = [
        source.path
        for source in product()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Assign | ast.AugAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        for part in ast.walk(target)
        if isinstance(part, ast.Attribute) and part.attr == "phase"
    ]
    assert places == ["chalicelib/engine/dispatch/call.py"]
