"""Schedules in DynamoDB: state, definition, snapshots, monitor and name guard of one schedule; see docs/storage.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from chalicelib.adapters.aws import clients
from chalicelib.adapters.dynamodb import capacity_counters, documents
from chalicelib.adapters.dynamodb.capacity_counters import CapacityCounters
from chalicelib.adapters.dynamodb.database import BATCH_GET_MAX, Database, Value, key, text
from chalicelib.adapters.dynamodb.epochs import EPOCH_SK
from chalicelib.adapters.dynamodb.monitors import Monitors
from chalicelib.adapters.dynamodb.schedule_creation import ScheduleCreation
from chalicelib.adapters.dynamodb.schedule_items import ScheduleItems, state_put, state_update
from chalicelib.adapters.dynamodb.schedule_lists import ScheduleLists
from chalicelib.adapters.machine.combining import Combiner
from chalicelib.adapters.machine.system import pause, token
from chalicelib.core.batches import chunks
from chalicelib.core.errors import OutcomeUnknown, Unavailable
from chalicelib.core.executions.limits import HISTORY_RETENTION_S
from chalicelib.core.policies.monitor import MonitorState
from chalicelib.core.schedules.capacity import Limits, Used, uncounted
from chalicelib.core.schedules.schedule import NOWHERE, UNCOUNTED, Definition, Key, Schedule, State
from chalicelib.ports.stores.policies import EPOCH_ID
from chalicelib.ports.stores.schedules import Census, Due, KeyPage, ScheduleChange, ScheduleFilter, Versioned

if TYPE_CHECKING:
    from chalicelib.adapters.dynamodb.schedule_changes import ScheduleWriter
    from chalicelib.adapters.dynamodb.tables import ScheduleItem

# States and definitions read apart from each other are read again this often before the call fails as contended.
TORN_READS_MAX: Final = 6
RELEASED_TOGETHER: Final = 25  # states in one transaction, which takes 100 items, their counters among them


class DynamoScheduleStore:
    """``ScheduleStore`` over the schedules table, and the counters of the registry table."""

    def __init__(self, database: Database, retention_s: int = HISTORY_RETENTION_S) -> None:
        """``retention_s``: how long tombstones and snapshots outlive the day they were superseded."""
        self._db = database
        self._retention_s = retention_s
        self._items = ScheduleItems(database)
        self._counters = CapacityCounters(database)
        self._lists = ScheduleLists(self._items, self._model)
        self._monitors = Monitors(self._items, self._lists)
        self._creation = ScheduleCreation(self._items, self._counters)
        self._made_writer: ScheduleWriter | None = None
        # Before instants that are close together, many threads recheck at once.
        self._epochs: Combiner[Key, int | None] = Combiner(self._read_epochs, BATCH_GET_MAX)

    # -- what the API writes, through pynamodb

    def create(self, schedule: Schedule, limits: Limits | None = None, monitor: MonitorState | None = None) -> None:
        """Write a new schedule: its state last, or all in one transaction where it has nothing to do, and so has no
        mark. Raises RevisionLost when the id exists, NameTaken, CapacityFull, HalfMade."""
        if schedule.state.counted != UNCOUNTED:
            self._creation.create(schedule, limits, monitor)
        else:
            self._writer().create(schedule, limits, monitor)

    def collect(self, before_ms: int, tenants: Sequence[str]) -> int:
        """Take back creations that were begun before ``before_ms`` and never came true; how many."""
        return self._creation.collect(before_ms, tenants)

    def change(self, change: ScheduleChange) -> None:
        """Write a change in one transaction. Raises RevisionLost, NameTaken, CapacityFull."""
        self._writer().change(change)

    def _writer(self) -> ScheduleWriter:
        if self._made_writer is None:
            from chalicelib.adapters.dynamodb.schedule_changes import ScheduleWriter

            self._made_writer = ScheduleWriter(self._db, self._counters, self._retention_s)
        return self._made_writer

    def _model(self) -> type[ScheduleItem]:
        return self._writer().model

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
        items = self._items.items([(k, sk) for k in wanted for sk in both])
        torn = []
        for at in wanted:
            state_item, definition_item = (items.get((at, sk)) for sk in both)
            state = None if state_item is None else documents.decode_state(at, state_item["doc"]["S"])
            definition = None if definition_item is None else self._items.definition_of(at, definition_item)
            live = state is not None and state.status != "deleted"
            if state is not None and definition is not None and live and state.current.id == definition.version:
                found[at] = Schedule(definition, state)
            elif live or (state is not None and definition is not None):  # without a state it is none (yet)
                torn.append(at)
        return torn

    def states(self, keys: Sequence[Key]) -> dict[Key, State]:
        """The states, tombstones included, of schedules."""
        items = self._items.items([(k, documents.STATE_SK) for k in keys])
        return {at: documents.decode_state(at, item["doc"]["S"]) for (at, _), item in items.items()}

    def epochs(self, keys: Sequence[Key]) -> dict[Key, int]:
        """The epochs of schedules."""
        found = zip(keys, self._epochs.call(keys), strict=True) if keys else ()
        return {key: epoch for key, epoch in found if epoch is not None}

    def _read_epochs(self, keys: Sequence[Key]) -> list[int | None]:
        items = self._items.items([(k, _epoch_sk(k)) for k in keys], "pk,sk,epoch")
        found = {at: int(item["epoch"]["N"]) for (at, _), item in items.items()}
        return [found.get(k) for k in keys]

    def definitions(self, keys: Sequence[Key]) -> dict[Key, Definition]:
        """The current definitions of schedules."""
        items = self._items.items([(k, documents.DEFINITION_SK) for k in keys])
        return {at: self._items.definition_of(at, item) for (at, _), item in items.items()}

    def snapshots(self, versions: Sequence[Versioned]) -> dict[Versioned, Definition]:
        """Superseded definitions by version."""
        items = self._items.items([(v.key, documents.snapshot_sk(v.version)) for v in versions])
        found = [self._items.definition_of(at, item) for (at, _), item in items.items()]
        return {Versioned(definition.key, definition.version): definition for definition in found}

    def history(self, key: Key) -> list[Definition]:
        """All kept snapshots of a schedule, by ``since_ms``."""
        position: Mapping[str, Value] | None = None
        found: list[Definition] = []
        while True:
            answer = self._items.db.read(
                "query",
                TableName=self._items.table,
                KeyConditionExpression="pk = :p AND begins_with(sk, :v)",
                ExpressionAttributeValues={
                    ":p": text(documents.partition(*key)),
                    ":v": text(documents.snapshot_sk("")),
                },
                ConsistentRead=True,
                **({} if position is None else {"ExclusiveStartKey": position}),
            )
            found += [self._items.definition_of(key, item) for item in answer["Items"]]
            position = answer.get("LastEvaluatedKey")
            if position is None:
                return sorted(found, key=lambda d: (d.since_ms, d.version))

    def write_states(self, writes: Sequence[tuple[State, int]]) -> list[bool]:
        """Replace states, each if its stored ``rev`` still is the given one."""
        return self._items.db.execute([state_update(self._items.table, state, rev) for state, rev in writes])

    def named(self, tenant: str, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """The ids of the schedules that hold (owner, name) pairs."""
        guards = {documents.name_partition(tenant, *name): name for name in names}
        found = self._items.db.get_many(self._items.table, [key(pk, "name") for pk in guards], "pk,holder")
        return {guards[i["pk"]["S"]]: i["holder"]["S"] for i in found}

    # -- what counts

    def spent(self, shard: int, until_ms: int, limit: int) -> Sequence[Key]:
        """Schedules of a shard that still count and whose ``spent_ms <= until_ms``, earliest first."""
        return self._lists.spent(shard, until_ms, limit)

    def place(self, shard: int, limits: Limits | None) -> int:
        """The counter of a schedule that begins to count."""
        return capacity_counters.place(shard, limits)

    def used(self) -> Used:
        """What counts now."""
        return self._counters.used()

    def release(self, spent: Sequence[State]) -> Sequence[bool]:
        """Note that schedules have ended. Many are taken off their counters in one transaction, one by one where some
        raced; those that count nowhere need none."""
        nowhere = [state for state in spent if state.counted == NOWHERE]
        counted = [state for state in spent if state.counted != NOWHERE]
        freed = dict(zip(counted, self._release_counted(counted), strict=True))
        try:
            freed |= zip(nowhere, self.write_states([(_released(state), state.rev) for state in nowhere]), strict=True)
        except OutcomeUnknown:
            raise
        except Unavailable as error:
            if any(freed.values()):
                raise OutcomeUnknown(error.detail) from error
            raise
        return [freed[state] for state in spent]

    def _release_counted(self, spent: Sequence[State]) -> Sequence[bool]:
        answers: list[bool] = []
        try:
            for some in chunks(spent, RELEASED_TOGETHER):
                if self._release(some):
                    answers += [True] * len(some)
                    continue
                for state in some:
                    answers.append(len(some) > 1 and self._release([state]))
        except OutcomeUnknown:
            raise
        except Unavailable as error:
            if any(answers):
                raise OutcomeUnknown(error.detail) from error
            raise
        return answers

    def _release(self, spent: Sequence[State]) -> bool:
        """All of ``spent`` or none."""
        client, request = self._db.client(), token()
        freed = [(_released(state), state.rev) for state in spent]
        sent = [{"Put": state_put(self._items.table, state, rev)} for state, rev in freed]
        sent += [{"Update": self._counters.update(move)} for move in capacity_counters.releases(spent)]
        try:
            clients.write_idempotent(
                lambda: client.transact_write_items(TransactItems=sent, ClientRequestToken=request)
            )
        except Exception as error:
            if "ConditionalCheckFailed" in clients.reasons_of(error):
                return False
            raise
        return True

    # -- monitors

    def monitors(self, keys: Sequence[Key]) -> dict[Key, MonitorState]:
        """The monitors of monitored schedules."""
        return self._monitors.get(keys)

    def due_monitors(self, shard: int, until_ms: int, limit: int) -> Sequence[Key]:
        """Schedules of a shard whose monitor has ``look_ms <= until_ms``, earliest first."""
        return self._monitors.due(shard, until_ms, limit)

    def write_monitor(self, monitor: MonitorState, expected_rev: int) -> bool:
        """Write a monitor if its stored rev still is the given one."""
        return self._monitors.write(monitor, expected_rev)

    def drop_monitor(self, key: Key, expected_rev: int) -> bool:
        """Delete a monitor if its stored rev still is the given one."""
        return self._monitors.drop(key, expected_rev)

    # -- lists

    def due(self, shard: int, until_ms: int, limit: int, after: Due | None = None) -> list[Due]:
        """Active schedules of a shard with ``next_run_ms <= until_ms``, earliest first, after a position."""
        return self._lists.due(shard, until_ms, limit, after)

    def jobs(self, tenant: str, group: str, limit: int, after: str | None) -> KeyPage:
        """Ids of a tenant's schedules in a group, newest first."""
        return self._lists.jobs(tenant, group, limit, after)

    def census(self, tenant: str, limit: int, after: str | None) -> Census:
        """How many of a tenant's schedules there are, by type and by whether they fire."""
        return self._lists.census(tenant, limit, after)

    def list(self, tenant: str, wanted: ScheduleFilter, limit: int, after: str | None) -> KeyPage:
        """Ids of matching schedules, newest first. Reads no more than LIST_SCAN_MAX_ITEMS: a page may be short."""
        return self._lists.list(tenant, wanted, limit, after)


def _released(state: State) -> State:
    return uncounted(replace(state, rev=state.rev + 1))


def _epoch_sk(at: Key) -> str:
    """Where an epoch lies: a schedule's in its state, that of a tenant's policies in an item of its own."""
    return EPOCH_SK if at.id == EPOCH_ID else documents.STATE_SK
