"""Schedules in DynamoDB: state, definition, snapshots and name guard of one schedule; see docs/storage.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from chalicelib.adapters.aws import clients
from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.dynamodb.database import Database, Item, Statement, Value, key, number, text
from chalicelib.adapters.machine.system import pause, token
from chalicelib.core.errors import Unavailable
from chalicelib.core.executions.limits import HISTORY_RETENTION_S
from chalicelib.core.jobs import job_status
from chalicelib.core.policies.monitor import MonitorState
from chalicelib.core.schedules.capacity import Move, Used
from chalicelib.core.schedules.limits import LIST_SCAN_MAX_ITEMS
from chalicelib.core.schedules.schedule import Definition, Key, Schedule, State
from chalicelib.ports.stores.schedules import (
    CapacityFull,
    Due,
    KeyPage,
    NameTaken,
    RevisionLost,
    ScheduleChange,
    ScheduleFilter,
    Versioned,
)

if TYPE_CHECKING:
    from pynamodb.expressions.condition import Condition
    from pynamodb.expressions.update import Action

    from chalicelib.adapters.dynamodb.tables import RegistryItem, ScheduleItem

# States and definitions read apart from each other are read again this often before the reader is told to come back.
TORN_READS_MAX: Final = 6
CAPACITY_PK: Final = "#capacity"


class DynamoScheduleStore:
    """``ScheduleStore`` over the schedules table."""

    def __init__(self, database: Database, retention_s: int = HISTORY_RETENTION_S) -> None:
        """``retention_s``: how long tombstones and snapshots outlive the day they were superseded."""
        self._db = database
        self._table = database.names.schedules
        self._retention_s = retention_s
        self._model: type[ScheduleItem] | None = None
        self._counters: type[RegistryItem] | None = None

    # -- the API's calls

    def create(self, schedule: Schedule, moves: Sequence[Move] = (), monitor: MonitorState | None = None) -> None:
        """Write state, definition, monitor, name guard and counters in one transaction.

        Raises RevisionLost when the id exists, NameTaken, CapacityFull.
        """
        model, definition = self._bound_model(), schedule.definition
        transaction = _Transaction(model)
        transaction.save(self._state_item(schedule.state, None), model.pk.does_not_exist(), RevisionLost)
        transaction.save(self._definition_item(definition), model.pk.does_not_exist(), RevisionLost)
        self._begin_monitor(transaction, monitor)
        if definition.name is not None:
            self._take_name(transaction, definition.key, (definition.owner, definition.name))
        self._move(transaction, moves)
        transaction.commit()

    def change(self, change: ScheduleChange) -> None:
        """Write a change in one transaction. Raises RevisionLost, NameTaken or CapacityFull."""
        model, at = self._bound_model(), change.state.key
        transaction = _Transaction(model)
        superseded = self._expiry(change.state)
        deleted = change.definition is None
        transaction.save(
            self._state_item(change.state, superseded if deleted else None),
            model.rev == change.expected_rev,
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
        self._move(transaction, change.moves)
        transaction.commit()

    def release(self, writes: Sequence[tuple[State, int]], moves: Sequence[Move]) -> bool:
        """Replace at most 25 states and move counters in one transaction; False when any rev was not the given one.

        Workers call it: so it does without pynamodb.
        """
        if not writes and not moves:
            return True  # a transaction of nothing is refused
        client, request = self._db.client(), token()
        sent = [{"Put": self._state_put(state, rev)} for state, rev in writes]
        sent += [{"Update": self._counter_update(move)} for move in moves]
        try:
            clients.write_idempotent(
                lambda: client.transact_write_items(TransactItems=sent, ClientRequestToken=request)
            )
        except Exception as error:
            if "ConditionalCheckFailed" in clients.reasons_of(error):
                return False
            raise
        return True

    def _state_put(self, state: State, expected_rev: int) -> dict[str, Any]:
        due, group = _due_attributes(state), job_status.group(state)
        item: dict[str, Value] = {
            **key(documents.partition(*state.key), documents.STATE_SK),
            "doc": text(documents.encode_state(state)),
            "rev": number(state.rev),
            "epoch": number(state.epoch),
        }
        if due is not None:
            item |= {"due_shard": text(due[0]), "next_run": number(due[1])}
        if group is not None:
            item |= {"job_pk": text(_job_pk(state.tenant, group)), "job_sk": text(state.id)}
        return {
            "TableName": self._table,
            "Item": item,
            "ConditionExpression": "rev = :r",
            "ExpressionAttributeValues": {":r": number(expected_rev)},
        }

    def _counter_update(self, move: Move) -> dict[str, Any]:
        return {
            "TableName": self._db.names.registry,
            "Key": key(CAPACITY_PK, _counter_sk(move)),
            "UpdateExpression": "ADD jobs :j, weight :w",
            "ExpressionAttributeValues": {":j": number(move.jobs), ":w": number(move.weight_bytes)},
        }

    def used(self) -> dict[int, Used]:
        """Every counter that was ever moved."""
        answer = self._db.read(
            "query",
            TableName=self._db.names.registry,
            KeyConditionExpression="pk = :p",
            ExpressionAttributeValues={":p": text(CAPACITY_PK)},
            ConsistentRead=True,
        )
        return {int(i["sk"]["S"]): Used(int(i["jobs"]["N"]), int(i["weight"]["N"])) for i in answer["Items"]}

    def _begin_monitor(self, transaction: _Transaction, monitor: MonitorState | None) -> None:
        if monitor is not None:
            item = self._bound_model()(
                hash_key=documents.partition(*monitor.key),
                range_key=documents.MONITOR_SK,
                doc=documents.encode_monitor(monitor),
                rev=monitor.rev,
                due_shard=_monitor_shard(monitor.shard),
                next_run=monitor.look_ms,
            )
            transaction.save(item, None, RevisionLost)

    def _move(self, transaction: _Transaction, moves: Sequence[Move]) -> None:
        for move in moves:
            transaction.update(*_counter_update(self._bound_counters(), move), CapacityFull)

    # -- what workers do, without pynamodb

    def get(self, keys: Sequence[Key]) -> dict[Key, Schedule]:
        """Both items of each schedule, read again where a change came between. Raises Unavailable."""
        wanted, found = list(dict.fromkeys(keys)), dict[Key, Schedule]()
        for attempt in range(TORN_READS_MAX):
            wanted = self._get_untorn(wanted, found)
            if not wanted:
                return found
            pause(1 << attempt)
        raise Unavailable(f"{wanted[0].id} changes faster than it can be read")

    def _get_untorn(self, wanted: Sequence[Key], found: dict[Key, Schedule]) -> list[Key]:
        """Read both items of each; the keys whose items do not belong together."""
        both = (documents.STATE_SK, documents.DEFINITION_SK)
        items = self._items([(k, sk) for k in wanted for sk in both])
        torn = []
        for at in wanted:
            state_item, definition_item = (items.get((at, sk)) for sk in both)
            state = None if state_item is None else documents.decode_state(at, state_item["doc"]["S"])
            definition = None if definition_item is None else _definition(at, definition_item)
            live = state is not None and state.status != "deleted"
            if state is not None and definition is not None and live and state.current.id == definition.version:
                found[at] = Schedule(definition, state)
            elif live or definition is not None:
                torn.append(at)
        return torn

    def states(self, keys: Sequence[Key]) -> dict[Key, State]:
        """The states, tombstones included, of at most 100 schedules."""
        items = self._items([(k, documents.STATE_SK) for k in keys])
        return {at: documents.decode_state(at, item["doc"]["S"]) for (at, _), item in items.items()}

    def epochs(self, keys: Sequence[Key]) -> dict[Key, int]:
        """The epochs of at most 100 schedules."""
        items = self._items([(k, documents.STATE_SK) for k in keys], "pk,sk,epoch")
        return {at: int(item["epoch"]["N"]) for (at, _), item in items.items()}

    def definitions(self, keys: Sequence[Key]) -> dict[Key, Definition]:
        """The current definitions of at most 100 schedules."""
        items = self._items([(k, documents.DEFINITION_SK) for k in keys])
        return {at: _definition(at, item) for (at, _), item in items.items()}

    def snapshots(self, versions: Sequence[Versioned]) -> dict[Versioned, Definition]:
        """Superseded definitions (at most 100) by version."""
        items = self._items([(v.key, documents.snapshot_sk(v.version)) for v in versions])
        found = [_definition(at, item) for (at, _), item in items.items()]
        return {Versioned(definition.key, definition.version): definition for definition in found}

    def history(self, key: Key) -> list[Definition]:
        """All kept snapshots of a schedule, by ``since_ms``."""
        position: Mapping[str, Value] | None = None
        found: list[Definition] = []
        while True:
            answer = self._db.read(
                "query",
                TableName=self._table,
                KeyConditionExpression="pk = :p AND begins_with(sk, :v)",
                ExpressionAttributeValues={
                    ":p": text(documents.partition(*key)),
                    ":v": text(documents.snapshot_sk("")),
                },
                ConsistentRead=True,
                **({} if position is None else {"ExclusiveStartKey": position}),
            )
            found += [_definition(key, item) for item in answer["Items"]]
            position = answer.get("LastEvaluatedKey")
            if position is None:
                return sorted(found, key=lambda d: (d.since_ms, d.version))

    def write_states(self, writes: Sequence[tuple[State, int]]) -> list[bool]:
        """Replace at most 25 states, each if its stored ``rev`` still is the given one."""
        return self._db.execute([self._state_update(state, rev) for state, rev in writes])

    def due(self, shard: int, until_ms: int, limit: int, after: Due | None = None) -> list[Due]:
        """Active schedules of a shard with ``next_run_ms <= until_ms``, earliest first, after a position."""
        position = {} if after is None else {"ExclusiveStartKey": _due_position(shard, after)}
        answer = self._db.read(
            "query",
            TableName=self._table,
            IndexName="due",
            KeyConditionExpression="due_shard = :s AND next_run <= :u",
            ExpressionAttributeValues={":s": text(str(shard)), ":u": number(until_ms)},
            Limit=limit,
            **position,
        )
        return [Due(int(i["next_run"]["N"]), documents.key_of_partition(i["pk"]["S"])) for i in answer["Items"]]

    def named(self, tenant: str, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """The ids of the schedules that hold at most 100 (owner, name) pairs."""
        guards = {documents.name_partition(tenant, *name): name for name in names}
        found = self._db.get_many(self._table, [key(pk, "name") for pk in guards], "pk,holder")
        return {guards[i["pk"]["S"]]: i["holder"]["S"] for i in found}

    def jobs(self, tenant: str, group: str, limit: int, after: str | None) -> KeyPage:
        """Ids of a tenant's schedules in a group, newest first."""
        values = {":p": text(_job_pk(tenant, group))}
        condition = "job_pk = :p"
        if after is not None:
            values[":a"] = text(after)
            condition += " AND job_sk < :a"
        answer = self._db.read(
            "query",
            TableName=self._table,
            IndexName="jobs",
            KeyConditionExpression=condition,
            ExpressionAttributeValues=values,
            ScanIndexForward=False,
            Limit=limit + 1,
        )
        ids = [i["job_sk"]["S"] for i in answer["Items"]]
        more = len(ids) > limit or "LastEvaluatedKey" in answer
        return KeyPage(ids[:limit], ids[:limit][-1] if more and ids else None)

    def spent(self, shard: int, until_ms: int, limit: int) -> Sequence[Key]:
        """Schedules of a shard that still count and whose ``spent_ms <= until_ms``, earliest first."""
        return self._in_due(_spent_shard(shard), until_ms, limit)

    def _in_due(self, partition: str, until_ms: int, limit: int) -> Sequence[Key]:
        """Schedules in another partition of the due index than a shard's own."""
        answer = self._db.read(
            "query",
            TableName=self._table,
            IndexName="due",
            KeyConditionExpression="due_shard = :s AND next_run <= :u",
            ExpressionAttributeValues={":s": text(partition), ":u": number(until_ms)},
            Limit=limit,
        )
        return [documents.key_of_partition(i["pk"]["S"]) for i in answer["Items"]]

    def monitors(self, keys: Sequence[Key]) -> dict[Key, MonitorState]:
        """The monitors of at most 100 monitored schedules."""
        items = self._items([(k, documents.MONITOR_SK) for k in keys])
        return {at: documents.decode_monitor(at, item["doc"]["S"]) for (at, _), item in items.items()}

    def due_monitors(self, shard: int, until_ms: int, limit: int) -> Sequence[Key]:
        """Schedules of a shard whose monitor has ``look_ms <= until_ms``, earliest first."""
        return self._in_due(_monitor_shard(shard), until_ms, limit)

    def write_monitor(self, monitor: MonitorState, expected_rev: int) -> bool:
        """Write a monitor if its stored rev still is the given one."""
        item = {
            **key(documents.partition(*monitor.key), documents.MONITOR_SK),
            "doc": text(documents.encode_monitor(monitor)),
            "rev": number(monitor.rev),
            "due_shard": text(_monitor_shard(monitor.shard)),
            "next_run": number(monitor.look_ms),
        }
        return self._db.write("put_item", TableName=self._table, Item=item, **_if_rev(expected_rev))

    def drop_monitor(self, key_: Key, expected_rev: int) -> bool:
        """Delete a monitor if its stored rev still is the given one."""
        at = key(documents.partition(*key_), documents.MONITOR_SK)
        return self._db.write("delete_item", TableName=self._table, Key=at, **_if_rev(expected_rev))

    # -- items

    def _items(self, wanted: Sequence[tuple[Key, str]], attributes: str = "") -> dict[tuple[Key, str], Item]:
        """The items of (schedule, sort key) pairs, those that exist."""
        unique = dict.fromkeys(wanted)
        found = self._db.get_many(self._table, [key(documents.partition(*at), sk) for at, sk in unique], attributes)
        return {(documents.key_of_partition(i["pk"]["S"]), i["sk"]["S"]): i for i in found}

    def _state_update(self, state: State, expected_rev: int) -> Statement:
        values = [text(documents.encode_state(state)), number(state.rev), number(state.epoch)]
        due = _due_attributes(state)
        if due is None:
            index = "REMOVE due_shard REMOVE next_run"
        else:
            index = "SET due_shard=? SET next_run=?"
            values += [text(due[0]), number(due[1])]
        group = job_status.group(state)
        if group is None:
            index += " REMOVE job_pk REMOVE job_sk"
        else:
            index += " SET job_pk=? SET job_sk=?"
            values += [text(_job_pk(state.tenant, group)), text(state.id)]
        where = [text(documents.partition(*state.key)), text(documents.STATE_SK), number(expected_rev)]
        fields = f"SET doc=? SET rev=? SET epoch=? {index}"
        return Statement(f'UPDATE "{self._table}" {fields} WHERE pk=? AND sk=? AND rev=?', (*values, *where))

    def _bound_model(self) -> type[ScheduleItem]:
        if self._model is None:
            from chalicelib.adapters.dynamodb import tables

            self._model = tables.bound(tables.ScheduleItem, self._table, self._db.client())
        return self._model

    def _bound_counters(self) -> type[RegistryItem]:
        if self._counters is None:
            from chalicelib.adapters.dynamodb import tables

            registry = self._db.names.registry
            self._counters = tables.bound(tables.RegistryItem, registry, self._db.client())
        return self._counters

    def _state_item(self, state: State, ttl: int | None) -> ScheduleItem:
        due_shard, next_run = _due_attributes(state) or (None, None)
        group = job_status.group(state)
        return self._bound_model()(
            hash_key=documents.partition(*state.key),
            range_key=documents.STATE_SK,
            doc=documents.encode_state(state),
            rev=state.rev,
            epoch=state.epoch,
            due_shard=due_shard,
            next_run=next_run,
            job_pk=None if group is None else _job_pk(state.tenant, group),
            job_sk=None if group is None else state.id,
            ttl=ttl,
        )

    def _definition_item(self, definition: Definition) -> ScheduleItem:
        return self._bound_model()(
            hash_key=documents.partition(*definition.key),
            range_key=documents.DEFINITION_SK,
            doc=documents.encode_definition(definition),
            payload=definition.payload,
            list_pk=documents.escaped(definition.tenant),
            list_sk=definition.id,
            owner=definition.owner,
            enabled=definition.active,
            type=definition.type,
            name=definition.name,
            tags=set(definition.tags) or None,
        )

    def _snapshot_item(self, snapshot: Definition, ttl: int) -> ScheduleItem:
        return self._bound_model()(
            hash_key=documents.partition(*snapshot.key),
            range_key=documents.snapshot_sk(snapshot.version),
            doc=documents.encode_definition(snapshot),
            payload=snapshot.payload,
            ttl=ttl,
        )

    def _expiry(self, state: State) -> int:
        """When what ``state`` supersedes may be forgotten, in unix seconds: its executions are kept as long."""
        return state.current.since_ms // 1000 + self._retention_s

    def _guard(self, at: Key, name: tuple[str, str]) -> ScheduleItem:
        pk = documents.name_partition(at.tenant, *name)
        return self._bound_model()(hash_key=pk, range_key="name", holder=at.id)

    def _take_name(self, transaction: _Transaction, at: Key, name: tuple[str, str]) -> None:
        model = self._bound_model()
        free_or_ours = model.pk.does_not_exist() | (model.holder == at.id)
        transaction.save(self._guard(at, name), free_or_ours, NameTaken)

    def _free_name(self, transaction: _Transaction, at: Key, name: tuple[str, str] | None) -> None:
        model = self._bound_model()
        if name is not None:
            free_or_ours = model.pk.does_not_exist() | (model.holder == at.id)
            transaction.delete(self._guard(at, name), free_or_ours, RevisionLost)

    def list(self, tenant: str, wanted: ScheduleFilter, limit: int, after: str | None) -> KeyPage:
        """Ids of matching schedules, newest first. Looks at no more than LIST_SCAN_MAX_ITEMS: a page may be short."""
        model = self._bound_model()
        matches = _filter(model, wanted)
        looked_at = limit + 1 if matches is None else LIST_SCAN_MAX_ITEMS

        def query() -> dict[str, Any]:
            found = model.query(
                documents.escaped(tenant),
                range_key_condition=None if after is None else model.list_sk < after,
                filter_condition=matches,
                index_name="by_tenant",
                scan_index_forward=False,
                page_size=looked_at,
            )
            return dict(next(found.page_iter))  # one query: the iterator would go on until something matches

        page = clients.read(query)
        ids = [str(item["list_sk"]["S"]) for item in page["Items"]]
        if len(ids) > limit:
            return KeyPage(ids[:limit], ids[limit - 1])
        more = page.get("LastEvaluatedKey")
        return KeyPage(ids, None if more is None else str(more["list_sk"]["S"]))


