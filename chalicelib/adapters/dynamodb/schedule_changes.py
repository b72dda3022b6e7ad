"""Creating and changing a schedule: everything that it writes in one transaction, through pynamodb.

Workers never import this module: see ``tables``.
"""

from __future__ import annotations

from collections.abc import Sequence

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.transactions import TransactWrite

from chalicelib.adapters.aws import clients
from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.dynamodb.capacity_counters import CapacityCounters, Move, judged_update
from chalicelib.adapters.dynamodb.database import Database
from chalicelib.adapters.dynamodb.schedule_items import due_attributes, job_attributes, monitor_partition
from chalicelib.adapters.dynamodb.tables import RegistryItem, ScheduleItem, bound, connection_of
from chalicelib.adapters.machine.system import token
from chalicelib.core.policies.monitor import MonitorState
from chalicelib.core.schedules.capacity import Limits
from chalicelib.core.schedules.schedule import Definition, Key, Schedule, State
from chalicelib.core.secrets import envelope
from chalicelib.ports.stores.schedules import CapacityFull, NameTaken, RevisionLost, ScheduleChange


class ScheduleWriter:
    """``create`` and ``change`` of ``ScheduleStore``."""

    def __init__(self, database: Database, counters: CapacityCounters, retention_s: int) -> None:
        self._counters = counters
        self._retention_s = retention_s
        self._sealing = database.sealing
        self.model = bound(ScheduleItem, database.names.schedules, database.client())
        self._registry = bound(RegistryItem, database.names.registry, database.client())

    def create(self, schedule: Schedule, limits: Limits | None, monitor: MonitorState | None) -> None:
        """Write state, definition, monitor, name guard and counters in one transaction.

        Raises RevisionLost when the id exists, NameTaken, CapacityFull.
        """
        model, definition = self.model, schedule.definition
        transaction = _Transaction(model)
        transaction.save(self._state_item(schedule.state, None), model.pk.does_not_exist(), RevisionLost)
        transaction.save(self._definition_item(definition), model.pk.does_not_exist(), RevisionLost)
        self._begin_monitor(transaction, monitor)
        if definition.name is not None:
            self._take_name(transaction, definition.key, (definition.owner, definition.name))
        self._move(transaction, self._counters.moves(None, schedule.state, limits))
        transaction.commit()

    def change(self, change: ScheduleChange) -> None:
        """Write a change in one transaction. Raises RevisionLost, NameTaken or CapacityFull."""
        model, at = self.model, change.state.key
        transaction = _Transaction(model)
        superseded = self._expiry(change.state)
        deleted = change.definition is None
        transaction.save(
            self._state_item(change.state, superseded if deleted else None),
            model.rev == change.before.rev,
            RevisionLost,
        )
        if change.definition is None:
            pk = documents.partition(*at)
            transaction.delete(model(hash_key=pk, range_key=documents.DEFINITION_SK), None, RevisionLost)
        else:
            transaction.save(self._definition_item(change.definition), None, RevisionLost)
        if change.snapshot is not None:
            transaction.save(self._snapshot_item(change.snapshot, superseded), None, RevisionLost)
        self._begin_monitor(transaction, change.monitor)
        if change.old_name != change.new_name:
            self._free_name(transaction, at, change.old_name)
            if change.new_name is not None:
                self._take_name(transaction, at, change.new_name)
        self._move(transaction, self._counters.moves(change.before, change.state, change.limits))
        transaction.commit()

    def _begin_monitor(self, transaction: _Transaction, monitor: MonitorState | None) -> None:
        if monitor is not None:
            item = self.model(
                hash_key=documents.partition(*monitor.key),
                range_key=documents.MONITOR_SK,
                doc=documents.encode_monitor(monitor),
                rev=monitor.rev,
                due_shard=monitor_partition(monitor.shard),
                next_run=monitor.look_ms,
            )
            transaction.save(item, None, RevisionLost)

    def _move(self, transaction: _Transaction, moves: Sequence[Move]) -> None:
        for move in moves:
            transaction.update(*judged_update(self._registry, move), CapacityFull)

    def _state_item(self, state: State, ttl: int | None) -> ScheduleItem:
        due_shard, next_run = due_attributes(state) or (None, None)
        job_pk, job_sk = job_attributes(state) or (None, None)
        return self.model(
            hash_key=documents.partition(*state.key),
            range_key=documents.STATE_SK,
            doc=documents.encode_state(state),
            rev=state.rev,
            epoch=state.epoch,
            due_shard=due_shard,
            next_run=next_run,
            job_pk=job_pk,
            job_sk=job_sk,
            ttl=ttl,
        )

    def _definition_item(self, definition: Definition) -> ScheduleItem:
        return self.model(
            hash_key=documents.partition(*definition.key),
            range_key=documents.DEFINITION_SK,
            doc=documents.encode_definition(definition),
            payload=self._sealed(definition),
            list_pk=None if definition.by_events else documents.escaped(definition.tenant),
            list_sk=None if definition.by_events else definition.id,
            owner=definition.owner,
            enabled=definition.active,
            type=definition.type,
            name=definition.name,
            tags=set(definition.tags) or None,
        )

    def _snapshot_item(self, snapshot: Definition, ttl: int) -> ScheduleItem:
        return self.model(
            hash_key=documents.partition(*snapshot.key),
            range_key=documents.snapshot_sk(snapshot.version),
            doc=documents.encode_definition(snapshot),
            payload=self._sealed(snapshot),
            ttl=ttl,
        )

    def _sealed(self, definition: Definition) -> str:
        return self._sealing.seal(definition.tenant, envelope.schedule_place(definition.id), definition.payload)

    def _expiry(self, state: State) -> int:
        """When what ``state`` supersedes may be forgotten, in unix seconds: its executions are kept as long."""
        return state.current.since_ms // 1000 + self._retention_s

    def _guard(self, at: Key, name: tuple[str, str]) -> ScheduleItem:
        pk = documents.name_partition(at.tenant, *name)
        return self.model(hash_key=pk, range_key="name", holder=at.id)

    def _take_name(self, transaction: _Transaction, at: Key, name: tuple[str, str]) -> None:
        model = self.model
        free_or_ours = model.pk.does_not_exist() | (model.holder == at.id)
        transaction.save(self._guard(at, name), free_or_ours, NameTaken)

    def _free_name(self, transaction: _Transaction, at: Key, name: tuple[str, str] | None) -> None:
        model = self.model
        if name is not None:
            free_or_ours = model.pk.does_not_exist() | (model.holder == at.id)
            transaction.delete(self._guard(at, name), free_or_ours, RevisionLost)


