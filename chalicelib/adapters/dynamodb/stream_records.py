"""Records of the tables' streams as changes: of executions, schedules, leases and runs of workflows.

A claim and a sweep write a schedule's state, and say nothing that its executions do not say. So a schedule changes
with its definition, and when its last instant has passed. What expires is no change.
"""

from __future__ import annotations

import hashlib
import logging
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.dynamodb.execution_texts import with_texts
from chalicelib.core.changes.change_log import Arrived, Change
from chalicelib.core.decoders import decoder_of
from chalicelib.core.executions import journal
from chalicelib.core.executions.execution import Execution
from chalicelib.core.leases import lease_document
from chalicelib.core.leases.lease_item import LeaseItem
from chalicelib.core.schedules.schedule import Definition, Key, Schedule, State
from chalicelib.core.secrets import envelope
from chalicelib.core.workflows.run_state import SeenRun
from chalicelib.ports.sealing import Sealing

log = logging.getLogger(__name__)

Record = Mapping[str, Any]
Image = Mapping[str, Any]
LEASES_SUFFIX: Final = "#lease"  # of the partition of a tenant's leases
OF_SERVICE: Final = "%23"  # begins the partitions of the service's own: shards, nodes, producers of ticks
EXECUTIONS, SCHEDULES, REGISTRY, WORKFLOWS = "executions", "schedules", "registry", "workflows"
RUN_HEAD: Final = "head"
_NANOS_PER_MS = 1_000_000


class ScheduleReader(NamedTuple):
    """Reads what a schedule has beside the item that was written. Both raise Unavailable."""

    states: Callable[[Sequence[Key]], Mapping[Key, State]]
    definitions: Callable[[Sequence[Key]], Mapping[Key, Definition]]


class _Draft(NamedTuple):
    """A record of a schedule: the item that was written, or whose the schedule was that is gone."""

    sequence: int
    key: Key
    at_ms: int
    definition: Definition | None = None
    state: State | None = None
    last_owner: str = ""
    created: bool = False


def shard_name(stream_arn: str, shard_id: str) -> str:
    """A short name for one shard of one stream; a table made anew has another stream."""
    return hashlib.blake2b(f"{stream_arn}/{shard_id}".encode(), digest_size=6).hexdigest()


def table_of(record: Record) -> str:
    """The logical name of the table that a record is of; empty when its stream does not say."""
    parts = str(record.get("eventSourceARN", "")).split("/")
    return parts[1].rpartition("-")[2] if len(parts) > 1 else ""


def is_news(record: Record) -> bool:
    """Whether a record of the registry can be a change that the feed brings. The service's own leases, which nodes
    renew every second, are none."""
    pk: str = record["dynamodb"]["Keys"]["pk"]["S"]
    return pk.endswith(LEASES_SUFFIX) and not pk.startswith(OF_SERVICE)


def arrived(records: Iterable[Record], sealing: Sealing, schedules: ScheduleReader) -> list[Arrived]:
    """The changes among records of one stream, in order. Raises Unavailable."""
    found: list[Arrived | _Draft] = []
    for record in records:
        read = _READERS.get(table_of(record))
        try:
            one = read(record, sealing) if read is not None else None
        except (ValueError, KeyError, msgspec.MsgspecError):
            # One that cannot be read must not hold up the stream for a day.
            log.exception("left a record of the stream out of the change feed: it cannot be read")
            continue
        if one is not None:
            found.append(one)
    return _completed(found, schedules)


def _completed(found: Sequence[Arrived | _Draft], schedules: ScheduleReader) -> list[Arrived]:
    """Drafts of schedules with both of their items."""
    drafts = [one for one in found if isinstance(one, _Draft) and not one.last_owner]
    states = schedules.states([d.key for d in drafts if d.state is None]) if drafts else {}
    lone = [d.key for d in drafts if d.definition is None]
    definitions = schedules.definitions(lone) if lone else {}
    whole: list[Arrived] = []
    for one in found:
        if isinstance(one, Arrived):
            whole.append(one)
            continue
        state, definition = one.state or states.get(one.key), one.definition or definitions.get(one.key)
        change = _schedule_change(one, definition, state)
        if change is not None:
            whole.append(Arrived(one.sequence, one.key.tenant, change))
    return whole


def _schedule_change(draft: _Draft, definition: Definition | None, state: State | None) -> Change | None:
    if draft.last_owner:
        return Change("schedule", draft.key.id, draft.at_ms, draft.last_owner, None)
    if definition is None or state is None:
        return None  # it is deleted meanwhile, and its state has expired: the deletion says all
    if draft.created:
        at_ms = _stamped_ms(definition.hlc) if definition.hlc else draft.at_ms
        return Change("schedule", draft.key.id, at_ms, definition.owner, Schedule(definition, state))
    if state.status == "deleted":
        state = replace(state, status="active")  # when this was written it was not
    return Change("schedule", draft.key.id, draft.at_ms, definition.owner, Schedule(definition, state))


