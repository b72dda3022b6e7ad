"""The status of the clock: drift and steps against the monotonic one, an error bound that sources support or widen."""

from __future__ import annotations

import logging

import pytest
from msgspec.structs import replace

from chalicelib.core.clock.clock_bound import Interval, Observation
from chalicelib.core.clock.limits import DRIFT_SAMPLES_MAX
from chalicelib.ports.services import Services
from chalicelib.usecases.clock_status import ClockHistory
from tests.kit.machine import MovableClock
from tests.kit.services import make_services

MS = 1_000_000
SECOND = 1000 * MS
MARGIN = 20 * MS


class Sources:
    """What a test says of true time: how far it is ahead of the wall clock, give or take."""

    def __init__(self, s: Services) -> None:
        self._clock = s.clock
        self._said: tuple[Observation, ...] = ()

    def say(self, source: str, ahead: int, give_or_take: int) -> None:
        wall, monotonic = self._clock.read()
        middle = wall + ahead - monotonic
        interval = Interval(middle - give_or_take, middle + give_or_take)
        self._said = (*self._said, Observation(source, interval, monotonic))

    def observations(self) -> tuple[Observation, ...]:
        return self._said


class Bench:
    """A process with a clock to move and sources to listen to."""

    def __init__(self) -> None:
        s = make_services()
        self.sources = Sources(s)
        self.s = replace(s, time_sources=self.sources)
        self.history = ClockHistory()
        assert isinstance(s.clock, MovableClock)
        self.clock = s.clock

    def look(self):  # type: ignore[no-untyped-def]
        return self.history.status(self.s)


@pytest.fixture
def b() -> Bench:
    return Bench()


def test_alone_the_bound_is_what_the_deployment_states(b: Bench) -> None:
    look = b.look()
    assert (look.error_bound_nanos, look.drift_nanos, look.sources, look.samples) == (MARGIN, 0, 1, 1)


def test_readings_are_a_second_apart_and_bounded(b: Bench) -> None:
    for _ in range(5000):
        b.look()
        b.clock.advance(100)
    assert DRIFT_SAMPLES_MAX <= b.look().samples <= DRIFT_SAMPLES_MAX + 1


@pytest.mark.parametrize("step_ms", [-500, 30, 500])
def test_a_step_is_noted_logged_and_widens_the_bound(b: Bench, step_ms: int, caplog: pytest.LogCaptureFixture) -> None:
    b.look()
    b.clock.advance(10)
    b.clock.step(step_ms)
    with caplog.at_level(logging.WARNING):
        look = b.look()
    assert look.drift_nanos == step_ms * MS
    assert look.error_bound_nanos == MARGIN + abs(step_ms) * MS
    assert [step.nanos for step in look.steps] == [step_ms * MS]
    assert f"stepped by {step_ms}.000 ms" in caplog.text
    assert len(b.look().steps) == 1


def test_small_movements_are_drift_and_no_step(b: Bench) -> None:
    b.look()
    for _ in range(30):
        b.clock.advance(2000)
        b.clock.step(1)
        look = b.look()
    assert (look.drift_nanos, look.steps) == (30 * MS, ())


def test_a_source_that_agrees_narrows_the_bound(b: Bench) -> None:
    b.sources.say("server", ahead=3 * MS, give_or_take=5 * MS)
    look = b.look()
    assert (look.error_bound_nanos, look.drift_nanos, look.agreeing, look.sources) == (8 * MS, 0, 2, 2)


def test_a_source_that_contradicts_widens_the_bound_and_proves_the_drift(b: Bench) -> None:
    b.sources.say("server", ahead=10 * SECOND, give_or_take=SECOND)
    look = b.look()
    assert (look.error_bound_nanos, look.drift_nanos, look.agreeing) == (11 * SECOND, -9 * SECOND, 1)


def test_two_sources_outvote_the_deployments_statement(b: Bench) -> None:
    for name in ("one", "two"):
        b.sources.say(name, ahead=10 * SECOND, give_or_take=SECOND)
    b.clock.advance(1)
    look = b.look()
    assert 10 * SECOND < look.error_bound_nanos < 12 * SECOND
    assert (look.agreeing, look.sources) == (2, 3)


def test_what_was_heard_ages(b: Bench) -> None:
    b.sources.say("server", ahead=0, give_or_take=MS)
    assert b.look().error_bound_nanos == MS
    b.clock.advance(10_000)
    assert b.look().error_bound_nanos == MS + 2 * MS  # 200 ppm of ten seconds
    b.sources.say("server", ahead=0, give_or_take=MS)
    assert b.look().error_bound_nanos == MS
