"""The same random operations in memory, on DynamoDB and on PostgreSQL give the same answers and leave the same behind.

Every sequence has a seed; a failure names it, and ``CHRONO_SEEDS=N`` (or ``N..M``) runs that one (or those) again.
``CHRONO_SEQUENCES`` sets how many run; the default keeps the suite short.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.adapters.aws.clients import Clients
from chalicelib.adapters.dynamodb.stores import open_stores
from chalicelib.adapters.memory import stores
from chalicelib.adapters.postgres.database import PostgresDatabase
from chalicelib.adapters.postgres.stores import open_stores as open_postgres_stores
from chalicelib.core.executions.execution import (
    COMPLETED,
    FAILED,
    IN_PROGRESS,
    PENDING,
    STATES,
    TIMEOUT,
    Attempt,
    Execution,
    ExecutionKey,
    Transition,
)
from chalicelib.core.schedules.capacity import Limits, Used, uncounted
from chalicelib.core.schedules.claim_span import ClaimSpan
from chalicelib.core.schedules.schedule import Definition, Key, Schedule, State, VersionRef
from chalicelib.ports.stores.idempotency import Remembered
from chalicelib.ports.stores.logs import LogLine
from chalicelib.ports.stores.schedules import (
    ScheduleChange,
    ScheduleFilter,
    Versioned,
)
from tests.contract.answers import outcome, pages, pages_of_due
from tests.kit.records import START_MS, definition, execution, state

SEQUENCES_DEFAULT = 200
POSTGRES_SEQUENCES_DEFAULT = 40
STEPS = 60
SHARDS = 3
NAMES = (None, None, "n", "m", "n#m", "name")
OWNERS = ("a", "b", "a#n")
TAGS = ((), ("x",), ("x", "y"), ("xy",))
INSTANTS = tuple(START_MS + n * 500 for n in range(8))


def chosen_seeds(default: int = SEQUENCES_DEFAULT) -> Iterable[int]:
    """What the environment asks for."""
    given = os.environ.get("CHRONO_SEEDS")
    if given:
        first, _, last = given.partition("..")
        return range(int(first), int(last or first) + 1)
    return range(int(os.environ.get("CHRONO_SEQUENCES") or default))


class Walk:
    """One sequence: the same call on both, and what they must agree on."""

    def __init__(self, seed: int, real: Any, shard_base: int) -> None:
        self.r = random.Random(f"differential/{seed}")
        self.tenant = f"walk#{seed}%{shard_base}"
        self.shard_base = shard_base
        self.fake: Any = stores.open_stores()
        self.real = real
        self.keys = [Key(self.tenant, f"{n:026d}") for n in range(5)]
        self.places = (0, 1 + shard_base, 2 + shard_base)
        self.before = {id(s): s.schedules.used() for s in (self.fake, self.real)}
        self.story: list[str] = []
        self.states: dict[Key, State] = {}

    def both(self, what: str, call: Callable[[Any], Any]) -> Any:
        """Call both; they must answer, or raise, the same."""
        answers = [outcome(call, stores) for stores in (self.fake, self.real)]
        self.story.append(f"{what} -> {answers[0]}")
        assert answers[0] == answers[1], "\n".join([*self.story[-12:], f"the other: {answers[1]}"])
        return answers[0]

    # -- drawing

    def key(self) -> Key:
        return self.r.choice(self.keys)

    def rev_near(self, rev: int) -> int:
        """Mostly the right one."""
        return self.r.choice((rev, rev, rev, rev, rev - 1, rev + 1))

    def definition(self, at: Key) -> Definition:
        r = self.r
        return definition(
            at,
            version=f"v{r.randrange(10**9)}",  # no two creations share one
            since_ms=r.choice(INSTANTS),
            active=r.random() < 0.7,
            name=r.choice(NAMES),
            owner=r.choice(OWNERS),
            type=r.choice(("RATE", "CRON")),
            tags=r.choice(TAGS),
            payload=r.choice(("null", '{"a":1}', ' "ä" ')),
        )

    def state(self, at: Key, version: str, rev: int) -> State:
        r = self.r
        return state(
            at,
            self.shard_base + r.randrange(SHARDS),
            rev=rev,
            epoch=r.randrange(9),
            versions=(VersionRef(version, START_MS, True),),
            status=r.choice(("active", "active", "active", "paused")),
            next_run_ms=r.choice((None, *INSTANTS)),
            fence=r.randrange(5),
            claims=r.choice(((), ((1, 2),))),
            spans=r.choice(((), (ClaimSpan(1, 0, 1, 7, "ö"), ClaimSpan(START_MS, 1_000, 10, 8, "me")))),
            reached_ms=r.choice((0, START_MS)),
            queued_ms=r.choice((None, *INSTANTS)),
            outcome=r.choice(("", "", "failed", "timeout")),
            chained=r.random() < 0.2,
            counted=r.choice((-1, *self.places)),
            weight_bytes=r.randrange(9),
        )

    def limits(self) -> Limits | None:
        r = self.r
        return r.choice((None, None, Limits(r.randrange(4), None), Limits(None, r.randrange(20)), Limits(3, 15)))

    def beyond(self, stores: Any, limits: Limits | None) -> Limits | None:
        """Limits over what this walk counts: what others left behind counts too."""
        if limits is None:
            return None
        used = self.before[id(stores)]
        return Limits(
            None if limits.jobs is None else limits.jobs + used.jobs,
            None if limits.weight_bytes is None else limits.weight_bytes + used.weight_bytes,
        )

    # -- operations on schedules

    def create(self) -> None:
        at = self.key()
        made = self.definition(at)
        made_state, limits = self.state(at, made.version, 1), self.limits()
        if (
            self.both(
                f"create {at.id[-1]} {made.name} {limits}",
                lambda s: s.schedules.create(Schedule(made, made_state), self.beyond(s, limits)),
            )
            is None
        ):
            self.states[at] = made_state

    def change(self) -> None:
        at = self.key()
        known = self.states.get(at)
        before = self.fake.schedules.definitions([at]).get(at)
        made = self.definition(at) if self.r.random() < 0.8 else None
        version = "gone" if made is None else made.version
        read = known if known is not None else self.state(at, "v", 1)
        after = self.state(at, version, read.rev + 1)
        if read.counted >= 0:  # as in the product, where a schedule counts never changes
            after = replace(after, counted=self.r.choice((-1, read.counted, read.counted)))
        if made is None:
            after = replace(after, status="deleted", next_run_ms=None)
        old = None if before is None or before.name is None else (before.owner, before.name)
        new = None if made is None or made.name is None else (made.owner, made.name)
        snapshot = before if before is not None and self.r.random() < 0.7 else None
        if known is None:
            old = None
        read, limits = replace(read, rev=self.rev_near(read.rev)), self.limits()
        written = ScheduleChange(after, read, made, snapshot, old, new)
        if (
            self.both(
                f"change {at.id[-1]} {old} to {new}",
                lambda s: s.schedules.change(replace(written, limits=self.beyond(s, limits))),
            )
            is None
        ):
            self.states[at] = after

    def write_states(self) -> None:
        writes = []
        for at in self.r.sample(self.keys, self.r.randrange(1, 4)):
            known = self.states.get(at) or self.state(at, "v", 1)
            after = replace(
                self.state(at, known.current.id, known.rev + 1),
                shard=known.shard,
                counted=known.counted,
                weight_bytes=known.weight_bytes,
            )
            if known.status == "deleted":
                after = replace(after, status="deleted")
            writes.append((after, self.rev_near(known.rev)))
        answers = self.both(f"write_states {len(writes)}", lambda s: s.schedules.write_states(writes))
        self.states.update({w.key: w for (w, _), won in zip(writes, answers, strict=True) if won})

    def release(self) -> None:
        known = [s for s in self.states.values() if s.counted >= 0 and self.r.random() < 0.5]
        spent = [replace(s, rev=self.rev_near(s.rev)) for s in known]
        answers = self.both(f"release {len(spent)}", lambda s: list(s.schedules.release(spent)))
        freed = [uncounted(replace(s, rev=s.rev + 1)) for s, won in zip(spent, answers, strict=True) if won]
        self.states.update({state.key: state for state in freed})

    def read_jobs(self) -> None:
        r = self.r
        r_limit = r.randrange(1, 5)
        group, limit = r.choice(("fresh", "ran", "failed", "timeout")), r.randrange(1, 4)
        self.both(f"jobs {group}", lambda s: pages(lambda after: s.schedules.jobs(self.tenant, group, limit, after)))
        shard, until_ms = self.shard_base + r.randrange(SHARDS), r.choice(INSTANTS)
        self.both("spent", lambda s: sorted(s.schedules.spent(shard, until_ms, 100)))
        self.both("used", self.used)
        names = [(owner, name) for owner in OWNERS for name in ("n", "m", "n#m", "name")]
        self.both("named", lambda s: s.schedules.named(self.tenant, names))
        self.both("ended_badly", lambda s: s.executions.ended_badly([shard], until_ms, r_limit))

    def used(self, stores: Any) -> Any:
        used, before = stores.schedules.used(), self.before[id(stores)]
        return Used(used.jobs - before.jobs, used.weight_bytes - before.weight_bytes)

    def log(self) -> None:
        at, number = self.execution_key(), self.r.randrange(1, 6)
        line = LogLine(number, self.r.choice(INSTANTS), self.r.choice(("info", "error")), self.r.choice(("a", "ä\n")))
        self.both(f"log {number}", lambda s: s.logs.append(at, line))
        limit = self.r.randrange(1, 4)
        self.both("last line", lambda s: s.logs.last(at))
        self.both("lines", lambda s: pages(lambda after: s.logs.page(at, limit, after or 0)))

    def read_schedules(self) -> None:
        wanted = self.r.sample(self.keys, self.r.randrange(1, 5))
        for name in ("states", "epochs", "definitions", "get"):
            self.both(name, lambda s, name=name: getattr(s.schedules, name)(wanted))
        at = self.key()
        found = self.both("history", lambda s: s.schedules.history(at))
        versions = [Versioned(at, d.version) for d in found] + [Versioned(at, "v000")]
        self.both("snapshots", lambda s: s.schedules.snapshots(versions))

    def read_due(self) -> None:
        shard, until_ms = self.shard_base + self.r.randrange(SHARDS), self.r.choice(INSTANTS)
        limit = self.r.randrange(1, 4)
        self.both("due", lambda s: pages_of_due(s, shard, until_ms, limit))

    def read_list(self) -> None:
        r = self.r
        wanted = ScheduleFilter(
            owner=r.choice((None, *OWNERS)),
            enabled=r.choice((None, None, True, False)),
            type=r.choice((None, None, "RATE")),
            tag=r.choice((None, None, "x", "xy")),
            name_prefix=r.choice((None, None, "n", "n#")),
        )
        limit = r.randrange(1, 4)
        self.both(f"list {wanted}", lambda s: pages(lambda after: s.schedules.list(self.tenant, wanted, limit, after)))

    # -- operations on executions

    def execution(self, at: ExecutionKey, rev: int) -> Execution:
        r = self.r
        possible = (PENDING, PENDING, IN_PROGRESS, COMPLETED, FAILED, *STATES)
        # As in the product, what was never tried has not failed.
        chosen = r.choice([state for state in possible if rev > 1 or state not in (FAILED, TIMEOUT)])
        is_open = chosen in (PENDING, IN_PROGRESS)
        return execution(
            Key(at.tenant, at.schedule_id),
            at.firing_ms,
            self.shard_base + int(at.schedule_id) % SHARDS,
            manual=at.manual,
            requested=at.manual or at.schedule_id[-1] == "1",
            rev=rev,
            state=chosen,
            # As in the product, when a record was made never changes.
            created_ms=at.firing_ms + (100 if at.schedule_id[-1] == "2" else -100),
            lease_until_ms=r.choice((None, *INSTANTS)) if is_open else None,
            retry_at_ms=r.choice((None, *INSTANTS)) if is_open else None,
            finished_ms=None if is_open else at.firing_ms + 5,
            attempts=r.choice(((), (Attempt(1, 2, 3), Attempt(2, 3, 4, 5, "failed", 500, "http_error", "é")))),
            history=r.choice(((), (Transition("pending", "in_progress", 1),))),
            result=r.choice((None, "{}")),
        )

    def execution_key(self) -> ExecutionKey:
        at = self.key()
        return ExecutionKey(at.tenant, at.id, self.r.choice(INSTANTS), self.r.random() < 0.2)

    def insert(self) -> None:
        keys = dict.fromkeys(self.execution_key() for _ in range(self.r.randrange(1, 6)))
        records = [self.execution(k, 1) for k in keys]
        self.both(f"insert {len(records)}", lambda s: s.executions.insert(records))

    def update(self) -> None:
        r = self.r
        keys = list(dict.fromkeys(self.execution_key() for _ in range(r.randrange(1, 8))))
        found = self.fake.executions.get(keys)
        writes = []
        for at in keys:
            rev = found[at].rev if at in found else r.choice((0, 1))
            writes.append((self.execution(at, rev + 1), self.rev_near(rev)))
        self.both(f"update {len(writes)}", lambda s: s.executions.update(writes))

    def read_executions(self) -> None:
        r = self.r
        keys = [self.execution_key() for _ in range(6)]
        self.both("get", lambda s: s.executions.get(keys))
        at, limit = self.key(), r.randrange(1, 5)
        low, high = r.choice(INSTANTS), r.choice(INSTANTS)
        newest_first = r.random() < 0.5
        self.both(
            "of_schedule",
            lambda s: pages(lambda after: s.executions.of_schedule(at, low, high, limit, after, newest_first)),
        )
        shards = [self.shard_base + n for n in r.sample(range(SHARDS), r.randrange(1, SHARDS + 1))]
        self.both(
            "recent",
            lambda s: pages(lambda after: s.executions.recent(self.tenant, shards, low, high, limit, after)),
        )
        shard = r.choice(shards)
        self.both("open_until", lambda s: sorted(s.executions.open_until(shard, high, 1000).keys))

    # -- the small stores

    def cursor(self) -> None:
        name = f"{self.tenant}/{self.r.randrange(2)}"
        rev = self.both("cursor load", lambda s: s.cursors.load(name)).rev
        values, expected = {"n": self.r.randrange(100)}, max(0, self.rev_near(rev))
        self.both("cursor save", lambda s: s.cursors.save(name, values, expected))

    def lease(self) -> None:
        name = self.r.choice(("a", "a/b", "b"))
        held = self.both("lease load", lambda s: s.leases.load(self.tenant, name))
        expected = max(0, self.rev_near(held[1] if held else 0))
        document = f"d{self.r.randrange(100)}"
        self.both("lease save", lambda s: s.leases.save(self.tenant, name, document, expected + 1, expected))
        self.both("lease list", lambda s: pages(lambda after: s.leases.list(self.tenant, 2, after)))

    def idempotency(self) -> None:
        r = self.r
        key = r.choice(("k", "k#", "l"))
        record = Remembered(f"h{r.randrange(2)}", f"s{r.randrange(99)}", r.choice(INSTANTS))
        answered = replace(record, answer=f"a{r.randrange(9)}")
        stale = replace(record, started_ms=r.choice(INSTANTS))
        verb = r.choice(("begin", "begin", "take_over", "finish", "forget"))
        calls: dict[str, Callable[[Any], Any]] = {
            "begin": lambda s: s.idempotency.begin(self.tenant, key, record),
            "take_over": lambda s: s.idempotency.take_over(self.tenant, key, stale, record),
            "finish": lambda s: s.idempotency.finish(self.tenant, key, answered),
            "forget": lambda s: s.idempotency.forget(self.tenant, key),
        }
        self.both(f"idempotency {verb} {key}", calls[verb])

    def run(self) -> None:
        """Random steps, then everything that can be read."""
        writes = (self.create, self.change, self.write_states, self.insert, self.update, self.release)
        reads = (self.read_schedules, self.read_due, self.read_list, self.read_executions, self.read_jobs, self.log)
        others = (self.cursor, self.lease, self.idempotency)
        for _ in range(STEPS):
            self.r.choice((*writes, *writes, *reads, *others))()
        self.compare_all()

    def compare_all(self) -> None:
        """The end state, by every way of reading it."""
        self.both("all states", lambda s: s.schedules.states(self.keys))
        self.both("all schedules", lambda s: s.schedules.get(self.keys))
        for at in self.keys:
            self.both("history", lambda s, at=at: s.schedules.history(at))
            self.both("all records", lambda s, at=at: s.executions.of_schedule(at, 0, START_MS * 2, 1000, None))
        self.both("everything", lambda s: s.schedules.list(self.tenant, ScheduleFilter(), 100, None))
        for n in range(SHARDS):
            shard = self.shard_base + n
            self.both("due", lambda s, shard=shard: sorted(s.schedules.due(shard, START_MS * 2, 100)))
            self.both("open", lambda s, shard=shard: sorted(s.executions.open_until(shard, START_MS * 2, 100).keys))
            self.both("spent", lambda s, shard=shard: sorted(s.schedules.spent(shard, START_MS * 2, 100)))
            self.both("bad", lambda s, shard=shard: s.executions.ended_badly([shard], 0, 1000))
        for group in ("fresh", "ran", "failed", "timeout", "cancelled"):
            self.both(group, lambda s, group=group: s.schedules.jobs(self.tenant, group, 100, None))
        self.both("used", self.used)


@pytest.mark.emulator
@pytest.mark.parametrize("seed", chosen_seeds())
def test_memory_and_dynamodb_agree(seed: int, clients: Clients, resources: Any) -> None:
    walk(seed, open_stores(clients.factory("dynamodb"), resources[0].stage))


@pytest.mark.parametrize("seed", chosen_seeds(POSTGRES_SEQUENCES_DEFAULT))
def test_memory_and_postgres_agree(seed: int, postgres: PostgresDatabase) -> None:
    walk(seed, open_postgres_stores(postgres))


def walk(seed: int, real: Any) -> None:
    try:
        Walk(seed, real, shard_base=1000 + seed * SHARDS).run()
    except AssertionError as problem:
        raise AssertionError(
            f"seed {seed}: CHRONO_SEEDS={seed} python -m pytest {os.path.relpath(__file__)}\n{problem}"
        ) from None
