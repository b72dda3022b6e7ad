"""Publish: ticks go out at their instants, in one call for all that share one.

Ticks were numbered and serialised long before. Half a second before its instant each is judged against the book and
opened (``tick_gate``); at the instant only the send remains. The bus and each stream's own target are sent to beside
each other, so a slow target makes no tick late. What a destination did not take goes back onto the queue, for that
destination alone and after a growing wait. After TICK_RETRY_MAX_MS it is a dead letter.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from chalicelib.core import queue_messages
from chalicelib.core.batches import chunks
from chalicelib.core.errors import Unavailable
from chalicelib.core.executions.limits import MESSAGE_SPAN_MS
from chalicelib.core.limits import SECOND_MS
from chalicelib.core.queue_messages import BUS, DueTick, Ticks
from chalicelib.core.ticks import tick_event
from chalicelib.core.ticks.frequencies import Frequency
from chalicelib.core.ticks.limits import TICK_OPEN_BEFORE_MS, TICK_RETRY_MAX_MS, TICK_TARGET_TIMEOUT_MS
from chalicelib.core.ticks.numbering import Tick
from chalicelib.core.trace import of_attempt
from chalicelib.engine.events import bus_of
from chalicelib.ports.services import Services
from chalicelib.ports.target import Delivery, Outcome
from chalicelib.ports.tasks import Handle
from chalicelib.ports.work_queue import Outgoing
from chalicelib.workers import tick_gate

log = logging.getLogger(__name__)

EVENT_BUS: Mapping[str, object] = {"type": "eventbridge"}
MAX_RETRY_DELAY_S = 60


class _Sending(NamedTuple):
    """One tick on its way to one destination."""

    tick: Tick
    to: str
    delivery: Delivery

    @property
    def at_ms(self) -> int:
        """Its instant."""
        return self.tick.timestamp // 1_000_000


class Publication:
    """The ticks of one batch of messages: timers are set at once, ``finish`` waits for their end."""

    def __init__(self, s: Services) -> None:
        self._s = s
        self._started: list[Handle] = []
        self._failed: list[tuple[_Sending, Outcome]] = []
        self._unjudged: list[_Sending] = []  # the book was away

    def start(self, messages: Sequence[Ticks]) -> None:
        """Set the timers. Raises Unavailable when nothing was set: the messages must come again."""
        due = [d for m in messages for d in m.ticks]
        # Far ahead of its instant only because this clock was stepped back: the queue can wait, this worker cannot.
        soon_ms = self._s.clock.now_ms() + self._s.config.lead_ms + MESSAGE_SPAN_MS + 2 * SECOND_MS
        far = [d for d in due if d.due_ms > soon_ms]
        sendings = self._sendings([d for d in due if d.due_ms <= soon_ms])
        if far:
            self._s.queue.send([Outgoing(m, self._delay_s(m.due_ms)) for m in queue_messages.pack_ticks(far)])
        self._judge_in_time(sendings)

    def finish(self) -> bool:
        """Wait for all; True when what failed is in the queue's care, False when the messages must come again."""
        for handle in self._started:  # it grows: who judges a tick begins its send before that job ends
            handle.wait()
        if not self._failed and not self._unjudged:
            return True
        try:
            self._try_again_later()
        except Unavailable as problem:
            log.warning("ticks were not published; the queue delivers their message again: %s", problem)
            return False
        return True

    def _sendings(self, due: Sequence[DueTick]) -> list[_Sending]:
        targets = self._own_targets(due)
        found = []
        for tick, destinations in due:
            for to in destinations:
                target = bus_of(self._s.config) if to == BUS else targets.get(tick.frequency)
                if target is not None:
                    found.append(_Sending(tick, to, delivery_of(tick, target)))
        for sending in found[:1]:
            self._s.targets[str(sending.delivery.target["type"])].prepare(sending.delivery)
        return found

    def _own_targets(self, due: Sequence[DueTick]) -> dict[Frequency, Mapping[str, object]]:
        """The streams' own targets as they are now; read only when some tick goes to one."""
        if all(d.to == (BUS,) for d in due):
            return {}
        streams = self._s.stores.ticks.load().book.streams
        return {name: json.loads(stream.target) for name, stream in streams.items() if stream.target}

    def _judge_in_time(self, sendings: Sequence[_Sending]) -> None:
        """Read the book once, shortly before the first of these is due."""
        if sendings:
            first_ms = min(sending.at_ms for sending in sendings)
            judge = partial(self._judge, sendings, first_ms)
            self._started.append(self._s.tasks.at(first_ms - TICK_OPEN_BEFORE_MS, judge))

    def _judge(self, sendings: Sequence[_Sending], first_ms: int) -> None:
        """Open what is due now and set its timers, as for what is open by then; the others are judged in their time."""
        soon_ms = max(first_ms, self._s.clock.now_ms() + TICK_OPEN_BEFORE_MS)
        due = [sending for sending in sendings if sending.at_ms <= soon_ms]
        later = [sending for sending in sendings if sending.at_ms > soon_ms]
        try:
            may_go = tick_gate.open_ticks(self._s, [x.tick for x in due], [x.tick for x in later])
        except Unavailable as problem:
            log.warning("the book of ticks cannot be read; the queue delivers these ticks again: %s", problem)
            self._unjudged += due
            self._judge_in_time(later)
            return
        by_instant: dict[int, list[_Sending]] = defaultdict(list)
        for sending in sendings:
            if sending.tick in may_go:
                by_instant[sending.at_ms].append(sending)
        for at_ms, group in sorted(by_instant.items()):
            self._started.append(self._s.tasks.at(at_ms, partial(self._send, group)))
        self._judge_in_time([sending for sending in later if sending.tick not in may_go])

    def _send(self, group: Sequence[_Sending]) -> None:
        """Everything that is due now: one job for each kind of target, or for each tick where a kind takes but one."""
        by_kind: dict[str, list[_Sending]] = defaultdict(list)
        for sending in group:
            by_kind[str(sending.delivery.target["type"])].append(sending)
        jobs = []
        for kind, several in sorted(by_kind.items(), key=lambda item: item[0] != EVENT_BUS["type"]):
            target = self._s.targets[kind]
            jobs += [partial(self._dispatch, kind, chunk) for chunk in chunks(several, target.max_batch)]
        handles = [self._s.tasks.start(job) for job in jobs[1:]]
        jobs[0]()
        for handle in handles:
            handle.wait()

    def _dispatch(self, kind: str, chunk: Sequence[_Sending]) -> None:
        outcomes = self._s.targets[kind].dispatch([sending.delivery for sending in chunk])
        late_ms = self._s.clock.now_ms() - chunk[0].tick.timestamp // 1_000_000
        log.debug("%s sent to %s, %d ms after its instant", chunk[0].tick.id, kind, late_ms)
        for sending, outcome in zip(chunk, outcomes, strict=True):
            if outcome.kind == "failed":
                self._failed.append((sending, outcome))

    def _try_again_later(self) -> None:
        now_ms = self._s.clock.now_ms()
        again = [self._again(sending, now_ms) for sending in self._unjudged]
        for sending, outcome in self._failed:
            age_ms = now_ms - sending.at_ms
            if outcome.permanent or age_ms > TICK_RETRY_MAX_MS:
                self._s.queue.send_dead(sending.tick.id, sending.delivery.event.decode(), outcome.error or "")
                log.error("a tick was not taken by %s: %s", sending.to, outcome.error)
            else:
                again.append(self._again(sending, now_ms))
        if again:
            self._s.queue.send(again)

    def _again(self, sending: _Sending, now_ms: int) -> Outgoing:
        """A message for this one alone, after a wait that grows with its age."""
        wait_s = min(MAX_RETRY_DELAY_S, max(1, (now_ms - sending.at_ms) // 1000))
        return Outgoing(Ticks((DueTick(sending.tick, (sending.to,)),)), wait_s)

    def _delay_s(self, due_ms: int) -> int:
        return queue_messages.delay_s(due_ms, self._s.clock.now_ms(), self._s.config.lead_ms)


def delivery_of(tick: Tick, target: Mapping[str, Any]) -> Delivery:
    """A tick as targets take it; the sequence is its fencing token."""
    on_bus = target["type"] == EVENT_BUS["type"]
    asked_ms = target.get("timeout_ms", TICK_TARGET_TIMEOUT_MS)
    return Delivery(
        execution_id=tick.id,
        tenant="",
        schedule_id=f"ticks-{tick.frequency}",
        firing_unix_ms=tick.timestamp // 1_000_000,
        attempt=1,
        fencing_token=tick.sequence,
        target=target,
        event=tick_event.detail(tick) if on_bus else tick_event.cloud_event(tick),
        traceparent=str(of_attempt(tick.id, 1)),
        timeout_ms=min(asked_ms, TICK_TARGET_TIMEOUT_MS),
        event_type=tick_event.TICK_TYPE,
    )
