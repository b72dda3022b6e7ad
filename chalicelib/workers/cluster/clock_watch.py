"""Clock watch: says on the bus when this instance's wall clock has jumped.

It is judged against the monotonic clock since the last call, and against the tables. A clock that stands before the
moment at which the last ticks were numbered is behind, or another was ahead then. Ticks need no help with either; the
operator of the machines does.
"""

from __future__ import annotations

from chalicelib.core.clock.clock_bound import ClockReading
from chalicelib.core.clock.limits import CLOCK_JUMP_MS
from chalicelib.core.ticks import tick_event
from chalicelib.core.ticks.limits import TICK_TARGET_TIMEOUT_MS
from chalicelib.core.ticks.tick_book import NANOS_PER_MS
from chalicelib.ports.services import Services
from chalicelib.ports.target import Delivery
from chalicelib.workers.publish import EVENT_BUS

_JUMP_NANOS = CLOCK_JUMP_MS * NANOS_PER_MS


def run(s: Services) -> None:
    """Check the clock, and emit its jumps. Raises Unavailable when the tables are away."""
    before, now = s.clock.read(), s.clock.read()
    step_nanos = s.process.clock.step_nanos(
        ClockReading(now.wall_unix_nanos, before.monotonic_nanos, now.monotonic_nanos)
    )
    if abs(step_nanos) >= _JUMP_NANOS:
        _note(s, now.wall_unix_nanos, step_nanos, "monotonic")
    seen_ms = max((stream.reserved_ms for stream in s.stores.ticks.load().book.streams.values()), default=0)
    behind_nanos = seen_ms * NANOS_PER_MS - now.wall_unix_nanos
    if s.process.clock.falls_behind(behind_nanos >= _JUMP_NANOS) and step_nanos > -_JUMP_NANOS:
        _note(s, now.wall_unix_nanos, -behind_nanos, "tables")
    _send(s)


def _note(s: Services, wall_unix_nanos: int, step_nanos: int, seen: str) -> None:
    s.process.clock.keep(tick_event.clock_jump(s.config.instance, wall_unix_nanos, step_nanos, seen))


def _send(s: Services) -> None:
    """Send the events not sent yet; what the bus does not take waits for the next call."""
    for event in s.process.clock.unsent():
        [outcome] = s.targets[str(EVENT_BUS["type"])].dispatch([_delivery(event)])
        if outcome.kind == "failed":
            return
        s.process.clock.forget(event)


def _delivery(event: bytes) -> Delivery:
    return Delivery(
        execution_id="clock",
        tenant="",
        schedule_id="clock",
        firing_unix_ms=0,
        attempt=1,
        fencing_token=0,
        target=EVENT_BUS,
        event=event,
        traceparent="",
        timeout_ms=TICK_TARGET_TIMEOUT_MS,
        event_type=tick_event.CLOCK_TYPE,
    )
