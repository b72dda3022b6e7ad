"""Every metric there is: its name, its kind, its labels, and what it says. docs/observability.md has a row for each.

Counters and histograms are counted where something happens. Gauges are read when they are asked for.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

Kind = Literal["counter", "gauge", "histogram"]

OTHER: Final = "__other__"  # what lies beyond the bound of a label
LEASE_NAMES_MAX: Final = 100


class MetricFamily(Struct, frozen=True):
    """One metric. ``buckets`` are the upper bounds of a histogram. ``unit`` is CloudWatch's word."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    unit: str = "Count"


_MS: Final = "Milliseconds"

TIME_NOW_LATENCY: Final = MetricFamily(
    "chronowatch_time_now_latency_ms", "histogram", "How long GET /api/v1/time/now took to answer.",
    buckets=(0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 500), unit=_MS,
)  # fmt: skip
SCHEDULES: Final = MetricFamily(
    "chronowatch_schedules_total", "gauge", "Schedules there are, by type and whether they fire.", ("type", "enabled")
)
FIRES: Final = MetricFamily(
    "chronowatch_schedule_fire_total", "counter", "Executions whose first attempt was sent.", ("type", "shard")
)
LEASE_ACQUIRES: Final = MetricFamily(
    "chronowatch_lease_acquire_total", "counter", "Calls for a lease: granted, queued, or refused.", ("result",)
)
TRIGGER_EVENTS: Final = MetricFamily(
    "chronowatch_trigger_events_total", "counter", "Events that came to triggers, by what became of them.",
    ("source", "outcome"),
)  # fmt: skip
LEASES_HELD: Final = MetricFamily(
    "chronowatch_lease_held_gauge", "gauge", "Leases that are held: the first 100 names, the rest together.", ("name",)
)
LATENESS: Final = MetricFamily(
    "chronowatch_firing_lateness_ms", "histogram", "How late after its instant an execution's first attempt was sent.",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 60_000), unit=_MS,
)  # fmt: skip
LATE: Final = MetricFamily(
    "chronowatch_firings_late_total", "counter", "Executions that were later than the SLA of their schedule."
)
EXECUTIONS: Final = MetricFamily(
    "chronowatch_executions_total", "counter", "Executions that ended, by the state they ended in.", ("state",)
)
DEAD_LETTERS: Final = MetricFamily(
    "chronowatch_dead_letter_total", "counter", "Executions that ended out of attempts, and left a dead letter."
)
SPANS_DROPPED: Final = MetricFamily(
    "chronowatch_spans_dropped_total", "counter", "Spans that no collector took."
)  # fmt: skip
SWEEP_LAG: Final = MetricFamily(
    "chronowatch_sweep_lag_ms", "gauge", "How old the oldest shard's last sweep is.", unit=_MS
)
CLOCK_DRIFT: Final = MetricFamily(
    "chronowatch_clock_drift_ms", "gauge", "How far this process's wall clock has moved, or is proven wrong.", unit=_MS
)
OLDEST_UNDELIVERED: Final = MetricFamily(
    "chronowatch_oldest_undelivered_ms", "gauge", "How long ago the oldest instant was due that waits still.", unit=_MS
)
IN_FLIGHT: Final = MetricFamily(
    "chronowatch_in_flight", "gauge", "Calls to targets under way, in the workers that reported lately."
)
IN_FLIGHT_LIMIT: Final = MetricFamily(
    "chronowatch_in_flight_limit", "gauge", "How many calls these workers may have under way."
)
WAITING: Final = MetricFamily(
    "chronowatch_deliveries_waiting", "gauge", "Calls that are due and wait for their turn or for room."
)
POLICIES_UNREADABLE: Final = MetricFamily(
    "chronowatch_policies_unreadable_total", "counter", "Policies that were read anew and are in no known form."
)
FEED_LAG: Final = MetricFamily(
    "chronowatch_feed_lag_ms", "gauge", "How old the last change was when the feed handled it.", unit=_MS
)
DEAD_LETTER_AGE: Final = MetricFamily(
    "chronowatch_dead_letter_age_ms", "gauge", "How long the oldest dead letter of the last 14 days waits.", unit=_MS
)

CATALOGUE: Final = (
    TIME_NOW_LATENCY,
    SCHEDULES,
    FIRES,
    LEASE_ACQUIRES,
    TRIGGER_EVENTS,
    LEASES_HELD,
    LATENESS,
    LATE,
    EXECUTIONS,
    SWEEP_LAG,
    CLOCK_DRIFT,
    DEAD_LETTERS,
    DEAD_LETTER_AGE,
    OLDEST_UNDELIVERED,
    IN_FLIGHT,
    IN_FLIGHT_LIMIT,
    WAITING,
    FEED_LAG,
    SPANS_DROPPED,
    POLICIES_UNREADABLE,
)
BY_NAME: Final = {family.name: family for family in CATALOGUE}
assert len(BY_NAME) == len(CATALOGUE)
