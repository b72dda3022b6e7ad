"""What follows from what happens to a run, beyond the shape of its graph."""

from __future__ import annotations

import itertools

import pytest

from chalicelib.core.errors import Conflict
from chalicelib.core.schedules.schedule import RetryPolicy
from chalicelib.core.workflows.decide import decide
from chalicelib.core.workflows.definition import WorkflowEdge, WorkflowNode
from chalicelib.core.workflows.graph import build, of_item, without_bodies
from chalicelib.core.workflows.happenings import (
    Begins,
    Cancels,
    ChildEnds,
    ClaimsStep,
    Decides,
    Ends,
    Fans,
    ItemEnds,
    Passes,
    Redrives,
    Waits,
)
from chalicelib.core.workflows.limits import CANCEL_GRACE_MS, LOST_MAX_COUNT
from chalicelib.core.workflows.orders import next_due_ms, owed
from chalicelib.core.workflows.run_state import Gate, RunState, fold


class Played:
    """A run under test: each call is one decision, whose events go to the log."""

    def __init__(self, graph, **run):
        self.graph, self.state, self.log, self.now_ms = graph, RunState(), [], 1000
        self.orders = []
        self.tell(Begins({"id": "r", **run}))

    def tell(self, happening):
        decision = decide(self.graph, self.state, happening, self.now_ms)
        self.log += decision.events
        self.state, self.orders = decision.state, decision.orders
        assert fold(RunState(), self.log) == self.state, "the log says the same as the state"
        return decision.events

    def claim(self, node):
        self.tell(ClaimsStep(node, "w", 30_000))
        return self.state.nodes[node].token

    def end(self, node, status="completed", **said):
        self.tell(Ends(node, self.claim(node), status, **said))

    def statuses(self):
        return {name: node.status for name, node in self.state.nodes.items()}


def http(name, **fields):
    return WorkflowNode(name, "http", **fields)


def line(*nodes):
    """A trigger and nodes one after the other; those that only undo others stand apart."""
    undo = {node.compensate for node in nodes}
    names = ["t", *(node.id for node in nodes if node.id not in undo)]
    edges = [WorkflowEdge(a, b) for a, b in itertools.pairwise(names)]
    return build([WorkflowNode("t", "trigger"), *nodes], edges, "t")


def test_a_step_is_tried_again_when_its_wait_is_over_and_not_before():
    run = Played(line(http("a", retry=RetryPolicy(max_attempts=2))))
    run.end("a", "failed", error_type="http_error", error="503", retry_in_ms=500)
    assert run.statuses()["a"] == "waiting"
    assert next_due_ms(run.state) == 1500
    run.now_ms = 1499
    assert not run.tell(Passes())
    run.now_ms = 1500
    run.tell(Passes())
    assert [o.node for o in run.orders] == ["a"]
    run.end("a", "failed", error_type="http_error", error="503", retry_in_ms=500)
    assert run.state.status == "failed"
    assert run.state.error == "node a: 503"
    assert run.state.nodes["a"].attempt == 2


def test_a_dead_workers_step_is_taken_again_under_another_token_and_its_late_answer_changes_nothing():
    run = Played(line(http("a")))
    first = run.claim("a")
    run.now_ms += 30_000
    run.tell(Passes())
    second = run.claim("a")
    assert second > first
    assert not run.tell(Ends("a", first, "completed"))
    run.tell(Ends("a", second, "completed"))
    assert run.state.status == "completed"
    assert run.state.nodes["a"].attempt == 1


def test_what_changes_nothing_writes_no_miss():
    """Else a claim that is refused would seem to be taken."""
    run = Played(line(http("a", sla_ms=500), http("b")))
    run.claim("a")
    run.now_ms = 2000
    assert not run.tell(ClaimsStep("a", "other", 30_000))
    assert not run.tell(Begins({"id": "r"}))
    assert [event.type for event in run.tell(Passes())] == ["sla_missed"]


def test_a_step_whose_workers_all_die_ends_with_an_unknown_outcome():
    run = Played(line(http("a")))
    for _ in range(LOST_MAX_COUNT):
        run.claim("a")
        run.now_ms += 30_000
        run.tell(Passes())
    assert run.state.nodes["a"].error_type == "unknown"
    assert run.state.status == "failed"


def test_compensations_run_one_by_one_in_the_reverse_order_of_the_ends():
    undo = [http("ua"), http("ub")]
    a, b = http("a", compensate="ua"), http("b", compensate="ub")
    edges = [WorkflowEdge("t", "a"), WorkflowEdge("t", "b"), WorkflowEdge("t", "c")]
    run = Played(build([WorkflowNode("t", "trigger"), a, b, http("c"), *undo], edges, "t"))
    run.end("b")
    run.end("c", "failed", error_type="http_error", error="500")
    assert run.state.status == "running", "the other branch ends before"
    run.end("a")
    assert (run.state.status, run.state.undoing) == ("compensating", "a")
    with pytest.raises(Conflict):
        run.tell(Cancels())
    run.end("ua")
    assert run.state.undoing == "b"
    run.end("ub")
    assert run.state.status == "failed"
    assert run.state.undone == ("b", "a")
    assert run.state.error == "node c: 500"


