"""After an outage: what is late and still to be delivered goes out one by one, not all at once.

An outage of an hour would otherwise end in a flood of everything that the catch-up window holds, just when receivers
recover as well. Each schedule has slots for its late instants, so many a minute. The state remembers the last one given
out (``paced_ms``), so all workers share them.
"""

from __future__ import annotations

from chalicelib.core.executions.execution import Execution
from chalicelib.core.policies.limits import CATCH_UP_LATE_MS
from chalicelib.core.schedules.schedule import Definition

MINUTE_MS = 60_000
TOO_LATE = "older than the catch-up window"


def is_past_window(definition: Definition, due_ms: int, now_ms: int) -> bool:
    """Whether the catch-up window of a firing that was due at ``due_ms`` has passed."""
    return definition.late_limit_ms is not None and now_ms - due_ms > definition.late_limit_ms


def is_expired(definition: Definition, record: Execution, now_ms: int) -> bool:
    """Whether a firing that was claimed and not begun must not be sent any more. Its worker stalled or died, or its
    turn did not come in time.

    A firing that got a catch-up slot within its window keeps that slot, however late it is. ``catch_up_window_ms`` 0
    knows no such exception: nothing is ever sent later than the SLA.
    """
    if record.is_bound or not is_past_window(definition, record.firing_ms + record.offset_ms, now_ms):
        return False
    return definition.catch_up_window_ms == 0 or not keeps_its_time(record)


def keeps_its_time(record: Execution) -> bool:
    """Whether a claimed firing was given a time of its own after its instant. That is a catch-up slot, the end of the
    run before it, or a later place in line. What a worker that stopped gave back is due at its instant, as before."""
    due_ms = record.firing_ms + record.offset_ms
    return record.put_off_ms is not None and record.put_off_ms > due_ms and not record.history


def too_late(record: Execution) -> str:
    """Why a firing whose window has passed was not sent."""
    return TOO_LATE if record.held_note is None else f"{record.held_note}; {TOO_LATE}"


def is_late(definition: Definition, due_ms: int, now_ms: int) -> bool:
    """Whether a firing that was due at ``due_ms`` has to wait for a slot. AT and DELAY have one instant at a time."""
    return definition.late_limit_ms is not None and now_ms - due_ms > CATCH_UP_LATE_MS


def slots(count: int, paced_ms: int | None, now_ms: int, per_minute: int) -> list[int]:
    """The next ``count`` slots at ``per_minute``: unix milliseconds, the first one now when there was none lately."""
    interval_ms = -(-MINUTE_MS // per_minute)
    first_ms = now_ms if paced_ms is None else max(now_ms, paced_ms + interval_ms)
    return [first_ms + number * interval_ms for number in range(count)]
