"""A decision and the claim of the step that its worker goes on with, in one append."""

from __future__ import annotations

from chalicelib.core.workflows.chained import decide_and_claim
from chalicelib.core.workflows.decide import decide
from chalicelib.core.workflows.definition import WorkflowEdge, WorkflowNode
from chalicelib.core.workflows.graph import build
from chalicelib.core.workflows.happenings import Begins, Cancels, Ends, Passes, SetsStops
from chalicelib.core.workflows.limits import STEP_LEASE_SPARE_MS
from chalicelib.core.workflows.run_state import RunState, fold

NODES = [WorkflowNode("t", "trigger"), *(WorkflowNode(name, "http", timeout_ms=2000) for name in "abc")]
# After a come b and c.
GRAPH = build(NODES, [WorkflowEdge("t", "a"), WorkflowEdge("a", "b"), WorkflowEdge("a", "c")], "t")


def begun(worker="w1"):
    return decide_and_claim(GRAPH, RunState(), Begins({"id": "r"}), worker, 1000)


def test_the_end_of_a_step_and_the_claim_of_the_next_are_numbered_in_a_row():
    first = begun()
    assert first.claimed == "a"
    assert not first.orders, "what is claimed needs no message"
    state = first.state
    then = decide_and_claim(GRAPH, state, Ends("a", state.nodes["a"].token, "completed"), "w2", 1500)
    assert [event.number for event in then.events] == list(range(state.events + 1, then.state.events + 1))
    assert [event.type for event in then.events] == ["node_completed", "node_started", "node_started", "node_claimed"]
    assert then.claimed == "b"
    assert [(order.kind, order.node) for order in then.orders] == [("step", "c")], "the other goes by message"
    assert then.state.nodes["b"].worker == "w2"
    assert then.state.nodes["b"].due_ms == 1500 + 2000 + STEP_LEASE_SPARE_MS
    assert fold(RunState(), (*first.events, *then.events)) == then.state


def test_a_worker_that_dies_with_both_in_its_hands_loses_its_step_at_the_lease_and_no_earlier():
    state = begun().state
    due_ms = state.nodes["a"].due_ms
    assert not decide(GRAPH, state, Passes(), due_ms - 1).events
    again = decide_and_claim(GRAPH, state, Passes(), "w2", due_ms)
    assert [event.type for event in again.events] == ["node_lost", "node_claimed"]
    assert again.state.nodes["a"].token > state.nodes["a"].token


def test_nothing_is_claimed_after_a_cancel():
    state = begun().state
    cancelled = decide(GRAPH, state, Cancels(), 1100).state
    ended = decide_and_claim(GRAPH, cancelled, Ends("a", cancelled.nodes["a"].token, "completed"), "w2", 1200)
    assert ended.state.status == "cancelled"
    assert not ended.claimed


def test_a_condition_on_the_live_run_is_judged_before_the_claim():
    state = begun().state
    stop = {"kind": "condition", "value": "nodes.a.state == 'completed'"}
    watched = decide(GRAPH, state, SetsStops("s", (stop,)), 1100).state
    then = decide_and_claim(GRAPH, watched, Ends("a", watched.nodes["a"].token, "completed"), "w2", 1200)
    assert not then.claimed
    assert [order.node for order in then.orders] == ["b", "c"]


def test_an_answer_that_changes_nothing_claims_nothing():
    state = begun().state
    assert not decide_and_claim(GRAPH, state, Ends("a", 99, "completed"), "w2", 1200).events
