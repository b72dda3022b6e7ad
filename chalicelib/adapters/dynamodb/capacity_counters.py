"""What counts, as a few counters: one item of the registry table each. They move in the transaction of a schedule, or
before it is created (``schedule_creation``).

Where a limit is set all new schedules count in one counter, so that one condition can judge the limit exactly. Where
none is set they count in the counter of their shard, so that no item is hot. A schedule stays in the counter that its
state names, also when limits come or go.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.dynamodb.database import Database, Item, Value, key, number, text
from chalicelib.core.decoders import decoder_of
from chalicelib.core.schedules.capacity import Limits, Used
from chalicelib.core.schedules.schedule import State
from chalicelib.ports.stores.schedules import CapacityFull

if TYPE_CHECKING:
    from pynamodb.expressions.condition import Condition
    from pynamodb.expressions.update import Action

    from chalicelib.adapters.dynamodb.tables import RegistryItem

CAPACITY_PK: Final = "#capacity"
LIMITED_COUNTER: Final = 0
MARKS_CLEARED: Final = 50  # in one write
_MARK: Final = "new#"


class Move(Struct, frozen=True):
    """A change of one counter. ``limits`` are what the counter may hold when it grows; None: not judged."""

    counter: int
    jobs: int
    weight_bytes: int
    limits: Limits | None = None

    @property
    def grows(self) -> bool:
        return self.jobs > 0 or self.weight_bytes > 0


class CreationMark(NamedTuple):
    """A creation under way, as its counter names it: whose, when it was begun, and what it counts for."""

    tenant: str
    id: str
    version: str
    at_ms: int
    weight_bytes: int
    name: tuple[str, str] | None = None


class MarkedMove(Struct, frozen=True):
    """A counter, and a creation that it was moved for."""

    counter: int
    mark: CreationMark

    @property
    def is_counted(self) -> bool:
        """Whether it has a counter, and so a mark."""
        return self.counter >= 0


class CapacityCounters:
    """The counters of one deployment."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._table = database.names.registry
        self._lock = Lock()
        self._made: dict[int, list[MarkedMove]] = defaultdict(list)
        self._seen: Mapping[int, Used] | None = None  # as they were read; None: some may have grown since

    # -- creations without a transaction

    def begin(self, move: MarkedMove, limits: Limits | None) -> None:
        """Count a creation and mark it, once; the marks of some that came true before go with the same write. Raises
        CapacityFull."""
        seen, self._seen = self._seen, None
        if limits is None:
            self._write_mark(move, [], {})
            return
        # The reading that was made before anything was queued does: under limits what counts elsewhere only becomes
        # less, and the write judges this counter. Only a refusal needs a new one.
        if (seen is None or not self._fitted(move, limits, seen)) and not self._fitted(move, limits, self._read()):
            raise CapacityFull

    def _fitted(self, move: MarkedMove, limits: Limits, seen: Mapping[int, Used]) -> bool:
        """Whether a creation fits beside what others count, and is counted by now."""
        left, weight_bytes = _left(seen, move.counter, limits), move.mark.weight_bytes
        if not left.allow(Used(0, 0), 1, weight_bytes):
            return False
        given: dict[str, int] = {}
        if left.jobs is not None:
            given["jobs"] = left.jobs - 1
        if left.weight_bytes is not None and weight_bytes > 0:
            given["weight"] = left.weight_bytes - weight_bytes
        fits = [f"(attribute_not_exists({name}) OR {name} <= :most_{name})" for name in given]
        most = {f":most_{name}": number(value) for name, value in given.items()}
        # Where it does not fit a try before, whose answer was lost, may have counted it.
        return self._write_mark(move, fits, most) or not fits or move in self.marked()

    def _write_mark(self, move: MarkedMove, fits: Sequence[str], most: Mapping[str, Value]) -> bool:
        """Move the counter and mark the creation, if the conditions ``fits`` hold and it has no mark yet."""
        with self._lock:
            done, self._made[move.counter] = self._made[move.counter][:MARKS_CLEARED], []
        removed = f" REMOVE {', '.join(f'#d{n}' for n in range(len(done)))}" if done else ""
        names = {"#m": _mark_name(move.mark), **{f"#d{n}": _mark_name(each.mark) for n, each in enumerate(done)}}
        values = {
            ":j": number(1),
            ":w": number(move.mark.weight_bytes),
            ":m": text(_encode(move.mark).decode()),
            **most,
        }
        return self._db.write(
            "update_item",
            TableName=self._table,
            Key=key(CAPACITY_PK, _sk(move.counter)),
            UpdateExpression=f"SET #m = :m{removed} ADD jobs :j, weight :w",
            ConditionExpression=" AND ".join(["attribute_not_exists(#m)", *fits]),
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=values,
        )

    def made(self, move: MarkedMove) -> None:
        """A creation came true: its mark goes with the next one that this process begins."""
        with self._lock:
            self._made[move.counter].append(move)

    def clear(self, moves: Sequence[MarkedMove]) -> None:
        """Remove marks of creations that came true."""
        by_counter: dict[int, list[MarkedMove]] = defaultdict(list)
        for move in moves:
            by_counter[move.counter].append(move)
        for counter, several in by_counter.items():
            names = {f"#d{n}": _mark_name(move.mark) for n, move in enumerate(several[:MARKS_CLEARED])}
            self._db.write(
                "update_item",
                TableName=self._table,
                Key=key(CAPACITY_PK, _sk(counter)),
                UpdateExpression=f"REMOVE {', '.join(names)}",
                ExpressionAttributeNames=names,
            )

    def take_back(self, move: MarkedMove) -> None:
        """Count a creation no more that did not come true: once, as long as its mark is there."""
        self._db.write(
            "update_item",
            TableName=self._table,
            Key=key(CAPACITY_PK, _sk(move.counter)),
            UpdateExpression="REMOVE #m ADD jobs :j, weight :w",
            ConditionExpression="attribute_exists(#m)",
            ExpressionAttributeNames={"#m": _mark_name(move.mark)},
            ExpressionAttributeValues={":j": number(-1), ":w": number(-move.mark.weight_bytes)},
        )

    def marked(self) -> list[MarkedMove]:
        """All creations that are marked."""
        return [
            MarkedMove(int(item["sk"]["S"]), _decode(value["S"].encode()))
            for item in self._items()
            for name, value in item.items()
            if name.startswith(_MARK)
        ]

    # -- what transactions move

    def used(self) -> Used:
        """All counters together."""
        seen = self._seen = self._read()
        return _total(seen)

    def moves(self, before: State | None, after: State, limits: Limits | None) -> list[Move]:
        """What a change of a state does to the counters. Reads them only where a limit judges what grows."""
        moved = _moves(before, after)
        grows = any(move.grows for move in moved)
        self._seen = None if grows else self._seen
        if limits is None or not grows:
            return moved
        counters = self._read()
        return [replace(move, limits=_left(counters, move.counter, limits)) if move.grows else move for move in moved]

    def update(self, move: Move) -> dict[str, Any]:
        """A move that is not judged, as a part of a transaction."""
        return {
            "TableName": self._table,
            "Key": key(CAPACITY_PK, _sk(move.counter)),
            "UpdateExpression": "ADD jobs :j, weight :w",
            "ExpressionAttributeValues": {":j": number(move.jobs), ":w": number(move.weight_bytes)},
        }

    def _read(self) -> dict[int, Used]:
        return {int(i["sk"]["S"]): Used(int(i["jobs"]["N"]), int(i["weight"]["N"])) for i in self._items()}

    def _items(self) -> Sequence[Item]:
        answer = self._db.read(
            "query",
            TableName=self._table,
            KeyConditionExpression="pk = :p",
            ExpressionAttributeValues={":p": text(CAPACITY_PK)},
            ConsistentRead=True,
        )
        items: Sequence[Item] = answer["Items"]
        return items


