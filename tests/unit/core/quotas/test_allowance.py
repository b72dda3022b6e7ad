"""Several processes over one bucket, in virtual time: what each lets through, and what it costs in writes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct, field
from msgspec.structs import replace

from chalicelib.core.quotas.allowance import (
    Allowance,
    block_max,
    cut_off,
    decide,
    granted,
    held_off,
    lost,
    propose,
)
from chalicelib.core.quotas.limits import AWAY_PAUSE_US, BLOCK_LIFE_US
from chalicelib.core.quotas.shared_bucket import SharedBucket, burst_of, lease

NOW_US = 1_795_252_800_000_000


class Shared(Struct):
    """The one record, and how often it was asked for."""

    bucket: SharedBucket = SharedBucket()
    rev: int = 0
    writes: int = 0
    away: bool = False


class Played(Struct):
    """A process: what it holds, and what it let through when."""

    per_s: int
    shared: Shared
    allowance: Allowance = Allowance()
    passed: list[int] = field(default_factory=list)
    refused: int = 0

    def call(self, now_us: int) -> int:
        """One call; how long it has to wait, 0 when it passed."""
        for _ in range(20):
            decision, self.allowance = decide(self.allowance, self.per_s, now_us)
            if decision.verdict == "allowed":
                self.passed.append(now_us)
                assert decision.remaining >= 0
                return 0
            if decision.verdict == "refused":
                self.refused += 1
                assert decision.wait_us > 0
                return decision.wait_us
            self._ask(now_us)
        raise AssertionError("it asks for ever")

    def _ask(self, now_us: int) -> None:
        got = propose(self.allowance, self.per_s, now_us)
        if got is None:
            self.allowance = held_off(self.allowance, self.per_s, now_us)
            return
        self.shared.writes += 1
        if self.shared.away:
            self.allowance = cut_off(self.allowance, now_us, AWAY_PAUSE_US)
        elif self.shared.rev != self.allowance.rev:
            self.allowance = lost(self.allowance, self.shared.bucket, self.shared.rev)
        else:
            self.shared.bucket, self.shared.rev = got.bucket, self.shared.rev + 1
            self.allowance = granted(self.allowance, got, self.per_s, now_us)


def play(per_s: int, demands: list[int], seconds: float, shared: Shared | None = None) -> list[Played]:
    """Processes that each get so many calls in a second, evenly, for so long."""
    shared = shared or Shared()
    processes = [Played(per_s, shared) for _ in demands]
    calls = [
        (int(k * 1e6 / demand) + place, place)
        for place, demand in enumerate(demands)
        for k in range(int(demand * seconds))
    ]
    for at_us, place in sorted(calls):
        processes[place].call(NOW_US + at_us)
    return processes


@pytest.mark.parametrize("demands", [[400], [100, 100, 100, 100], [1000, 30, 30, 30], [60] * 8, [26] * 4])
def test_processes_together_let_through_the_quota(demands: list[int]) -> None:
    processes = play(100, demands, 10)
    assert 900 <= sum(len(p.passed) for p in processes) <= 1_100


@pytest.mark.parametrize(("per_s", "demands"), [(100, [90]), (100, [20, 20, 20, 20]), (1000, [300, 300]), (5, [1, 1])])
def test_who_stays_below_the_quota_is_never_refused(per_s: int, demands: list[int]) -> None:
    assert [p.refused for p in play(per_s, demands, 30)] == [0] * len(demands)


def test_a_busy_process_writes_once_in_fifty_calls() -> None:
    (process,) = play(1000, [500], 60)
    assert len(process.passed) == 30_000
    assert process.shared.writes <= 30_000 / 50 + 10


def test_refusals_cost_few_writes() -> None:
    processes = play(100, [1000] * 4, 10)
    assert sum(p.refused for p in processes) > 35_000
    assert processes[0].shared.writes <= 4 * 10 * (5 + 2 * 5)


def test_one_write_serves_a_principal_that_calls_rarely_for_seconds() -> None:
    (process,) = play(100, [1], 60)
    assert process.shared.writes <= 60 / 2


@given(
    per_s=st.sampled_from([1, 2, 3, 7, 50, 100, 999, 5000]),
    calls=st.lists(
        st.tuples(st.integers(0, 2_000_000) | st.integers(0, 2_000), st.integers(0, 3), st.integers(1, 80)), max_size=80
    ),
)
def test_no_span_lets_through_more_than_its_rate_a_burst_and_a_block_a_process(
    per_s: int, calls: list[tuple[int, int, int]]
) -> None:
    shared = Shared()
    processes = [Played(per_s, shared) for _ in range(4)]
    now_us = NOW_US
    for wait_us, place, count in calls:
        now_us += wait_us
        for _ in range(count):
            processes[place].call(now_us)
    passed = sorted(at_us for p in processes for at_us in p.passed)
    extra = burst_of(per_s) + 4 * block_max(per_s)
    for start in range(0, len(passed), max(1, len(passed) // 40)):
        for end in range(start, len(passed), max(1, len(passed) // 40)):
            assert end - start + 1 <= extra + (passed[end] - passed[start]) * per_s / 1e6 + 1
    assert len(passed) <= shared.bucket.leased


@given(
    per_s=st.sampled_from([1, 3, 50, 100, 999]),
    busy=st.integers(1, 300),
    others=st.integers(0, 100),
    away=st.booleans(),
)
def test_a_refused_call_passes_after_its_wait(per_s: int, busy: int, others: int, away: bool) -> None:
    shared = Shared()
    mine, other = Played(per_s, shared), Played(per_s, shared)
    for _ in range(others):
        other.call(NOW_US)
    shared.away = away
    waits = [mine.call(NOW_US) for _ in range(busy)]
    if waits[-1]:
        assert mine.call(NOW_US + waits[-1]) == 0


def test_while_the_store_is_away_a_process_goes_on_with_its_share() -> None:
    shared = Shared()
    processes = play(100, [100] * 4, 20, shared)
    assert all(0.1 < p.allowance.share < 0.5 for p in processes)
    shared.away = True
    before = [len(p.passed) for p in processes]
    for at_us in range(0, 10_000_000, 5_000):
        for process in processes:
            process.call(NOW_US + 20_000_000 + at_us)
    passed = [len(p.passed) - n for p, n in zip(processes, before, strict=True)]
    assert all(n > 100 for n in passed)
    assert 600 <= sum(passed) <= 1_500
    assert shared.writes < 2_000


def test_a_process_that_never_reached_the_store_has_the_whole_quota() -> None:
    (process,) = play(100, [400], 10, Shared(away=True))
    assert 900 <= len(process.passed) <= 1_100


def test_tokens_are_void_when_they_are_old_and_when_the_clock_was_set_back() -> None:
    allowance = granted(Allowance(), lease(SharedBucket(), 100, NOW_US, 8), 100, NOW_US)
    assert decide(allowance, 100, NOW_US)[0].verdict == "allowed"
    assert decide(allowance, 100, NOW_US + BLOCK_LIFE_US)[0].verdict == "ask"
    assert decide(allowance, 100, NOW_US - 1)[0].verdict == "ask"


def test_a_clock_that_is_an_hour_ahead_does_not_stop_the_others() -> None:
    shared = Shared()
    ahead, right = Played(100, shared), Played(100, shared)
    for at_us in range(0, 10_000_000, 2_000):
        ahead.call(NOW_US + 3_600_000_000 + at_us)
        right.call(NOW_US + at_us)
    assert 900 <= len(ahead.passed) <= 1_100
    assert 500 <= len(right.passed) <= 1_100


def test_a_clock_that_is_set_back_lets_the_process_go_on() -> None:
    (process,) = play(100, [400], 5)
    before = len(process.passed)
    for at_us in range(0, 10_000_000, 2_500):
        process.call(NOW_US - 3_600_000_000 + at_us)
    assert 500 <= len(process.passed) - before <= 1_150


def test_an_allowance_that_waits_longer_than_any_clock_of_ours_sets_asks_again() -> None:
    stuck = replace(Allowance(), ask_at_us=NOW_US + 3_600_000_000)
    assert decide(stuck, 100, NOW_US)[0].verdict == "ask"
