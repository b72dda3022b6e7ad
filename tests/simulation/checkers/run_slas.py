"""What took longer than its ``sla_ms`` is in the log as such, at its instant and not earlier, and was announced. What
ended in time is not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from chalicelib.core.workflows.run_state import ENDED, RunState, apply
from tests.simulation.checkers.run_instants import LATE_MS

RUN = ""


class Watch(NamedTuple):
    """What should end by an instant; ``ended_ms`` by the clock of who wrote its end."""

    due_ms: int
    ended_ms: int | None = None
    missed: bool = False
    lived: bool = False  # when it was missed: another's clock may say of its end that it was in time
    told: bool = False


def check(play: Any) -> Iterator[str]:
    """What was missed and not said, or said and not missed."""
    heard = set(play.bus.heard)
    for run_id, log in play.runs.logs.items():
        yield from _log(play, run_id, log, heard)


def _log(play: Any, run_id: str, log: list[Any], heard: set[tuple[str, str, int]]) -> Iterator[str]:
    state = RunState()
    watches: dict[str, Watch] = {}
    for stored in log:
        for event in stored.events:
            before = state.nodes.get(event.node)
            apply(state, event)
            document = play.runs.workflow(state).definition
            if event.type == "run_started" and document.sla_ms is not None and not state.scope:
                watches[RUN] = Watch(event.at_ms + document.sla_ms)
            elif event.type == "run_redriven":
                yield from _judged(run_id, {n: w for n, w in watches.items() if n in event.data["again"]}, heard)
                watches = {n: w for n, w in watches.items() if n not in event.data["again"] and n != RUN}
            elif event.type == "node_started" and before is not None and before.started_ms is None:
                sla_ms = {node.id: node.sla_ms for node in document.nodes}[event.node]
                if sla_ms is not None:
                    watches[event.node] = Watch(event.at_ms + sla_ms)
            elif event.type == "sla_missed":
                watch = watches.get(event.node)
                if watch is None or watch.missed:
                    yield f"{run_id}: a miss of {event.node or 'the run'} that has no SLA, or had missed it before"
                    continue
                watches[event.node] = watch._replace(missed=True, lived=watch.ended_ms is None)
                yield from _instant(play, run_id, event, stored, watch)
            elif event.type == "sla_told" and event.node in watches:
                watches[event.node] = watches[event.node]._replace(told=True)
            if before is not None and event.node in watches and state.nodes[event.node].status in ENDED:
                watch = watches[event.node]
                watches[event.node] = watch._replace(ended_ms=watch.ended_ms or event.at_ms)
            if RUN in watches and state.is_ended:
                watches[RUN] = watches[RUN]._replace(ended_ms=watches[RUN].ended_ms or event.at_ms)
    yield from _judged(run_id, watches, heard, at_rest=True)


def _instant(play: Any, run_id: str, event: Any, stored: Any, watch: Watch) -> Iterator[str]:
    if stored.clock_ms < watch.due_ms:
        yield f"{run_id}: {event.node or 'the run'} counted as late {watch.due_ms - stored.clock_ms} ms early"
    if play.plan.calm and stored.at_ms > watch.due_ms + LATE_MS:
        yield f"{run_id}: {event.node or 'the run'} counted as late {stored.at_ms - watch.due_ms} ms after its instant"


def _judged(
    run_id: str, watches: Mapping[str, Watch], heard: set[tuple[str, str, int]], at_rest: bool = False
) -> Iterator[str]:
    for name, watch in watches.items():
        what = f"{run_id}: {name or 'the run'}"
        is_late = watch.lived or watch.ended_ms is None or watch.ended_ms > watch.due_ms
        if at_rest and is_late and not watch.missed and watch.ended_ms is not None:
            yield f"{what} ended {watch.ended_ms - watch.due_ms} ms late, and the log does not say so"
        if watch.missed and not is_late:
            yield f"{what} ended in time, and counts as late"
        if at_rest and watch.missed and not watch.told:
            yield f"{what} was late, and the log does not say that it was announced"
        if watch.told and (run_id, name, watch.due_ms) not in heard:
            yield f"{what} was late; the log says that it was announced, and it was not"
