"""What is counted once, whoever writes it how often; and the gauges."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.core.errors import Forbidden, OutcomeUnknown, Unavailable
from chalicelib.core.executions.execution import Execution
from chalicelib.core.instants import to_rfc3339
from chalicelib.core.security.caller import ANONYMOUS_ADMIN, caller_of
from chalicelib.core.telemetry import metric_catalogue, metric_document
from chalicelib.core.telemetry.exposition import Measured
from chalicelib.engine.tenants import note_tenant
from chalicelib.ports.services import Services
from chalicelib.process.admission import Ticket
from chalicelib.usecases import leases, metrics
from chalicelib.usecases.leases import AcquireLease
from chalicelib.usecases.metrics import MetricReader
from chalicelib.workers import feed_counts
from chalicelib.workers.feed import Written
from chalicelib.workers.feed_counts import CountedWrite
from tests.kit.house import House
from tests.kit.machine import NOW_MS, MovableClock
from tests.kit.services import make_services, with_stores

BASE = Execution(
    tenant="default", schedule_id="01HZZZZZZZZZZZZZZZZZZZZZZZ", firing_ms=NOW_MS, shard=3, version="v",
    owner="anonymous", target_type="webhook", sla_ms=100, created_ms=NOW_MS - 1000, schedule_type="RATE",
)  # fmt: skip
DONE = replace(BASE, rev=2, state="completed", first_started_ms=NOW_MS + 4)
LATE = replace(BASE, rev=2, state="failed", first_started_ms=NOW_MS + 500)
ADMIN = ANONYMOUS_ADMIN


def writes(*written: Written) -> list[CountedWrite]:
    return [CountedWrite(f"{number:05d}", each) for number, each in enumerate(written, 1)]


def counters(s: Services) -> dict[str, int]:
    return MetricReader().measure(s, ADMIN).counts.counters


def gauge(measured: Measured, family: metric_catalogue.MetricFamily, *labels: str) -> float | None:
    return measured.gauges.get(family.name, {}).get(labels)


def another_process(s: Services, instance: str) -> Services:
    other = make_services(stores=s.stores)
    return replace(other, config=replace(s.config, instance=instance), clock=s.clock)


def test_an_execution_counts_when_it_begins_and_when_it_ends_and_a_retry_begins_nothing() -> None:
    s = make_services()
    running = replace(BASE, rev=2, state="in_progress", first_started_ms=NOW_MS + 500)
    again = replace(LATE, rev=4, state="completed")
    batch = writes(
        Written(None, BASE), Written(BASE, running), Written(running, LATE), Written(LATE, LATE), Written(LATE, again)
    )
    feed_counts.count(s, "s", batch, NOW_MS - 3000)
    measured = MetricReader().measure(s, ADMIN)
    assert measured.counts.counters == {
        "chronowatch_schedule_fire_total\tRATE\t3": 1,
        "chronowatch_firings_late_total": 1,
        "chronowatch_executions_total\tfailed": 1,
        "chronowatch_executions_total\tcompleted": 1,
        "chronowatch_dead_letter_total": 1,
    }
    lateness = measured.counts.histograms["chronowatch_firing_lateness_ms"]
    assert (sum(lateness.counts), lateness.sum) == (1, 500)
    assert gauge(measured, metric_catalogue.FEED_LAG) == 3000


def test_a_batch_that_comes_again_in_whatever_cut_and_from_whichever_process_counts_once() -> None:
    s = make_services()
    other = another_process(s, "other")
    batch = writes(*[Written(BASE, DONE)] * 10)
    feed_counts.count(s, "shard", batch[:4], None)
    for services, part in ((other, batch[:4]), (s, batch[2:7]), (other, batch), (s, batch)):
        feed_counts.count(services, "shard", part, None)
    feed_counts.count(s, "another shard", batch[:1], None)
    assert counters(s)["chronowatch_executions_total\tcompleted"] == 11


class Doubtful:
    """A store whose next writes happen, or not, and get no answer."""

    def __init__(self, inner: Any, doubts: list[bool]) -> None:
        self._inner, self.doubts = inner, doubts

    def load(self, name: str) -> Any:
        return self._inner.load(name)

    def save(self, *arguments: Any) -> bool:
        if not self.doubts:
            return bool(self._inner.save(*arguments))
        if self.doubts.pop(0):
            self._inner.save(*arguments)
        raise OutcomeUnknown("no answer")


@pytest.mark.parametrize("doubts", [[True], [False], [True, False], [False, True, True]])
def test_a_write_without_an_answer_counts_once(doubts: list[bool]) -> None:
    s = make_services()
    s = with_stores(s, metrics=Doubtful(s.stores.metrics, list(doubts)))
    s.process.meter.count(metric_catalogue.DEAD_LETTERS)
    metrics.publish(s)
    feed_counts.count(s, "shard", writes(Written(BASE, LATE)), None)
    assert counters(s)["chronowatch_dead_letter_total"] == 2


def test_what_could_not_be_published_is_published_later_and_new_counts_after_it() -> None:
    class Away:
        def load(self, name: str) -> None:
            raise Unavailable("away")

    s = make_services()
    away = with_stores(s, metrics=Away())
    for _ in range(3):
        s.process.meter.count(metric_catalogue.DEAD_LETTERS)
        with pytest.raises(Unavailable):
            metrics.publish(away)
    metrics.publish(s)
    metrics.publish(s)
    assert counters(s)["chronowatch_dead_letter_total"] == 3


def test_a_process_that_was_killed_takes_nothing_back_and_a_new_one_goes_on() -> None:
    s = make_services()
    for instance in ("one", "two", "three"):
        process = another_process(s, instance)
        process.process.meter.count(metric_catalogue.DEAD_LETTERS)
        metrics.publish(process)
        process.process.meter.count(metric_catalogue.DEAD_LETTERS)  # and is killed
    assert counters(s)["chronowatch_dead_letter_total"] == 3


def test_calls_for_leases_count_by_their_result() -> None:
    s = make_services()
    for holder in ("a", "b"):
        leases.acquire(s, ADMIN, AcquireLease(name="l", holder_id=holder, ttl_ms=60_000))
    with pytest.raises(Exception, match="ttl"):
        leases.acquire(s, ADMIN, AcquireLease(name="l", holder_id="a", ttl_ms=-1))
    found = counters(s)
    results = [found[f"chronowatch_lease_acquire_total\t{result}"] for result in ("granted", "queued", "refused")]
    assert results == [1, 1, 1]


def test_the_names_of_leases_are_bounded_and_those_of_other_tenants_are_not_shown() -> None:
    s = make_services()
    for number in range(130):
        leases.acquire(s, ADMIN, AcquireLease(name=f"l{number:03d}", holder_id="a", ttl_ms=60_000))
    note_tenant(s, "foreign")
    foreign = caller_of("foreign", "x", ["admin"], {}, credential="off", expires_at_ms=None)
    leases.acquire(s, foreign, AcquireLease(name="secret", holder_id="a", ttl_ms=60_000))
    reader = MetricReader()
    held = reader.measure(s, ADMIN).gauges[metric_catalogue.LEASES_HELD.name]
    assert len(held) == metric_catalogue.LEASE_NAMES_MAX + 1
    assert held[(metric_catalogue.OTHER,)] == 31
    assert ("secret",) not in held
    assert reader.measure(s, foreign).gauges[metric_catalogue.LEASES_HELD.name][("secret",)] == 1


def test_schedules_are_counted_by_type_and_whether_they_fire() -> None:
    house = House()
    house.make()
    made = house.make()
    house.call("POST", f"/api/v1/schedules/{made['id']}:pause")
    measured = MetricReader().measure(house.services, ADMIN)
    assert gauge(measured, metric_catalogue.SCHEDULES, "RATE", "true") == 1
    assert gauge(measured, metric_catalogue.SCHEDULES, "RATE", "false") == 1


def test_gauges_of_what_waits() -> None:
    house = House()
    s, reader = house.services, MetricReader()
    measured = reader.measure(s, ADMIN)
    assert gauge(measured, metric_catalogue.SWEEP_LAG) is None, "no shard was swept"
    assert gauge(measured, metric_catalogue.OLDEST_UNDELIVERED) == 0
    assert gauge(measured, metric_catalogue.DEAD_LETTER_AGE) == 0
    assert gauge(measured, metric_catalogue.IN_FLIGHT) == 0
    assert gauge(measured, metric_catalogue.IN_FLIGHT_LIMIT) == s.config.caps.calls
    house.make(type="CRON", expr="0 * * * *")
    failed = house.fire()
    house.end(failed, "failed")
    house.clock.advance(3_600_000 * 2)
    measured = reader.measure(s, ADMIN)
    assert (gauge(measured, metric_catalogue.OLDEST_UNDELIVERED) or 0) >= 3_600_000
    assert gauge(measured, metric_catalogue.DEAD_LETTER_AGE) == 3_600_000 * 2


def test_what_workers_have_under_way_counts_while_they_live() -> None:
    s = make_services()
    worker = another_process(s, "worker")
    line, caps = worker.process.admission, worker.config.caps
    tickets = [Ticket("owner", "", 1, NOW_MS, lambda: None) for _ in range(3)]
    for ticket in tickets:
        line.submit(caps, ticket, 0.0)
    line.admit(caps, 0.0)
    metrics.publish(worker)
    assert gauge(MetricReader().measure(s, ADMIN), metric_catalogue.IN_FLIGHT) == 3
    for ticket in tickets[:2]:
        line.finish(ticket)
    metrics.publish(worker)
    assert gauge(MetricReader().measure(s, ADMIN), metric_catalogue.IN_FLIGHT) == 1
    assert isinstance(worker.clock, MovableClock)
    worker.clock.advance(metric_document.REPORT_KEPT_MS)  # and is killed
    assert gauge(MetricReader().measure(s, ADMIN), metric_catalogue.IN_FLIGHT) == 0


def test_idle_processes_write_nothing() -> None:
    class Counted:
        saves = 0

        def load(self, name: str) -> None:
            return None

        def save(self, *arguments: Any) -> bool:
            self.saves += 1
            return True

    store = Counted()
    s = with_stores(make_services(), metrics=store)
    for _ in range(5):
        metrics.publish(s)
    assert store.saves == 0


def test_users_may_not_see_what_is_of_the_whole_deployment() -> None:
    user = caller_of("default", "u", ["user"], {}, credential="off", expires_at_ms=None)
    with pytest.raises(Forbidden):
        MetricReader().measure(make_services(), user)


def test_what_has_ended_and_is_not_released_is_not_undelivered() -> None:
    house = House()
    house.make(type="AT", expr=f"at:{to_rfc3339(NOW_MS + 5_000)}")
    house.clock.advance(10_000)
    s = house.services
    listed = [s.stores.schedules.due(shard, NOW_MS + 10_000, 1) for shard in range(s.config.shards)]
    assert sum(map(len, listed)) == 1
    assert gauge(MetricReader().measure(s, ADMIN), metric_catalogue.OLDEST_UNDELIVERED) == 0
