"""What is stored of the counts: one small document, which every writer adds to under its revision.

A writer has a source, and a position there that only grows. Of a process that is the number of its publication, of a
shard of the stream the last record that was counted. The document holds the last position of each source. So what is
written twice, or by two processes that read one stream, counts once. A process that is killed loses what it had not
published, and takes nothing back.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct, field

from chalicelib.core.decoders import decoder_of
from chalicelib.core.telemetry.counts import Counts

SOURCES_MAX: Final = 64
SOURCE_KEPT_MS: Final = 2 * 86_400_000  # the stream itself is kept for a day
REPORT_KEPT_MS: Final = 30_000  # a process that has not reported for so long counts as gone


class Source(Struct, frozen=True, array_like=True):
    """The last position of a source, and when it was written."""

    position: str
    at_ms: int


class Report(Struct, frozen=True, array_like=True):
    """Gauges of one process, and when they held."""

    at_ms: int
    values: dict[str, float]


class MetricDocument(Struct):
    """See the module."""

    counts: Counts = field(default_factory=Counts)
    sources: dict[str, Source] = field(default_factory=dict)
    reports: dict[str, Report] = field(default_factory=dict)

    def position(self, source: str) -> str:
        """The last position of a source; empty when it never wrote. Positions are compared as texts."""
        found = self.sources.get(source)
        return "" if found is None else found.position

    def add(self, source: str, position: str, delta: Counts, at_ms: int) -> None:
        """Count what a source says, up to ``position``."""
        assert position > self.position(source)
        self.counts.add(delta)
        self.sources[source] = Source(position, at_ms)
        fresh = {name: each for name, each in self.sources.items() if at_ms - each.at_ms < SOURCE_KEPT_MS}
        newest = sorted(fresh, key=lambda name: fresh[name].at_ms)[-SOURCES_MAX:]
        self.sources = {name: fresh[name] for name in newest}

    def report(self, source: str, values: dict[str, float], at_ms: int) -> None:
        """Keep the gauges of a process, and forget those of processes that are gone."""
        self.reports = self.live_reports(at_ms)
        self.reports[source] = Report(at_ms, values)

    def live_reports(self, now_ms: int) -> dict[str, Report]:
        """The reports of processes that live."""
        return {name: each for name, each in self.reports.items() if now_ms - each.at_ms < REPORT_KEPT_MS}


def read(text: str | None) -> MetricDocument:
    """The document; an empty one for None."""
    return MetricDocument() if text is None else decoder_of(MetricDocument).decode(text)


def write(document: MetricDocument) -> str:
    """The document as it is stored."""
    return msgspec.json.encode(document).decode()
