"""``chronowatch.sla.v1``: each firing that was late or given up is told, and no other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from chalicelib.core.execution import MISSED, Execution

SLA = "chronowatch.sla.v1"


def check(play: Any) -> Iterable[str]:
    """Every record in the end, against what the bus took."""
    record = play.world.record
    told = {t.id for t in record.told if t.type == SLA}
    if not play.stream.is_drained:
        return
    for key, writes in record.executions.items():
        if key.schedule_id.startswith("01POISON"):
            continue
        if _missed(writes[-1].record) != (f"{key.id}-sla" in told):
            is_told = f"{key.id}-sla" in told
            yield f"{key.id} is told as a miss of its SLA: {is_told}, by its record: {writes[-1].record}"


def _missed(e: Execution) -> bool:
    if e.requested and not e.manual:
        return False
    began_late = e.first_started_ms is not None and e.first_started_ms - e.firing_ms - e.offset_ms > e.sla_ms
    return began_late or MISSED in [step.target for step in e.history]
