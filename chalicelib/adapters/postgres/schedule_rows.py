"""Rows of schedules: what stands in columns beside their documents, and what puts them into an index."""

from __future__ import annotations

from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.postgres.database import Row
from chalicelib.core.jobs import job_status
from chalicelib.core.policies.monitor import MonitorState
from chalicelib.core.schedules.schedule import Definition, Key, State
from chalicelib.core.secrets import envelope
from chalicelib.ports.sealing import Sealing


def state_row(state: State) -> Row:
    """tenant, id, shard, rev, epoch, due_ms, job_group, doc."""
    return (
        state.tenant,
        state.id,
        state.shard,
        state.rev,
        state.epoch,
        due_ms(state),
        job_status.group(state),
        documents.encode_state(state),
    )


def due_ms(state: State) -> int | None:
    """When a state is due; None for one that is not to be swept. One without more instants is, until its release."""
    if state.spent_ms is not None:
        return state.spent_ms
    return None if state.status != "active" else state.next_run_ms


def definition_row(definition: Definition, sealing: Sealing) -> Row:
    """tenant, id, version, owner, enabled, type, name, tags, listed, doc, payload."""
    return (
        definition.tenant,
        definition.id,
        definition.version,
        definition.owner,
        definition.active,
        str(definition.type),
        definition.name,
        list(definition.tags),
        not definition.by_events,
        documents.encode_definition(definition),
        sealed(definition, sealing),
    )


def snapshot_row(definition: Definition, expires_s: int, sealing: Sealing) -> Row:
    """tenant, id, version, doc, payload, expires_s."""
    doc = documents.encode_definition(definition)
    return (definition.tenant, definition.id, definition.version, doc, sealed(definition, sealing), expires_s)


def monitor_row(monitor: MonitorState) -> Row:
    """tenant, id, shard, rev, look_ms, doc."""
    return (*monitor.key, monitor.shard, monitor.rev, monitor.look_ms, documents.encode_monitor(monitor))


def sealed(definition: Definition, sealing: Sealing) -> str:
    """The payload as it is stored."""
    return sealing.seal(definition.tenant, envelope.schedule_place(definition.id), definition.payload)


def opened(at: Key, doc: str, payload: str, sealing: Sealing) -> Definition:
    """The definition of a row. Raises Unavailable when its payload cannot be unsealed."""
    return documents.decode_definition(at, doc, sealing.unseal(at.tenant, envelope.schedule_place(at.id), payload))
