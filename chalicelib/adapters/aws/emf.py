"""Metrics in CloudWatch's embedded metric format: on Lambda they leave by the log, in place of ``/metrics``.

The numbers are those of ``/metrics``. CloudWatch asks money for each combination of dimensions. So a shard is a field
of the line and no dimension, and held leases are one number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chalicelib.adapters.aws.telemetry import Metric
from chalicelib.core.telemetry import metric_catalogue
from chalicelib.core.telemetry.counts import Counts, series_of
from chalicelib.core.telemetry.exposition import Measured

_FIELDS = frozenset({"shard"})  # labels that are no dimensions


def counted(counts: Counts, raw: Mapping[str, Sequence[float]]) -> list[Metric]:
    """Counters as they grew, and the single values of histograms."""
    found = []
    for series, number in sorted(counts.counters.items()):
        known = series_of(series)
        assert known is not None, series
        family, values = known
        labels = dict(zip(family.labels, values, strict=True))
        dimensions = {name: value for name, value in labels.items() if name not in _FIELDS}
        fields = {name: value for name, value in labels.items() if name in _FIELDS}
        found.append(Metric(family.name, family.unit, [number], dimensions, fields))
    for name, observed in raw.items():
        found.append(Metric(name, metric_catalogue.BY_NAME[name].unit, observed))
    return found


def gauges(measured: Measured) -> list[Metric]:
    """Gauges as they are; those of leases added up."""
    found = []
    for name, samples in measured.gauges.items():
        family = metric_catalogue.BY_NAME[name]
        if family is metric_catalogue.LEASES_HELD:
            found.append(Metric(name, family.unit, [sum(samples.values())]))
            continue
        for labels, value in samples.items():
            found.append(Metric(name, family.unit, [value], dict(zip(family.labels, labels, strict=True))))
    return found


def feed_lag(lags_ms: Sequence[int]) -> list[Metric]:
    """How old changes were when the feed handled them: the worst of a batch."""
    family = metric_catalogue.FEED_LAG
    return [Metric(family.name, family.unit, [max(0, *lags_ms)])] if lags_ms else []