def test_what_timed_out_may_have_happened_and_is_compensated():
    run = Played(line(http("a", compensate="u"), http("u")))
    run.end("a", "timeout", error="no answer")
    run.end("u")
    assert run.state.undone == ("a",)


def test_a_compensation_that_fails_is_a_state_of_its_own():
    run = Played(line(http("a", compensate="u"), http("b"), http("u")))
    run.end("a")
    run.end("b", "failed", error_type="http_error", error="500")
    run.end("u", "failed", error_type="http_error", error="501")
    assert run.state.status == "compensation_failed"
    assert "501" in run.state.error


def test_compensations_are_skipped_where_nothing_failed():
    run = Played(line(http("a", compensate="u"), http("u")))
    run.end("a")
    assert (run.state.status, run.statuses()["u"]) == ("completed", "skipped")


def test_a_cancel_ends_what_waits_at_once_and_what_is_under_way_by_its_grace():
    edges = [WorkflowEdge("t", name) for name in "abc"] + [WorkflowEdge("a", "d")]
    run = Played(build([WorkflowNode("t", "trigger"), *map(http, "abcd")], edges, "t"))
    run.claim("a")
    run.tell(Waits("b", run.claim("b"), due_ms=9_000_000, then="complete"))
    run.tell(Cancels("me", "enough"))
    assert run.statuses() == {"t": "completed", "a": "running", "b": "cancelled", "c": "cancelled", "d": "cancelled"}
    assert run.state.status == "cancelling"
    assert not run.tell(Cancels("me")), "a second cancel changes nothing"
    run.now_ms += CANCEL_GRACE_MS
    run.tell(Passes())
    assert (run.state.status, run.statuses()["a"]) == ("cancelled", "cancelled")
    with pytest.raises(Conflict):
        run.tell(Cancels())


def test_what_ends_well_within_the_grace_is_completed_and_nothing_follows_it():
    run = Played(line(http("a"), http("b")))
    token = run.claim("a")
    run.tell(Cancels())
    run.tell(Ends("a", token, "completed"))
    assert run.statuses() == {"t": "completed", "a": "completed", "b": "cancelled"}
    assert run.state.status == "cancelled"


def test_a_run_past_its_timeout_fails_and_compensates():
    run = Played(line(http("a", compensate="u"), http("b"), http("u")), deadline_ms=5000)
    run.end("a")
    run.now_ms = 5000
    run.tell(Passes())
    run.end("u")
    assert (run.state.status, run.state.error_type) == ("failed", "timeout")


def approval(quorum=1, **more):
    run = Played(line(WorkflowNode("g", "approval"), http("b")))
    run.tell(Waits("g", run.claim("g"), gate=Gate("n1", quorum), **more))
    return run


def test_the_first_decision_at_a_gate_wins():
    run = approval()
    run.tell(Decides("g", "n1", True, "ann"))
    assert run.statuses()["g"] == "completed"
    for approve in (True, False):
        with pytest.raises(Conflict) as refused:
            run.tell(Decides("g", "n1", approve, "bob"))
        assert refused.value.code == "already_decided"


def test_a_quorum_counts_people_and_not_clicks():
    run = approval(quorum=2)
    run.tell(Decides("g", "n1", True, "ann"))
    with pytest.raises(Conflict):
        run.tell(Decides("g", "n1", True, "ann"))
    assert run.statuses()["g"] == "waiting"
    run.tell(Decides("g", "n1", True, "bob"))
    assert run.statuses()["g"] == "completed"


def test_a_nonce_of_another_gate_decides_nothing():
    run = approval()
    with pytest.raises(Conflict) as refused:
        run.tell(Decides("g", "n0", True, "ann"))
    assert refused.value.code == "wrong_nonce"


def test_a_rejection_fails_the_gate_with_its_reason():
    run = approval()
    run.tell(Decides("g", "n1", False, "ann"))
    assert (run.statuses()["g"], run.state.nodes["g"].reason) == ("failed", "rejected")


@pytest.mark.parametrize(("then", "status"), [("approve", "completed"), ("reject", "failed"), ("timeout", "timeout")])
def test_a_gate_that_expires_ends_as_declared(then, status):
    run = approval(due_ms=2000, then=then)
    run.now_ms = 2000
    run.tell(Passes())
    assert run.statuses()["g"] == status


