"""An index that lags hides nothing for longer than its bound.

Judged where nothing else goes wrong but deaths of workers: then a minute's look, by an index that shows the past, is
what finds a claim whose worker died, and what puts the instants beyond the first horizon onto the queue.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from chalicelib.core.executions.execution import CANCELLED, SKIPPED, ExecutionKey
from tests.simulation.checkers import history

DEATHS = frozenset({"crash", "crash_before", "crash_after", "crash_partial", "message_lost"})
PERIOD_MS = 60_000
SOON_MS = 1_000
# The minute's look that finds it may itself die, and so may the one that works on what was found.
LOOKS = 3


def check(play: Any) -> Iterable[str]:
    """Every open record, and every owed instant."""
    kinds = {fault.kind for _, fault in play.faults.happened}
    if "index_lag" not in kinds or not kinds <= DEATHS | {"index_lag"}:
        return
    lag_ms = max(fault.amount_ms for _, fault in play.faults.happened if fault.kind == "index_lag")
    yield from _nothing_is_abandoned(play, lag_ms)
    if kinds == {"index_lag"} and not play.scenario.caps.limited:
        yield from _on_time(play, lag_ms)


def _nothing_is_abandoned(play: Any, lag_ms: int) -> Iterable[str]:
    most_ms = lag_ms + LOOKS * PERIOD_MS + play.scenario.max_drift_ms + SOON_MS
    for key, writes in play.world.record.executions.items():
        for before, after in pairwise(writes):
            found = before.record
            if not found.is_open or found.open_until_ms is None:
                continue
            since_ms = max(found.open_until_ms, before.at_ms)
            if after.at_ms > since_ms + most_ms:
                yield f"{key.id} was nobody's from {since_ms} to {after.at_ms}, with an index {lag_ms} ms behind"


def _on_time(play: Any, lag_ms: int) -> Iterable[str]:
    """What a change queues itself reaches as far as an index and a minute's look hide; beyond that it is late."""
    world = play.world
    hidden_ms = max(0, lag_ms + PERIOD_MS - play.scenario.horizon_ms)
    most_ms = hidden_ms + SOON_MS + play.scenario.max_drift_ms
    sent: dict[ExecutionKey, int] = {}
    for d in world.record.dispatches:
        sent.setdefault(d.key, d.started_ms)
    for name, writes in world.record.schedules.items():
        if any(w.definition.overlap != "allow" for w in writes if w.definition is not None):
            continue
        for at_ms, span in history.owed(history.spans(writes), world.now - 2_000):
            key = ExecutionKey(name.tenant, name.id, at_ms)
            stored = world.record.executions.get(key)
            if stored is None or any(w.record.state in (CANCELLED, SKIPPED) or w.record.requested for w in stored):
                continue
            if any(w.record.held_ms is not None for w in stored):  # its queue was paused
                continue
            due_ms = max(at_ms + stored[0].record.offset_ms, span.committed_ms)
            if key not in sent:
                continue
            # What has a catch-up slot was found when it was given that (``paced`` judges the slot).
            given = (w.at_ms for w in stored if w.record.retry_at_ms is not None and not w.record.attempts)
            late_ms = next(given, sent[key]) - due_ms
            if late_ms > most_ms:
                yield f"{key.id} was found {late_ms} ms late, with an index {lag_ms} ms behind"
