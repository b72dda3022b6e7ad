"""Creating a schedule without a transaction, which would cost double: its state is written last, and makes it true.

First its counter moves, with a mark that names this creation. Then come the guard of its name, its monitor and its
definition, each if there is none. What lies there without a state is no schedule. Should the process die before the
last write, ``collect`` finds by the mark what was left behind. It bars the id with a tombstone first, so that a
creation that only stood still can no longer come true. Then it takes back all that was written, and the mark with the
count.

A plain one-shot that counts nowhere moves no counter, and has no mark: it has no name that it could keep from others.
Such creations are found by their ids, which say when they were begun, in the list of definitions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.dynamodb.capacity_counters import CapacityCounters, CreationMark, MarkedMove
from chalicelib.adapters.dynamodb.creations_without_mark import CreationsWithoutMark
from chalicelib.adapters.dynamodb.database import Value, key, number, text
from chalicelib.adapters.dynamodb.registry import ABSENT
from chalicelib.adapters.dynamodb.schedule_items import ScheduleItems, monitor_item, state_put
from chalicelib.core.errors import OutcomeUnknown
from chalicelib.core.policies.monitor import MonitorState
from chalicelib.core.schedules.capacity import Limits
from chalicelib.core.schedules.limits import VERSIONS_INLINE_MAX
from chalicelib.core.schedules.schedule import UNCOUNTED, Definition, Key, Schedule, State, VersionRef
from chalicelib.ports.stores.schedules import CapacityFull, HalfMade, NameTaken, RevisionLost

MARKS_KEPT: Final = 3  # of creations that came true, in one counter
TOMBSTONE_S: Final = 86_400  # how long a creation is barred that was taken back; one begun later is not
BARRED_EPOCH: Final = 0  # of a tombstone that was never a schedule


class ScheduleCreation:
    """``create`` of schedules that count, and of plain one-shots; and ``collect``."""

    def __init__(self, items: ScheduleItems, counters: CapacityCounters) -> None:
        self._items = items
        self._counters = counters
        self._came_true: frozenset[MarkedMove] = frozenset()
        self._unmarked = CreationsWithoutMark(items)

    def create(self, schedule: Schedule, limits: Limits | None, monitor: MonitorState | None) -> None:
        """Raises RevisionLost when the id exists, NameTaken, CapacityFull, HalfMade."""
        definition, state = schedule.definition, schedule.state
        name = None if definition.name is None else (definition.owner, definition.name)
        mark = CreationMark(*definition.key, definition.version, definition.created_at_ms, state.weight_bytes, name)
        move = MarkedMove(state.counted, mark)
        self._begin(move, limits)
        is_new_name = name is not None and self._take_name(move, name)
        if not self._put_definition(definition):
            self._give_way(move, is_new_name)
        if monitor is not None:
            self._items.db.write("put_item", TableName=self._items.table, Item=monitor_item(monitor))
        if not self._put_state(state, definition.created_at_ms):
            self._give_way(move, is_new_name)
        if move.is_counted:
            self._counters.made(move)

    def _begin(self, move: MarkedMove, limits: Limits | None) -> None:
        if not move.is_counted:
            return
        try:
            self._counters.begin(move, limits)
        except CapacityFull:
            self._say_rather(move.mark)
            raise

    def _take_back(self, move: MarkedMove) -> None:
        if move.is_counted:
            self._counters.take_back(move)

    def _say_rather(self, mark: CreationMark) -> None:
        """What else speaks against a creation that does not fit. Raises RevisionLost, NameTaken."""
        if self._state(Key(mark.tenant, mark.id)) is not None:
            raise RevisionLost
        holders = (
            []
            if mark.name is None
            else self._items.db.get_many(self._items.table, [_guard_key(mark.tenant, mark.name)])
        )
        if any(guard["holder"]["S"] != mark.id for guard in holders):
            raise NameTaken

    def _take_name(self, move: MarkedMove, name: tuple[str, str]) -> bool:
        """Whether the name was free; it may be this schedule's already, from a creation before. Raises NameTaken."""
        mark = move.mark
        guard = {**_guard_key(mark.tenant, name), "holder": text(mark.id)}
        if self._items.db.write("put_item", TableName=self._items.table, Item=guard, ConditionExpression=ABSENT):
            return True
        (found,) = self._items.db.get_many(self._items.table, [_guard_key(mark.tenant, name)]) or ({},)
        if found and found["holder"]["S"] == mark.id:
            return False
        exists = self._state(Key(mark.tenant, mark.id)) is not None
        self._take_back(move)
        raise RevisionLost if exists else NameTaken

    def _put_definition(self, definition: Definition) -> bool:
        """False when there is one of another creation."""
        item = definition_item(definition, self._items.sealed_payload(definition))
        if self._items.db.write("put_item", TableName=self._items.table, Item=item, ConditionExpression=ABSENT):
            return True
        stored = self._definition(definition.key)
        return stored == definition

    def _put_state(self, state: State, created_ms: int) -> bool:
        """Whether the schedule is true by this write. A tombstone bars what was begun before it was written."""
        put = {
            **state_put(self._items.table, state, 0),
            "ConditionExpression": f"{ABSENT} OR (epoch = :b AND #t < :t)",
            "ExpressionAttributeNames": {"#t": "ttl"},
            "ExpressionAttributeValues": {":b": number(BARRED_EPOCH), ":t": number(_expiry(created_ms))},
        }
        try:
            return self._items.db.write("put_item", **put)
        except OutcomeUnknown:
            stored = self._state(state.key)
            if stored is None:
                raise
            return _is_of(stored, state.current.id) and stored.status != "deleted"

    def _give_way(self, move: MarkedMove, is_new_name: bool) -> None:
        """There is a definition or a state of another creation under this id: leave nothing of this one. Raises
        RevisionLost, HalfMade."""
        mark, at = move.mark, Key(move.mark.tenant, move.mark.id)
        state, definition = self._state(at), self._definition(at)
        if is_new_name and mark.name is not None:
            self._free_name(mark)
        if state is not None and state.status == "deleted" and definition is not None:
            self._delete(documents.partition(*at), documents.DEFINITION_SK)
        if state is None or not _is_of(state, mark.version):  # else both went on with one definition, under one mark
            self._take_back(move)
        if state is None and definition is not None:
            raise HalfMade(definition)
        raise RevisionLost

    # -- what was left behind

    def collect(self, before_ms: int, tenants: Sequence[str]) -> int:
        """Take back creations that were begun before ``before_ms`` and never came true; how many."""
        taken_back = self._collect_marked(before_ms)
        for tenant in tenants:
            for mark in self._unmarked.stateless(tenant, before_ms):
                taken_back += self._collect(MarkedMove(UNCOUNTED, mark), before_ms)
            self._unmarked.looked(tenant, before_ms)
        return taken_back

    def _collect_marked(self, before_ms: int) -> int:
        old = [move for move in self._counters.marked() if move.mark.at_ms < before_ms]
        known = [move for move in old if move in self._came_true]
        taken_back = sum(self._collect(move, before_ms) for move in old if move not in self._came_true)
        # A few marks may stay: to remove one by itself would cost what was saved by writing it with the count.
        several = Counter(move.counter for move in known)
        self._counters.clear([move for move in known if several[move.counter] > MARKS_KEPT])
        self._came_true &= frozenset(old)
        return taken_back

    def _collect(self, move: MarkedMove, before_ms: int) -> bool:
        mark, at = move.mark, Key(move.mark.tenant, move.mark.id)
        stored = self._state(at)
        if stored is None and not self._bar(move, before_ms):
            stored = self._state(at)
        if stored is not None and not _is_barred(stored, mark):
            if _is_of(stored, mark.version):
                self._came_true |= {move}
            else:
                self._take_back(move)  # another creation under the same id was faster
            return False
        if mark.name is not None:
            self._free_name(mark)
        self._delete(documents.partition(*at), documents.DEFINITION_SK)
        self._take_back(move)
        return True

    def _bar(self, move: MarkedMove, before_ms: int) -> bool:
        """Put a tombstone where the state would be; False when the state came first."""
        mark = move.mark
        barred = State(
            tenant=mark.tenant,
            id=mark.id,
            shard=0,
            versions=(VersionRef(mark.version, mark.at_ms, False),),
            status="deleted",
            epoch=BARRED_EPOCH,
        )
        put = {**state_put(self._items.table, barred, 0), "ConditionExpression": ABSENT}
        put.pop("ExpressionAttributeValues", None)
        item: dict[str, Value] = {**put.pop("Item"), "ttl": number(_expiry(before_ms))}
        return self._items.db.write("put_item", Item=item, **put)

    # -- items

    def _state(self, at: Key) -> State | None:
        found = self._items.items([(at, documents.STATE_SK)])
        return next((documents.decode_state(at, item["doc"]["S"]) for item in found.values()), None)

    def _definition(self, at: Key) -> Definition | None:
        found = self._items.items([(at, documents.DEFINITION_SK)])
        return next((self._items.definition_of(at, item) for item in found.values()), None)

    def _free_name(self, mark: CreationMark) -> None:
        assert mark.name is not None
        self._delete(documents.name_partition(mark.tenant, *mark.name), "name", mark.id)

    def _delete(self, pk: str, sk: str, holder: str | None = None) -> None:
        how: dict[str, Any] = {}
        if holder is not None:
            how = {"ConditionExpression": "holder = :h", "ExpressionAttributeValues": {":h": text(holder)}}
        self._items.db.write("delete_item", TableName=self._items.table, Key=key(pk, sk), **how)