def place(shard: int, limits: Limits | None) -> int:
    """The counter of a schedule that begins to count."""
    return LIMITED_COUNTER if limits is not None else 1 + shard


def releases(spent: Sequence[State]) -> list[Move]:
    """What taking all of ``spent`` off does to the counters."""
    jobs, weights = Counter(state.counted for state in spent), Counter[int]()
    for state in spent:
        weights[state.counted] += state.weight_bytes
    return [Move(counter, -number_of_jobs, -weights[counter]) for counter, number_of_jobs in jobs.items()]


def judged_update(model: type[RegistryItem], move: Move) -> tuple[RegistryItem, list[Action], Condition | None]:
    """A move through pynamodb, and the condition that it keeps the counter within its limit."""
    actions: list[Action] = [model.jobs.add(move.jobs), model.weight.add(move.weight_bytes)]
    fits: Condition | None = None
    limits = move.limits
    if limits is not None and limits.jobs is not None and move.jobs > 0:
        fits = model.jobs <= limits.jobs - move.jobs
    if limits is not None and limits.weight_bytes is not None and move.weight_bytes > 0:
        lighter = model.weight <= limits.weight_bytes - move.weight_bytes
        fits = lighter if fits is None else fits & lighter
    if limits is not None and fits is not None and limits.allow(Used(0, 0), move.jobs, move.weight_bytes):
        fits = model.pk.does_not_exist() | fits
    return model(hash_key=CAPACITY_PK, range_key=_sk(move.counter)), actions, fits


def _moves(before: State | None, after: State) -> list[Move]:
    old_counter, old_weight = (-1, 0) if before is None else (before.counted, before.weight_bytes)
    if old_counter == after.counted:
        grown = after.weight_bytes - old_weight
        return [Move(after.counted, 0, grown)] if after.counted >= 0 and grown else []
    moved = [Move(old_counter, -1, -old_weight)] if old_counter >= 0 else []
    return [*moved, Move(after.counted, 1, after.weight_bytes)] if after.counted >= 0 else moved


def _left(counters: Mapping[int, Used], counter: int, limits: Limits) -> Limits:
    """What one counter may hold under limits for all of them together. What counts in others than LIMITED_COUNTER, from
    a time without limits, only ever becomes less."""
    others = _total({n: used for n, used in counters.items() if n != counter})
    return Limits(
        None if limits.jobs is None else limits.jobs - others.jobs,
        None if limits.weight_bytes is None else limits.weight_bytes - others.weight_bytes,
    )


def _total(counters: Mapping[int, Used]) -> Used:
    """Counters together; what late repairs left below zero is shown as none."""
    several = counters.values()
    return Used(max(0, sum(u.jobs for u in several)), max(0, sum(u.weight_bytes for u in several)))


def _sk(counter: int) -> str:
    return f"{counter:03d}"


def _mark_name(mark: CreationMark) -> str:
    """The attribute of a mark. A creation that is run again has another version, and a mark of its own."""
    return f"{_MARK}{mark.version}#{documents.partition(mark.tenant, mark.id)}"


_encode = msgspec.json.Encoder().encode
_decode = decoder_of(CreationMark).decode
