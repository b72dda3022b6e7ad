"""``chronowatch.sla.v1``: each firing that was late or given up is told, and no other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from chalicelib.core.executions.execution import COMPLETED, MISSED, Execution, ExecutionKey

SLA = "chronowatch.sla.v1"


def check(play: Any) -> Iterable[str]:
    """Every record in the end, against what the bus took."""
    record = play.world.record
    told = {t.id for t in record.told if t.type == SLA}
    if not play.stream.is_drained:
        return
    first: dict[ExecutionKey, int] = {}
    for dispatch in record.dispatches:
        # By its worker's look: a call that hangs began on time, as far as anybody knows.
        first[dispatch.key] = min(dispatch.look_ms, first.get(dispatch.key, dispatch.look_ms))
    off_ms = play.scenario.max_drift_ms + play.faults.wrong_most_ms
    for key, writes in record.executions.items():
        if key.schedule_id.startswith("01POISON"):
            continue
        if _missed(writes[-1].record) != (f"{key.id}-sla" in told):
            is_told = f"{key.id}-sla" in told
            yield f"{key.id} is told as a miss of its SLA: {is_told}, by its record: {writes[-1].record}"
        late_ms = first.get(key, 0) - key.firing_ms - writes[-1].record.offset_ms - off_ms
        if _is_judged(writes[-1].record) and late_ms > writes[-1].record.sla_ms and f"{key.id}-sla" not in told:
            yield f"{key.id} was first sent {late_ms} ms late at least, and its record says {writes[-1].record}"


def _is_judged(e: Execution) -> bool:
    """Whether it was delivered by the only attempt of which its workers lived to tell."""
    alone = all(attempt.outcome == "lost" for attempt in e.attempts[:-1])
    return e.state == COMPLETED and alone and not e.requested and not e.manual


def _missed(e: Execution) -> bool:
    if e.requested and not e.manual:
        return False
    began_late = e.first_started_ms is not None and e.first_started_ms - e.firing_ms - e.offset_ms > e.sla_ms
    return began_late or MISSED in [step.target for step in e.history]