def definition_item(definition: Definition, payload: str) -> dict[str, Any]:
    """A current definition, as the API reads and lists it; ``payload`` as it is stored."""
    optional: dict[str, Any] = {}
    if not definition.by_events:
        optional |= {"list_pk": text(documents.escaped(definition.tenant)), "list_sk": text(definition.id)}
    if definition.name is not None:
        optional["name"] = text(definition.name)
    if definition.tags:
        optional["tags"] = {"SS": sorted(set(definition.tags))}
    return {
        **key(documents.partition(*definition.key), documents.DEFINITION_SK),
        "doc": text(documents.encode_definition(definition)),
        "payload": text(payload),
        "owner": text(definition.owner),
        "enabled": {"BOOL": definition.active},
        "type": text(definition.type),
        **optional,
    }


def _guard_key(tenant: str, name: tuple[str, str]) -> dict[str, Value]:
    return key(documents.name_partition(tenant, *name), "name")


def _is_of(stored: State, version: str) -> bool:
    """Whether a state began with this version. One that was edited so often that this is not known counts as such."""
    return any(ref.id == version for ref in stored.versions) or len(stored.versions) == VERSIONS_INLINE_MAX


def _is_barred(stored: State, mark: CreationMark) -> bool:
    """Whether a state is the tombstone of this creation, and not of a schedule that was deleted since."""
    return stored.epoch == BARRED_EPOCH and stored.current.id == mark.version


def _expiry(from_ms: int) -> int:
    return from_ms // 1000 + TOMBSTONE_S
