"""What travels on the delay queue: hints that point at the tables, which hold the truth.

``Firings`` names instants queued under a version; ``Run`` names an existing execution whose next attempt is due.
``Ticks`` are no hints: ticks are queued after they were numbered, and the message holds all there is to publish.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import msgspec
from msgspec import Struct

from chalicelib.core.executions.execution import ExecutionKey
from chalicelib.core.executions.limits import MESSAGE_SPAN_MS
from chalicelib.core.limits import MESSAGE_MAX_INSTANTS, QUEUE_DELAY_MAX_S
from chalicelib.core.schedules.schedule import Key
from chalicelib.core.ticks import frequencies, numbering
from chalicelib.core.ticks.numbering import Tick

BUS: Final = "bus"  # every tick goes there
SHARED: Final = "#shared"  # messages of several tenants, or of none; no tenant is called so
TARGET: Final = "target"  # and to its stream's own target, where it has one


class Firing(NamedTuple):
    """One instant of one schedule, queued under a version; ``offset_ms`` is its jitter."""

    schedule: Key
    version: str
    at_ms: int
    offset_ms: int = 0

    @property
    def due_ms(self) -> int:
        """When it is to be sent."""
        return self.at_ms + self.offset_ms


class Firings(Struct, frozen=True):
    """Some firings that are due close together, in order of time."""

    firings: tuple[Firing, ...]

    @property
    def due_ms(self) -> int:
        return self.firings[0].due_ms


class Run(Struct, frozen=True):
    """The next attempt of an execution: attempt number ``attempt`` is due at ``due_ms``."""

    execution: ExecutionKey
    attempt: int
    due_ms: int


class DueTick(NamedTuple):
    """A numbered tick and where it still has to go: ``BUS``, ``TARGET``."""

    tick: Tick
    to: tuple[str, ...] = (BUS,)

    @property
    def due_ms(self) -> int:
        """Its instant."""
        return self.tick.timestamp // 1_000_000


class Ticks(Struct, frozen=True):
    """Some ticks, of any frequencies, that are due close together, in order of time."""

    ticks: tuple[DueTick, ...]

    @property
    def due_ms(self) -> int:
        return self.ticks[0].due_ms


class RunHint(Struct, frozen=True):
    """That a run of a workflow is to be checked: at an instant, or because of an order of ``core.workflows``."""

    tenant: str
    run_id: str
    kind: str  # "due", or the kind of an order
    node: str = ""
    item: int | None = None
    due_ms: int = 0


class BusEvent(NamedTuple):
    """An event that the rule of a trigger brought from a bus, as the bus has it."""

    tenant: str
    trigger_id: str
    bus: str
    event: dict[str, Any]


Message = Firings | Run | Ticks | RunHint


class _Due(Protocol):
    @property
    def due_ms(self) -> int: ...


D = TypeVar("D", bound=_Due)


def pack(firings: Iterable[Firing], span_ms: int = MESSAGE_SPAN_MS) -> list[Firings]:
    """Messages of at most MESSAGE_MAX_INSTANTS firings, each spanning less than ``span_ms``, in order of time.

    A tenant with enough of them to fill a message has messages of its own: ``fair_group`` then says whose they are.
    Schedules that are handed off alone end their first messages at different times. Else a thousand that were created
    together would all be claimed in one moment, again and again.
    """
    lots: dict[str, list[Firing]] = {}
    for firing in firings:
        lots.setdefault(firing.schedule.tenant, []).append(firing)
    small = [tenant for tenant, lot in lots.items() if len(lot) < MESSAGE_MAX_INSTANTS]
    together = [firing for tenant in small for firing in lots.pop(tenant)]
    groups = [
        group for lot in (together, *lots.values()) for group in _grouped(lot, span_ms, _first_span_ms(lot, span_ms))
    ]
    return [Firings(group) for group in sorted(groups, key=lambda group: group[0].due_ms)]


def _first_span_ms(lot: Sequence[Firing], span_ms: int) -> int:
    """What the first message of these spans: less than the others, by schedule, where there are several of one."""
    if len({firing.schedule for firing in lot}) != 1:
        return span_ms
    return span_ms - zlib.crc32(lot[0].schedule.id.encode()) % span_ms


def fair_group(message: Message) -> str:
    """Whose message it is, for a queue that is fair among tenants: a tenant, or SHARED."""
    if isinstance(message, Run):
        return message.execution.tenant
    tenants = {firing.schedule.tenant for firing in message.firings} if isinstance(message, Firings) else set[str]()
    return tenants.pop() if len(tenants) == 1 else SHARED


def pack_ticks(due: Iterable[DueTick]) -> list[Ticks]:
    """The same for ticks: those of all frequencies at one boundary come together, and leave in one call."""
    return [Ticks(group) for group in _grouped(due)]


def _grouped(
    items: Iterable[D], span_ms: int = MESSAGE_SPAN_MS, first_span_ms: int = MESSAGE_SPAN_MS
) -> list[tuple[D, ...]]:
    groups: list[tuple[D, ...]] = []
    group: list[D] = []
    ordered = sorted(items, key=lambda i: i.due_ms)
    is_one = not ordered or ordered[-1].due_ms - ordered[0].due_ms < span_ms
    for item in ordered:
        full = len(group) == MESSAGE_MAX_INSTANTS
        most_ms = span_ms if groups or is_one else min(first_span_ms, span_ms)
        if group and (full or item.due_ms - group[0].due_ms >= most_ms):
            groups.append(tuple(group))
            group = []
        group.append(item)
    return [*groups, tuple(group)] if group else groups


def delay_s(due_ms: int, now_ms: int, lead_ms: int) -> int:
    """Whole seconds to hold a message back so that it arrives ``lead_ms`` (and up to 1 s more) before its instant."""
    return min(QUEUE_DELAY_MAX_S, max(0, (due_ms - now_ms - lead_ms) // 1000))


def encode(message: Message) -> str:
    """The message as JSON; firings of one schedule and version, and ticks of one stream, share their names."""
    if isinstance(message, Ticks):
        return _encode_ticks(message)
    if isinstance(message, RunHint):
        return _text({"hint": [getattr(message, name) for name in message.__struct_fields__]})
    if isinstance(message, Run):
        named = message.execution if message.execution.event else message.execution[:4]
        return _text({"run": named, "attempt": message.attempt, "due": message.due_ms})
    groups: dict[tuple[str, str, str], list[int | list[int]]] = {}
    for firing in message.firings:
        instant = [firing.at_ms, firing.offset_ms] if firing.offset_ms else firing.at_ms
        groups.setdefault((*firing.schedule, firing.version), []).append(instant)
    return _text({"fire": [[*names, instants] for names, instants in groups.items()]})


def decode(body: str) -> Firings | Run | Ticks:
    """The message of a body; raises ValueError when it is none of ours (a poisoned message)."""
    try:
        data = msgspec.json.decode(body)
        if "run" in data:
            tenant, schedule_id, firing_ms, manual, *event = data["run"]
            key = ExecutionKey(str(tenant), str(schedule_id), int(firing_ms), bool(manual), "".join(event))
            return Run(key, int(data["attempt"]), int(data["due"]))
        if "ticks" in data:
            due = [found for stream in data["ticks"] for found in _ticks_of(*stream)]
            return Ticks(tuple(sorted(due, key=lambda d: d.due_ms)))
        firings = [
            Firing(Key(str(tenant), str(schedule_id)), str(version), *_instant(instant))
            for tenant, schedule_id, version, instants in data["fire"]
            for instant in instants
        ]
        return Firings(tuple(sorted(firings, key=lambda f: f.due_ms)))
    except (msgspec.DecodeError, KeyError, TypeError, ValueError) as problem:
        raise ValueError(f"not a ChronoWatch message: {problem!r}") from problem


def is_of_ticks(body: str) -> bool:
    """Whether a body that ``encode`` wrote is of ticks; it is not decoded for that."""
    return body.startswith('{"ticks"')


def decode_hint(body: str) -> RunHint:
    """The message of a body on the queue of workflows. Raises ValueError when it is none of ours."""
    try:
        tenant, run_id, kind, node, item, due_ms = msgspec.json.decode(body)["hint"]
        return RunHint(str(tenant), str(run_id), str(kind), str(node), None if item is None else int(item), int(due_ms))
    except (KeyError, TypeError, ValueError) as problem:
        raise ValueError(f"not a ChronoWatch hint: {problem!r}") from problem


def decode_step(body: str) -> RunHint | BusEvent:
    """What came on the queue of steps. Raises ValueError when it is none of ours."""
    if not body.startswith('{"bus"'):  # what a rule writes, as ``adapters.sources`` has it
        return decode_hint(body)
    try:
        whole = msgspec.json.decode(body)
        tenant, trigger_id, bus = whole["bus"]
        event = whole["event"]
        if not isinstance(event, dict):
            raise TypeError("the event is no object")
        return BusEvent(str(tenant), str(trigger_id), str(bus), event)
    except (KeyError, TypeError, ValueError) as problem:
        raise ValueError(f"not an event of a rule: {problem!r}") from problem


def _text(message: object) -> str:
    return msgspec.json.encode(message).decode()


def _encode_ticks(message: Ticks) -> str:
    streams: dict[tuple[str, str, str, tuple[str, ...]], list[list[int]]] = {}
    for tick, to in message.ticks:
        numbered = [tick.timestamp // 1_000_000_000, tick.sequence, *([1] if tick.caught_up else [])]
        streams.setdefault((tick.frequency, tick.producer_version, tick.instance_id, to), []).append(numbered)
    return _text({"ticks": [[*names, numbered] for names, numbered in streams.items()]})


def _ticks_of(frequency: Any, version: Any, instance: Any, to: Any, numbered: Any) -> Iterable[DueTick]:
    """The ticks of one stream in a message. Raises ValueError, TypeError."""
    if frequency not in frequencies.FREQUENCIES or not to or not set(to) <= {BUS, TARGET}:
        raise ValueError("no such stream or destination")
    for at_s, sequence, *late in numbered:
        tick = numbering.build(
            frequency, int(at_s) * 1_000_000_000, int(sequence), str(version), str(instance), bool(late)
        )
        yield DueTick(tick, tuple(to))


def _instant(encoded: Any) -> tuple[int, int]:
    """(instant, offset) of ``instant`` or ``[instant, offset]``."""
    at_ms, offset_ms = encoded if isinstance(encoded, list) else (encoded, 0)
    return int(at_ms), int(offset_ms)
