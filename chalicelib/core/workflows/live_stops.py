"""Breakpoints on a run that lives: it stops before a node, which then waits until a session lets it go on.

A stop before a node (``step``), or before one of a type (``type``), holds each time. A ``condition`` is judged by the
worker that would take the step, and stops once. ``error`` stops before whatever would begin after a failure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from chalicelib.core.workflows.happenings import GoesOn, SetsStops, StopsAt
from chalicelib.core.workflows.run_log import RunLog

_BAD = frozenset({"failed", "timeout"})


def stop_before(log: RunLog, name: str) -> Mapping[str, str] | None:
    """The breakpoint that a node must not pass; None: it may begin."""
    state, kind = log.state, log.graph.nodes[name].type
    if state.step_next:
        return {"kind": "step", "value": name}
    for stops in state.stops.values():
        for stop in stops:
            if stop["kind"] == "step" and stop["value"] == name:
                return stop
            if stop["kind"] == "type" and stop["value"] == kind:
                return stop
            if stop["kind"] == "error" and _failed_since(log):
                return stop
    return None


def set_stops(log: RunLog, given: SetsStops) -> None:
    """Replace the breakpoints of one session. What stands at one stays there until it is let go on."""
    if not log.state.is_ended:
        log.write("breakpoints_set", session=given.session, stops=[dict(stop) for stop in given.stops])


def stop_at(log: RunLog, given: StopsAt) -> None:
    """A worker has found that a condition holds, before it took a step."""
    node = log.nodes[given.node]
    is_known = any(dict(given.stop) in stops for stops in log.state.stops.values())
    if node.status == "running" and not node.worker and is_known and not log.state.is_ended:
        log.write("node_stopped", given.node, stop=dict(given.stop))


def go_on(log: RunLog, given: GoesOn, start: Callable[[RunLog, str], None]) -> None:
    """Let all that stands at a breakpoint begin; with ``step`` whatever would begin next stops again."""
    stopped = [name for name, node in log.nodes.items() if node.stop is not None and node.status == "waiting"]
    if stopped and not log.state.is_ended:
        log.write("run_released", step=given.step, by=given.by)
        for name in stopped:
            start(log, name)


def conditions(stops: Mapping[str, Any], fired: tuple[str, ...]) -> list[Mapping[str, str]]:
    """The conditions that have not stopped the run yet."""
    return [one for some in stops.values() for one in some if one["kind"] == "condition" and one["value"] not in fired]


def _failed_since(log: RunLog) -> bool:
    since = log.state.released_at
    return any(node.status in _BAD and node.ended_as > since for node in log.nodes.values())
