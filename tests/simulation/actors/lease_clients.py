"""Those who take leases: clients that stall, lose answers and repeat calls, a resource that keeps the highest token,
and an admin who breaks leases. What they see goes into a record of its own, which ``checkers.leases`` judges."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from chalicelib.core.clock import hlc
from chalicelib.core.clock.hlc import Stamp
from chalicelib.core.errors import ChronoError, Conflict, InvalidField
from chalicelib.core.leases import lease_document
from chalicelib.core.leases.lease import Granted
from chalicelib.core.leases.lease_item import LeaseItem
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.ports.services import Services
from chalicelib.usecases import leases
from chalicelib.usecases.leases import AcquireLease, ReleaseLease, RenewLease
from tests.simulation.actors.tables import Gate, Leases
from tests.simulation.clock import InstanceClock
from tests.simulation.world import Job, World

NAMES = ("one", "two")
TTLS_MS = (200, 500, 1_000, 3_000)
PATIENCE_MS = 2_000
GIVES_UP_AFTER = 30  # askings; in quiet worlds nobody gives up, so that turns can be compared
PLACED_WITHIN_MS = 500  # a call that is held has its place by then, while nothing goes wrong
CALLER = ANONYMOUS_ADMIN


class Written(NamedTuple):
    """A lease as stored from ``at_ms`` on, and what it was before."""

    at_ms: int
    before: LeaseItem | None
    after: LeaseItem


class Belief(NamedTuple):
    """A client took itself for the holder from one true time to another."""

    client: str
    name: str
    token: int
    from_ms: int
    until_ms: int


class Turn(NamedTuple):
    """A client asked for a lease from ``asked_ms`` on, had its place in the queue by ``known_ms``, and was granted."""

    client: str
    name: str
    asked_ms: int
    known_ms: int
    token: int


@dataclass(slots=True)
class LeaseRecord:
    """What the world saw of leases."""

    written: list[Written] = field(default_factory=list)
    beliefs: list[Belief] = field(default_factory=list)
    accepted: list[tuple[str, str, int]] = field(default_factory=list)  # (lease, client, token), in order
    turns: list[Turn] = field(default_factory=list)
    stamps: list[tuple[str, Stamp, Stamp]] = field(default_factory=list)  # (client, newest it had seen, answered)
    breaks: int = 0
    faults: list[str] = field(default_factory=list)  # what an actor itself saw to be wrong


class WatchedLeases(Leases):
    """The gated store; what it confirmed is put into the record."""

    def __init__(self, gate: Gate, inner: Any, world: World, record: LeaseRecord) -> None:
        super().__init__(gate, inner)
        self._world = world
        self._record = record

    def save(self, tenant: str, name: str, document: str, rev: int, expected_rev: int) -> bool:
        fault = self._gate.enter("lease_save")
        stored = self._inner.load(tenant, name)
        won = self._inner.save(tenant, name, document, rev, expected_rev)
        if won and tenant == CALLER.tenant:
            before = None if stored is None else lease_document.read(stored[0])
            written = Written(self._world.now, before, lease_document.read(document))
            self._record.written.append(written)
            if self._world.told is not None:
                self._world.tell(self._world.current.instance.name, _told(written.after))
        self._gate.leave(fault)
        return won  # type: ignore[no-any-return]


def _told(item: LeaseItem) -> str:
    waiters = ",".join(w.holder_id for w in item.waiters)
    return (
        f"stored {item.name} rev {item.rev} token {item.fencing_token} holder {item.holder_id} "
        f"until {item.expires_at_unix_ms} waiting [{waiters}]"
    )


# -- waking


class _Bell:
    __slots__ = ("_job", "_rung", "_world")

    def __init__(self, world: World) -> None:
        self._world = world
        self._rung = False
        self._job: Job | None = None

    def wait(self, until_ms: int) -> None:
        """Until rung, or ``until_ms`` by the instance's clock."""
        job = self._world.current
        left_ms = until_ms - job.instance.clock.now_ms()
        if not self._rung and left_ms > 0:
            self._job = job
            self._world.wake(job, left_ms)
            self._world.park()
            self._job = None
        self._rung = False

    def ring(self) -> None:
        self._rung = True
        if self._job is not None:
            self._world.wake(self._job, 0)


