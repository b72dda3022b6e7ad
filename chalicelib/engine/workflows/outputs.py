"""What nodes came to: kept beside the log when large, and read where an expression or a caller asks.

What is above OUTPUT_INLINE_MAX_BYTES is in a store of its own. Before the first such value of a run a mark is written
beside its log. So what deletes the run knows that it has some, also of a worker that died before it noted them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from chalicelib.core.batches import chunks
from chalicelib.core.workflows import joins, output_ref
from chalicelib.core.workflows.limits import OUTPUT_MAX_BYTES
from chalicelib.core.workflows.output_ref import LARGE_MARK, EncodedOutput
from chalicelib.core.workflows.run_state import RunState
from chalicelib.engine.workflows.run_access import LoadedRun
from chalicelib.ports.services import Services
from chalicelib.ports.workflow_steps import StepFailed

ITEMS_AT_ONCE = 100


def encoded(value: Any, of: str = "the output") -> EncodedOutput:
    """A value as it is kept. Raises StepFailed (``payload_too_large``, ``invalid_output``)."""
    return _within_bounds(value, of, output_ref.encode)


def keep(s: Services, tenant: str, run_id: str, value: Any) -> dict[str, Any]:
    """The reference to an output, which is durable by then. Raises StepFailed."""
    made = encoded(value)
    store(s, tenant, run_id, made)
    return made.ref


def store(s: Services, tenant: str, run_id: str, made: EncodedOutput) -> None:
    """Make a value durable that stands beside the log. The same again changes nothing."""
    if made.is_large:
        s.stores.runs.put_payload(tenant, run_id, LARGE_MARK, b"")
        s.stores.large_values.put(tenant, run_id, made.name, made.content)
    elif made.name:
        s.stores.runs.put_payload(tenant, run_id, made.name, made.content)


def keep_item(s: Services, tenant: str, run_id: str, name: str, value: Any) -> None:
    """Keep the output of an item with the run that waits for it. Raises StepFailed."""
    made = _within_bounds(value, "the output of the item", output_ref.encode_item)
    if made.is_large:
        store(s, tenant, run_id, made)
    s.stores.runs.put_payload(tenant, run_id, name, output_ref.item_content(made))


def purge(s: Services, tenant: str, run_id: str) -> None:
    """Delete all that is kept of a run. Its large values go first: the mark that says that there are any stays until
    they are gone."""
    if s.stores.runs.payloads(tenant, run_id, [LARGE_MARK]):
        while not s.stores.large_values.purge(tenant, run_id):
            pass
    while not s.stores.runs.purge(tenant, run_id):
        pass


def read(s: Services, tenant: str, run_id: str, ref: Any) -> Any:
    """The value of a reference; None of none. Raises StepFailed (``value_missing``)."""
    if ref is None:
        return None
    if "value" in ref:
        return ref["value"]
    name = ref["ref"]

    def fetch() -> Any:
        found = contents(s, tenant, run_id, [ref])
        if name not in found:
            raise StepFailed("value_missing", f"the value {name} of {ref['size']} bytes is not kept any more")
        return json.loads(found[name])

    return s.process.outputs.get((tenant, name), fetch, ref["size"])  # its name is the hash of what it is


def contents(s: Services, tenant: str, run_id: str, refs: Iterable[Mapping[str, Any]]) -> dict[str, bytes]:
    """The bytes of references by name; what is not kept any more is left out."""
    found: dict[str, bytes] = {}
    beside: list[str] = []
    for ref in refs:
        content = s.stores.large_values.get(tenant, run_id, ref["ref"]) if output_ref.is_large(ref) else None
        if content is None:  # also a large one, from before the deployment had a bucket, or of an imported session
            beside.append(ref["ref"])
        else:
            found[ref["ref"]] = content
    for some in chunks(beside, ITEMS_AT_ONCE):
        found |= s.stores.runs.payloads(tenant, run_id, some)
    return found


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
    """The outputs of a foreach's items in their order; null of one that failed. Raises StepFailed where they are too
    large together to be one value."""
    node = state.nodes[parallel]
    count = 0 if node.fan is None else node.fan.count
    names = [item_name(parallel, node.generation, index) for index in range(count)]
    found: dict[str, bytes] = {}
    room = OUTPUT_MAX_BYTES
    for some in chunks(names, ITEMS_AT_ONCE):
        for name, content in s.stores.runs.payloads(state.tenant, state.id, some).items():
            ref = output_ref.pointed_at(content)
            room -= len(content) if ref is None else ref["size"]
            if room < 0:
                said = f"the outputs of the items of {parallel} have more than {OUTPUT_MAX_BYTES} bytes together"
                raise StepFailed("payload_too_large", said)
            found[name] = content if ref is None else _item(s, state, ref)
    return [json.loads(found[name]) if name in found else None for name in names]


def _item(s: Services, state: RunState, ref: Mapping[str, Any]) -> bytes:
    content = contents(s, state.tenant, state.id, [ref]).get(ref["ref"])
    if content is None:
        raise StepFailed("value_missing", f"the value {ref['ref']} of {ref['size']} bytes is not kept any more")
    return content


def _within_bounds(value: Any, of: str, encode: Any) -> EncodedOutput:
    try:
        made: EncodedOutput = encode(value)
    except (TypeError, ValueError, RecursionError) as wrong:
        raise StepFailed("invalid_output", f"{of} is not JSON: {wrong}") from None
    if len(made.content) > OUTPUT_MAX_BYTES:
        said = f"{of} has {len(made.content)} bytes; at most {OUTPUT_MAX_BYTES} are kept"
        raise StepFailed("payload_too_large", said)
    return made
