"""Invariant 2: one execution id, one state machine; no two live attempts, no second success, no step off the table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from chalicelib.core.executions.execution import (
    CANCELLED,
    COMPLETED,
    PENDING,
    SKIPPED,
    TRANSITIONS,
    Execution,
    ExecutionKey,
)
from tests.simulation import claims
from tests.simulation.world import Dispatch, ExecutionWrite


def check(play: Any) -> Iterable[str]:
    """Every stored write of every record, and every dispatch against the record that allowed it."""
    world = play.world
    for key, writes in world.record.executions.items():
        yield from _steps(world, key, writes)
        yield from _attempts(world, key, writes[-1].record)
    yield from _claimed_once(world)
    yield from _takeovers(world)
    yield from _dispatches(world, stepped=play.faults.wrong_most_ms > 0)


def _steps(world: Any, key: ExecutionKey, writes: Sequence[ExecutionWrite]) -> Iterable[str]:
    before: Execution | None = None
    for write in writes:
        after = write.record
        yield from _history(key, before, after)
        if before is not None and after.rev != before.rev + 1:
            yield f"{key.id} went from rev {before.rev} to {after.rev}"
        waits = after.waits or after.retry_at_ms is not None
        handed_back = waits and before is not None and after.attempt == before.attempt - 1  # it was never sent
        if before is not None and after.attempt - before.attempt not in (0, 1) and not handed_back:
            yield f"{key.id} went from attempt {before.attempt} to {after.attempt}"
        before = after
    if before is not None and sum(step.target == COMPLETED for step in before.history) > 1:
        yield f"{key.id} succeeded twice"


def _history(key: ExecutionKey, before: Execution | None, after: Execution) -> Iterable[str]:
    kept = before.history if before is not None else ()
    if after.history[: len(kept)] != kept:
        yield f"{key.id} lost a part of its history: {kept} became {after.history}"
        return
    state = before.state if before is not None else PENDING
    for step in after.history[len(kept) :]:
        if step.source != state or step.target not in TRANSITIONS[step.source]:
            yield f"{key.id} went from {state} by {step}"
        if step.source == CANCELLED and step.reason != "retry requested":
            yield f"{key.id} was cancelled, and {step.reason} although no caller asked"
        if step.source == SKIPPED and step.reason != "retry requested" and before and before.version == after.version:
            yield f"{key.id} was skipped under {before.version}, and {step.reason} under the same"
        state = step.target
    if state != after.state:
        yield f"{key.id} is {after.state} but its history ends in {state}"


def _attempts(world: Any, key: ExecutionKey, record: Execution) -> Iterable[str]:
    """No more attempts than the policy allows, those that were lost with their worker aside."""
    if any(step.reason == "retry requested" for step in record.history):
        return
    policies = [
        w.definition.retry_policy.max_attempts
        for w in world.record.schedules.get(record.key_of_schedule, ())
        if w.definition is not None
    ]
    counted = sum(a.outcome != "lost" for a in record.attempts)
    if policies and counted > max(policies):
        yield f"{key.id} had {counted} attempts, of {max(policies)} allowed"


def _claimed_once(world: Any) -> Iterable[str]:
    """What is claimed as a span of its schedule's state was not claimed before, and has no record yet."""
    for key in world.record.schedules:
        known: set[int] = set()
        for at_ms, span, instance in claims.of_schedule(world.record, key):
            for firing_ms in span.instants:
                name = ExecutionKey(*key, firing_ms)
                writes = world.record.executions.get(name, ())
                if firing_ms in known or (writes and writes[0].at_ms < at_ms):
                    yield f"{name.id} was claimed by {instance.name} at {at_ms}, claimed or recorded before"
                known.add(firing_ms)


def _takeovers(world: Any) -> Iterable[str]:
    """An attempt that its owner may still believe in must not be followed by another."""
    for t in world.record.takeovers:
        if t.owner_clock_ms is not None and t.owner_clock_ms + t.wrong_ms < t.lease_until_ms:
            yield (
                f"{t.key.id}: {t.by} took attempt {t.attempt} over while {t.owner} believed in its lease for "
                f"{t.lease_until_ms - t.owner_clock_ms} ms more"
            )


def _dispatches(world: Any, stepped: bool) -> Iterable[str]:
    seen: set[tuple[ExecutionKey, int]] = set()
    for d in world.record.dispatches:
        if (d.key, d.attempt) in seen:
            yield f"{d.key.id} was sent twice as attempt {d.attempt}"
        seen.add((d.key, d.attempt))
        if not stepped and _was_taken_over(world, d):  # a clock that was set back does not know that the claim ran out
            yield f"{d.key.id} was sent as attempt {d.attempt}, though {d.instance.name} could see it was taken over"
        if not _was_claimed(world, d):
            yield f"{d.key.id} was sent as attempt {d.attempt}, token {d.token}, by {d.instance.name} without a claim"


def _was_taken_over(world: Any, d: Dispatch) -> bool:
    """Whether a later attempt was stored before the sender last looked at its schedule. Then it also looks at its own
    record, if its claim has run out."""
    return any(w.record.attempt > d.attempt and w.at_ms < d.look_ms for w in world.record.executions.get(d.key, ()))


def _was_claimed(world: Any, d: Dispatch) -> bool:
    claim = claims.of_execution(world.record, d.key)
    if claim is not None and (claim.span.owner, claim.span.token_of(d.key.firing_ms)) == (d.instance.name, d.token):
        return d.attempt == 1 and claim.at_ms <= d.started_ms
    return any(
        w.record.attempt == d.attempt
        and w.record.fencing_token == d.token
        and w.record.claimed_by == d.instance.name
        and w.at_ms <= d.started_ms
        for w in world.record.executions.get(d.key, ())
    )
