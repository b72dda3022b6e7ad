from __future__ import annotations

from chalicelib.core.telemetry import metric_catalogue, metric_document
from chalicelib.core.telemetry.counts import Counts
from chalicelib.core.telemetry.metric_document import REPORT_KEPT_MS, SOURCE_KEPT_MS, SOURCES_MAX, MetricDocument

SERIES = "chronowatch_dead_letter_total"


def one() -> Counts:
    found = Counts()
    found.count(metric_catalogue.DEAD_LETTERS)
    found.observe(metric_catalogue.LATENESS, 2.5, "ab", 7)
    return found


def test_is_read_as_it_was_written() -> None:
    document = MetricDocument()
    document.add("a", "001", one(), 5)
    document.report("p", {"x": 2}, 6)
    again = metric_document.read(metric_document.write(document))
    assert again == document
    assert (again.position("a"), again.position("b")) == ("001", "")
    assert metric_document.read(None) == MetricDocument()


def test_sources_that_are_silent_for_long_or_too_many_are_forgotten_and_their_counts_stay() -> None:
    document = MetricDocument()
    for number in range(SOURCES_MAX + 5):
        document.add(f"s{number}", "1", one(), number)
    assert len(document.sources) == SOURCES_MAX
    assert "s0" not in document.sources
    document.add("new", "1", one(), SOURCE_KEPT_MS + SOURCES_MAX + 10)
    assert set(document.sources) == {"new"}
    assert document.counts.counters[SERIES] == SOURCES_MAX + 6


def test_reports_of_processes_that_are_gone_do_not_count() -> None:
    document = MetricDocument()
    document.report("dead", {"x": 1}, 0)
    document.report("alive", {"x": 2}, REPORT_KEPT_MS)
    assert set(document.live_reports(REPORT_KEPT_MS)) == {"alive"}


def test_stays_small() -> None:
    document = MetricDocument()
    for state in ("completed", "failed", "timeout", "cancelled", "missed", "skipped"):
        document.counts.count(metric_catalogue.EXECUTIONS, (state,), 10**9)
    for shard in range(16):
        for kind in ("RATE", "CRON"):
            document.counts.count(metric_catalogue.FIRES, (kind, str(shard)), 10**9)
    for place in range(15):
        document.counts.observe(metric_catalogue.LATENESS, 2.0**place, "4bf92f3577b34da6a3ce929d0e0e4736", 10**12)
    assert len(metric_document.write(document)) < 4096
