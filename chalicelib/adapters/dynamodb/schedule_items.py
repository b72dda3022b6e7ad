"""Items of the schedules table: where they lie, and what puts them into an index; see docs/storage.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.dynamodb.database import Database, Item, Statement, Value, key, number, text
from chalicelib.core.jobs import job_status
from chalicelib.core.policies.monitor import MonitorState
from chalicelib.core.schedules.schedule import Definition, Key, State
from chalicelib.core.secrets import envelope

SPENT_PREFIX: Final = "spent#"


class ScheduleItems:
    """The schedules table of one deployment."""

    def __init__(self, database: Database) -> None:
        self.db = database
        self.table = database.names.schedules

    def items(self, wanted: Sequence[tuple[Key, str]], attributes: str = "") -> dict[tuple[Key, str], Item]:
        """The items of (schedule, sort key) pairs, those that exist."""
        unique = dict.fromkeys(wanted)
        found = self.db.get_many(self.table, [key(documents.partition(*at), sk) for at, sk in unique], attributes)
        return {(documents.key_of_partition(i["pk"]["S"]), i["sk"]["S"]): i for i in found}

    def sealed_payload(self, definition: Definition) -> str:
        """The payload of a definition as it is stored."""
        return self.db.sealing.seal(definition.tenant, envelope.schedule_place(definition.id), definition.payload)

    def definition_of(self, at: Key, item: Item) -> Definition:
        """The definition, or the snapshot of one, that an item holds. Raises Unavailable when it cannot be unsealed."""
        payload = self.db.sealing.unseal(at.tenant, envelope.schedule_place(at.id), item["payload"]["S"])
        return documents.decode_definition(at, item["doc"]["S"], payload)


def due_attributes(state: State) -> tuple[str, int] | None:
    """What puts a state into the ``due`` index; None for one that is not to be swept.

    One that has no more instants stays in it until it is released. The entry of a one-shot stays where it is: it costs
    nothing until then.
    """
    if state.spent_ms is not None:
        return str(state.shard), state.spent_ms
    if state.status != "active" or state.next_run_ms is None:
        return None
    return str(state.shard), state.next_run_ms


def spent_partition(shard: int) -> str:
    """Where releases before listed the schedules of a shard that have ended and are not released."""
    return f"{SPENT_PREFIX}{shard}"


def monitor_partition(shard: int) -> str:
    """Where the ``due`` index lists the monitors of a shard."""
    return f"watch#{shard}"


def job_attributes(state: State) -> tuple[str, str] | None:
    """What puts a state into the ``jobs`` index; None for one that is in no group."""
    group = job_status.group(state)
    return None if group is None else (job_partition(state.tenant, group), state.id)


def job_partition(tenant: str, group: str) -> str:
    """Where the ``jobs`` index lists a group of a tenant."""
    return f"{documents.escaped(tenant)}#{group}"


def monitor_item(monitor: MonitorState) -> dict[str, Value]:
    """A monitor as it is stored."""
    return {
        **key(documents.partition(*monitor.key), documents.MONITOR_SK),
        "doc": text(documents.encode_monitor(monitor)),
        "rev": number(monitor.rev),
        "due_shard": text(monitor_partition(monitor.shard)),
        "next_run": number(monitor.look_ms),
    }


def if_rev(expected_rev: int) -> dict[str, Any]:
    """The condition of a write over the rev that was read."""
    return {"ConditionExpression": "rev = :r", "ExpressionAttributeValues": {":r": number(expected_rev)}}


def state_put(table: str, state: State, expected_rev: int) -> dict[str, Any]:
    """A state as a part of a transaction."""
    due, job = due_attributes(state), job_attributes(state)
    item: dict[str, Value] = {
        **key(documents.partition(*state.key), documents.STATE_SK),
        "doc": text(documents.encode_state(state)),
        "rev": number(state.rev),
        "epoch": number(state.epoch),
    }
    if due is not None:
        item |= {"due_shard": text(due[0]), "next_run": number(due[1])}
    if job is not None:
        item |= {"job_pk": text(job[0]), "job_sk": text(job[1])}
    return {"TableName": table, "Item": item, **if_rev(expected_rev)}


def state_update(table: str, state: State, expected_rev: int) -> Statement:
    """A state as a statement of a batch."""
    values = [text(documents.encode_state(state)), number(state.rev), number(state.epoch)]
    due, job = due_attributes(state), job_attributes(state)
    if due is None:
        index = "REMOVE due_shard REMOVE next_run"
    else:
        index = "SET due_shard=? SET next_run=?"
        values += [text(due[0]), number(due[1])]
    if job is None:
        index += " REMOVE job_pk REMOVE job_sk"
    else:
        index += " SET job_pk=? SET job_sk=?"
        values += [text(job[0]), text(job[1])]
    where = [text(documents.partition(*state.key)), text(documents.STATE_SK), number(expected_rev)]
    fields = f"SET doc=? SET rev=? SET epoch=? {index}"
    return Statement(f'UPDATE "{table}" {fields} WHERE pk=? AND sk=? AND rev=?', (*values, *where))