class WorldSignals:
    """``ports.clock.Signals`` between greenlets of all instances; some rings are lost on the way."""

    def __init__(self, world: World, name: str, everywhere: dict[str, WorldSignals], lossy: bool) -> None:
        self.address = name
        self._world = world
        self._bells: dict[str, list[_Bell]] = {}
        self._everywhere = everywhere
        self._lossy = lossy
        everywhere[name] = self

    @contextmanager
    def bell(self, name: str) -> Iterator[_Bell]:
        hung = _Bell(self._world)
        self._bells.setdefault(name, []).append(hung)
        try:
            yield hung
        finally:
            self._bells[name].remove(hung)

    def ring(self, name: str, at: str = "") -> None:
        if self._lossy and self._world.random.random() < 0.2:
            self._world.hit("lease: lost ring")
            return
        for hung in self._everywhere[at or self.address]._bells.get(name, ()):
            hung.ring()

    def turn(self, name: str) -> Any:
        """Everybody passes: the worst case."""
        return nullcontext()


# -- clients


class ClientProcess:
    """What the world needs of a process that is no instance of the product."""

    def __init__(self, world: World, name: str) -> None:
        self.name = name
        self.clock = InstanceClock(world, 0, 0)
        self.alive = True
        self.restarts = False
        self.jobs: dict[Job, None] = {}

    def buried(self) -> None:
        """Nothing is left of it."""


class NoAnswer(Exception):
    """Raised to a client whose call was lost, or its answer."""


