"""A fork: a run as of an event of its log, that goes on upon a stage. What had completed by then is kept; all else is
done anew, with mocks for what is outside. The run itself hears nothing of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.batches import chunks
from chalicelib.core.errors import RedriveConflict
from chalicelib.core.security.caller import DEFAULT_TENANT
from chalicelib.core.workflows import output_ref, redrive
from chalicelib.core.workflows.definition import WorkflowDefinition
from chalicelib.core.workflows.happenings import GivesUp, Redrives, SetsStops
from chalicelib.core.workflows.run_state import RunEvent, RunState, fold
from chalicelib.engine.workflows import outputs
from chalicelib.engine.workflows.outputs import ITEMS_AT_ONCE, item_name
from chalicelib.engine.workflows.run_access import advance, load, summary_of, tell, workflow
from chalicelib.ports.services import Services

BY = "fork"


class ForkOrigin(Struct, frozen=True):
    """What is taken from a run: its log up to a position, what its values are kept as, and what it walked."""

    events: tuple[RunEvent, ...]
    payloads: Mapping[str, bytes]
    large_values: Mapping[str, bytes]
    definition: WorkflowDefinition


def origin(s: Services, tenant: str, run_id: str, events: tuple[RunEvent, ...], made: WorkflowDefinition) -> ForkOrigin:
    """Read it. A value that is not kept any more is left out: what reads it fails, and says so."""
    state = fold(RunState(), events)
    refs = output_ref.refs_in(events)
    names: list[str] = []
    for name, node in state.nodes.items():
        count = 0 if node.fan is None else node.fan.next
        names += [item_name(name, node.generation, index) for index in range(count)]
    kept: dict[str, bytes] = {}
    for some in chunks(names, ITEMS_AT_ONCE):
        kept |= s.stores.runs.payloads(tenant, run_id, some)
    refs += [ref for content in kept.values() if (ref := output_ref.pointed_at(content)) is not None]
    kept |= outputs.contents(s, tenant, run_id, [ref for ref in refs if not output_ref.is_large(ref)])
    large = outputs.contents(s, tenant, run_id, [ref for ref in refs if output_ref.is_large(ref)])
    return ForkOrigin(events, kept, large, made)


def seed(s: Services, run_id: str, given: ForkOrigin) -> None:
    """Bring the run onto the stage under another id, ended where it stood."""
    s.stores.workflows.save_version(
        DEFAULT_TENANT,
        given.definition.name,
        given.definition.version,
        json.dumps(given.definition.document, separators=(",", ":"), ensure_ascii=False),
    )
    for name, content in given.payloads.items():
        s.stores.runs.put_payload(DEFAULT_TENANT, run_id, name, content)
    for name, content in given.large_values.items():
        s.stores.large_values.put(DEFAULT_TENANT, run_id, name, content)
    first, *more = given.events
    own = {"tenant": DEFAULT_TENANT, "id": run_id, "parent": "", "parent_node": "", "deadline_ms": None}
    begun = replace(first, data={**first.data, "run": {**first.data["run"], **own}})
    state = fold(RunState(), [begun, *more])
    s.stores.runs.enter(summary_of(state, 1, None))
    s.stores.runs.append(DEFAULT_TENANT, run_id, [begun, *more])
    for session in state.stops:
        tell(s, DEFAULT_TENANT, run_id, SetsStops(session, ()))
    tell(s, DEFAULT_TENANT, run_id, GivesUp(BY, "the fork begins here"))


def go_on(s: Services, run_id: str, wanted: WorkflowDefinition, edited_input: Any) -> None:
    """Let it go on under ``wanted``, with the input that it had where ``edited_input`` is None.

    Raises RedriveConflict."""
    run = load(s, DEFAULT_TENANT, run_id)
    graph = workflow(s, DEFAULT_TENANT, wanted.name, wanted.version).graph(())
    planned = redrive.plan(run.graph, graph, run.state, None)
    if planned.conflicts:
        raise RedriveConflict(planned.kept, list(planned.again), planned.conflicts)
    given = None if edited_input is None else outputs.keep(s, DEFAULT_TENANT, run_id, edited_input)
    advance(s, DEFAULT_TENANT, run_id, Redrives(planned.again, BY, wanted.version, given))
