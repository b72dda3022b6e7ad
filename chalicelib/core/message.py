"""What travels on the delay queue: hints that point at the tables, which hold the truth.

``Firings`` names instants queued under a version; ``Run`` names an existing execution whose next attempt is due.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from chalicelib.core import limits
from chalicelib.core.execution import ExecutionKey
from chalicelib.core.schedule import Key


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


@dataclass(frozen=True, slots=True)
class Firings:
    """Some firings that are due close together, in order of time."""

    firings: tuple[Firing, ...]

    @property
    def due_ms(self) -> int:
        return self.firings[0].due_ms


@dataclass(frozen=True, slots=True)
class Run:
    """The next attempt of an execution: attempt number ``attempt`` is due at ``due_ms``."""

    execution: ExecutionKey
    attempt: int
    due_ms: int


Message = Firings | Run


def pack(firings: Iterable[Firing]) -> list[Firings]:
    """Messages of at most MESSAGE_MAX_INSTANTS firings, each spanning at most MESSAGE_SPAN_MS, in order of time."""
    messages: list[Firings] = []
    group: list[Firing] = []
    for firing in sorted(firings, key=lambda f: f.due_ms):
        full = len(group) == limits.MESSAGE_MAX_INSTANTS
        if group and (full or firing.due_ms - group[0].due_ms >= limits.MESSAGE_SPAN_MS):
            messages.append(Firings(tuple(group)))
            group = []
        group.append(firing)
    if group:
        messages.append(Firings(tuple(group)))
    return messages


def delay_s(due_ms: int, now_ms: int, lead_ms: int) -> int:
    """Whole seconds to hold a message back so that it arrives ``lead_ms`` (and up to 1 s more) before its instant."""
    return min(limits.SQS_DELAY_MAX_S, max(0, (due_ms - now_ms - lead_ms) // 1000))


def encode(message: Message) -> str:
    """The message as JSON; firings of one schedule and version share their names."""
    if isinstance(message, Run):
        return json.dumps({"run": [*message.execution], "attempt": message.attempt, "due": message.due_ms})
    groups: dict[tuple[str, str, str], list[int | list[int]]] = {}
    for firing in message.firings:
        instant = [firing.at_ms, firing.offset_ms] if firing.offset_ms else firing.at_ms
        groups.setdefault((*firing.schedule, firing.version), []).append(instant)
    return json.dumps({"fire": [[*names, instants] for names, instants in groups.items()]}, separators=(",", ":"))


def decode(body: str) -> Message:
    """The message of a body; raises ValueError when it is none of ours (a poisoned message)."""
    try:
        data = json.loads(body)
        if "run" in data:
            tenant, schedule_id, firing_ms, manual = data["run"]
            key = ExecutionKey(str(tenant), str(schedule_id), int(firing_ms), bool(manual))
            return Run(key, int(data["attempt"]), int(data["due"]))
        firings = [
            Firing(Key(str(tenant), str(schedule_id)), str(version), *_instant(instant))
            for tenant, schedule_id, version, instants in data["fire"]
            for instant in instants
        ]
        return Firings(tuple(sorted(firings, key=lambda f: f.due_ms)))
    except (KeyError, TypeError, ValueError) as problem:
        raise ValueError(f"not a ChronoWatch message: {problem!r}") from problem


def _instant(encoded: Any) -> tuple[int, int]:
    """(instant, offset) of ``instant`` or ``[instant, offset]``."""
    at_ms, offset_ms = encoded if isinstance(encoded, list) else (encoded, 0)
    return int(at_ms), int(offset_ms)
