"""Writing down how attempts ended: what must follow is queued first, the record is written second."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence

from msgspec import Struct

from chalicelib.core.errors import Unavailable
from chalicelib.core.executions import journal
from chalicelib.core.executions.execution import FAILED, TIMEOUT, Attempt, Execution, ExecutionKey, LateAnswer
from chalicelib.core.executions.execution_trace import of_attempt
from chalicelib.core.limits import SECOND_MS
from chalicelib.core.queue_messages import Run
from chalicelib.core.schedules.schedule import Definition
from chalicelib.core.secrets import envelope
from chalicelib.core.targets.cloudevent import build
from chalicelib.engine import attempt_spans, job_outcomes
from chalicelib.engine.handoff import enqueue
from chalicelib.ports.services import Services

log = logging.getLogger(__name__)

WRITE_ATTEMPTS = 4
NOTE_ATTEMPTS = 4


class Ended(Struct, frozen=True):
    """A record after an attempt, the ``rev`` it replaces, and its definition."""

    execution: Execution
    expected_rev: int
    definition: Definition


def write_outcomes(s: Services, ended: Sequence[Ended]) -> list[bool]:
    """Write records whose attempt has ended; False where another writer had ended it (the late result changes nothing).

    A record that waits for its next attempt has that attempt queued first. One that is out of attempts has its
    CloudEvent on the dead-letter queue first, and its schedule marked. A crash in between repeats these and loses none.
    One that its target accepted has the check of its time-out queued. So it ends when its time is over and not at the
    next minute.
    """
    enqueue(s, [_next_attempt(s, e) for e in ended if e.execution.retry_at_ms is not None or e.execution.asynchronous])
    for e in ended:
        if e.execution.state in (FAILED, TIMEOUT):
            s.queue.send_dead(e.execution.id, _event(s, e), e.execution.error or e.execution.state)
    job_outcomes.note(s, [e.execution for e in ended])
    writes = [(e.execution, e.expected_rev) for e in ended]
    answers = update_surely(s, writes)
    late = [e.execution.key for e, won in zip(ended, answers, strict=True) if not won]
    job_outcomes.note_stored(s, late)
    return answers


def update_surely(s: Services, writes: Sequence[tuple[Execution, int]]) -> list[bool]:
    """Update records, finding out what happened when a write got no answer."""
    for attempt in range(WRITE_ATTEMPTS):
        try:
            answers = s.stores.executions.update(writes)
        except Unavailable:
            if attempt == WRITE_ATTEMPTS - 1:
                raise
            continue
        for record, expected_rev in writes:
            if not expected_rev:  # by whom ever: there is a record now
                s.process.spans.recorded(record.key_of_schedule, record.fencing_token)
        return answers if attempt == 0 else _was_written(s, writes, answers)
    raise AssertionError("unreachable")


def _was_written(s: Services, writes: Sequence[tuple[Execution, int]], answers: Sequence[bool]) -> list[bool]:
    """After a repeated write, "lost" may mean that the unanswered first one won: the stored record decides."""
    stored = s.stores.executions.get([e.key for (e, _), won in zip(writes, answers, strict=True) if not won])
    return [won or _shows(stored.get(e.key), e) for (e, _), won in zip(writes, answers, strict=True)]


def _shows(stored: Execution | None, e: Execution) -> bool:
    """Whether a record is ``e``, or has gone on from ``e``, which ended its attempt: no other ends it the same way."""
    if stored is None or stored == e:
        return stored is not None
    ended_attempt = e.lease_until_ms is None and e.attempts and e.attempts[-1].number == e.attempt
    ended = ended_attempt or (e.history and not e.is_open)  # cancelled, skipped or missed before any attempt was marked
    went_on = stored.attempts[: len(e.attempts)] == e.attempts and stored.history[: len(e.history)] == e.history
    return bool(ended) and stored.rev > e.rev and went_on


def note_late(s: Services, key: ExecutionKey, attempt: Attempt, answer: LateAnswer) -> None:
    """Keep what the target said of an attempt that had been ended. If the execution goes on, it is only logged."""
    found: Execution | None = None
    for _ in range(NOTE_ATTEMPTS):
        found = s.stores.executions.get([key]).get(key)
        noted = None if found is None else journal.note_late(found, attempt, answer)
        if found is None or noted is None:
            break
        if s.stores.executions.update([(noted, found.rev)])[0]:
            return
    known = {"schedule_id": key.schedule_id, "execution_id": key.id} if found is None else attempt_spans.about(s, found)
    log.warning("a late answer changed nothing: %s of attempt %d", answer.outcome, attempt.number, extra=known)


def _next_attempt(s: Services, e: Ended) -> Run:
    record = e.execution
    if record.retry_at_ms is not None:
        return Run(record.key, record.attempt + 1, record.retry_at_ms)
    assert record.lease_until_ms is not None
    # Messages come up to a second more than lead_ms early; this one is of use only when the time is over.
    over_ms = record.lease_until_ms + s.config.max_drift_ms + s.config.lead_ms + SECOND_MS
    return Run(record.key, record.attempt + 1, over_ms)


def _event(s: Services, e: Ended) -> str:
    """The event as it lies on the dead-letter queue: with its payload sealed, where payloads are."""
    record = e.execution
    payload = record.payload if record.payload is not None else e.definition.payload
    sealed = s.sealing.seal(record.tenant, envelope.dead_letter_place(record.id), payload)
    return build(
        execution_id=record.id,
        schedule_id=record.schedule_id,
        firing_unix_ms=record.firing_ms,
        attempt=record.attempt,
        fencing_token=record.fencing_token,
        traceparent=str(of_attempt(record, record.attempt, s.config.trace_sample)),
        hlc=record.hlc,
        payload_json=payload if sealed is payload else json.dumps({envelope.FIELD: sealed}),
    ).decode()
