"""A scaled slice of a load: the real workers over memory stores, each call taking what AWS takes, in virtual time.

It gives what ``aws_model`` cannot know: how many calls and items a firing needs, how long an invocation of deliver
lasts, and what a sweep needs for a schedule. A store's method stands for as many AWS calls as its items need.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from msgspec.structs import replace

from bench.report import spread
from chalicelib.core.executions.limits import HORIZON_MS
from chalicelib.core.limits import SWEEP_PERIOD_MS
from chalicelib.ports.work_queue import Incoming
from chalicelib.workers import reconcile
from chalicelib.workers.sweep import PAGE_SCHEDULES
from chalicelib.workers.sweep import run as run_sweep
from tests.kit.plant import Plant

BEGUN_MS = 1_795_252_800_000
WARM_MS = 3 * SWEEP_PERIOD_MS
STEADY_MS = 2 * SWEEP_PERIOD_MS
SHARDS = 1  # as dense as one shard of a large deployment, whose messages are full
SWEPT_SHARDS = 4  # of the play that times the sweep: as many as fill their pages quickly
READ_ITEMS = 100  # of a BatchGetItem
WRITE_ITEMS = 25  # of a batch of statements
SEND_ITEMS = 10  # of a SendMessageBatch
WRITES = frozenset({"create", "change", "write_states", "insert", "update", "save", "release", "note", "write_monitor"})
STORES = ("schedules", "executions", "cursors", "leases")


class Kind(NamedTuple):
    """A kind of fleet: ``period_s`` between two firings of one schedule."""

    name: str
    period_s: int


KINDS = (Kind("rate:1s", 1), Kind("one firing in 1,000 s", 1000))


@dataclass(frozen=True, slots=True)
class Slice:
    """What one slice showed. Numbers without a unit are a firing's share."""

    firings: int
    late_p99_ms: float
    firings_a_message: float
    deliver_ms: float  # an invocation, from its first message to its answer
    firings_an_advance: float
    sweep_ms_an_advance: float
    calls: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "firings": self.firings,
            "late_p99_ms": self.late_p99_ms,
            "firings_a_message": self.firings_a_message,
            "deliver_ms": self.deliver_ms,
            "firings_an_advance": self.firings_an_advance,
            "sweep_ms_an_advance": self.sweep_ms_an_advance,
            "calls": self.calls,
        }


