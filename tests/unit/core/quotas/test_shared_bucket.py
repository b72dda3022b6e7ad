from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.quotas.limits import CLOCK_SLACK_US, RATE_MAX_PER_S
from chalicelib.core.quotas.shared_bucket import (
    SharedBucket,
    available,
    burst_of,
    holds_at_us,
    is_beyond_reason,
    lease,
)

NOW_US = 1_795_252_800_000_000
rates = st.integers(1, RATE_MAX_PER_S)
waits = st.lists(st.tuples(st.integers(0, 3_000_000), st.integers(1, 500)), max_size=60)


def test_a_new_bucket_is_full() -> None:
    assert available(SharedBucket(), 100, NOW_US) == burst_of(100) == 50
    assert (burst_of(1), burst_of(2), burst_of(3)) == (1, 1, 1)


def test_a_lease_takes_no_more_than_there_is() -> None:
    bucket, got = lease(SharedBucket(), 100, NOW_US, 80)
    assert (got, available(bucket, 100, NOW_US), bucket.leased) == (50, 0, 50)
    assert lease(bucket, 100, NOW_US, 1) == (bucket, 0)


@given(per_s=rates, asks=waits)
def test_no_span_gives_more_than_its_rate_and_a_burst(per_s: int, asks: list[tuple[int, int]]) -> None:
    bucket, now_us, leases = SharedBucket(), NOW_US, [(NOW_US, 0)]
    for wait_us, wanted in asks:
        now_us += wait_us
        bucket, got = lease(bucket, per_s, now_us, wanted)
        assert 0 <= got <= wanted
        leases.append((now_us, got))
    assert bucket.leased == sum(got for _, got in leases)
    for start in range(len(leases)):
        given_since = 0
        for at_us, got in leases[start:]:
            given_since += got
            assert given_since <= burst_of(per_s) + (at_us - leases[start][0]) * per_s / 1e6 + 1e-6


@given(per_s=rates, asks=waits, count=st.integers(1, 50))
def test_it_holds_what_was_foretold_at_the_instant_and_not_before(
    per_s: int, asks: list[tuple[int, int]], count: int
) -> None:
    bucket, now_us = SharedBucket(), NOW_US
    for wait_us, wanted in asks:
        now_us += wait_us
        bucket, _ = lease(bucket, per_s, now_us, wanted)
    count = min(count, burst_of(per_s))
    at_us = holds_at_us(bucket, per_s, count)
    assert available(bucket, per_s, max(now_us, at_us) + 1) >= count
    if at_us - 2 > now_us:
        assert available(bucket, per_s, at_us - 2) < count


@given(per_s=rates, wanted=st.integers(1, 100_000))
def test_what_a_right_clock_wrote_is_within_reason(per_s: int, wanted: int) -> None:
    bucket, _ = lease(SharedBucket(), per_s, NOW_US, wanted)
    assert not is_beyond_reason(bucket, NOW_US - CLOCK_SLACK_US)
    assert is_beyond_reason(SharedBucket(NOW_US + 3_600_000_000), NOW_US)
