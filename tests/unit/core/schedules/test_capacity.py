"""What counts against the limits of a deployment, and how much it weighs."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from chalicelib.core.schedules.capacity import BASE_WEIGHT_BYTES, Limits, Used, counts, uncounted, weight_bytes
from chalicelib.core.schedules.schedule import Key
from tests.kit.records import START_MS, definition, state

KEY = Key("t", "I" * 26)
USED = Used(3, 300)


@pytest.mark.parametrize(
    ("limits", "jobs", "weight", "fits"),
    [
        (Limits(4, None), 1, 1 << 40, True),
        (Limits(3, None), 1, 0, False),
        (Limits(2, None), 0, 10, True),
        (Limits(2, None), -1, -10, True),
        (Limits(None, 310), 1, 10, True),
        (Limits(None, 309), 1, 10, False),
        (Limits(None, 200), 0, -1, True),
        (Limits(None, 200), 1, 0, True),
        (Limits(4, 309), 1, 10, False),
        (Limits(3, 400), 1, 10, False),
        (Limits(None, None), 1, 1, True),
    ],
)
def test_only_what_grows_beyond_a_limit_is_refused(limits: Limits, jobs: int, weight: int, fits: bool) -> None:
    assert limits.allow(USED, jobs, weight) is fits


def test_texts_weigh_as_many_bytes_as_they_have() -> None:
    bare, payload = definition(KEY, target={}), '"ä€"'
    assert weight_bytes(replace(bare, payload=payload)) - weight_bytes(bare) == 7 - len("null")
    assert weight_bytes(bare) > BASE_WEIGHT_BYTES


def test_what_has_nothing_left_to_do_does_not_count() -> None:
    active, idle = definition(KEY), state(KEY, next_run_ms=None)
    assert counts(active, state(KEY))
    assert counts(active, replace(idle, queued_ms=START_MS)), "its last instant is on the queue"
    assert not counts(active, idle)
    assert counts(replace(active, active=False), idle), "a paused one goes on when it is resumed"
    assert not counts(replace(active, active=False), replace(idle, outcome="cancelled"))
    assert not counts(active, state(KEY, status="deleted"))


def test_what_does_not_count_weighs_nothing() -> None:
    freed = uncounted(state(KEY, counted=7, weight_bytes=9))
    assert (freed.counted, freed.weight_bytes, freed.spent_ms) == (-1, 0, None)
