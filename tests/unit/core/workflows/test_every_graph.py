"""Every graph of up to so many nodes, every outcome, every order of ends, one cancellation at any point: the engine's
decisions against the reference.

The gate takes up to four nodes with every kind of edge. ``CHRONO_TEST_GRAPHS=5`` adds five nodes with edges on success
and failure: a quarter of an hour, and more on a busy machine. It needs ``--timeout 0``.
"""

from __future__ import annotations

import os

import pytest

from chalicelib.core.workflows.decide import decide
from chalicelib.core.workflows.happenings import Begins, Cancels, ClaimsStep, Ends
from chalicelib.core.workflows.orders import owed
from chalicelib.core.workflows.run_state import RunState
from tests.unit.core.workflows.graphs import graph_of, shapes
from tests.unit.core.workflows.reference import Reference

OUTCOMES = (("completed", ""), ("failed", ""), ("timeout", ""))


class Walk:
    """All ways through one graph. Orders that lead to one state of both sides are followed once."""

    def __init__(self, shape):
        self.graph = graph_of(shape)
        edges, modes = shape
        self.nodes = {f"n{i}": mode for i, mode in enumerate(modes)}
        self.edges = [(f"n{a}", f"n{b}", on, "") for a, b, on in edges]
        self.seen: set[object] = set()
        self.steps = self.ends = 0

    def run(self):
        begun = decide(self.graph, RunState(), Begins({"id": "r"}), 0).state
        self.follow(begun, Reference(self.nodes, self.edges))

    def follow(self, state, reference):
        self.compare(state, reference)
        key = (state.status, tuple((n.status, n.worker) for n in state.nodes.values()))
        if key in self.seen:
            return
        self.seen.add(key)
        if state.is_ended:
            self.ends += 1
            assert not owed(self.graph, state), "an ended run orders nothing"
            return
        running = [name for name, node in state.nodes.items() if node.status == "running"]
        assert running, "a run that lives has something under way"
        for name in running:
            node = state.nodes[name]
            if not node.worker:
                claimed = self.decide(state, ClaimsStep(name, "w", 1000))
                assert not decide(self.graph, claimed, ClaimsStep(name, "other", 1000), 1).events, "claimed once"
                node, held = claimed.nodes[name], claimed
            else:
                held = state
            for status, reason in OUTCOMES:
                ended = self.decide(held, Ends(name, node.token, status))
                again = decide(self.graph, ended, Ends(name, node.token, status), 1)
                assert not again.events, "an answer that comes twice changes nothing"
                after = self.copy(reference)
                after.end(name, status, reason)
                self.follow(ended, after)
        if state.status == "running":
            # Those under way are claimed: what is not would not have begun.
            for name in running:
                if not state.nodes[name].worker:
                    state = self.decide(state, ClaimsStep(name, "w", 1000))
            after = self.copy(reference)
            after.cancel()
            self.follow(self.decide(state, Cancels()), after)

    def decide(self, state, happening):
        self.steps += 1
        return decide(self.graph, state, happening, 1).state

    def compare(self, state, reference):
        found = {name: node.status for name, node in state.nodes.items()}
        assert found == reference.state, (self.edges, self.nodes, found, reference.state)
        assert state.status == reference.run, (self.edges, self.nodes, state.status, reference.run)

    @staticmethod
    def copy(reference):
        made = Reference.__new__(Reference)
        made.__dict__.update(reference.__dict__)
        made.state, made.reason, made.case = dict(reference.state), dict(reference.reason), dict(reference.case)
        return made


def walk_all(found):
    graphs = steps = ends = 0
    for shape in found:
        walk = Walk(shape)
        walk.run()
        graphs, steps, ends = graphs + 1, steps + walk.steps, ends + walk.ends
    print(f"{graphs} graphs, {steps} decisions, {ends} ends")
    return graphs


# How many shapes there are: an enumeration that silently lost some would prove less than it says.
SIZES = {2: 1, 3: 33, 4: 8893}
LARGE = 373_811


@pytest.mark.parametrize("count", [2, 3, pytest.param(4, marks=pytest.mark.long)])
def test_every_run_of_every_small_graph_agrees_with_the_reference(count):
    assert walk_all(shapes(count)) == SIZES[count]


@pytest.mark.skipif(os.environ.get("CHRONO_TEST_GRAPHS") != "5", reason="takes 15 minutes: CHRONO_TEST_GRAPHS=5")
def test_every_run_of_every_graph_of_five_agrees_with_the_reference():
    assert walk_all(shapes(5, ("success", "failure"))) == LARGE