class _Transaction:
    """A transaction whose every item says what it means when its condition fails."""

    def __init__(self, model: type[ScheduleItem]) -> None:
        self._model = model
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
        from pynamodb.transactions import TransactWrite

        from chalicelib.adapters.dynamodb.tables import connection_of

        with TransactWrite(connection=connection_of(self._model), client_request_token=request) as transaction:
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


def _definition(at: Key, item: Item) -> Definition:
    return documents.decode_definition(at, item["doc"]["S"], item["payload"]["S"])


def _due_attributes(state: State) -> tuple[str, int] | None:
    """What puts a state into the ``due`` index; None for one that is not to be swept.

    One that has no more instants and still counts lies in it too, under another key, for whoever takes it off the
    counter.
    """
    if state.spent_ms is not None:
        return _spent_shard(state.shard), state.spent_ms
    if state.status != "active" or state.next_run_ms is None:
        return None
    return str(state.shard), state.next_run_ms


def _spent_shard(shard: int) -> str:
    return f"spent#{shard}"


def _monitor_shard(shard: int) -> str:
    return f"watch#{shard}"


def _if_rev(expected_rev: int) -> dict[str, Any]:
    return {"ConditionExpression": "rev = :r", "ExpressionAttributeValues": {":r": number(expected_rev)}}