def _execution(record: Record, sealing: Sealing) -> Arrived | None:
    after = _new(record)
    if after is None:
        return None
    at = documents.execution_key(after["pk"]["S"], after["sk"]["S"])
    # What targets answered stays with the execution: it would make each of its changes longer.
    found = with_texts(journal.without_answers(documents.decode_execution(at, after["doc"]["S"])), sealing.unseal)
    return Arrived(_sequence(record), at.tenant, Change("execution", at.id, _at_ms(record, found), found.owner, found))


def _schedule(record: Record, sealing: Sealing) -> _Draft | None:
    keys = record["dynamodb"]["Keys"]
    sk = keys["sk"]["S"]
    if sk == documents.DEFINITION_SK:
        return _definition_draft(record, documents.key_of_partition(keys["pk"]["S"]), sealing)
    if sk == documents.STATE_SK:
        return _state_draft(record, documents.key_of_partition(keys["pk"]["S"]))
    return None


def _definition_draft(record: Record, at: Key, sealing: Sealing) -> _Draft | None:
    after = _new(record)
    if after is None:
        owner = record["dynamodb"]["OldImage"]["owner"]["S"]
        return _Draft(_sequence(record), at, _at_ms(record, None), last_owner=owner)
    if "OldImage" not in record["dynamodb"]:
        return None  # new: there is a schedule once its state is written, which comes after it
    payload = sealing.unseal(at.tenant, envelope.schedule_place(at.id), after["payload"]["S"])
    definition = documents.decode_definition(at, after["doc"]["S"], payload)
    return _Draft(_sequence(record), at, _at_ms(record, definition), definition=definition)


def _state_draft(record: Record, at: Key) -> _Draft | None:
    """A new state: the schedule is created. One that is taken off the list of those that have had their last instant:
    it is completed."""
    after, before = _new(record), record["dynamodb"].get("OldImage") or {}
    if after is not None and not before:
        state = documents.decode_state(at, after["doc"]["S"])
        if state.status == "deleted":
            return None  # it bars a creation that never came true
        return _Draft(_sequence(record), at, _at_ms(record, None), state=state, created=True)
    if after is None or "due_shard" in after or "due_shard" not in before:
        return None
    state, was = (documents.decode_state(at, image["doc"]["S"]) for image in (after, before))
    if state.status != "active" or was.spent_ms is None:
        return None  # paused or deleted, and its definition says so; or waiting for the end of a run
    return _Draft(_sequence(record), at, _at_ms(record, None), state=state)


def _lease(record: Record, _sealing: Sealing) -> Arrived | None:
    pk = record["dynamodb"]["Keys"]["pk"]["S"]
    after = _new(record)
    if after is None or not pk.endswith(LEASES_SUFFIX):
        return None
    item = lease_document.read(after["doc"]["S"])
    if item.tenant.startswith("#"):
        return None  # the service's own: shards and nodes
    return Arrived(_sequence(record), item.tenant, Change("lease", item.name, _at_ms(record, item), None, item))


def _run(record: Record, _sealing: Sealing) -> Arrived | None:
    """A new status of a run, as its head says. When it is checked next is no change, and neither is its expiry."""
    after, before = _new(record), record["dynamodb"].get("OldImage") or {}
    if after is None or after["sk"]["S"] != RUN_HEAD or "packed" not in after:
        return None
    if "packed" in before and bytes(before["packed"]["B"]) == bytes(after["packed"]["B"]):
        return None
    seen = decoder_of(SeenRun).decode(zlib.decompress(bytes(after["packed"]["B"])))
    state = seen.state
    return Arrived(
        _sequence(record), state.tenant, Change("workflow_run", state.id, _at_ms(record, None), state.owner, seen)
    )


_READERS: Mapping[str, Callable[[Record, Sealing], Arrived | _Draft | None]] = {
    EXECUTIONS: _execution,
    SCHEDULES: _schedule,
    REGISTRY: _lease,
    WORKFLOWS: _run,
}


def _new(record: Record) -> Image | None:
    image: Image | None = record["dynamodb"].get("NewImage")
    return image or None


def _sequence(record: Record) -> int:
    return int(record["dynamodb"]["SequenceNumber"])


def _at_ms(record: Record, written: Execution | Definition | LeaseItem | None) -> int:
    """When it was written, by the clock of the writer; the stream itself knows no more than the second."""
    if written is not None and written.hlc:
        return _stamped_ms(written.hlc)
    at = record["dynamodb"].get("ApproximateCreationDateTime", 0)
    seconds = at.timestamp() if hasattr(at, "timestamp") else float(at)
    return int(seconds * 1000)


def _stamped_ms(hlc: str) -> int:
    return int(hlc.partition(".")[0]) // _NANOS_PER_MS
