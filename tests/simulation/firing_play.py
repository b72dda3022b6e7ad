"""Plays one seed in a world of firings: lets it run, lets everything come to rest, and judges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from chalicelib.adapters.memory.stores import open_stores
from chalicelib.core import queue_messages
from chalicelib.core.executions.execution import ExecutionKey
from chalicelib.core.executions.limits import ATTEMPT_LEASE_MS
from chalicelib.core.instants import to_rfc3339
from chalicelib.core.schedules.schedule import Definition, Key, Schedule, State, VersionRef
from chalicelib.core.schedules.sharding import shard_of
from chalicelib.engine import pipeline
from chalicelib.engine.claimed import execution_of
from tests.simulation import checkers, coverage, situations
from tests.simulation.actors.clients import Clients
from tests.simulation.actors.instance import Fleet
from tests.simulation.actors.policy_table import Policies
from tests.simulation.actors.queue import Mailroom, Queue
from tests.simulation.actors.rules import MinuteRule
from tests.simulation.actors.stream import Stream
from tests.simulation.actors.tables import Cursors, Executions, Gate, Leases, QueuePauses, Schedules, Ticks
from tests.simulation.actors.targets import Targets
from tests.simulation.checkers.queue_pauses import PAUSE
from tests.simulation.faults import Fault, Faults
from tests.simulation.played import Played, clock
from tests.simulation.world import World
from tests.simulation.world_play import MailedPlay

MINUTE = 60_000
REST_MOST_MS = 45 * MINUTE  # by then everything must have come to rest
ALIVE_WITHIN_MS = 6 * MINUTE  # a schedule that still owes must have gone on by then
LEASE_EDGE_MS = 2_300  # a claim this close to the end of its lease belongs to a worker that stands still
LEASE_EDGE_LOOKS = 450
LEASE_EDGE_LOOK_MS = 200
LOST_LOOKS = 2_000
LOST_LOOK_MS = 20
LAST_RECEIVED_MS = 2_000  # so long a call may bring messages to a process that was told to stop meanwhile
DRAIN_MS = 5_000  # how long a stop waits for deliveries under way
LEAVE_LOOK_MS = 50  # how often a process that stops gives away what it still claims
POISON = "01POISON"
GARBAGE = ("{", "null", "[]", '{"fire": 7}', '{"run": ["a"]}', '{"fire": [["t", "s", "v", ["x"]]]}', "")


class Play(MailedPlay):
    """One world with everything in it. ``left_out`` names ops and faults that the shrinker takes away."""

    CHECKERS = checkers.FIRINGS

    def __init__(self, seed: int, left_out: frozenset[str] = frozenset(), tell: bool = False) -> None:
        self.scenario = plan = situations.draw(seed)
        self.world = world = World(seed, plan.start_ms, tell)
        self.left_out = left_out
        self._reported: Any = None
        gate = Gate(world)
        self.inner = open_stores()
        self.tables = Schedules(gate, self.inner.schedules)
        world.faults = self.faults = Faults(world, self._kept_faults(), self._acts())
        stores = replace(
            self.inner,
            schedules=self.tables,
            executions=Executions(gate, self.inner.executions),
            cursors=Cursors(gate, self.inner.cursors),
            leases=Leases(gate, self.inner.leases),
            ticks=Ticks(gate, self.inner.ticks),
            queues=QueuePauses(gate, self.inner.queues),
            policies=Policies(gate, self.inner.policies),
        )
        services: dict[str, Any] = {"stores": stores, "crowds": plan.crowds}
        self.fleet = Fleet(world, plan.instances, services, self._config())
        self.mailroom = Mailroom(world, self.fleet, plan.visibility_ms)
        services["queue"] = Queue(gate, self.mailroom)
        self.clients = Clients(world, self.fleet, plan, left_out)
        services["targets"] = {
            "webhook": Targets(gate, 1, self.clients),
            "eventbridge": Targets(gate, 10, self.clients),
        }
        self.fleet.begin()
        self.rule = MinuteRule(world, self.fleet, self._minute)
        self.stream = Stream(world, self.fleet)
        self.resting_since_ms: int | None = None
        self._closing: set[Key] = set()
        world.call_at(plan.end_ms, self._rest)

    def _config(self) -> Mapping[str, Any]:
        plan = self.scenario
        return {
            "shards": plan.shards,
            "horizon_ms": plan.horizon_ms,
            "max_drift_ms": plan.max_drift_ms,
            "caps": plan.caps,
            "catch_up_per_minute": plan.catch_up_per_minute,
        }

    def _kept_faults(self) -> list[Fault]:
        return [f for f in self.scenario.faults if f"fault {f.number}" not in self.left_out]

    # -- faults of the world

    def _acts(self) -> dict[str, Any]:
        return {
            **self.mail_acts(),
            "clock_forward": self._clock,
            "clock_backward": self._clock,
            "index_lag": self._index_lag,
            "message_edge": self._message_late,
            "clean_stop": self._clean_stop,
            "lease_edge": lambda fault: self._lease_edge(fault, LEASE_EDGE_LOOKS),
            "message_lost": lambda fault: self._message_lost(fault, LOST_LOOKS),
            "poison_message": self._poison_message,
            "poison_schedule": self._poison_schedule,
        }

    def _clock(self, fault: Fault) -> None:
        instance = self._slot(fault)
        if not instance.alive:
            return
        self._step_clock(instance, fault)
        self.faults.wrong_most_ms = max(self.faults.wrong_most_ms, abs(instance.clock.wrong_ms))
        if fault.slot % 2:
            self.world.call_at(self.world.now + 40_000 + fault.slot * 9_000, lambda: instance.clock.mend())

    def _clean_stop(self, fault: Fault) -> None:
        """As ``localdev/worker.py`` stops: what has not begun to be sent is handed back, what has begun goes on for
        some seconds, and messages that are left then are shown at once."""
        instance = self._slot(fault)
        if not instance.alive or instance.leaves_ms is not None:
            return
        self.world.hit("fault:clean_stop")
        self.world.tell(instance.name, "is told to stop")
        instance.leaves_ms = self.world.now + LAST_RECEIVED_MS
        self.world.spawn(instance, lambda: self._leave(instance))
        self.world.call_at(self.world.now + DRAIN_MS, lambda: self._stopped(instance))

    def _leave(self, instance: Any) -> None:
        while instance.alive:
            pipeline.leave(instance.services)
            self.world.pause(LEAVE_LOOK_MS)

    def _stopped(self, instance: Any) -> None:
        if instance.alive:
            instance.stopped = True
            self.world.crash(instance)
            self.mailroom.left_by(instance)

    def _index_lag(self, fault: Fault) -> None:
        self.faults.lag_ms = fault.amount_ms
        self.faults.lag_until_ms = self.world.now + 150_000

    def _lease_edge(self, fault: Fault, looks: int) -> None:
        """Wait for a claim whose worker stands still; have its message come again in the time between the end of its
        lease by the fastest clock and by the clock of its owner."""
        world = self.world
        for schedule_id, owner_name, until_ms in self._claims_before_dispatch():
            if not 0 < until_ms - world.now < LEASE_EDGE_MS:
                continue
            letter = next((x for x in self.mailroom.in_work() if schedule_id in x.body), None)
            offsets = [i.clock.now_ms() - world.now for i in self.fleet.slots if i.alive]
            owner = next((i for i in self.fleet.slots if i.name == owner_name), None)
            if letter is None or owner is None or not offsets:
                continue
            ahead_ms = max(offsets) - (owner.clock.now_ms() - world.now)
            at_ms = until_ms - max(offsets) + int(world.random.random() * ahead_ms)
            world.hit("fault:lease_edge")
            world.call_at(at_ms, lambda letter=letter: self.mailroom.bring_back(letter))  # type: ignore[misc]
            return
        if looks and not self.faults.over:
            world.call_at(world.now + LEASE_EDGE_LOOK_MS, lambda: self._lease_edge(fault, looks - 1))

    def _message_lost(self, fault: Fault, looks: int) -> None:
        """Wait for a message whose firings all have records, while one has yet to be sent. Then it and its worker go:
        what has no record would be lost for ever, and the queue does not lose that."""
        for letter in self.mailroom.in_work():
            stored = [self.world.record.executions.get(key) for key in _firings_of(letter.body)]
            last = [writes[-1].record for writes in stored if writes]
            waits = any(record.lease_until_ms is not None and not record.attempts for record in last)
            if waits and len(last) == len(stored) and letter.holder.alive:
                self.world.hit("fault:message_lost")
                self.mailroom.lose(letter)
                self.world.crash(letter.holder)
                return
        if looks and not self.faults.over:
            self.world.call_at(self.world.now + LOST_LOOK_MS, lambda: self._message_lost(fault, looks - 1))

    def _claims_before_dispatch(self) -> Iterator[tuple[str, str | None, int]]:
        """Schedule, owner and end of the lease of each claim without an attempt, by its record or as a span."""
        record = self.world.record
        for key, executions in record.executions.items():
            found = executions[-1].record
            if found.lease_until_ms is not None and not found.attempts:
                yield key.schedule_id, found.claimed_by, found.lease_until_ms
        for of_schedule, states in record.schedules.items():
            for span in states[-1].state.spans:
                for at_ms in span.instants:
                    if ExecutionKey(of_schedule.tenant, of_schedule.id, at_ms) not in record.executions:
                        yield of_schedule.id, span.owner, at_ms + ATTEMPT_LEASE_MS

    def _poison_message(self, fault: Fault) -> None:
        self.world.hit("fault:poison_message")
        self.mailroom.post(GARBAGE[fault.slot % len(GARBAGE)], 0, poisoned=True)

    def _poison_schedule(self, fault: Fault) -> None:
        """A definition that an older release let in and nobody can read any more."""
        self.world.hit("fault:poison_schedule")
        now = self.world.now
        schedule_id = f"{POISON}{fault.number:018d}"
        definition = Definition(
            tenant="default", id=schedule_id, version=f"{schedule_id}v", since_ms=now, type="CRON", expr="soon",
            shard_key=schedule_id, created_at_ms=now, updated_at_ms=now, target={"type": "eventbridge", "bus": "good"},
        )  # fmt: skip
        state = State(
            tenant="default", id=schedule_id, shard=shard_of(str(fault.number), self.scenario.shards),
            versions=(VersionRef(definition.version, now, True),), next_run_ms=now + 1000,
        )  # fmt: skip
        self.inner.schedules.create(Schedule(definition, state))

    # -- coming to rest

    def _rest(self) -> None:
        """From here on nothing goes wrong; schedules go on until each has shown that it lives."""
        self._end_faults()
        self.resting_since_ms = self.world.now
        self._resume_queue()

    def _resume_queue(self) -> None:
        """A pause that nobody ended, or whose end got no answer, ends here."""
        if any(op.kind == PAUSE for op in self.world.record.operations):
            self.clients.resume_queue(Key("default", "queue"), must=True)

    def _minute(self) -> None:
        """Called once a minute: close what has shown that it lives, and end the world when all is quiet."""
        if self.resting_since_ms is None:
            return
        if all(self._is_closed(key) for key in self.world.record.schedules) and self._is_quiet():
            self.world.over = True

    def _is_quiet(self) -> bool:
        record = self.world.record
        if any(writes[-1].record.is_open for writes in record.executions.values()):
            return False
        if not self.stream.is_drained:
            return False
        return not any(not letter.deleted and not letter.poisoned for letter in self.mailroom.letters.values())

    def _is_closed(self, key: Key) -> bool:
        """Whether a schedule fires no more; one that lives is paused here once it has shown it."""
        state = self.world.record.schedules[key][-1].state
        if key.id.startswith(POISON) or state.status != "active":
            return True
        definition = checkers.history.current_definition(self.world.record.schedules[key])
        if state.next_run_ms is None and (state.queued_ms is None or definition.type != "DELAY"):
            return state.queued_ms is None or state.queued_ms <= self.world.now
        assert self.resting_since_ms is not None
        owed_ms = self._next_owed(key, definition, state)
        waited_ms = self.world.now - max(owed_ms, self.resting_since_ms)
        if self._has_untold_silence(key) and waited_ms < ALIVE_WITHIN_MS:
            return False
        if key not in self._closing and (self._lives(key) or waited_ms > ALIVE_WITHIN_MS or waited_ms < -3 * MINUTE):
            if not self._lives(key) and waited_ms > ALIVE_WITHIN_MS and not self._awaits_open(key, state):
                self.world.record.stalled.append(f"{key.id} owed {owed_ms} and nothing came: {state}")
            elif self._awaits_open(key, state) and not self._lives(key):
                return False
            self._closing.add(key)
            self.clients.pause(key, lambda op: self._closing.discard(key), must=True)
        return False

    def _has_untold_silence(self, key: Key) -> bool:
        watch = self.inner.schedules.monitors([key]).get(key)
        return watch is not None and watch.silent_ms > 0 and not watch.told

    def _next_owed(self, key: Key, definition: Definition, state: State) -> int:
        assert self.resting_since_ms is not None
        if definition.type == "DELAY":
            return state.next_run_ms or state.queued_ms or 0
        from_ms = checkers.history.starts_ms(definition, definition.since_ms)
        found = definition.compiled().next_after(max(self.resting_since_ms, from_ms - 1))
        return found if found is not None else state.next_run_ms or 0

    def _awaits_open(self, key: Key, state: State) -> bool:
        """A DELAY schedule whose last run has not ended waits rightly; so does one whose message is on its way, which
        takes minutes when it was sent by a clock that was that wrong."""
        if state.queued_ms is None or state.next_run_ms is not None:
            return False
        letters = [letter for letter in self.mailroom.letters.values() if not letter.deleted]
        if any(key.id in letter.body and str(state.queued_ms) in letter.body for letter in letters):
            return True
        return any(
            k.schedule_id == key.id and k.firing_ms == state.queued_ms and writes[-1].record.is_open
            for k, writes in self.world.record.executions.items()
        )

    def _lives(self, key: Key) -> bool:
        since_ms = self.resting_since_ms or 0
        return any(
            k.schedule_id == key.id and k.firing_ms > since_ms and not k.manual and not writes[0].record.requested
            for k, writes in self.world.record.executions.items()
        )

    # -- the whole

    def _play(self) -> None:
        self.world.run(self.scenario.end_ms + REST_MOST_MS)
        coverage.note_steps(self.world)

    def _line(self) -> str:
        plan = self.scenario
        mood = (", calm" if plan.calm else "") + (f", theme {plan.theme}" if plan.theme else "")
        return (
            f"seed {plan.seed}: {plan.active_ms // 1000} s from {to_rfc3339(plan.start_ms)} ({plan.start_ms}), "
            f"{plan.instances} instances, {plan.shards} shards, horizon {plan.horizon_ms // 1000} s, "
            f"drift {plan.max_drift_ms} ms, visibility {plan.visibility_ms // 1000} s{mood}"
        )

    def _all_parts(self) -> dict[str, str]:
        plan = self.scenario
        parts = {
            f"schedule {s.number}": f"at {clock(s.at_ms - plan.start_ms)} create {s.id}: {dict(s.fields)}"
            for s in plan.schedules
        }
        for what in (*plan.ops, *plan.faults):
            parts[str(what).partition(":")[0]] = f"at {clock(what.at_ms - plan.start_ms)} {what}"
        return parts


def _firings_of(body: str) -> list[ExecutionKey]:
    message = None if body in GARBAGE else queue_messages.decode(body)
    return [execution_of(each) for each in message.firings] if isinstance(message, queue_messages.Firings) else []


def play(seed: int, left_out: frozenset[str] = frozenset(), tell: bool = False) -> Played:
    """Play a seed."""
    return Play(seed, left_out, tell).run()
