"""What nodes came to: kept beside the log when large, and read where an expression or a caller asks."""

from __future__ import annotations

import json
from typing import Any

from chalicelib.core.batches import chunks
from chalicelib.core.workflows import joins, output_ref
from chalicelib.core.workflows.limits import OUTPUT_MAX_BYTES
from chalicelib.core.workflows.run_state import RunState
from chalicelib.engine.workflows.run_access import LoadedRun
from chalicelib.ports.services import Services
from chalicelib.ports.workflow_steps import StepFailed

ITEMS_AT_ONCE = 100


def keep(s: Services, tenant: str, run_id: str, value: Any) -> dict[str, Any]:
    """The reference to an output, which is durable by then. Raises StepFailed (``payload_too_large``)."""
    try:
        encoded = output_ref.encode(value)
    except (TypeError, ValueError) as wrong:
        raise StepFailed("invalid_output", f"the output is not JSON: {wrong}") from None
    if len(encoded.content) > OUTPUT_MAX_BYTES:
        said = f"the output has {len(encoded.content)} bytes; at most {OUTPUT_MAX_BYTES} are kept"
        raise StepFailed("payload_too_large", said)
    if encoded.name:
        s.stores.runs.put_payload(tenant, run_id, encoded.name, encoded.content)
    return encoded.ref


def read(s: Services, tenant: str, run_id: str, ref: Any) -> Any:
    """The value of a reference; None of none."""
    if ref is None:
        return None
    if "value" in ref:
        return ref["value"]
    name = ref["ref"]

    def fetch() -> Any:
        found = s.stores.runs.payloads(tenant, run_id, [name])
        if name not in found:
            raise StepFailed("internal_error", f"the output {name} is not kept any more", retryable=True)
        return json.loads(found[name])

    return s.process.outputs.get((tenant, name), fetch)  # its name is the hash of what it is


def of_node(s: Services, run: LoadedRun, name: str) -> Any:
    """What a node came to: of a trigger the input, of a join what the live edges into it brought."""
    state, graph = run.state, run.graph
    node = graph.nodes[name]
    if state.nodes[name].status not in ("completed", "failed", "timeout"):
        return None
    if node.type == "trigger":
        return read(s, state.tenant, state.id, state.input)
    if node.is_foreach:
        return of_items(s, state, name)
    if node.type == "join":
        return of_parents(s, run, name)
    return read(s, state.tenant, state.id, state.nodes[name].output)


def of_parents(s: Services, run: LoadedRun, name: str) -> Any:
    """What the live edges into a join brought, by node; of a foreach the list of its items' outputs."""
    graph, nodes = run.graph, run.state.nodes
    parents = joins.live_parents(graph, nodes, name)
    if len(parents) == 1 and graph.nodes[parents[0]].is_foreach:
        return of_node(s, run, parents[0])
    if graph.nodes[name].mode != "all_settled":
        return {parent: of_node(s, run, parent) for parent in parents}
    return {
        parent: {
            "state": nodes[parent].status,
            "output": of_node(s, run, parent),
            "error": nodes[parent].error or None,
        }
        for parent in dict.fromkeys(edge.source for edge in graph.incoming[name])
    }


def of_run(s: Services, run: LoadedRun) -> Any:
    """What a run came to: the output of the node that nothing follows, or a map of several."""
    graph, nodes = run.graph, run.state.nodes
    done = [name for name in graph.ends if nodes[name].status == "completed"]
    if run.state.scope and len(done) == 1:
        parents = joins.live_parents(graph, nodes, done[0])
        return of_node(s, run, parents[0]) if len(parents) == 1 else of_parents(s, run, done[0])
    if len(done) == 1:
        return of_node(s, run, done[0])
    return {name: of_node(s, run, name) for name in done} or None


def item_name(parallel: str, generation: int, index: int) -> str:
    """Under which name the output of an item is kept with the run that waits for it."""
    return f"item/{parallel}/{generation}/{index}"


def of_items(s: Services, state: RunState, parallel: str) -> list[Any]:
    """The outputs of a foreach's items in their order; null of one that failed."""
    node = state.nodes[parallel]
    count = 0 if node.fan is None else node.fan.count
    names = [item_name(parallel, node.generation, index) for index in range(count)]
    found: dict[str, bytes] = {}
    for some in chunks(names, ITEMS_AT_ONCE):
        found.update(s.stores.runs.payloads(state.tenant, state.id, some))
    return [json.loads(found[name]) if name in found else None for name in names]


def item_content(value: Any) -> bytes:
    """The output of an item as it is kept."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
