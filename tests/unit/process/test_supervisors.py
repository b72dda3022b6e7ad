"""The more threads see calls to their end, the more seldom each of them checks."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from chalicelib.process.supervisors import Supervisors


@pytest.mark.parametrize(("at_work", "check_ms"), [(0, 20), (1, 20), (20, 20), (21, 21), (400, 400), (900, 500)])
def test_all_checks_together_stay_within_a_thousand_a_second_but_each_comes_in_time(
    at_work: int, check_ms: int
) -> None:
    supervisors = Supervisors()
    with ExitStack() as many:
        for _ in range(at_work):
            many.enter_context(supervisors.one_more())
        assert supervisors.check_ms(20) == check_ms
    assert supervisors.check_ms(20) == 20


def test_one_that_raises_is_at_work_no_more() -> None:
    supervisors = Supervisors()
    with pytest.raises(LookupError), supervisors.one_more():
        raise LookupError
    assert supervisors.check_ms(0) == 0
