"""Ticks and clock jumps as they leave the service.

On the bus, which has an envelope of its own, the detail is the tick itself. Any other target gets a CloudEvents 1.0
object with the tick as its data, under the same id however often it comes.
"""

from __future__ import annotations

from typing import Final

import msgspec

from chalicelib.core.instants import to_rfc3339
from chalicelib.core.ticks.numbering import Tick

TICK_TYPE: Final = "chronowatch.ticks.v1"
CLOCK_TYPE: Final = "chronowatch.clock.v1"


def detail(tick: Tick) -> bytes:
    """The tick as JSON in UTF-8."""
    return msgspec.json.encode(tick.as_json())


def cloud_event(tick: Tick) -> bytes:
    """The CloudEvents object of a tick."""
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": tick.id,
            "source": f"/chronowatch/ticks/{tick.frequency}",
            "type": TICK_TYPE,
            "subject": tick.frequency,
            "time": to_rfc3339(tick.timestamp // 1_000_000),
            "datacontenttype": "application/json",
            "data": tick.as_json(),
        }
    )


def clock_jump(instance_id: str, wall_unix_nanos: int, step_nanos: int, seen: str) -> bytes:
    """A clock that jumped, as JSON: ``step_nanos`` is signed, ``seen`` says against what the jump was seen."""
    return msgspec.json.encode(
        {
            "id": f"clock-{instance_id}-{wall_unix_nanos}",
            "instance_id": instance_id,
            "wall_unix_nanos": wall_unix_nanos,
            "step_nanos": step_nanos,
            "direction": "forward" if step_nanos > 0 else "backward",
            "seen": seen,
            "schema_version": 1,
        }
    )
