"""Adding to the stored counts: one conditional write, found again by its position when it got no answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from chalicelib.core.errors import OutcomeUnknown, TooMany
from chalicelib.core.telemetry import metric_document
from chalicelib.core.telemetry.counts import Counts
from chalicelib.core.telemetry.metric_document import MetricDocument
from chalicelib.ports.services import Services

FEED: Final = "feed"  # the document that the feed writes
PROCESSES: Final = "processes"  # the one that all processes write
WRITE_ATTEMPTS: Final = 12


class Addition(NamedTuple):
    """What a source adds, up to a position."""

    position: str
    delta: Counts


def add(
    s: Services,
    name: str,
    source: str,
    addition_after: Callable[[str], Addition | None],
    report: dict[str, float] | None = None,
) -> None:
    """Add what ``addition_after`` answers for the source's last position: None when that is counted already.

    ``report``: gauges of the source. Raises Unavailable, TooMany.
    """
    for _ in range(WRITE_ATTEMPTS):
        stored = s.stores.metrics.load(name)
        text, rev = (None, 0) if stored is None else stored
        document = metric_document.read(text)
        addition = addition_after(document.position(source))
        if addition is None and report is None:
            return
        if addition is not None:
            document.add(source, addition.position, addition.delta, s.clock.now_ms())
        if report is not None:
            document.report(source, report, s.clock.now_ms())
        try:
            if s.stores.metrics.save(name, metric_document.write(document), rev + 1, rev):
                return
        except OutcomeUnknown:
            continue  # the position says whether it was written
    raise TooMany("too many processes publish their metrics at once", code="contended")


def load(s: Services, name: str) -> MetricDocument:
    """A document as it is stored. Raises Unavailable."""
    stored = s.stores.metrics.load(name)
    return metric_document.read(None if stored is None else stored[0])
