"""Planted bugs of workflows; ``mutants`` has those of all else, and says how they are planted."""
# ruff: noqa: E501 - edits quote the product's lines, and are easiest compared on one line

from __future__ import annotations

from tests.simulation.instrument import Edit
from tests.simulation.planted_bug import Mutant

DECIDE, JOINS, GATES, WAITING, CHAINED, ORDERS, SLA = (
    f"chalicelib.core.workflows.{name}" for name in ("decide", "joins", "gates", "waiting", "chained", "orders", "sla")
)
ENDINGS, LOG = "chalicelib.core.workflows.run_endings", "chalicelib.core.workflows.run_log"
ACCESS, STEPS, NODES = (f"chalicelib.engine.workflows.{name}" for name in ("run_access", "steps", "nodes"))
OUTPUTS = "chalicelib.engine.workflows.outputs"
CHILDREN, HANDLERS = "chalicelib.engine.workflows.children", "chalicelib.engine.workflows.handlers"
MEMORY_RUNS = "chalicelib.adapters.memory.runs"


def _planted(says: str, *edits: Edit) -> Mutant:
    return Mutant(says, edits, "workflows")


MUTANTS: dict[str, Mutant] = {
    # -- one identity, one effect
    "log-overwritten": _planted(
        "events are appended over those of others",
        Edit(MEMORY_RUNS, "            if events[0].number != len(log) + 1:\n                return False\n            log += events",
             "            del log[events[0].number - 1 :]\n            log += events"),
    ),
    "step-claimed-twice": _planted(
        "a step is claimed though another worker has it",
        Edit(DECIDE, 'is_free = node.status == "running" and not node.worker and', 'is_free = node.status == "running" and'),
    ),
    "step-token-unasked": _planted(
        "a worker that lost its step ends it all the same",
        Edit(DECIDE, "bool(node.worker) and node.token == token", "bool(node.worker)"),
    ),
    "unanswered-append-believed": _planted(
        "an append without an answer counts as done",
        Edit(ACCESS, "        first, count = decision.events[0], len(decision.events)\n", "        return True\n        first, count = decision.events[0], len(decision.events)\n"),
    ),
    "claimed-over-a-claim": _planted(
        "a worker that goes on takes what it did not claim",
        Edit(STEPS, "        follow(s, run, decision, without=mine)\n        worker", "        follow(s, run, decision, without=mine)\n        decision = replace(decision, claimed=decision.claimed or next((o.node for o in decision.orders if o.kind == \"step\"), \"\"))\n        worker"),
    ),
    "key-by-attempt": _planted(
        "each attempt goes out under a key of its own",
        Edit(NODES, "{name}{where}{again}{", "{name}{where}{again}-{self.attempt}{"),
    ),
    "generation-unsaid": _planted(
        "what is chosen to run again goes out under the old key",
        Edit(NODES, 'again = f"#{generation}" if generation else ""', 'again = ""'),
    ),
    "tried-for-ever": _planted(
        "attempts are not counted",
        Edit(DECIDE, "ends.retry_in_ms is not None and node.attempt < log.graph.nodes[name].retry.max_attempts", "ends.retry_in_ms is not None"),
    ),
    # -- the rules of the graph
    "skipped-for-done": _planted(
        "what was skipped counts as completed",
        Edit(JOINS, '            return source.status == "completed"\n        case "skipped"', '            return source.status in ("completed", "skipped")\n        case "skipped"'),
    ),
    "join-by-the-first": _planted(
        "a join of all runs at the first",
        Edit(JOINS, '        if still:\n            return "wait"\n        return "run" if live else "skip"', '        if still and not live:\n            return "wait"\n        return "run" if live else "skip"'),
    ),
    "quorum-waits-for-ever": _planted(
        "a join that can no longer have its live edges waits on",
        Edit(JOINS, 'return "unreachable" if live and live + still < node.needed else "wait"', 'return "wait"'),
    ),
    "others-go-on": _planted(
        "a join that needs no more cancels nothing",
        Edit(DECIDE, "            if graph.nodes[name].cancels_others:", "            if False:"),
    ),
    "rejection-for-failure": _planted(
        "a failure edge takes a rejection that has an edge of its own",
        Edit(JOINS, 'return source.reason != REJECTED or "rejected" not in own', "return True"),
    ),
    "children-judged-first": _planted(
        "what has ended is followed in whatever order",
        Edit(DECIDE, "heappush(line, place[edge.target])", "heappush(line, -place[edge.target])"),
        Edit(DECIDE, "log.graph.order[heappop(line)]", "log.graph.order[-heappop(line)]"),
    ),
    # -- cancels
    "cancelled-and-claimed": _planted(
        "a step is claimed after the cancel",
        Edit(DECIDE, 'log.state.status in ("running", "compensating"):', "not log.state.is_ended:"),
        Edit(DECIDE, '        if log.state.status == "cancelling":\n            log.end_by_cancel(name, "its worker died, and the run was cancelled")\n        elif node', "        if node"),
        Edit(DECIDE, "state.cancel_by_ms is not None and now_ms >= state.cancel_by_ms", "False"),
    ),
    "grace-without-end": _planted(
        "what is under way at a cancel may take as long as it likes",
        Edit(DECIDE, "state.cancel_by_ms is not None and now_ms >= state.cancel_by_ms", "False"),
    ),
    "waiting-through-a-cancel": _planted(
        "a cancel leaves alone what waits",
        Edit(DECIDE, 'under_way = node.status == "running" and node.worker', 'under_way = node.worker or node.status == "waiting"'),
    ),
    "children-live-on": _planted(
        "a cancel does not reach the run of a subworkflow",
        Edit(ORDERS, "        elif waiting.is_child_to_end(node):\n            orders", "        elif False:\n            orders"),
    ),
    "child-begun-unsaid": _planted(
        "a run that was begun and not yet waited for outlives the cancel",
        Edit(LOG, "        if waits and node.token and not node.child:", "        if False:"),
    ),
    "cancelled-before-begun": _planted(
        "a cancel that comes before its child's beginning is forgotten",
        Edit(CHILDREN, "    begun = begin_quietly(s, fields, is_cancelled=True)\n    if begun.run is not None and begun.decision is not None:\n        follow(s, begun.run, begun.decision)\n        return\n    found = load(s, state.tenant, fields[\"id\"])\n",
             "    if not s.stores.runs.read(state.tenant, fields[\"id\"]).events:\n        return\n    found = load(s, state.tenant, fields[\"id\"])\n"),
    ),
    # -- instants
    "due-unsaid": _planted(
        "nobody is told of the next instant",
        Edit(ACCESS, "    if next_ms is not None and next_ms - now_ms <= QUEUE_DELAY_MAX_S * 1000:", "    if False:"),
    ),
    "due-too-early": _planted(
        "a delay ends before its time",
        Edit(DECIDE, "if node.due_ms is not None and now_ms >= node.due_ms and", "if node.due_ms is not None and now_ms + 300 >= node.due_ms and"),
        Edit(STEPS, "    s.clock.sleep_until(hint.due_ms)\n", "    s.clock.sleep_until(hint.due_ms - 300)\n"),
    ),
    "miss-unsaid": _planted(
        "what ends late is no miss",
        Edit(SLA, "    return now_ms >= late_ms if ended_ms is None else ended_ms > late_ms", "    return ended_ms is None and now_ms >= late_ms"),
    ),
    "miss-at-the-end": _planted(
        "nobody is told of the instant of an SLA",
        Edit(ORDERS, "    dues += sla.dues(state)\n", ""),
    ),
    "miss-told-before": _planted(
        "the log says that a miss was announced before it was",
        Edit("chalicelib.engine.workflows.late_runs", "    emit(s, [_event(run, node)])\n    state = run.state\n", "    state = run.state\n    advance(s, state.tenant, state.id, TellsLate(node), run)\n    emit(s, [_event(run, node)])\n"),
    ),
    "deadline-unasked": _planted(
        "a run takes as long as it likes",
        Edit(DECIDE, "state.deadline_ms is not None and now_ms >= state.deadline_ms", "False"),
    ),
    # -- gates
    "one-is-a-quorum": _planted("one approval is enough", Edit(GATES, "if len(by) >= gate.quorum:", "if by:")),
    "decided-by-one-twice": _planted(
        "a person counts as often as they decide",
        Edit(GATES, "    if decides.by in gate.approved_by:", "    if False:"),
    ),
    # -- nothing is stranded
    "hints-for-the-truth": _planted(
        "reconcile sends nothing again", Edit(STEPS, "    send(s, run.state, owed(run.graph, run.state), next_due_ms(run.state))", "    send(s, run.state, [], next_due_ms(run.state))")
    ),
    "quick-child-unheard": _planted(
        "a child that ends before its parent waits for it is not heard",
        Edit(WAITING, '    return node.status == "running" and begins and child_id(state, name) == child', "    return False"),
    ),
    "one-order-is-all": _planted(
        "a worker that goes on with one thing forgets the others",
        Edit(ACCESS, "    orders = [order for order in decision.orders if order != without]", "    orders = [] if without else list(decision.orders)"),
        Edit(CHAINED, "orders=tuple(order for order in first.orders if order != mine) + claimed.orders", "orders=claimed.orders"),
    ),
    # -- items, children, compensation
    "more-items-at-once": _planted(
        "each item that ends begins as many as may be at once",
        Edit(DECIDE, "fan.next + fan.at_once - len(fan.live)", "fan.next + fan.at_once"),
    ),
    "redrive-without-children": _planted(
        "a redrive takes what its children came to before",
        Edit(CHILDREN, "    return is_behind and _is_waited_for(parent, child)", "    return False"),
        Edit(WAITING, '    return ended.status != "completed" and ended.parent_redrives < state.redrives', "    return False"),
    ),
    "undone-as-done": _planted(
        "what was done first is undone first", Edit(ENDINGS, "return max(done, key=", "return min(done, key=")
    ),
    "unknown-not-undone": _planted(
        "what timed out is not undone", Edit(ENDINGS, 'node.status in ("completed", "timeout") or', 'node.status == "completed" or')
    ),
    "failed-at-once-unheard": _planted(
        "a run that fails before a worker took a step of it begins no handler",
        Edit(ACCESS, "        _send_handler(s, again)\n", "        if any(node.token for node in again.state.nodes.values()):\n            _send_handler(s, again)\n"),
    ),
    "failure-of-the-dead-unheard": _planted(
        "only the worker that ends a run tells of its failure",
        Edit(ACCESS, "        _send_handler(s, again)\n", "        if again.state.events == state.events and state.status == \"failed\":\n            _send_handler(s, again)\n"),
        Edit(ACCESS, "        _send_handler(s, ended)\n", ""),
    ),
    # -- large values
    "value-believed": _planted(
        "a large value counts as kept whatever its store says",
        Edit(OUTPUTS, "        s.stores.large_values.put(tenant, run_id, made.name, made.content)\n", "        try:\n            s.stores.large_values.put(tenant, run_id, made.name, made.content)\n        except Exception as problem:\n            assert problem\n"),
    ),
    "value-unmarked": _planted(
        "a large value is kept before the mark by which it is deleted",
        Edit(OUTPUTS, "        s.stores.runs.put_payload(tenant, run_id, LARGE_MARK, b\"\")\n        s.stores.large_values.put(tenant, run_id, made.name, made.content)\n",
             "        s.stores.large_values.put(tenant, run_id, made.name, made.content)\n        s.stores.runs.put_payload(tenant, run_id, LARGE_MARK, b\"\")\n"),
    ),
    "input-before-its-run": _planted(
        "a large input is kept before anything knows of its run",
        Edit(CHILDREN, "    if not _enter(s, replace(entry", "    if given is not None:\n        outputs.store(s, tenant, run_id, given)\n    if not _enter(s, replace(entry"),
    ),
    "value-of-another-run": _planted(
        "what a child came to stays with the child, and its parent refers to it",
        Edit(CHILDREN, "output = outputs.keep(s, state.tenant, state.parent, outputs.of_run(s, run))", "output = outputs.keep(s, state.tenant, state.id, outputs.of_run(s, run))"),
    ),
    "handled-twice": _planted(
        "what follows a failure makes it another failure",
        Edit(HANDLERS, "~on_failure~{state.redrives}", "~on_failure~{state.events}"),
    ),
}  # fmt: skip
