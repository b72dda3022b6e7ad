"""Items and subworkflows: never more at once than may be, each begun once, and what they came to in its place. What is
undone is undone in the reverse order, once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chalicelib.core.workflows import compiled
from chalicelib.core.workflows.run_ids import child_id, item_id
from chalicelib.core.workflows.run_state import RunState, apply
from chalicelib.engine.workflows import outputs

_RUN_ENDS = frozenset({"run_completed", "run_failed", "run_cancelled", "run_compensation_failed"})
_UNDONE_AFTER = frozenset({"completed", "timeout"})


def check(play: Any) -> Iterator[str]:
    """What was too many, twice, or in the wrong place."""
    record = play.runs
    yield from _at_once(play)
    for run_id, log in record.logs.items():
        yield from _driven_again(record, run_id, log)
        yield from _undone(record, run_id, log)
        state = record.states[run_id]
        if state.status == "completed" and play.rested:
            yield from _outputs(play, run_id, state)


def _at_once(play: Any) -> Iterator[str]:
    """Count the runs of items that live, as the world saw them begin and end."""
    record = play.runs
    spans: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for run_id, log in record.logs.items():
        state = record.states[run_id]
        if state.scope:
            ended = next((s.at_ms for s in log if any(e.type in _RUN_ENDS for e in s.events)), 1 << 60)
            spans.setdefault((state.parent, state.parent_node), []).append((log[0].at_ms, ended))
    for (parent, node), lives in spans.items():
        fan = record.states[parent].nodes[node].fan
        if fan is None or record.states[parent].nodes[node].generation > 1:
            continue
        moments = sorted([(begin, 1) for begin, _ in lives] + [(end, -1) for _, end in lives])
        count = 0
        for _, step in moments:
            count += step
            if count > fan.at_once:
                yield f"{parent}: {count} items of {node} at once; {fan.at_once} may be"
                break
        if len(lives) > fan.count:
            yield f"{parent}: {len(lives)} runs for {fan.count} items of {node}"


def _driven_again(record: Any, run_id: str, log: list[Any]) -> Iterator[str]:
    """After a redrive no run that is waited for fails by what it came to before."""
    state = RunState()
    for stored in log:
        for event in stored.events:
            before = state.nodes.get(event.node)
            apply(state, event)
            failed = event.type == "node_failed" and event.data["error_type"].startswith("child_")
            if event.type == "item_ended" and event.data["status"] != "completed" and state.nodes[event.node].fan:
                child = item_id(run_id, event.node, state.nodes[event.node].generation, event.data["index"])
            elif failed and before is not None:
                child = before.child or child_id(state, event.node)
            else:
                continue
            waited = before is not None and before.status in ("running", "waiting")
            seen = _parent_redrives(record.logs.get(child, []), stored.at_ms)
            if waited and seen is not None and seen < state.redrives:
                yield f"{run_id}: {child} ended its part by what it was before redrive {state.redrives}"


def _parent_redrives(log: list[Any], at_ms: int) -> int | None:
    state = RunState()
    for stored in log:
        if stored.at_ms <= at_ms:
            for event in stored.events:
                apply(state, event)
    return state.parent_redrives if state.events else None


def _undone(record: Any, run_id: str, log: list[Any]) -> Iterator[str]:
    state = RunState()
    ended: dict[str, int] = {}
    undone: list[str] = []
    for stored in log:
        for event in stored.events:
            apply(state, event)
            if event.type == "run_redriven":
                ended, undone = {}, []
            if event.type in ("node_completed", "node_timeout") and event.node:
                ended[event.node] = event.number
            if event.type == "run_compensating":
                undone.append(event.data["node"])
    if len(undone) != len(set(undone)):
        yield f"{run_id}: undone twice: {undone}"
    if state.status != "failed":
        return
    graph = record.graph(state)
    owed = [n for n, node in state.nodes.items() if graph.nodes[n].compensate and node.status in _UNDONE_AFTER]
    owed.sort(key=lambda name: -state.nodes[name].ended_as)
    found = [name for name in undone if state.nodes[name].status in _UNDONE_AFTER]
    if found != owed:
        yield f"{run_id}: undone were {found}; it had to be {owed}"


def _outputs(play: Any, run_id: str, state: RunState) -> Iterator[str]:
    """What the list of a foreach holds, item by item, against what the outside answered."""
    services = play.fleet.slots[0].services
    plain = _Plain(services, play.inner)
    made = compiled.of_text(play.runs.documents[state.workflow, state.version])
    for name, node in state.nodes.items():
        if made.whole.nodes[name].is_foreach and node.status == "completed" and not state.scope and node.fan:
            [edge] = [e for e in made.whole.outgoing[name] if e.target.endswith("item")]
            found = outputs.of_items(plain, state, name)  # type: ignore[arg-type]
            again = f"#{node.generation}" if node.generation > 1 else ""
            for index, value in enumerate(found):
                child = play.runs.states.get(f"{run_id}~{name}{again}~{index}")
                is_done = child is not None and child.status == "completed"
                key = f"{run_id}/{edge.target}/{index}"
                said = None if value is None else value["body"]["key"].partition("#")[0]
                if said != (key if is_done else None):
                    yield f"{run_id}: item {index} of {name} came to {said}; it is {key if is_done else None}"


class _Plain:
    """The stores without the gate."""

    def __init__(self, services: Any, stores: Any) -> None:
        self.stores = stores
        self.process = services.process