def _job_pk(tenant: str, group: str) -> str:
    return f"{documents.escaped(tenant)}#{group}"


def _counter_update(model: type[RegistryItem], move: Move) -> tuple[RegistryItem, list[Action], Condition | None]:
    """The update of a counter, and the condition that it has room for what is added."""
    actions: list[Action] = [model.jobs.add(move.jobs), model.weight.add(move.weight_bytes)]
    fits: Condition | None = None
    room = move.room
    if room is not None and room.jobs is not None:
        fits = model.jobs <= room.jobs - move.jobs
    if room is not None and room.weight_bytes is not None:
        lighter = model.weight <= room.weight_bytes - move.weight_bytes
        fits = lighter if fits is None else fits & lighter
    if fits is not None and _holds_first(move):
        fits = model.pk.does_not_exist() | fits
    return model(hash_key=CAPACITY_PK, range_key=_counter_sk(move)), actions, fits


def _counter_sk(move: Move) -> str:
    return f"{move.counter:03d}"


def _holds_first(move: Move) -> bool:
    """Whether an empty counter has room for it."""
    room = move.room
    if room is None:
        return True
    few = room.jobs is None or move.jobs <= room.jobs
    return few and (room.weight_bytes is None or move.weight_bytes <= room.weight_bytes)


def _due_position(shard: int, after: Due) -> dict[str, Value]:
    return {
        **key(documents.partition(*after.key), documents.STATE_SK),
        "due_shard": text(str(shard)),
        "next_run": number(after.next_run_ms),
    }


def _filter(model: type[ScheduleItem], wanted: ScheduleFilter) -> Any:
    """The filter expression of a list; None when everything is wanted."""
    conditions: list[Any] = []
    if wanted.owner is not None:
        conditions.append(model.owner == wanted.owner)
    if wanted.enabled is not None:
        conditions.append(model.enabled == wanted.enabled)
    if wanted.type is not None:
        conditions.append(model.type == wanted.type)
    if wanted.tag is not None:
        conditions.append(model.tags.contains(wanted.tag))
    if wanted.name_prefix:
        conditions.append(model.name.startswith(wanted.name_prefix))
    joined = None
    for condition in conditions:
        joined = condition if joined is None else joined & condition
    return joined
