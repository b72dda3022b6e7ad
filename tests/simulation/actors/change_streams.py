"""The streams of tables as DynamoDB's are: items in shards, parents before children, everything at least once.

And those who read the feed: a page at a time, with a cursor that they keep.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from chalicelib.core.changes.change_log import Arrived, Change, LogHead, Segment
from chalicelib.core.errors import ChronoError, Gone
from chalicelib.core.security.caller import ANONYMOUS_ADMIN, Caller, caller_of
from chalicelib.usecases import changes as feed
from chalicelib.usecases.changes import Placed
from chalicelib.workers import changes
from tests.simulation.actors.tables import Gate
from tests.simulation.world import World

OWNERS = ("ann", "bob")
ITEMS = 7  # of a tenant in a stream
POLL_MS = 250
READ_MS = 400
LIMIT_MS = 20_000
BATCHES = (1, 3, 10, 120)
PAGES = (1, 3, 50, 100)


class WatchedChanges:
    """``ports.stores.changes.ChangeStore`` behind the gate; ``log`` is what it confirmed, a tenant at a time."""

    def __init__(self, gate: Gate, inner: Any) -> None:
        self._gate = gate
        self._inner = inner
        self.log: dict[str, list[Segment]] = {}

    def head(self, tenant: str) -> LogHead:
        fault = self._gate.enter("change_head")
        found = self._inner.head(tenant)
        self._gate.leave(fault)
        return found  # type: ignore[no-any-return]

    def append(self, head: LogHead, segment: Segment, expected_rev: int) -> bool:
        fault = self._gate.enter("change_append")
        won = self._inner.append(head, segment, expected_rev)
        if won:
            self.log.setdefault(head.tenant, []).append(segment)
        else:
            self._gate.world.hit("race: change_append lost")
        self._gate.leave(fault)
        return won  # type: ignore[no-any-return]

    def segments(self, tenant: str, after: int, limit: int) -> Any:
        fault = self._gate.enter("change_segments")
        found = self._inner.segments(tenant, after, limit)
        self._gate.leave(fault)
        return found


@dataclass(slots=True)
class StreamShard:
    """A shard of a stream: what was written, in order, and how far its reader has come."""

    name: str
    parent: StreamShard | None
    records: list[Arrived] = field(default_factory=list)
    closed: bool = False
    done: int = 0
    checkpoint: int = 0
    job: Any = None
    rival_done: int = 0
    rival: Any = None

    @property
    def is_drained(self) -> bool:
        return self.done == len(self.records)

    @property
    def may_begin(self) -> bool:
        return self.parent is None or (self.parent.closed and self.parent.is_drained)


class TableStream:
    """One table's stream: writers that fill it, and the event source that feeds the product."""

    def __init__(self, play: Any, number: int) -> None:
        self._play = play
        self._world: World = play.world
        self._number = number
        self._sequence = 1000 * number
        self._revs: dict[tuple[str, int], int] = {}
        self._shards_made = 0
        self.shards: list[StreamShard] = [self._new_shard(None)]
        self._world.call_at(self._world.now + number, self._write)
        self._world.call_at(self._world.now + POLL_MS, self._poll)
        self._world.call_at(self._world.now + play.plan.split_every_ms, self._split)

    @property
    def is_drained(self) -> bool:
        return all(shard.is_drained for shard in self.shards)

    def _new_shard(self, parent: StreamShard | None) -> StreamShard:
        self._shards_made += 1
        return StreamShard(f"s{self._number}.{self._shards_made}", parent)

    def _write(self) -> None:
        """Some item of some tenant changes. ``at_ms`` of the change is the item's own count of its changes."""
        world, plan = self._world, self._play.plan
        if world.now >= plan.end_ms:
            return
        draw = world.random.random
        tenant, item = f"t{int(draw() * plan.tenants)}", int(draw() * ITEMS)
        rev = self._revs[tenant, item] = self._revs.get((tenant, item), 0) + 1
        owner = None if item == 0 else OWNERS[item % 2]
        change = Change("lease" if item == 0 else "execution", f"{self._number}/{item}", rev, owner, None)
        self._sequence += 1 + int(draw() * 5)
        self.shards[-1].records.append(Arrived(self._sequence, tenant, change))
        self._play.written.setdefault(tenant, []).append(change)
        world.call_at(world.now + 1 + int(draw() * 2 * plan.pace_ms), self._write)

    def _split(self) -> None:
        """The open shard ends and has a child."""
        world = self._world
        if world.now >= self._play.plan.end_ms:
            return
        world.hit("change: shard split")
        parent = self.shards[-1]
        parent.closed = True
        self.shards.append(self._new_shard(parent))
        self._sequence = int(world.random.random() * 5_000)  # a child's numbers need not go on from its parent's
        world.call_at(world.now + self._play.plan.split_every_ms, self._split)

    def _poll(self) -> None:
        world = self._world
        world.call_at(world.now + int(POLL_MS * (0.2 + world.random.random())), self._poll)
        for shard in self.shards:
            if shard.may_begin and not shard.is_drained and (shard.job is None or shard.job.done):
                self._begin(shard)
            self._rival(shard)

    def _begin(self, shard: StreamShard) -> None:
        world = self._world
        instance = self._play.fleet.any_alive()
        if instance is None:
            return
        if world.random.random() < 0.05 and shard.done > shard.checkpoint:
            world.hit("change: read again from a checkpoint")
            shard.done = shard.checkpoint
        size = BATCHES[int(world.random.random() * len(BATCHES))]
        batch = shard.records[shard.done : shard.done + size]

        def work() -> None:
            try:
                changes.record(instance.services, shard.name, batch)
            except ChronoError:
                world.hit("change: batch again")
                return
            if world.random.random() < 0.9:  # else the answer is lost, and the batch comes again
                shard.checkpoint = shard.done
                shard.done += len(batch)

        shard.job = world.invoke(instance, work, LIMIT_MS)

    def _rival(self, shard: StreamShard) -> None:
        """Another process that reads the same shard from its beginning, at its own pace."""
        world = self._world
        behind = shard.rival_done < len(shard.records) and shard.may_begin
        if not self._play.plan.rivals or world.resting or not behind or not (shard.rival is None or shard.rival.done):
            return
        instance = self._play.fleet.any_alive()
        if instance is None or world.random.random() < 0.8:
            return
        world.hit("change: two read one shard")
        batch = shard.records[shard.rival_done : shard.rival_done + 5]

        def work() -> None:
            try:
                changes.record(instance.services, shard.name, batch)
            except ChronoError:
                return
            shard.rival_done += len(batch)

        shard.rival = world.invoke(instance, work, LIMIT_MS)