def foreach():
    nodes = [WorkflowNode("t", "trigger"), WorkflowNode("p", "parallel", fields={"foreach": {}}), http("b"),
             WorkflowNode("j", "join"), http("z")]  # fmt: skip
    edges = [WorkflowEdge(a, b) for a, b in ("tp", "pb", "bj", "jz")]
    return build(nodes, edges, "t")


def test_a_foreach_has_so_many_items_under_way_and_no_more():
    run = Played(without_bodies(foreach()))
    run.tell(Fans("p", run.claim("p"), count=5, at_once=2, tolerated=1))
    assert [(o.kind, o.item) for o in run.orders] == [("begin_item", 0), ("begin_item", 1)]
    run.tell(ItemEnds("p", 1, "completed"))
    assert [o.item for o in run.orders] == [2]
    assert not run.tell(ItemEnds("p", 1, "completed")), "an item ends once"
    for index, status in ((0, "failed"), (2, "completed"), (3, "completed"), (4, "completed")):
        run.tell(ItemEnds("p", index, status))
    assert run.statuses()["j"] == "completed"
    assert [o.node for o in run.orders] == ["z"]


def test_a_foreach_with_more_failures_than_tolerated_fails_and_cancels_what_is_under_way():
    run = Played(without_bodies(foreach()))
    run.tell(Fans("p", run.claim("p"), count=5, at_once=2, tolerated=0))
    run.tell(ItemEnds("p", 0, "failed"))
    assert run.state.status == "failed"
    assert [(o.kind, o.item) for o in owed(run.graph, run.state)] == [("cancel_child", 1)]
    run.tell(ItemEnds("p", 1, "cancelled"))
    assert not owed(run.graph, run.state)


def test_a_foreach_of_nothing_is_done_at_once():
    run = Played(without_bodies(foreach()))
    run.tell(Fans("p", run.claim("p"), count=0, at_once=2))
    assert run.statuses()["j"] == "completed"


def test_the_item_of_a_foreach_walks_what_lies_between_and_ends_in_the_join():
    run = Played(of_item(foreach(), "p"))
    assert list(run.state.nodes) == ["p", "b", "j"]
    run.end("b")
    assert run.state.status == "completed"


def test_a_child_that_fails_fails_its_node_and_a_stranger_changes_nothing():
    run = Played(line(WorkflowNode("s", "subworkflow")))
    run.tell(Waits("s", run.claim("s"), child="c1"))
    assert not run.tell(ChildEnds("s", "c0", "completed"))
    run.tell(ChildEnds("s", "c1", "failed", error="boom"))
    assert (run.state.status, run.state.nodes["s"].error_type) == ("failed", "child_failed")


def test_what_a_child_came_to_before_a_redrive_is_no_answer_after_it():
    run = Played(line(WorkflowNode("s", "subworkflow")))
    run.tell(Waits("s", run.claim("s"), child="c"))
    run.tell(ChildEnds("s", "c", "failed", error="boom"))
    run.tell(Redrives({"s": 1}))
    run.tell(Waits("s", run.claim("s"), child="c"))
    assert not run.tell(ChildEnds("s", "c", "failed", error="boom"))
    assert run.statuses()["s"] == "waiting"
    run.tell(ChildEnds("s", "c", "failed", error="again", parent_redrives=1))
    assert run.statuses()["s"] == "failed"


def test_what_an_item_came_to_before_a_redrive_is_no_answer_after_it_unless_it_completed():
    run = Played(without_bodies(foreach()))
    run.tell(Fans("p", run.claim("p"), count=2, at_once=2, tolerated=0))
    run.tell(ItemEnds("p", 0, "failed"))
    run.tell(Redrives({"p": 1, "j": 1, "z": 1}))
    run.tell(Fans("p", run.claim("p"), count=2, at_once=2, tolerated=0))
    assert not run.tell(ItemEnds("p", 0, "failed"))
    assert run.tell(ItemEnds("p", 1, "completed")), "what completed counts whenever it did"
    run.tell(ItemEnds("p", 0, "failed", parent_redrives=1))
    assert run.statuses()["p"] == "failed"


def test_a_redrive_runs_again_what_failed_and_keeps_the_rest():
    run = Played(line(http("a"), http("b"), http("c")))
    run.end("a")
    run.end("b", "failed", error_type="http_error", error="500")
    ended = run.state.nodes["a"].finished_ms
    with pytest.raises(Conflict):
        Played(line(http("a"))).tell(Redrives({"a": 1}))
    run.now_ms += 10
    run.tell(Redrives({"b": 1, "c": 1}))
    assert run.state.status == "running"
    run.end("b")
    run.end("c")
    assert run.state.status == "completed"
    assert run.state.nodes["a"].finished_ms == ended
    assert run.state.nodes["b"].token == 2, "tokens grow through a redrive"
