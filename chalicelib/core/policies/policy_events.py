"""What policies emit about a schedule: CloudEvents, beside its firings.

Their ids follow from what they report, so that an event that is emitted twice has the same id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from chalicelib.core.executions.execution import Execution
from chalicelib.core.policies import sla
from chalicelib.core.policies.monitor import MonitorState
from chalicelib.core.schedules.schedule import Definition, FailurePause, Key

ALERT_TYPE: Final = "chronowatch.alert.v1"
SLA_TYPE: Final = "chronowatch.sla.v1"


class PolicyEvent(Struct, frozen=True):
    """One event about ``schedule``; ``at_ms`` is when what it reports came about. ``source`` is set where it is about
    something else, whose id then stands in the key."""

    type: str
    id: str
    schedule: Key
    at_ms: int
    data: Mapping[str, object]
    source: str = ""


def sla_missed(execution: Execution, schedule_name: str | None) -> PolicyEvent:
    """That a firing was late, or given up, as its record shows."""
    late_ms = sla.lateness_ms(execution)
    data = {
        "execution_id": execution.id,
        "schedule_id": execution.schedule_id,
        "schedule_name": schedule_name,
        "owner": execution.owner,
        "firing_time_unix_ms": execution.firing_ms,
        "lateness_ms": late_ms,
        "sla_ms": execution.sla_ms,
        "delivery_state": execution.state,
    }
    at_ms = execution.firing_ms + execution.offset_ms + late_ms
    return PolicyEvent(SLA_TYPE, f"{execution.id}-sla", execution.key_of_schedule, at_ms, data)


def paused_after_failures(definition: Definition, pause: FailurePause) -> PolicyEvent:
    """That a schedule was paused because its executions failed."""
    return _alert(
        "paused_after_failures",
        f"{pause.execution_id}-paused",
        definition,
        pause.at_ms,
        {"execution_id": pause.execution_id, "failures": pause.failures},
    )


def no_success(definition: Definition, watch: MonitorState) -> PolicyEvent:
    """That no execution of a schedule succeeded within the window of its monitor; ``watch`` is silent."""
    event_id = f"{definition.id}-{watch.silent_ms}-silent"
    return _alert("no_success", event_id, definition, watch.silent_ms, _of_silence(watch))


def recovered(definition: Definition, watch: MonitorState, success_ms: int) -> PolicyEvent:
    """That one succeeded again, at ``success_ms``; ``watch`` is as it was during the silence."""
    event_id = f"{definition.id}-{watch.silent_ms}-recovered"
    lasted_ms = max(0, success_ms - watch.silent_ms)
    return _alert("recovered", event_id, definition, success_ms, {**_of_silence(watch), "silent_for_ms": lasted_ms})


def _of_silence(watch: MonitorState) -> dict[str, object]:
    last = watch.success_ms if watch.success_ms > watch.since_ms else None
    return {"window_ms": watch.window_ms, "silent_since_unix_ms": watch.silent_ms, "last_success_unix_ms": last}


def _alert(kind: str, event_id: str, d: Definition, at_ms: int, more: Mapping[str, object]) -> PolicyEvent:
    data = {"kind": kind, "schedule_id": d.id, "schedule_name": d.name, "owner": d.owner, "at_unix_ms": at_ms, **more}
    return PolicyEvent(ALERT_TYPE, event_id, d.key, at_ms, data)
