"""Metrics as Prometheus reads them: its text format 0.0.4, and OpenMetrics 1.0 where it is asked for.

Only OpenMetrics has exemplars. prometheus_client was weighed: its multi-process mode knows no exemplars and loses
gauges, and it takes 61 ms to import.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from msgspec import Struct, field

from chalicelib.core.telemetry.counts import Buckets, Counts, Exemplar, series_of
from chalicelib.core.telemetry.metric_catalogue import CATALOGUE, MetricFamily

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_ELSEWHERE: Final = "# This deployment writes its metrics to its log, where CloudWatch reads them (EMF)."

Gauges = dict[str, dict[tuple[str, ...], float]]


class Measured(Struct):
    """All that is known: counts, and gauges by name and labels. ``counted``: counts are kept here."""

    counts: Counts = field(default_factory=Counts)
    gauges: Gauges = field(default_factory=dict)
    counted: bool = True

    def gauge(self, family: MetricFamily, value: float, labels: tuple[str, ...] = ()) -> None:
        """Set a gauge."""
        assert family.kind == "gauge", family.name
        assert len(labels) == len(family.labels), family.name
        self.gauges.setdefault(family.name, {})[labels] = value


def wants_openmetrics(accept: str | None) -> bool:
    """Whether a caller's ``Accept`` asks for OpenMetrics."""
    return "application/openmetrics-text" in (accept or "")


def render(measured: Measured, *, openmetrics: bool) -> str:
    """The text of all metrics."""
    lines = [] if measured.counted or openmetrics else [_ELSEWHERE]
    for family in CATALOGUE:
        if family.kind != "gauge" and not measured.counted:
            continue
        lines += _family(measured, family, openmetrics)
    return "\n".join([*lines, *(["# EOF"] if openmetrics else []), ""])


def _family(measured: Measured, family: MetricFamily, openmetrics: bool) -> Iterator[str]:
    name = family.name
    shown = name.removesuffix("_total") if openmetrics and family.kind == "counter" else name
    yield f"# HELP {shown} {family.help}"
    yield f"# TYPE {shown} {family.kind}"
    if family.kind == "histogram":
        buckets = measured.counts.histograms.get(name)
        if buckets is None or len(buckets.counts) != len(family.buckets) + 1:
            buckets = Buckets([0] * (len(family.buckets) + 1))
        yield from _histogram(family, buckets, openmetrics)
        return
    samples = measured.gauges.get(name, {}) if family.kind == "gauge" else _counters(measured.counts, family)
    for labels, value in sorted(samples.items()):
        yield f"{name}{_labels(zip(family.labels, labels, strict=True))} {_number(value)}"


def _counters(counts: Counts, family: MetricFamily) -> Mapping[tuple[str, ...], float]:
    found: dict[tuple[str, ...], float] = {} if family.labels else {(): 0}
    for series, value in counts.counters.items():
        known = series_of(series)
        if known is not None and known[0] is family:
            found[known[1]] = value
    return found


def _histogram(family: MetricFamily, buckets: Buckets, openmetrics: bool) -> Iterator[str]:
    total = 0
    for place, (bound, number) in enumerate(zip((*family.buckets, None), buckets.counts, strict=True)):
        total += number
        upper = "+Inf" if bound is None else _number(float(bound))
        exemplar = buckets.exemplars.get(str(place)) if openmetrics else None
        yield f'{family.name}_bucket{{le="{upper}"}} {total}{_exemplar(exemplar)}'
    yield f"{family.name}_count {total}"
    yield f"{family.name}_sum {_number(buckets.sum)}"


def _exemplar(exemplar: Exemplar | None) -> str:
    if exemplar is None:
        return ""
    return f' # {{trace_id="{exemplar.trace_id}"}} {_number(exemplar.value)} {exemplar.at_ms / 1000:.3f}'


def _labels(pairs: Iterable[tuple[str, str]]) -> str:
    text = ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs)
    return f"{{{text}}}" if text else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    return str(int(value)) if isinstance(value, int) else repr(float(value))
