"""What the feed counts: it sees every record that is written, whichever process wrote it.

Each execution begins once and ends once. A retry by a caller makes it end again, and count again. The numbers are
telemetry, not truth: the tables are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from chalicelib.core.executions import execution_trace
from chalicelib.core.executions.execution import FAILED, OPEN, STATES, TIMEOUT, Execution
from chalicelib.core.telemetry import metric_catalogue
from chalicelib.core.telemetry.counts import Counts
from chalicelib.core.telemetry.metric_catalogue import MetricFamily
from chalicelib.core.trace import SAMPLED
from chalicelib.engine import metric_counts
from chalicelib.engine.metric_counts import Addition
from chalicelib.ports.services import Services
from chalicelib.workers.feed import Written

_ENDED = tuple(state for state in STATES if state not in OPEN)


class CountedWrite(NamedTuple):
    """A write and its position in a source of writes, as text: positions of one source are of one length."""

    position: str
    written: Written


def count(s: Services, source: str, batch: Sequence[CountedWrite], written_ms: int | None) -> None:
    """Count what no batch before has counted. ``written_ms`` is when the last of it was written, if that is known.
    Raises Unavailable, TooMany: the batch must come again, and then counts what is left of it."""

    def addition_after(position: str) -> Addition | None:
        new = [placed for placed in batch if placed.position > position]
        if not new:
            return None
        return Addition(new[-1].position, counted(s, (placed.written for placed in new)))

    lag_ms = 0 if written_ms is None else max(0, s.clock.now_ms() - written_ms)
    metric_counts.add(s, metric_counts.FEED, source, addition_after, {metric_catalogue.FEED_LAG.name: lag_ms})


def counted(s: Services, batch: Iterable[Written]) -> Counts:
    """The counts of some writes."""
    found = Counts()
    count_into(s, found, batch)
    return found


class Counting(Protocol):
    """What counts: one batch, or a process."""

    def count(self, family: MetricFamily, labels: tuple[str, ...] = (), number: int = 1) -> None:
        """Add to a counter."""
        ...

    def observe(self, family: MetricFamily, value: float, trace_id: str = "", at_ms: int = 0) -> None:
        """Add a value to a histogram."""
        ...


def count_into(s: Services, found: Counting, batch: Iterable[Written]) -> None:
    """Count some writes."""
    for written in batch:
        after = written.after
        if after.first_started_ms is not None and (written.before is None or written.before.first_started_ms is None):
            _began(s, found, after)
        if written.became(_ENDED):
            found.count(metric_catalogue.EXECUTIONS, (after.state,))
        if written.became((FAILED, TIMEOUT)):
            found.count(metric_catalogue.DEAD_LETTERS)


def _began(s: Services, found: Counting, after: Execution) -> None:
    found.count(metric_catalogue.FIRES, (after.schedule_type or "unknown", str(after.shard)))
    if after.late:
        found.count(metric_catalogue.LATE)
    context = execution_trace.of_delivery(after, after.attempt, s.config.trace_sample)
    kept = context.flags == SAMPLED or after.late
    trace_id = context.trace_id if kept else ""
    found.observe(metric_catalogue.LATENESS, after.lateness_ms or 0, trace_id, after.first_started_ms or 0)
