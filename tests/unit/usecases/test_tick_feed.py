"""A follower gets each tick once and in order, as it passes; one that is too slow is told what it lost."""

from __future__ import annotations

import pytest

from chalicelib.core.ticks.limits import TICK_STREAM_LAG_MAX_COUNT
from chalicelib.core.ticks.numbering import Tick
from chalicelib.usecases import tick_feed, ticks
from chalicelib.usecases.tick_feed import Dropped
from tests.kit import followers
from tests.kit.plant import CALLER, Plant

T0 = 1_795_252_800_000
SECOND = ticks.frequency_of("second")
NANOS_PER_MS = 1_000_000


@pytest.fixture
def plant() -> Plant:
    """A deployment whose seconds have run for two minutes."""
    plant = Plant(T0)
    ticks.enable(plant.services, CALLER, "second")
    plant.run_until(T0 + 120_500)
    return plant


def follow(plant: Plant, gone_ms: int, until_ms: int) -> list[tuple[int, int]]:
    """(number, when it came after T0) of what a follower gets while the workers work."""
    came: list[tuple[int, int]] = []

    def listen() -> None:
        items = followers.follow(
            plant.services, CALLER, SECOND, None, until_ms, lambda: plant.clock.now_ms() >= gone_ms
        )
        came.extend((item.sequence, plant.clock.now_ms() - T0) for item in items if isinstance(item, Tick))

    listener = plant.clock.start(listen)
    plant.run_until(until_ms)
    assert listener.wait(until_ms)
    return came


def numbers(items: list[object]) -> list[int]:
    return [item.sequence for item in items if isinstance(item, Tick)]


def test_with_the_end_in_the_past_it_gives_what_has_passed(plant: Plant) -> None:
    found: list[object] = list(followers.follow(plant.services, CALLER, SECOND, 0, 0, lambda: False))
    assert numbers(found) == list(range(1, tick_feed.READ_ITEMS + 1))


def test_without_a_number_it_begins_with_the_newest_and_goes_on_as_they_pass(plant: Plant) -> None:
    came = follow(plant, T0 + 200_000, T0 + 123_500)
    first = came[0][0]
    assert [number for number, _ in came] == [first, first + 1, first + 2, first + 3]
    assert [at_ms for _, at_ms in came] == [120_500, 121_000, 122_000, 123_000]


def test_it_ends_when_nobody_listens_any_more(plant: Plant) -> None:
    left_ms = 122_500
    came = follow(plant, T0 + left_ms, T0 + 200_000)
    assert 3 <= len(came) <= 4
    assert came[-1][1] <= left_ms + tick_feed.GONE_CHECK_MS


def test_one_that_reads_too_slowly_is_told_what_it_lost_and_goes_on(plant: Plant) -> None:
    follower = followers.follow(plant.services, CALLER, SECOND, None, T0 + 900_000, lambda: False)
    first, second = next(follower), next(follower)
    assert isinstance(first, Tick)
    assert isinstance(second, Tick)
    plant.run_until(plant.clock.now_ms() + (TICK_STREAM_LAG_MAX_COUNT + 30) * 1_000)
    lost, following = next(follower), next(follower)
    assert isinstance(lost, Dropped)
    assert isinstance(following, Tick)
    assert (lost.after_sequence, following.sequence) == (second.sequence, lost.until_sequence + 1)
