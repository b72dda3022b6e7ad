"""``sla_ms`` of runs and nodes: by when they should have ended. A miss ends nothing; it is in the log, and announced.

A miss is written at its instant, or with the end that came after it. It is owed until the log has its announcement.
"""

from __future__ import annotations

from chalicelib.core.workflows.run_log import RunLog
from chalicelib.core.workflows.run_state import NodeState, RunState

_LIVE = frozenset({"running", "waiting"})
RUN = ""  # the run itself, where a node may be named


def dues(state: RunState) -> list[int]:
    """The instants at which what lives will be late."""
    found = [node.late_ms for node in state.nodes.values() if not node.late and node.status in _LIVE]
    found += [] if state.late else [state.late_ms]
    return [due_ms for due_ms in found if due_ms is not None]


def untold(state: RunState) -> list[str]:
    """What missed its SLA, and was not announced yet: nodes, and ``RUN``."""
    return [
        *([RUN] if state.late == "untold" else []),
        *(name for name, node in state.nodes.items() if node.late == "untold"),
    ]


def settle(log: RunLog) -> None:
    """Write what is late by now, or ended late."""
    state = log.state
    if not state.late and _is_late(state.late_ms, state.finished_ms if state.is_ended else None, log.now_ms):
        log.write("sla_missed")
    for name, node in list(state.nodes.items()):
        ended_ms = node.finished_ms if node.status not in _LIVE else None
        if not node.late and _is_late(node.late_ms, ended_ms, log.now_ms):
            log.write("sla_missed", name)


def said(log: RunLog, name: str) -> None:
    """Write that a miss was announced."""
    state: RunState | NodeState | None = log.state if name == RUN else log.nodes.get(name)
    if state is not None and state.late == "untold":
        log.write("sla_told", name)


def _is_late(late_ms: int | None, ended_ms: int | None, now_ms: int) -> bool:
    if late_ms is None:
        return False
    return now_ms >= late_ms if ended_ms is None else ended_ms > late_ms
