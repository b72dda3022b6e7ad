"""What alerts meet outside: their tables behind the gate, the channels that messages go to, and the bus."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from zlib import crc32

from chalicelib.core.notices.limits import SEND_LEASE_MS
from chalicelib.ports.stores.alerts import AlertRecord
from chalicelib.ports.target import Delivery, Outcome
from tests.simulation.actors.tables import Gate
from tests.simulation.world import Job

FLAKY_ATTEMPTS = 2  # so many tries of a message fail


class BookClaim(NamedTuple):
    """A send as a worker claimed it: which, when by that worker's clock, and which attempt it is."""

    rule: str
    number: int
    channel: int
    clock_ms: int
    attempt: int


@dataclass(slots=True)
class SentMessage:
    """A message as its channel saw it."""

    key: str
    rule: str
    channel: int
    kind: str
    data: Any
    at_ms: int
    instance: Any
    claim: BookClaim | None
    ended_ms: int | None = None
    said: str = ""
    back_ms: int | None = None  # when its sender went on


class AnnouncedEvent(NamedTuple):
    """An event as the bus took it."""

    at_ms: int
    id: str
    monitor: str
    state: str
    reason: str
    due_ms: int


class AlertTables:
    """``ports.stores.alerts.AlertStore`` behind the gate. ``swap`` puts the tables of a backup in its place."""

    def __init__(self, gate: Gate, inner: Any) -> None:
        self._gate = gate
        self.inner = inner
        self.claims: dict[Job, BookClaim] = {}
        self.written: dict[str, list[int]] = {}  # when the lines of a message were put into the ledger

    def load(self, *place: Any) -> Any:
        return self._call("load", place[1], place)

    def save(self, record: AlertRecord, expected_rev: int) -> bool:
        fault = self._gate.enter(f"save_{record.kind}")
        known = self.inner.load(record.tenant, record.kind, record.id)
        won: bool = self.inner.save(record, expected_rev)
        if not won:
            self._gate.world.hit(f"race: save_{record.kind} lost")
        elif record.kind == "sent":
            line = json.loads(record.document)
            if line["state"] == "sent":
                self.written.setdefault(line["notification_id"], []).append(self._gate.world.now)
        elif record.kind == "book":
            self._saw_book(record, known)
        self._gate.leave(fault)
        return won

    def delete(self, *place: Any) -> bool:
        return bool(self._call("delete", place[1], place))

    def page(self, *place: Any) -> Any:
        return self._call("page", place[1], place)

    def woken(self, until_ms: int, limit: int) -> Any:
        return self._call("woken", "alerts", (until_ms, limit))

    def _call(self, method: str, kind: str, given: Any) -> Any:
        fault = self._gate.enter(f"{method}_{kind}")
        found = getattr(self.inner, method)(*given)
        self._gate.leave(fault)
        return found

    def _saw_book(self, record: AlertRecord, known: AlertRecord | None) -> None:
        """Which send was claimed by this write, if any was."""
        before = {} if known is None else _sends(json.loads(known.document))
        for place, send in _sends(json.loads(record.document)).items():
            earlier = before.get(place)
            if earlier is None:
                continue
            if send["attempts"] > earlier["attempts"]:
                claim = BookClaim(record.id, *place, send["next_ms"] - SEND_LEASE_MS, send["attempts"])
                self.claims[self._gate.world.current] = claim
            elif send["next_ms"] > earlier["next_ms"] and not send["error"] and not earlier["attempts"]:
                self._gate.world.hit("message: put off")


def _sends(book: Any) -> dict[tuple[int, int], Any]:
    return {(notice["number"], send["channel"]): send for notice in book["notices"] for send in notice["sends"]}


class Channels:
    """The kind of target ``webhook``: each channel of each rule has a temper."""

    max_batch = 1

    def __init__(self, gate: Gate, tables: AlertTables, tempers: dict[str, tuple[str, ...]]) -> None:
        self._gate = gate
        self._tables = tables
        self._tempers = tempers
        self.sent: list[SentMessage] = []

    def prepare(self, delivery: Delivery) -> None:
        return

    def cancel(self, execution_id: str, attempt: int) -> bool:
        return False

    def dispatch(self, deliveries: Sequence[Delivery]) -> list[Outcome]:
        [delivery] = deliveries
        fault = self._gate.enter("dispatch")
        world = self._gate.world
        channel = int(str(delivery.target["url"]).rpartition("/")[2])
        data = json.loads(delivery.event)["data"]
        temper = self._tempers[delivery.schedule_id][channel]
        tries = sum(one.key == delivery.execution_id for one in self.sent)
        claim = self._tables.claims.get(world.current)
        one = SentMessage(
            delivery.execution_id, delivery.schedule_id, channel, data["kind"], data, world.now,
            world.current.instance, claim,
        )  # fmt: skip
        self.sent.append(one)
        world.hit(f"message: {one.kind}")
        world.hit(f"channel: {temper}")
        if tries:
            world.hit("message: sent again")
        if world.told is not None:
            world.tell(one.instance.name, f"SENT {one.key} {one.kind}: {data['text']}")
        draw = crc32(f"takes/{world.seed}/{one.key}/{tries}".encode())
        takes_ms = {"slow": 1_500 + draw % 5_000, "hang": delivery.timeout_ms}.get(temper, draw % 60)
        if world.resting and temper in ("hang", "down"):
            temper, takes_ms = "ok", draw % 60
        world.pause(takes_ms)
        outcome = self._outcome(temper, tries)
        one.ended_ms, one.said = world.now, outcome.kind
        self._gate.leave(fault)
        one.back_ms = world.now
        return [outcome]

    def _outcome(self, temper: str, tries: int) -> Outcome:
        if temper == "refuse":
            return Outcome("failed", 404, "http_error", "no such channel", permanent=True)
        if temper == "hang":
            return Outcome("failed", error_type="timeout", error="no answer")
        if temper == "down" or (temper == "flaky" and tries < FLAKY_ATTEMPTS):
            return Outcome("failed", 503, "http_error", "away")
        return Outcome("completed", 200)


class AlertBus:
    """The bus that hears of monitors. It is away now and then, and may have taken what it says that it has not."""

    max_batch = 10

    def __init__(self, gate: Gate, calm: bool) -> None:
        self._gate = gate
        self._calm = calm
        self.heard: list[AnnouncedEvent] = []

    def prepare(self, delivery: Delivery) -> None:
        return

    def cancel(self, execution_id: str, attempt: int) -> bool:
        return False

    def dispatch(self, deliveries: Sequence[Delivery]) -> list[Outcome]:
        fault = self._gate.enter("dispatch")
        world = self._gate.world
        outcomes = []
        for delivery in deliveries:
            said = json.loads(delivery.event)
            data = said["data"]
            event = AnnouncedEvent(
                world.now, said["id"], data["monitor_id"], data["state"], data["reason"], data["at_unix_ms"]
            )
            draw = 1.0 if self._calm or world.resting else world.random.random()
            if draw > 0.1:
                self.heard.append(event)
                world.hit(f"monitor: {event.reason}")
                world.tell(world.current.instance.name, f"announced {event}")
            outcomes.append(Outcome("completed", 200) if draw > 0.2 else Outcome("failed", 503, "http_error", "away"))
        self._gate.leave(fault)
        return outcomes
