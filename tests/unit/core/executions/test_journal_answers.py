"""What targets answered stays with the attempts that failed, the newest of them."""

from __future__ import annotations

from chalicelib.core.executions import journal
from chalicelib.core.executions.execution import Execution
from chalicelib.core.executions.journal import AttemptResult
from chalicelib.core.executions.limits import ANSWERS_KEPT_MAX
from chalicelib.core.schedules.schedule import Key, RetryPolicy
from tests.kit.records import START_MS, execution

POLICY = RetryPolicy(max_attempts=10, jitter=False)


def failed_times(count: int) -> Execution:
    record = execution(Key("t", "0" * 26), START_MS)
    for n in range(count):
        at_ms = START_MS + n * 1_000_000
        record = journal.claim(record, "w", n + 1, at_ms) if n else record
        record = journal.finish(record, AttemptResult("failed", answer=f"answer {n}"), POLICY, at_ms, at_ms + 1)
    return record


def test_the_newest_answers_are_kept() -> None:
    answers = [a.answer for a in failed_times(ANSWERS_KEPT_MAX + 2).attempts]
    assert answers == [None, None, *(f"answer {n}" for n in range(2, ANSWERS_KEPT_MAX + 2))]


def test_what_completes_keeps_what_failed_before_it_and_has_none_of_its_own() -> None:
    waiting = failed_times(1)
    at_ms = waiting.due_ms
    done = journal.finish(journal.claim(waiting, "w", 2, at_ms), AttemptResult("completed"), POLICY, at_ms, at_ms + 1)
    assert [a.answer for a in done.attempts] == ["answer 0", None]
    assert [a.answer for a in journal.without_answers(done).attempts] == [None, None]
