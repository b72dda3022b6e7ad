"""The delay queue and its mapping to a worker: at least once, in any order, any time after the delay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chalicelib.core import queue_messages
from chalicelib.ports.work_queue import Incoming, Outgoing
from chalicelib.workers import deliver
from tests.simulation.actors.tables import Gate
from tests.simulation.checkers import history
from tests.simulation.faults import Fault
from tests.simulation.world import DeadLetter, Receipt, World

BATCH_MAX = 10
RECEIVES_MAX = 10
EDGE_MOST_MS = 200_000  # later than that, and the world would end before the message comes
DELIVER_LIMIT_MS = 60_000


class Letter:
    """One message in the queue. ``flight`` counts its deliveries: an old one's end changes nothing of a newer one."""

    __slots__ = ("body", "deleted", "flight", "holder", "number", "poisoned", "ready", "receipt", "shows")

    def __init__(self, number: int, body: str, poisoned: bool) -> None:
        self.number = number
        self.body = body
        self.poisoned = poisoned
        self.deleted = False
        self.ready = False
        self.flight = 0
        self.holder: Any = None  # the instance that it was given to last
        self.receipt: Receipt | None = None  # the record of that
        self.shows = 0  # how often it was said when it comes again: what was said last holds


class Mailroom:
    """The queue itself; ``Queue`` is its face for instances."""

    def __init__(
        self,
        world: World,
        instances: Any,
        visibility_ms: int,
        worker: Callable[[Any, Sequence[Incoming]], list[str]] = deliver.run,
        limit_ms: int = DELIVER_LIMIT_MS,
    ) -> None:
        self._world = world
        self._worker = worker
        self._limit_ms = limit_ms
        self._instances = instances
        self._visibility_ms = visibility_ms
        self._ready: list[Letter] = []
        self._pumping = False
        self.letters: dict[int, Letter] = {}

    def post(self, body: str, delay_ms: int, poisoned: bool = False) -> Letter:
        """Take a message; it becomes visible after its delay."""
        world = self._world
        world.serial += 1
        letter = Letter(world.serial, body, poisoned)
        self.letters[letter.number] = letter
        self._show_at(letter, world.now + delay_ms + int(world.random.random() ** 4 * 40))
        return letter

    def accept(self, outgoing: Outgoing) -> None:
        """A message that an instance has sent, with what may happen to it on the way."""
        faults = self._world.faults
        body = queue_messages.encode(outgoing.message)
        delay_ms = outgoing.delay_s * 1000
        if faults.late:
            fault = faults.late[-1]
            late_ms = fault.amount_ms if fault.kind == "message_late" else self._to_the_edge(outgoing, delay_ms)
            if late_ms:  # else this message has no edge: one that follows may
                faults.late.pop()
                self._world.hit(f"fault:{fault.kind}")
                self._world.tell("queue", f"{fault}: message {self._world.serial + 1} comes late")
                delay_ms += late_ms
        letter = self.post(body, delay_ms)
        if self._world.told is not None:
            who = self._world.current.instance.name
            self._world.tell(who, f"queued message {letter.number} for +{delay_ms} ms: {body}")
        if faults.double:
            fault = faults.double.pop()
            self._world.hit("fault:message_double")
            after_ms = 3_000 if fault.slot % 2 else fault.amount_ms
            self.post(body, delay_ms + int(self._world.random.random() * after_ms))

    def _to_the_edge(self, outgoing: Outgoing, delay_ms: int) -> int:
        """How much later a message has to come to arrive when the catch-up window of its last instant ends."""
        sent = outgoing.message
        if not isinstance(sent, queue_messages.Firings):
            return 0
        last = sent.firings[-1]
        stored = self._world.record.schedules.get(last.schedule)
        limit_ms = history.current_definition(stored).late_limit_ms if stored else None
        if limit_ms is None:
            return 0
        edge_ms = last.due_ms + limit_ms - 30 + int(self._world.random.random() * 30)
        more_ms = edge_ms - self._world.now - delay_ms
        return more_ms if 0 < more_ms < EDGE_MOST_MS else 0

    def hide(self, handle: str, for_s: int) -> None:
        """A worker says when a message of its comes again."""
        number, _, flight = handle.partition("/")
        letter = self.letters.get(int(number))
        if letter is not None and not letter.ready and str(letter.flight) == flight:
            if letter.receipt is not None and letter.receipt.hidden_ms is None:
                letter.receipt.hidden_ms = self._world.now
            self._show_at(letter, self._world.now + for_s * 1000)

    def in_work(self) -> list[Letter]:
        """Messages that some worker holds."""
        return [letter for letter in self.letters.values() if letter.flight and not letter.ready]

    def empty(self) -> None:
        """All messages are lost."""
        for letter in self.letters.values():
            letter.deleted = True
        self.letters.clear()

    def lose(self, letter: Letter) -> None:
        """A message in work never comes again."""
        letter.deleted = True
        self.letters.pop(letter.number, None)

    def left_by(self, instance: Any) -> None:
        """A process that stopped shows at once what it could not finish."""
        for letter in self.in_work():
            if letter.holder is instance:
                self._show(letter)

    def bring_back(self, letter: Letter) -> None:
        """Make a message in work visible again, before its time."""
        self._show(letter)

    def _show_at(self, letter: Letter, at_ms: int) -> None:
        letter.shows += 1
        flight, shows = letter.flight, letter.shows

        def show() -> None:
            if (letter.flight, letter.shows) == (flight, shows):
                self._show(letter)

        self._world.call_at(at_ms, show)

    def _show(self, letter: Letter) -> None:
        if letter.deleted or letter.ready:
            return
        if letter.poisoned and letter.flight >= RECEIVES_MAX:
            letter.deleted = True  # the redrive policy moves it to the poison queue
            return
        letter.ready = True
        self._ready.append(letter)
        self._pump_soon(int(self._world.random.random() * 15))

    def _pump_soon(self, in_ms: int) -> None:
        if not self._pumping:
            self._pumping = True
            self._world.call_at(self._world.now + in_ms, self._pump)

    def _pump(self) -> None:
        """Hand what is visible to workers, in batches."""
        self._pumping = False
        world = self._world
        while self._ready:
            instance = self._instances.any_alive()
            if instance is None:
                self._pump_soon(500)
                return
            size = 1 + int(world.random.random() * BATCH_MAX)
            batch, self._ready = self._ready[:size], self._ready[size:]
            batch = [letter for letter in batch if not letter.deleted]
            if batch:
                world.random.shuffle(batch)
                self._deliver(instance, batch)

    def _deliver(self, instance: Any, batch: Sequence[Letter]) -> None:
        world = self._world
        flights = {}
        for letter in batch:
            letter.ready = False
            letter.flight += 1
            letter.holder = instance
            letter.receipt = Receipt(world.now, letter.body, instance)
            world.record.receipts.append(letter.receipt)
            flights[letter.number] = letter.flight
            self._show_at(letter, world.now + self._visibility_ms)
        hidden_s = self._visibility_ms // 1000
        incoming = [Incoming(str(x.number), x.body, x.flight, f"{x.number}/{x.flight}", hidden_s) for x in batch]
        world.tell(instance.name, f"deliver messages {[letter.number for letter in batch]}")

        def work() -> None:
            again = set(self._worker(instance.services, incoming))
            for letter in batch:
                if str(letter.number) not in again:
                    letter.deleted = True
                    self.letters.pop(letter.number, None)
            world.tell(instance.name, f"answered messages {[x.number for x in batch]}, again: {sorted(again)}")

        world.invoke(instance, work, self._limit_ms)


class Queue:
    """``ports.work_queue.WorkQueue``."""

    def __init__(self, gate: Gate, mailroom: Mailroom) -> None:
        self._gate = gate
        self._mailroom = mailroom

    def send(self, messages: Sequence[Outgoing]) -> None:
        for outgoing in self._gate.each("send", messages):
            self._mailroom.accept(outgoing)

    def hide(self, handles: Sequence[str], for_s: int) -> None:
        for handle in self._gate.each("hide", handles):
            self._mailroom.hide(handle, for_s)

    def send_dead(self, execution_id: str, event: str, reason: str) -> None:
        fault: Fault | None = self._gate.enter("send_dead")
        world = self._gate.world
        world.record.dead.add(execution_id)
        world.record.letters.append(DeadLetter(world.now, execution_id, world.current.instance))
        self._gate.leave(fault)