class LeaseClient:
    """One holder: takes a lease, uses the resource, renews, lets go; and does all of that badly now and then."""

    def __init__(self, world: World, fleet: Any, record: LeaseRecord, number: int, lossy: bool) -> None:
        self.name = f"c{number}"
        self.process = ClientProcess(world, self.name)
        self._world = world
        self._fleet = fleet
        self._record = record
        self._lossy = lossy
        self._seen = hlc.ZERO
        self._given_up = 0
        self.stopping = False
        world.spawn(self.process, self._live, delay_ms=int(world.random.random() * 500))

    def _live(self) -> None:
        world = self._world
        while not self.stopping:
            name = NAMES[int(world.random.random() * len(NAMES))]
            ttl_ms = TTLS_MS[int(world.random.random() * len(TTLS_MS))]
            token = self._acquire(name, ttl_ms)
            if token is not None:
                self._hold(name, token, ttl_ms)
            world.pause(int(world.random.random() * 400))

    def _acquire(self, name: str, ttl_ms: int) -> tuple[int, int] | None:
        """(token, true time until which it may be believed)."""
        world = self._world
        wait_ms = (0, 0, 300, 2_000)[int(world.random.random() * 4)]
        fields = {"name": name, "holder_id": self.name, "ttl_ms": ttl_ms, "wait_ms": wait_ms}
        if wait_ms and world.random.random() < 0.2:
            self._give_up(fields)
        first_ms, known_ms = world.now, world.now + PLACED_WITHIN_MS
        asked = 0
        while not self.stopping and (asked < GIVES_UP_AFTER or not self._lossy):
            asked += 1
            asked_ms = world.now
            try:
                answer = self._call(lambda s: leases.acquire(s, CALLER, AcquireLease(**fields)), wait_ms + PATIENCE_MS)
            except (ChronoError, NoAnswer):
                answer = None
            if isinstance(answer, Granted):
                self._record.turns.append(Turn(self.name, name, first_ms, known_ms, answer.fencing_token))
                world.tell(self.name, f"has {name} under token {answer.fencing_token}")
                return answer.fencing_token, asked_ms + ttl_ms
            if answer is not None:
                known_ms = min(known_ms, world.now)
            world.pause(min(ttl_ms // 4, 200))
        return None

    def _give_up(self, fields: Mapping[str, Any]) -> None:
        """Ask under a name of its own, and give up in the middle: after the call it neither waits nor holds."""
        world = self._world
        self._given_up += 1
        holder_id = f"{self.name}-up-{self._given_up}"
        wanted = AcquireLease(**{**fields, "holder_id": holder_id})
        until_ms = world.now + int(world.random.random() * 1_500)

        noticed: list[int] = []

        def gone() -> bool:
            if world.now >= until_ms:
                noticed.append(world.now)
            return bool(noticed)

        def ask(s: Services) -> LeaseItem:
            leases.acquire(s, CALLER, wanted, gone=gone, gives_up=True)
            return leases.get(s, CALLER, wanted.name)

        try:
            item = self._call(ask, wanted.wait_ms + PATIENCE_MS)
        except (ChronoError, NoAnswer):
            return
        if not noticed:
            if item.holder_id == holder_id:
                self._release(wanted.name, item.fencing_token, wanted.ttl_ms, holder_id)
            return
        world.hit("lease: gave up")
        if item.holder_id == holder_id or any(waiter.holder_id == holder_id for waiter in item.waiters):
            self._record.faults.append(f"{holder_id} gave up, and still waits for {wanted.name} or has it: {item}")

    def _hold(self, name: str, grant: tuple[int, int], ttl_ms: int) -> None:
        world = self._world
        token, until_ms = grant
        begun_ms = world.now
        for _ in range(1 + int(world.random.random() * 6)):
            stalls = world.random.random() < 0.1
            world.pause(5_000 if stalls else int(world.random.random() * ttl_ms / 2))
            self._use(name, token)  # it does not look at the clock first: only the token protects the resource
            asked_ms = world.now
            try:
                fields = {"name": name, "holder_id": self.name, "fencing_token": token, "ttl_ms": ttl_ms}
                self._call(lambda s, f=fields: leases.renew(s, CALLER, RenewLease(**f)), PATIENCE_MS)
            except Conflict:
                break
            except (ChronoError, NoAnswer):
                continue
            if asked_ms >= until_ms:  # it had stopped believing: it begins anew
                self._believed(name, token, begun_ms, until_ms)
                begun_ms = world.now
            until_ms = max(until_ms, asked_ms + ttl_ms)
        self._believed(name, token, begun_ms, until_ms)
        if world.random.random() < 0.85:
            self._release(name, token, ttl_ms)

    def _believed(self, name: str, token: int, begun_ms: int, until_ms: int) -> None:
        until = min(until_ms, self._world.now)
        if begun_ms < until:
            self._record.beliefs.append(Belief(self.name, name, token, begun_ms, until))

    def _release(self, name: str, token: int, ttl_ms: int, holder_id: str = "") -> None:
        fields = {"name": name, "holder_id": holder_id or self.name, "fencing_token": token}
        released = False
        for _ in range(4):
            try:
                self._call(lambda s: leases.release(s, CALLER, ReleaseLease(**fields)), PATIENCE_MS)
            except Conflict:
                return
            except (ChronoError, NoAnswer):
                continue
            released = True
            break
        if released and self._world.random.random() < 0.4:  # a heartbeat that was still under way
            try:
                self._call(lambda s: leases.renew(s, CALLER, RenewLease(**fields, ttl_ms=ttl_ms)), PATIENCE_MS)
            except (ChronoError, NoAnswer):
                return
            self._record.faults.append(f"{self.name}'s heartbeat revived token {token} of {name} after its release")

    def _use(self, name: str, token: int) -> None:
        """Write to the resource, which keeps the highest token it has seen."""
        highest = max((t for n, _, t in self._record.accepted if n == name), default=0)
        if token < highest:
            self._world.hit("lease: resource refused")
            return
        self._record.accepted.append((name, self.name, token))

    def _call(self, work: Callable[[Services], Any], patience_ms: int) -> Any:
        """One call of the service; raises what it raised, or NoAnswer."""
        world = self._world
        instance = self._fleet.any_alive()
        if instance is None:
            world.pause(50)
            raise NoAnswer
        seen, found = self._seen, list[tuple[Any, Stamp]]()

        def serve() -> None:
            s = instance.services
            if seen != hlc.ZERO:
                try:
                    s.ids.observe(str(seen))
                except InvalidField:
                    world.hit("lease: stamp refused")
                    raise
            answer = work(s)
            found.append((answer, hlc.parse(s.ids.hlc())))

        job = world.spawn(instance, serve, 1 + int(world.random.random() * 3))
        ended = job.wait(world.now + patience_ms)
        if not ended or not found or (self._lossy and world.random.random() < 0.05):
            world.hit("lease: lost answer")
            raise NoAnswer
        answer, stamp = found[0]
        self._record.stamps.append((self.name, seen, stamp))
        self._seen = stamp
        return answer


class Breaker:
    """An admin who breaks leases now and then. Until a holder hears of it, only its token protects the resource."""

    def __init__(self, world: World, fleet: Any, record: LeaseRecord) -> None:
        self.process = ClientProcess(world, "admin")
        self._world = world
        self._fleet = fleet
        self._record = record
        world.spawn(self.process, self._live)

    def _live(self) -> None:
        world = self._world
        while True:
            world.pause(500 + int(world.random.random() * 5_000))
            instance = self._fleet.any_alive()
            if instance is None:
                continue
            name = NAMES[int(world.random.random() * len(NAMES))]
            world.tell("admin", f"breaks {name}")
            job = world.spawn(instance, lambda s=instance.services, n=name: leases.break_(s, CALLER, n))
            try:
                if job.wait(world.now + PATIENCE_MS):
                    world.hit("lease: broken")
                    self._record.breaks += 1
            except ChronoError:
                continue