class FeedReader:
    """One who reads a tenant's feed. ``runs`` are readings without a gap: where each began, and what it got."""

    def __init__(self, play: Any, number: int) -> None:
        self._play = play
        self._world: World = play.world
        draw = self._world.random.random
        self.name = f"reader {number}"
        self.tenant = f"t{int(draw() * play.plan.tenants)}"
        self.owner = None if draw() < 0.4 else OWNERS[int(draw() * 2)]
        self.limit = PAGES[int(draw() * len(PAGES))]
        self.slow = draw() < 0.3
        self.cursor: int | None = 0 if draw() < 0.5 else None
        self.runs: list[tuple[int, list[Placed]]] = [] if self.cursor is None else [(0, [])]
        self._job: Any = None
        self._world.call_at(self._world.now + READ_MS, self._read)

    @property
    def caller(self) -> Caller:
        if self.owner is None:
            return replace(ANONYMOUS_ADMIN, tenant=self.tenant)
        return caller_of(self.tenant, self.owner, ["user"], {}, credential="off", expires_at_ms=None)

    def _read(self) -> None:
        world = self._world
        pace_ms = 12_000 if self.slow and not world.resting else READ_MS
        world.call_at(world.now + int(pace_ms * (0.3 + world.random.random())), self._read)
        if self._job is None or self._job.done:
            instance = self._play.fleet.any_alive()
            if instance is not None:
                self._job = world.invoke(instance, lambda: self._ask(instance), LIMIT_MS)

    def _ask(self, instance: Any) -> None:
        world = self._world
        asked = self.cursor
        try:
            limit = PAGES[-1] if world.resting else self.limit
            page = feed.page(instance.services, self.caller, asked, limit, None)
        except Gone:
            world.hit("change: expired")
            self.cursor = None
            return
        except ChronoError:
            return
        if world.random.random() < 0.05:
            return  # the answer is lost, and the reader asks again
        if asked is None:
            self.runs.append((page.next_after, []))
        self.runs[-1][1].extend(page.changes)
        if len(page.changes) == limit:
            world.hit("change: page cut")
        self.cursor = page.next_after
