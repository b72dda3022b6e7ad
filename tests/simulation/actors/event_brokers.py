"""Queues and brokers that triggers name, as those outside are: each message at least once, again until it is settled.

A *queue* gives messages to any reader, in any order, and shows again what was not settled. A *log* has one reader at a
time, which goes on behind what was committed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chalicelib.core.errors import ChronoError
from chalicelib.core.triggers import received_event
from chalicelib.core.triggers.messages import EventMessage
from chalicelib.ports.event_sources import SourceProblem
from chalicelib.ports.workflow_steps import StepFailed
from tests.simulation import listener_plan
from tests.simulation.actors.tables import Gate
from tests.simulation.world import World

BATCH_MAX = 16
HIDDEN_MS = 10_000
AGAIN_MS = 2_000
SESSION_MS = 5_000
LOOK_MS = 250
FIRES = ("event", "plain")
DIES = {"poison": "the message is no event", "unjudged": "filter:", "faulty": "handling it failed"}


@dataclass(slots=True)
class SourceMessage:
    """One message, and what must become of it by its sort. ``digest`` names its execution, or its dead letter."""

    sort: str
    place: str
    body: bytes
    content_type: str
    digest: str
    settled: bool = False
    visible_ms: int = 0
    holder: Any = None
    times: int = 0

    def given(self, handle: object) -> EventMessage:
        return EventMessage(body=self.body, place=self.place, content_type=self.content_type, handle=handle)


class Broker:
    """One source of one trigger."""

    def __init__(self, play: Any, trigger_id: str, kind: str) -> None:
        self.play = play
        self.world: World = play.world
        self.trigger_id = trigger_id
        self.kind = kind
        self.away_until_ms = 0
        self.messages: list[SourceMessage] = []
        self.lost: list[str] = []
        self.world.call_at(self.world.now + 1, self._send)

    @property
    def is_done(self) -> bool:
        """Whether all is settled."""
        return all(one.settled for one in self.messages)

    def take(self, reader: Reader) -> list[EventMessage]:
        raise NotImplementedError

    def settle(self, reader: Reader, messages: Sequence[EventMessage], done: Sequence[bool]) -> None:
        raise NotImplementedError

    def _send(self) -> None:
        world, plan, draw = self.world, self.play.plan, self.world.random.random
        if world.now >= plan.end_ms:
            return
        sort = world.random.choices(list(listener_plan.SORTS), list(listener_plan.SORTS.values()))[0]
        events = [one for one in self.messages if one.sort == "event"]
        if sort == "again" and events:
            world.hit("listen: event sent again")
            before = events[int(draw() * len(events))]
            self._keep("event", before.body, before.content_type)
        else:
            sort = "event" if sort == "again" else sort
            body, content_type = self._made(sort, len(self.messages), draw() < 0.5)
            self._keep(sort, body, content_type)
        gap_ms = 0 if draw() < 0.3 else int(draw() * 3 * plan.pace_ms)  # some come together
        world.call_at(world.now + 1 + gap_ms, self._send)

    def _keep(self, sort: str, body: bytes, content_type: str) -> None:
        place = f"{self.trigger_id}/{len(self.messages)}"
        source, event_id = f"/chronowatch/triggers/{self.trigger_id}", place
        if sort not in ("plain", "poison", "faulty"):  # what fails in our hands is known by its place alone
            whole = json.loads(body)
            source, event_id = whole["source"], whole["id"]
        digest = received_event.digest(source, event_id)
        self.messages.append(SourceMessage(sort, place, body, content_type, digest))

    def _made(self, sort: str, number: int, says_so: bool) -> tuple[bytes, str]:
        if sort == "poison":
            return b"{no json", received_event.STRUCTURED
        if sort == "plain":
            return b'{"wanted": true}', "application/json"
        data = {"event": {"wanted": True}, "filtered": {"wanted": False}, "unjudged": {}, "faulty": {"breaks": True}}
        whole = {"specversion": "1.0", "id": str(number), "source": f"/{self.kind}", "type": "t", "data": data[sort]}
        return json.dumps(whole).encode(), received_event.STRUCTURED if says_so else ""

    def _given(self, message: SourceMessage, handle: object) -> EventMessage:
        if message.times:
            self.world.hit("listen: message comes again")
        message.times += 1
        return message.given(handle)

    def _settled(self, message: SourceMessage) -> None:
        """Note what is acknowledged, and whether that was right by now."""
        message.settled = True
        self.world.hit(f"listen: settled {message.sort}")
        if message.sort in FIRES and not self.play.has_fired(message.digest):
            self.lost.append(f"{message.sort} {message.place} was acknowledged before its execution was stored")
        if message.sort in DIES and not self.play.is_dead(self.trigger_id, message.digest):
            self.lost.append(f"{message.sort} {message.place} was acknowledged before its dead letter was stored")


class QueueBroker(Broker):
    """Any number of readers share it; there is no order."""

    def take(self, reader: Reader) -> list[EventMessage]:
        world = self.world
        waiting = [place for place, one in enumerate(self.messages) if not one.settled and self._is_visible(one)]
        chosen = [waiting.pop(int(world.random.random() * len(waiting))) for _ in range(min(len(waiting), BATCH_MAX))]
        if chosen != sorted(chosen):
            world.hit("listen: out of order")
        found = []
        for place in chosen:
            one = self.messages[place]
            one.holder, one.visible_ms = reader, world.now + HIDDEN_MS
            found.append(self._given(one, place))
            if world.random.random() < 0.05 and len(found) < BATCH_MAX:
                world.hit("listen: message comes twice")
                found.append(self._given(one, place))
        return found

    def settle(self, reader: Reader, messages: Sequence[EventMessage], done: Sequence[bool]) -> None:
        for message, is_done in zip(messages, done, strict=True):
            one = self.messages[message.handle]
            if is_done and not one.settled:
                self._settled(one)
            elif not is_done:
                one.visible_ms = self.world.now + AGAIN_MS

    def _is_visible(self, one: SourceMessage) -> bool:
        if self.play.plan.shows_at_once and one.holder is not None and not one.holder.is_open:
            return True
        return one.visible_ms <= self.world.now


class LogBroker(Broker):
    """One reader at a time, in order."""

    committed = 0
    reader: Reader | None = None
    position = 0

    def take(self, reader: Reader) -> list[EventMessage]:
        world = self.world
        if self.reader is not reader:
            if self.reader is not None and self.reader.is_open and world.random.random() > 0.02:
                return []
            if self.reader is not None and not self.reader.is_open and world.now < self.reader.gone_ms + SESSION_MS:
                return []
            if self.reader is not None:
                world.hit(f"listen: reader {'pushed out' if self.reader.is_open else 'taken over'}")
            self.reader, self.position = reader, self.committed
        chosen = range(self.position, min(len(self.messages), self.position + BATCH_MAX))
        self.position = chosen.stop
        return [self._given(self.messages[offset], offset) for offset in chosen]

    def settle(self, reader: Reader, messages: Sequence[EventMessage], done: Sequence[bool]) -> None:
        if self.reader is not reader:
            raise SourceProblem("another reader has the partition")
        for message, is_done in zip(messages, done, strict=True):
            if not is_done:
                self.position = message.handle
                return
            if not self.messages[message.handle].settled:
                self._settled(self.messages[message.handle])
            self.committed = message.handle + 1


class Reader:
    """``EventConsumer`` of one broker, behind the gate of its instance."""

    def __init__(self, gate: Gate, broker: Broker, instance: Any) -> None:
        self._gate = gate
        self._broker = broker
        self._instance = instance
        self._closed_ms: int | None = None

    @property
    def is_open(self) -> bool:
        return self._closed_ms is None and bool(self._instance.alive)

    @property
    def gone_ms(self) -> int:
        """When it was closed or died. Who leaves says so: nobody has to wait for its session."""
        return self._closed_ms - SESSION_MS if self._closed_ms is not None else self._instance.died_ms or 0

    def receive(self, timeout_s: float) -> Sequence[EventMessage]:
        world = self._gate.world
        fault = self._enter("receive")
        until_ms = world.now + round(timeout_s * 1000)
        while not (found := self._broker.take(self)) and world.now < until_ms:
            world.pause(LOOK_MS)
        self._leave(fault)
        return found

    def settle(self, messages: Sequence[EventMessage], done: Sequence[bool]) -> None:
        fault = self._enter("settle")
        self._broker.settle(self, messages, done)
        if fault is not None and fault.kind == "unknown_done":
            self._gate.world.hit("listen: settled and not answered")
        self._leave(fault)

    def close(self) -> None:
        self._closed_ms = self._gate.world.now

    def _enter(self, name: str) -> Any:
        try:
            fault = self._gate.enter(name)
        except ChronoError as problem:
            raise SourceProblem(problem.detail) from problem
        if self._gate.world.now < self._broker.away_until_ms:
            raise SourceProblem("it is away")
        return fault

    def _leave(self, fault: Any) -> None:
        try:
            self._gate.leave(fault)
        except ChronoError as problem:
            raise SourceProblem(problem.detail) from problem


class Sources:
    """``EventSources`` of one instance."""

    def __init__(self, play: Any, instance: Any) -> None:
        self._play = play
        self._instance = instance

    def open(self, trigger: Any) -> Reader:
        broker = self._play.brokers[trigger.id]
        reader = Reader(self._play.gate, broker, self._instance)
        reader._enter("open_source")
        return reader

    def forget(self, trigger: Any) -> None:
        """Nothing is left there."""


class HeardWords:
    """``Expressions`` without a library: an expression is the name of a field of ``data``. One event breaks it."""

    def check(self, text: str, names: Any) -> str | None:
        return None

    def evaluate(self, text: str, values: Any) -> Any:
        data = values["event"]["data"]
        if "breaks" in data:
            raise RuntimeError("a fault of ours")
        if text not in data:
            raise StepFailed("expression_error", f"there is no {text}")
        return data[text]
