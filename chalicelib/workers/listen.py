"""Listen: reads the queues and brokers that triggers name. A message is acknowledged when what became of it is durable.

Each trigger has a lane of its own, so that a broker that is away holds up no other. Every worker has a lane for every
trigger: their source shares its messages out. A message may come again at any time, also to another worker. By its
source and id it fires once.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from threading import Event
from typing import Final

from chalicelib.core.errors import ChronoError
from chalicelib.core.schedules.schedule import Key
from chalicelib.core.triggers.messages import EventMessage, PoisonedMessage, event_of, unreadable
from chalicelib.core.triggers.trigger import Trigger
from chalicelib.engine.triggers.listening import Listened, SourceReport
from chalicelib.ports.event_sources import EventConsumer, SourceProblem
from chalicelib.ports.services import Services
from chalicelib.ports.tasks import Handle
from chalicelib.usecases import triggers

log = logging.getLogger(__name__)

LOOK_S: Final = 2.0
RECEIVE_S: Final = 1.0
AWAY_FIRST_S: Final = 0.25
AWAY_MOST_S: Final = 15.0
CLOSE_MS: Final = 2_000
REST_SLICE_MS: Final = 200
DRAIN_MS: Final = 5_500  # longer than any source keeps an empty call
FAULTS_MAX: Final = 5  # a message that this service fails on so many times is poison


class Listeners:
    """The lanes of one process."""

    def __init__(self, s: Services) -> None:
        self._s = s
        self._listened = Listened(s)
        self._lanes: dict[Key, Lane] = {}

    def run(self, stopping: Event) -> None:
        """Listen until the event is set, then end all lanes."""
        while not stopping.is_set():
            try:
                self.look()
            except ChronoError as problem:
                log.warning("the triggers cannot be read: %s", problem.detail)
            stopping.wait(LOOK_S)
        self.stop()

    def look(self) -> None:
        """Begin and end lanes as the triggers are now. Raises Unavailable."""
        wanted = self._listened.look()
        for key, lane in list(self._lanes.items()):
            now = wanted.get(key)
            if now is not None and now == lane.trigger and not lane.is_over():
                continue
            lane.stop(is_gone=not self._listened.exists(key) or (now is not None and now.since_ms != lane.since_ms))
            del self._lanes[key]
        for key, trigger in wanted.items():
            if key not in self._lanes:
                lane = self._lanes[key] = Lane(self._s, trigger)
                lane.start()

    def stop(self) -> None:
        """End all lanes, and wait until what they have in hand is settled. One whose source does not answer is left
        alone after a while: what it has in hand comes again."""
        for lane in self._lanes.values():
            lane.stop()
        until_ms = self._s.clock.now_ms() + DRAIN_MS
        for lane in self._lanes.values():
            if not lane.wait(until_ms):
                log.warning("the source of trigger %s holds up the end no longer", lane.trigger.id)
        self._lanes.clear()


class Lane:
    """One trigger's consumer, and what becomes of its messages."""

    def __init__(self, s: Services, trigger: Trigger) -> None:
        self._s = s
        self.trigger = trigger
        self._stopping = Event()
        self._is_gone = False
        self._handle: Handle | None = None
        self._faults: dict[str, int] = {}
        self._said = ""
        self._report = SourceReport(s, trigger)
        self._away_s = AWAY_FIRST_S

    @property
    def since_ms(self) -> int:
        """When the source that it reads became the trigger's."""
        return self.trigger.since_ms

    def start(self) -> None:
        """Run it beside the caller."""
        self._handle = self._s.tasks.start(self.run)

    def stop(self, is_gone: bool = False) -> None:
        """Let it end; ``is_gone``: nothing will read this source for this trigger again."""
        self._is_gone = is_gone
        self._stopping.set()

    def wait(self, until_ms: int) -> bool:
        """Wait for its end, or until the clock says so. True when it has ended."""
        return self._handle is None or self._handle.wait(until_ms)

    def is_over(self) -> bool:
        """Whether it is to end."""
        return self._stopping.is_set()

    def run(self) -> None:
        """Read until it is stopped. A source that is away is tried again, ever more seldom."""
        while not self._stopping.is_set():
            consumer: EventConsumer | None = None
            try:
                consumer = self._s.event_sources.open(self.trigger)
                self._read(consumer)
            except SourceProblem as problem:
                self._complain(str(problem))
            except Exception as problem:  # its cause may be in one broker's answer: others go on
                log.exception("a source of trigger %s could not be read", self.trigger.id)
                self._complain(f"{type(problem).__name__}: {problem}")
            if consumer is not None:
                self._close(consumer)
            self._rest(self._away_s)
            self._away_s = min(AWAY_MOST_S, self._away_s * 2)
        if self._is_gone:
            self._s.event_sources.forget(self.trigger)

    def _read(self, consumer: EventConsumer) -> None:
        """Let its messages fire until the end. Raises SourceProblem."""
        while not self._stopping.is_set():
            messages = consumer.receive(RECEIVE_S)
            self._away_s = AWAY_FIRST_S
            self._hear()
            if messages:
                self._take(consumer, messages)

    def _close(self, consumer: EventConsumer) -> None:
        """Some clients wait long for a broker that is gone. That holds up no other try."""
        closing = self._s.tasks.start(consumer.close)
        closing.wait(self._s.clock.now_ms() + CLOSE_MS)

    def _take(self, consumer: EventConsumer, messages: Sequence[EventMessage]) -> None:
        """Let messages fire side by side, then settle them together."""
        done = [False] * len(messages)
        jobs = [self._s.tasks.start(partial(self._fire, place, m, done)) for place, m in enumerate(messages)]
        for job in jobs:
            job.wait()
        consumer.settle(messages, done)
        if not all(done):
            self._rest(AWAY_FIRST_S)  # what is away now is still away at once

    def _fire(self, place: int, message: EventMessage, done: list[bool]) -> None:
        try:
            done[place] = self._is_durable(message)
        except ChronoError as problem:
            log.warning("an event of trigger %s comes again: %s", self.trigger.id, problem.detail)
        except Exception as problem:
            log.exception("an event of trigger %s could not be handled", self.trigger.id)
            with suppress(ChronoError):
                done[place] = self._is_given_up(message, problem)

    def _is_durable(self, message: EventMessage) -> bool:
        """Whether what became of a message is written. Raises ChronoError: it must come again."""
        s, trigger = self._s, self.trigger
        now_ms = s.clock.now_ms()
        try:
            event = event_of(str(trigger.rules.source["type"]), trigger.id, message, now_ms, s.ids.ulid(now_ms))
        except PoisonedMessage as poison:
            triggers.dead_letter(s, trigger, poison.event, poison.reason)
            return True
        received = triggers.receive(s, trigger, event)
        if received.outcome == "paused":  # its source keeps the message until the trigger is resumed
            self._stopping.set()
            return False
        return True

    def _is_given_up(self, message: EventMessage, problem: Exception) -> bool:
        """Whether a message that this service fails on again and again is a dead letter now. Raises ChronoError."""
        s, trigger = self._s, self.trigger
        now_ms = s.clock.now_ms()
        event = unreadable(str(trigger.rules.source["type"]), trigger.id, message, now_ms, s.ids.ulid(now_ms))
        name = message.place or hashlib.sha256(message.body).hexdigest()
        times = self._faults.pop(name, 0) + 1
        if times < FAULTS_MAX:
            self._faults[name] = times
            return False
        triggers.dead_letter(s, trigger, event, f"handling it failed {times} times: {type(problem).__name__}")
        return True

    def _rest(self, s: float) -> None:
        """Do nothing for so long, but not beyond its end. Counted by the clock that never steps."""
        clock = self._s.clock
        until_ms = clock.read().steady_ms + s * 1000
        while not self._stopping.is_set() and (left_ms := until_ms - clock.read().steady_ms) > 0:
            clock.sleep_until(clock.now_ms() + min(REST_SLICE_MS, math.ceil(left_ms)))

    def _complain(self, problem: str) -> None:
        if problem != self._said:
            log.error("trigger %s hears nothing: %s", self.trigger.id, problem)
        self._said = problem
        self._report.fails(problem)

    def _hear(self) -> None:
        if self._said:
            log.info("trigger %s hears again", self.trigger.id)
        self._said = ""
        self._report.hears()
