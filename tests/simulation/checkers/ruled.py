"""Policies: what one denies is not sent, however late it was made; nothing else is rejected; each denial is on record.

A worker goes by the policies that it read right before the instant. So a dispatch is wrong where the policy denied it
from then until it was sent. It is wrong too where the policy's answer had been given before the instant.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from chalicelib.core.audit import segment
from chalicelib.core.audit.verify import Verifier
from chalicelib.core.executions.execution import FAILED, Execution
from chalicelib.core.schedules.schedule import Key
from tests.simulation.actors.clients import ACKNOWLEDGED
from tests.simulation.actors.freezer import FREEZE, TAG
from tests.simulation.checkers.overtaken import due_by_world_ms, record_as_sent
from tests.simulation.world import Dispatch, PolicyWrite

BEGUN_MS = 180_000  # how long before its end an attempt may have been judged: workers stand still for less
POINTS = ("policy:a firing was denied", "policy:made between claim and instant")


def check(play: Any) -> Iterable[str]:
    """Every dispatch, every rejected attempt, and the audit."""
    record = play.world.record
    tagged = {
        key
        for key, writes in record.schedules.items()
        if any(w.definition and TAG in w.definition.tags for w in writes)
    }
    for d in record.dispatches:
        if Key(d.key.tenant, d.key.schedule_id) in tagged:
            yield from _sent(play, d)
    yield from _rejected(play, tagged)
    yield from _audited(play)


def denying(writes: Sequence[PolicyWrite], from_ms: int, to_ms: int) -> set[bool]:
    """What the policy did in a span of time, both ends included: deny, or not, or both."""
    before = [w.denies for w in writes if w.at_ms < from_ms]
    return {before[-1] if before else False, *(w.denies for w in writes if from_ms <= w.at_ms <= to_ms)}


def _sent(play: Any, d: Dispatch) -> Iterable[str]:
    record = play.world.record
    seen_ms = min(d.looks_ms, default=d.ruled_ms)
    if denying(record.policies, seen_ms, d.started_ms) == {True}:
        yield f"{d.key.id} was sent at {d.started_ms}, and {d.instance.name} read at {seen_ms} that a policy denies it"
        return
    if play.faults.wrong_most_ms > 0:
        return  # a change waits for what is near its instant by a clock within the margin
    claim = record_as_sent(record.executions.get(d.key, ()), d)
    if claim is None or claim.requested or claim.history:
        return
    due_ms = min(due_by_world_ms(d, claim), d.started_ms)
    for op in record.operations:
        answered = op.kind == FREEZE and op.outcome == ACKNOWLEDGED and op.ended_ms < due_ms
        if answered and denying(record.policies, op.ended_ms, d.started_ms) == {True}:
            yield f"{d.key.id} was sent at {d.started_ms}, although a policy that denies it was answered {op.ended_ms}"
            return


def _rejected(play: Any, tagged: set[Key]) -> Iterable[str]:
    record = play.world.record
    sent = {(d.key, d.attempt, d.token) for d in record.dispatches}
    for key, writes in record.executions.items():
        for number, write in enumerate(writes):
            found = write.record
            if not _is_denial(found) or (number and _is_denial(writes[number - 1].record)):
                continue
            play.world.hit(POINTS[0])
            attempt = found.attempts[-1]
            if any(key.firing_ms - 1_000 < w.at_ms < key.firing_ms and w.denies for w in record.policies):
                play.world.hit(POINTS[1])
            if (found.state, attempt.error_type) != (FAILED, "rejected") or TAG not in (found.error or ""):
                yield f"{key.id} was denied, and ended as {found.state}, {attempt.error_type}: {found.error}"
            if found.retry_at_ms is not None:
                yield f"{key.id} was denied, and is tried again"
            if key.schedule_id not in {each.id for each in tagged}:
                yield f"{key.id} was denied, which no policy is about"
            if True not in denying(record.policies, write.at_ms - BEGUN_MS, write.at_ms):
                yield f"{key.id} was denied at {write.at_ms}, when no policy denied it"
            if (key, attempt.number, attempt.fencing_token) in sent:
                yield f"{key.id} was denied and sent"


def _audited(play: Any) -> Iterable[str]:
    """What the feed has dealt with is in the audit, and the chain is whole."""
    owed = {
        f"{w.after.id}.{w.after.attempts[-1].number}"
        for batch in play.stream.done
        for w in batch.written
        if w.became((FAILED,)) and _is_denial(w.after)
    }
    entries = [
        entry
        for stored in play.inner.audit.oldest("default", 1 << 30)
        for entry in segment.read(stored.document).entries
    ]
    for missing in sorted(owed - {entry.id for entry in entries}):
        yield f"{missing} was denied, and is not in the audit"
    judge = Verifier({}, None)
    for entry in entries:
        judge.take(entry)
    verdict = judge.verdict()
    if verdict.first_bad is not None:
        yield f"the audit is broken at {verdict.first_bad}: {verdict.reason}"


def _is_denial(execution: Execution) -> bool:
    return bool(execution.attempts and execution.attempts[-1].denied_by)
