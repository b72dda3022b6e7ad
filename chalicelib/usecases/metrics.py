"""Metrics: what all processes counted, and gauges that are read when they are asked for.

Reading gauges costs what there is to read. So schedules and leases are counted anew the less often, the more of them
there are: PAGE_EVERY_MS for each page.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

from chalicelib.core.errors import ChronoError
from chalicelib.core.leases import lease, lease_document
from chalicelib.core.security.authorize import authorize
from chalicelib.core.security.caller import Caller
from chalicelib.core.telemetry import metric_catalogue
from chalicelib.core.telemetry.exposition import Measured
from chalicelib.core.telemetry.metric_catalogue import LEASE_NAMES_MAX, OTHER
from chalicelib.core.telemetry.metric_document import MetricDocument
from chalicelib.engine import metric_counts, shards
from chalicelib.engine.metric_counts import Addition
from chalicelib.engine.tenants import known_tenants
from chalicelib.ports.services import Services
from chalicelib.ports.stores.schedules import Due
from chalicelib.usecases.clock_status import ClockHistory

log = logging.getLogger(__name__)

GAUGES_KEPT_MS: Final = 1_000
CENSUS_PAGE_ITEMS: Final = 1_000
LEASE_PAGE_ITEMS: Final = 500
UNQUEUED_PAGE_SCHEDULES: Final = 20
PAGES_MAX: Final = 400  # of one count: beyond that the number is a lower bound, and the log says so
PAGE_EVERY_MS: Final = 15_000
DEAD_LETTER_KEPT_MS: Final = 14 * 86_400_000  # as long as the queue of dead letters keeps one
_NANOS_PER_MS: Final = 1_000_000


def publish(s: Services) -> None:
    """Write what this process has counted since it published last, and what it has under way. Does nothing when there
    is nothing new. Raises Unavailable, TooMany: then it is written with the next publication."""
    meter, admission = s.process.meter, s.process.admission
    meter.rise_to(metric_catalogue.SPANS_DROPPED, s.tracer.dropped)
    under_way, waiting = admission.under_way, admission.waiting
    report: dict[str, float] | None = None
    if meter.changed(under_way + waiting):
        report = {
            metric_catalogue.IN_FLIGHT.name: under_way,
            metric_catalogue.WAITING.name: waiting,
            metric_catalogue.IN_FLIGHT_LIMIT.name: s.config.caps.calls,
        }
    pending = meter.pending()
    if pending is None and report is None:
        return

    def addition_after(position: str) -> Addition | None:
        if pending is None or (mine := f"{pending.number:012d}") <= position:
            return None
        return Addition(mine, pending.counts)

    metric_counts.add(s, metric_counts.PROCESSES, s.config.instance, addition_after, report)
    meter.done()


class _Known(Struct):
    """Numbers that are good until a time: the later, the more they cost."""

    numbers: Counter[tuple[str, str]] | None = None
    read_ms: int = 0
    kept_ms: int = 0

    def read(self, s: Services, count: Callable[[], tuple[Counter[tuple[str, str]], int]]) -> Counter[tuple[str, str]]:
        now_ms = s.clock.now_ms()
        if self.numbers is None or not 0 <= now_ms - self.read_ms < self.kept_ms:
            self.numbers, pages = count()
            self.read_ms = now_ms
            self.kept_ms = max(GAUGES_KEPT_MS, (pages - 1) * PAGE_EVERY_MS)
        return self.numbers


class MetricReader:
    """Reads all metrics, and remembers for a while what costs much to read. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clock = ClockHistory()
        self._schedules = _Known()
        self._leases: dict[str, _Known] = {}
        self._gauges = _Known()

    def measure(self, s: Services, caller: Caller) -> Measured:
        """All metrics as of now, after this process has published its share. Where counts leave by the log, only the
        clock's. Names of leases are those of the caller's tenant. Raises Forbidden, Unavailable."""
        authorize(caller, "cluster:read")
        measured = Measured(counted=s.config.counts_kept)
        with self._lock:  # two scrapes at once need not both read
            measured.gauge(metric_catalogue.CLOCK_DRIFT, self._clock.status(s).drift_nanos / _NANOS_PER_MS)
            if measured.counted:
                self._add_counts(s, measured)
                self._add_gauges(s, measured, caller.tenant)
        return measured

    def gauges(self, s: Services, caller: Caller) -> Measured:
        """Gauges alone, without what processes report. Raises as ``measure``."""
        authorize(caller, "cluster:read")
        measured = Measured(counted=False)
        measured.gauge(metric_catalogue.CLOCK_DRIFT, self._clock.status(s).drift_nanos / _NANOS_PER_MS)
        with self._lock:
            self._add_gauges(s, measured, caller.tenant)
        return measured

    def _add_gauges(self, s: Services, measured: Measured, tenant: str) -> None:
        for (kind, enabled), number in self._schedules.read(s, lambda: _census(s)).items():
            measured.gauge(metric_catalogue.SCHEDULES, number, (kind, enabled))
        known = self._leases.setdefault(tenant, _Known())
        for (name, _), number in known.read(s, lambda: _held(s, tenant)).items():
            measured.gauge(metric_catalogue.LEASES_HELD, number, (name,))
        for (name, _), number in self._gauges.read(s, lambda: (_read_gauges(s), 1)).items():
            measured.gauge(metric_catalogue.BY_NAME[name], number)

    def _add_counts(self, s: Services, measured: Measured) -> None:
        try:
            publish(s)
        except ChronoError as problem:
            log.warning("this process's metrics are published later: %s", problem)
        documents = [metric_counts.load(s, name) for name in (metric_counts.PROCESSES, metric_counts.FEED)]
        for document in documents:
            measured.counts.add(document.counts)
        _add_reports(s, measured, *documents)


