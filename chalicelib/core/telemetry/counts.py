"""Numbers that only grow: counters and histograms, as they are kept, added up and written."""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

from msgspec import Struct, field

from chalicelib.core.telemetry.metric_catalogue import BY_NAME, MetricFamily

SEPARATOR = "\t"  # between a name and the values of its labels, none of which holds it


class Exemplar(NamedTuple):
    """One value and the trace that it comes from."""

    value: float
    trace_id: str
    at_ms: int


class Buckets(Struct):
    """A histogram: how many values fell into each bucket, their sum, and the newest exemplar of each by its place. The
    last bucket has no upper bound."""

    counts: list[int]
    sum: float = 0.0
    exemplars: dict[str, Exemplar] = field(default_factory=dict)


class Counts(Struct):
    """Counters by series, histograms by name."""

    counters: dict[str, int] = field(default_factory=dict)
    histograms: dict[str, Buckets] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.counters or self.histograms)

    def count(self, family: MetricFamily, labels: tuple[str, ...] = (), number: int = 1) -> None:
        """Add to a counter. ``labels`` are values in the order of the family's names."""
        assert family.kind == "counter", family.name
        assert len(labels) == len(family.labels), family.name
        series = SEPARATOR.join((family.name, *labels))
        self.counters[series] = self.counters.get(series, 0) + number

    def observe(self, family: MetricFamily, value: float, trace_id: str = "", at_ms: int = 0) -> None:
        """Add a value to a histogram; with its trace it can become an exemplar."""
        buckets = self.histograms.get(family.name)
        if buckets is None:
            buckets = self.histograms[family.name] = Buckets([0] * (len(family.buckets) + 1))
        place = bisect_left(family.buckets, value)
        buckets.counts[place] += 1
        buckets.sum += value
        if trace_id:
            buckets.exemplars[str(place)] = Exemplar(value, trace_id, at_ms)

    def add(self, other: Counts) -> None:
        """Add all of ``other``. A histogram whose buckets a release changed begins anew: it cannot be added up."""
        for series, number in other.counters.items():
            self.counters[series] = self.counters.get(series, 0) + number
        for name, buckets in other.histograms.items():
            mine = self.histograms.get(name)
            if mine is None or len(mine.counts) != len(buckets.counts):
                self.histograms[name] = Buckets(list(buckets.counts), buckets.sum, dict(buckets.exemplars))
                continue
            mine.counts = [one + two for one, two in zip(mine.counts, buckets.counts, strict=True)]
            mine.sum += buckets.sum
            mine.exemplars |= buckets.exemplars


def series_of(text: str) -> tuple[MetricFamily, tuple[str, ...]] | None:
    """The family and labels of a stored series; None for what this release does not know."""
    name, *labels = text.split(SEPARATOR)
    family = BY_NAME.get(name)
    return None if family is None or len(family.labels) != len(labels) else (family, tuple(labels))