class _Transaction:
    """A transaction whose every item says what it means when its condition fails."""

    def __init__(self, model: type[ScheduleItem]) -> None:
        self.model = model
        self._deletes: list[tuple[ScheduleItem, Condition | None, type[Exception]]] = []
        self._saves: list[tuple[ScheduleItem, Condition | None, type[Exception]]] = []
        self._updates: list[tuple[RegistryItem, list[Action], Condition | None, type[Exception]]] = []

    def save(self, item: ScheduleItem, condition: Condition | None, lost: type[Exception]) -> None:
        """Put ``item`` when ``condition`` holds of what is stored; else raise ``lost``."""
        self._saves.append((item, condition, lost))

    def delete(self, item: ScheduleItem, condition: Condition | None, lost: type[Exception]) -> None:
        """Delete ``item`` when ``condition`` holds of what is stored; else raise ``lost``."""
        self._deletes.append((item, condition, lost))

    def update(
        self, item: RegistryItem, actions: list[Action], condition: Condition | None, lost: type[Exception]
    ) -> None:
        """Do ``actions`` to ``item`` when ``condition`` holds of what is stored; else raise ``lost``."""
        self._updates.append((item, actions, condition, lost))

    def commit(self) -> None:
        """Write all or nothing, under one token: repeating it after a lost answer changes nothing more."""
        request = token()
        try:
            clients.write_idempotent(lambda: self._send(request))
        except Exception as error:
            self._raise_meaning(clients.reasons_of(error))
            raise

    def _send(self, request: str) -> None:
        with TransactWrite(connection=connection_of(self.model), client_request_token=request) as transaction:
            for item, condition, _ in self._deletes:
                transaction.delete(item, condition)
            for item, condition, _ in self._saves:
                transaction.save(item, condition)
            for counter, actions, condition, _ in self._updates:
                transaction.update(counter, actions, condition)

    def _raise_meaning(self, reasons: Sequence[str]) -> None:
        """Reasons come in the order in which pynamodb sends the items: deletes, puts, updates."""
        meanings = [sent[-1] for sent in (*self._deletes, *self._saves, *self._updates)]
        lost = [m for reason, m in zip(reasons, meanings, strict=False) if reason == "ConditionalCheckFailed"]
        for meaning in (RevisionLost, NameTaken, CapacityFull):
            if meaning in lost:
                raise meaning