def _add_reports(s: Services, measured: Measured, processes: MetricDocument, feed: MetricDocument) -> None:
    """Gauges that processes report. A worker with nothing under way reports nothing."""
    live = [report.values for report in processes.live_reports(s.clock.now_ms()).values()]
    for family in (metric_catalogue.IN_FLIGHT, metric_catalogue.WAITING):
        measured.gauge(family, sum(values.get(family.name, 0) for values in live))
    limits = [values.get(metric_catalogue.IN_FLIGHT_LIMIT.name, 0) for values in live] or [s.config.caps.calls]
    measured.gauge(metric_catalogue.IN_FLIGHT_LIMIT, sum(limits))
    lags = [report.values.get(metric_catalogue.FEED_LAG.name, 0) for report in feed.reports.values()]
    measured.gauge(metric_catalogue.FEED_LAG, max(lags, default=0))


def _census(s: Services) -> tuple[Counter[tuple[str, str]], int]:
    found: Counter[tuple[str, str]] = Counter()
    pages = 0
    for tenant in known_tenants(s):
        after: str | None = None
        while pages < PAGES_MAX:
            page = s.stores.schedules.census(tenant, CENSUS_PAGE_ITEMS, after)
            found.update({(kind, str(enabled).lower()): number for (kind, enabled), number in page.counts.items()})
            pages, after = pages + 1, page.after
            if after is None:
                break
    _warn_when_cut(pages, "schedules")
    return found, pages


def _held(s: Services, own_tenant: str) -> tuple[Counter[tuple[str, str]], int]:
    """Held leases by name, of which the first LEASE_NAMES_MAX of the caller's own tenant are named."""
    found: Counter[tuple[str, str]] = Counter()
    pages, now_ms = 0, s.clock.now_ms()
    for tenant in sorted({own_tenant, *known_tenants(s)}, key=lambda name: (name != own_tenant, name)):
        after: str | None = None
        while pages < PAGES_MAX:
            documents, after = s.stores.leases.list(tenant, LEASE_PAGE_ITEMS, after)
            pages += 1
            held = [item for item in map(lease_document.read, documents) if lease.is_taken(item, now_ms, 0)]
            for item in held:
                named = tenant == own_tenant and len(found) < LEASE_NAMES_MAX
                found[(item.name if named else OTHER, "")] += 1
            if after is None:
                break
    _warn_when_cut(pages, "leases")
    return found, pages


def _warn_when_cut(pages: int, what: str) -> None:
    if pages >= PAGES_MAX:
        log.warning("there are more %s than one count reads: their metric is a lower bound", what)


def _read_gauges(s: Services) -> Counter[tuple[str, str]]:
    """Gauges of the tables, by name; one without a value is left out."""
    now_ms = s.clock.now_ms()
    found: Counter[tuple[str, str]] = Counter()
    swept = [at_ms for at_ms in shards.swept_at_ms(s) if at_ms is not None]
    if len(swept) == s.config.shards:
        found[(metric_catalogue.SWEEP_LAG.name, "")] = _age(now_ms, swept)
    found[(metric_catalogue.OLDEST_UNDELIVERED.name, "")] = _age(now_ms, _undelivered_ms(s, now_ms))
    bad = [s.stores.executions.oldest_bad_ms(shard, now_ms - DEAD_LETTER_KEPT_MS) for shard in range(s.config.shards)]
    found[(metric_catalogue.DEAD_LETTER_AGE.name, "")] = _age(now_ms, (at_ms for at_ms in bad if at_ms is not None))
    return found


def _undelivered_ms(s: Services, now_ms: int) -> Iterable[int]:
    """Of each shard the first instant that was due and was not queued, and the first that waits for a worker."""
    for shard in range(s.config.shards):
        yield from _unqueued_ms(s, shard, now_ms)
        yield from (key.firing_ms for key in s.stores.executions.open_until(shard, now_ms, 1).keys)


def _unqueued_ms(s: Services, shard: int, now_ms: int) -> Iterable[int]:
    """The first instant of a shard that was due and was not queued. The list also holds what has ended lately."""
    after: Due | None = None
    while page := s.stores.schedules.due(shard, now_ms, UNQUEUED_PAGE_SCHEDULES, after):
        states = s.stores.schedules.states([due.key for due in page])
        waits = [state.next_run_ms for state in states.values() if state.status == "active" and state.next_run_ms]
        if waits:
            return [min(waits)]
        after = page[-1]
    return []


def _age(now_ms: int, instants: Iterable[int]) -> int:
    """The age of the oldest; 0 without any."""
    return max(0, now_ms - min(instants, default=now_ms))
