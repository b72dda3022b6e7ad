"""Those who send events, as brokers do: again until they are taken, and now and then once more after that.

And the queue of hints, which loses some: the minute's look finds what they were for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from chalicelib.core.errors import ChronoError
from chalicelib.core.queue_messages import RunHint
from chalicelib.core.triggers.received_event import ReceivedEvent, of_object
from chalicelib.engine.triggers import watches
from chalicelib.usecases import triggers
from tests.simulation.actors.tables import Gate
from tests.simulation.world import World

LIMIT_MS = 20_000
AGAIN_MS = 700
LOOK_MS = 5_000
HINT_HIDDEN_MS = 3_000


class TriggerTables:
    """``ports.stores.triggers.TriggerStore`` behind the gate."""

    def __init__(self, gate: Gate, inner: Any) -> None:
        self._gate = gate
        self._inner = inner
        self.passed: dict[str, int] = {}  # by event, when the throttle let it through

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> Any:
            fault = self._gate.enter(name)
            found = getattr(self._inner, name)(*arguments)
            if name in ("save_watch", "save_throttle") and not found:
                self._gate.world.hit(f"race: {name} lost")
            if name == "save_throttle" and found:
                self.passed |= {one.digest: one.at_ms for one in arguments[0].passed}
            self._gate.leave(fault)
            return found

        return call

    @property
    def is_idle(self) -> bool:
        """Whether nothing is waited for any more."""
        return not self._inner.due_watches(1 << 60, 1)


class ReadSchedules:
    """``ScheduleStore`` behind the gate, of which only this is asked here."""

    def __init__(self, gate: Gate, inner: Any) -> None:
        self._gate = gate
        self._inner = inner

    def get(self, keys: Any) -> Any:
        fault = self._gate.enter("get_schedules")
        found = self._inner.get(keys)
        self._gate.leave(fault)
        return found


class Journal:
    """``ExecutionStore`` behind the gate; ``inserted`` is what it confirmed, in order."""

    def __init__(self, gate: Gate, inner: Any) -> None:
        self._gate = gate
        self._inner = inner
        self.inserted: list[Any] = []

    def get(self, keys: Any) -> Any:
        fault = self._gate.enter("get")
        found = self._inner.get(keys)
        self._gate.leave(fault)
        return found

    def insert(self, executions: Any) -> list[bool]:
        fault = self._gate.enter("insert")
        answers: list[bool] = self._inner.insert(executions)
        self.inserted += [e for e, won in zip(executions, answers, strict=True) if won]
        self._gate.leave(fault)
        return answers


class Hints:
    """The queue of the function ``workflow``: at least once, but now and then a hint is lost."""

    def __init__(self, gate: Gate, play: Any) -> None:
        self._gate = gate
        self._play = play

    def send(self, messages: Any) -> None:
        world: World = self._gate.world
        fault = self._gate.enter("hint")
        for outgoing in messages:
            if world.random.random() < 0.1:
                world.hit("trigger: hint lost")
                continue
            self._bring(outgoing.message, world.now + outgoing.delay_s * 1000 + int(world.random.random() * 900))
        self._gate.leave(fault)

    def _bring(self, hint: RunHint, at_ms: int) -> None:
        world: World = self._gate.world
        done: list[bool] = []

        def again() -> None:
            if not done and not world.over:
                self._bring(hint, world.now)

        def arrive() -> None:
            instance = self._play.fleet.any_alive()
            if instance is None:
                world.call_at(world.now + HINT_HIDDEN_MS, again)
                return

            def work() -> None:
                try:
                    watches.handle(instance.services, hint)
                except ChronoError:
                    world.hit("trigger: hint again")
                    return
                done.append(True)

            world.invoke(instance, work, LIMIT_MS)
            world.call_at(world.now + HINT_HIDDEN_MS, again)

        world.call_at(at_ms, arrive)


class Work:
    """The queue of firings, which nothing takes here: what is to be sent is judged by the journal."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.dead: list[str] = []

    def send(self, messages: Any) -> None:
        fault = self._gate.enter("send")
        self._gate.leave(fault)

    def send_dead(self, execution_id: str, event: str, reason: str) -> None:
        fault = self._gate.enter("send_dead")
        self.dead.append(reason)
        self._gate.leave(fault)


class EventWords:
    """``Expressions`` without a library: an expression is the name of a field of ``data``."""

    def check(self, text: str, names: Any) -> str | None:
        return None

    def evaluate(self, text: str, values: Any) -> Any:
        return values["event"]["data"][text]


@dataclass(slots=True)
class SentEvent:
    """One event: when it was first sent, when a sender first learnt that it was taken, and when a copy of it was
    last at work: what was dropped and comes again may fire then."""

    event: ReceivedEvent
    sent_ms: int
    after: bool
    awaited: bool
    key: int
    taken_ms: int | None = None
    last_ms: int = 0
    outcomes: set[str] = field(default_factory=set)


class EventSender:
    """Sends events at a drawn pace, each until it is taken."""

    def __init__(self, play: Any) -> None:
        self._play = play
        self._world: World = play.world
        self.sent: list[SentEvent] = []
        self._world.call_at(self._world.now + 1, self._next)
        self._world.call_at(self._world.now + LOOK_MS, self._look)

    @property
    def is_done(self) -> bool:
        return all(one.taken_ms is not None for one in self.sent)

    def _next(self) -> None:
        world, plan = self._world, self._play.plan
        if world.now >= plan.end_ms:
            return
        draw = world.random.random
        number = len(self.sent)
        awaited = plan.rule != "absence" or draw() < 0.5
        after = plan.rule == "absence" and (not awaited or draw() < 0.2)
        key = int(draw() * plan.keys)
        whole = {
            "specversion": "1.0", "id": str(number), "source": "/s", "type": "t",
            "data": {"awaited": awaited, "after": after, "key": key},
        }  # fmt: skip
        one = SentEvent(of_object(whole), world.now, after, awaited, key)
        self.sent.append(one)
        self._send(one)
        if draw() < 0.1:
            world.hit("trigger: event comes twice")
            self._send(one)
        gap_ms = plan.pace_ms if draw() < 0.7 else 3 * plan.wait_ms
        world.call_at(world.now + 1 + int(draw() * 2 * gap_ms), self._next)

    def _send(self, one: SentEvent) -> None:
        world = self._world
        instance = self._play.fleet.any_alive()

        def work() -> None:
            try:
                received = triggers.receive(instance.services, self._play.trigger, one.event)
            except ChronoError:
                return
            finally:
                one.last_ms = world.now
            world.hit(f"trigger: {received.outcome}")
            one.outcomes.add(received.outcome)
            if one.taken_ms is None:
                one.taken_ms = world.now

        if instance is not None:
            world.invoke(instance, work, LIMIT_MS)
        again = one.taken_ms is None or world.random.random() < 0.1
        if again:
            world.call_at(world.now + AGAIN_MS + int(world.random.random() * 2_000), lambda: self._again(one))

    def _again(self, one: SentEvent) -> None:
        if one.taken_ms is None or self._world.random.random() < 0.2:
            self._world.hit("trigger: event again")
            self._send(one)

    def _look(self) -> None:
        """The minute's look, which comes more often here."""
        world = self._world
        world.call_at(world.now + LOOK_MS, self._look)
        instance = self._play.fleet.any_alive()
        if instance is None:
            return

        def work() -> None:
            try:
                watches.reconcile(instance.services)
            except ChronoError:
                return

        world.invoke(instance, work, LIMIT_MS)