class _Slow:
    """A port whose every call takes its time, and is counted."""

    def __init__(self, name: str, inner: Any, pass_ms: Callable[[int], None], ms: Mapping[str, int]) -> None:
        self._name, self._inner, self._pass_ms, self._ms = name, inner, pass_ms, ms
        self.calls: Counter[str] = Counter()
        self.items: Counter[str] = Counter()

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._inner, method)
        if not callable(found):
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            first = arguments[0] if arguments else None
            items = len(first) if isinstance(first, Sequence | set | dict) and not isinstance(first, str) else 1
            if items:
                together, each_ms = self._limits(method)
                times = -(-items // together)
                self.calls[f"{self._name}.{method}"] += times
                self.items[f"{self._name}.{method}"] += items
                self._pass_ms(times * each_ms)
            return found(*arguments, **named)

        return call

    def _limits(self, method: str) -> tuple[int, int]:
        if self._name == "queue":
            return SEND_ITEMS, self._ms["send"]
        if method in WRITES:
            return WRITE_ITEMS, self._ms["write"]
        return READ_ITEMS, self._ms["read"]


class _SlowPlant(Plant):
    """A plant whose ports take their time, and which notes how long its workers take."""

    def __init__(self, ms: Mapping[str, int]) -> None:
        super().__init__(BEGUN_MS)
        self.feed_every_ms = None  # nothing here sets the feed off
        self.reconfigure(shards=SHARDS)

        self.in_no_time = False  # while the fleet is made, which is not what is asked

        def pass_ms(took_ms: int) -> None:
            if not self.in_no_time:
                self.clock.sleep_until(self.clock.now_ms() + took_ms)

        stores = self.services.stores
        self.slow = {name: _Slow(name, getattr(stores, name), pass_ms, ms) for name in STORES}
        self.slow["queue"] = _Slow("queue", self.queue, pass_ms, ms)
        self.services = replace(
            self.services, stores=replace(stores, **{n: self.slow[n] for n in STORES}), queue=self.slow["queue"]
        )
        self.delivered_ms: list[int] = []
        self.messages = 0
        self.swept_ms = 0

    def calls(self) -> Counter[str]:
        """Of every port so far."""
        found: Counter[str] = Counter()
        for each in self.slow.values():
            found += each.calls
        return found

    def run_until(self, until_ms: int) -> None:
        """As a plant, with sweeps that are timed."""
        while self.clock.now_ms() < until_ms:
            self.clock.sleep_until(min(self._next_event(), until_ms))
            if self.clock.now_ms() >= self._minute_ms:
                self._minute_ms += SWEEP_PERIOD_MS
                self.clock.start(self.sweep)
                self.clock.start(lambda: reconcile.run(self.services))
            self._receive()

    def sweep(self) -> None:
        begun_ms = self.clock.now_ms()
        run_sweep(self.services)
        self.swept_ms += self.clock.now_ms() - begun_ms

    def _handle(self, batch: Sequence[Incoming]) -> None:
        begun_ms = self.clock.now_ms()
        super()._handle(batch)
        self.delivered_ms.append(self.clock.now_ms() - begun_ms)
        self.messages += len(batch)


def play(kind: Kind, firings_per_s: int, latencies_ms: Mapping[str, int]) -> Slice:
    """Let a fleet of this kind run so many firings a second."""
    plant = _SlowPlant(latencies_ms)
    count = firings_per_s * kind.period_s
    if kind.period_s > 1:  # those that do not fire meanwhile would only make the play slow
        count = min(count, firings_per_s * (WARM_MS + STEADY_MS) // 1000)
    first_ms = BEGUN_MS + WARM_MS // 2
    plant.in_no_time = True
    for number in range(count):
        at_ms = first_ms + (number * 1000 // firings_per_s if kind.period_s > 1 else number * 1000 // count)
        plant.create(type="RATE", expr=f"rate:{kind.period_s}s", start_at_ms=at_ms)
    plant.in_no_time = False
    begun_ms = max(plant.clock.now_ms(), first_ms) // SWEEP_PERIOD_MS * SWEEP_PERIOD_MS + SWEEP_PERIOD_MS
    plant.run_until(begun_ms)
    calls, messages = plant.calls(), plant.messages
    sent, invocations = len(plant.bus.sent), len(plant.delivered_ms)
    plant.run_until(begun_ms + STEADY_MS)
    fired = plant.bus.sent[sent:]
    firings = len(fired)
    late = [float(at_ms - d.firing_unix_ms) for at_ms, d in fired]
    lasted = plant.delivered_ms[invocations:]
    return Slice(
        firings=firings,
        late_p99_ms=float(spread(late)["p99"] or 0),
        firings_a_message=round(firings / max(1, plant.messages - messages), 2),
        deliver_ms=round(sum(lasted) / max(1, len(lasted)), 1),
        firings_an_advance=max(1.0, SWEEP_PERIOD_MS / 1000 / kind.period_s),
        sweep_ms_an_advance=round(_sweep_ms(kind, latencies_ms), 3),
        calls={name: round(n / firings, 4) for name, n in sorted((plant.calls() - calls).items())},
    )


def _sweep_ms(kind: Kind, latencies_ms: Mapping[str, int]) -> float:
    """What a sweep takes for one schedule, when the pages it reads are full: its second turn, less an idle one."""
    took_ms = []
    for count in (0, PAGE_SCHEDULES * SWEPT_SHARDS):
        plant = _SlowPlant(latencies_ms)
        plant.reconfigure(shards=SWEPT_SHARDS)
        first_ms = BEGUN_MS + HORIZON_MS + SWEEP_PERIOD_MS
        plant.in_no_time = True
        for number in range(count):
            at_ms = first_ms + number % SWEEP_PERIOD_MS if kind.period_s > 1 else BEGUN_MS + number % 1000
            plant.create(type="RATE", expr=f"rate:{kind.period_s}s", start_at_ms=at_ms)
        plant.in_no_time = False
        for _ in range(2):
            plant.clock.sleep_until(plant.clock.now_ms() // SWEEP_PERIOD_MS * SWEEP_PERIOD_MS + SWEEP_PERIOD_MS)
            before_ms = plant.swept_ms
            plant.clock.start(plant.sweep).wait()
        took_ms.append(plant.swept_ms - before_ms)
    return (took_ms[1] - took_ms[0]) / (PAGE_SCHEDULES * SWEPT_SHARDS)
