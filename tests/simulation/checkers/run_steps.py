"""Nothing runs twice under one identity: a step is claimed once at a time, a claim calls once, and its key is the same
through retries, deaths and redrives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from chalicelib.core.workflows.run_state import ENDED, RunState, apply
from tests.simulation.actors.run_tables import Effect

DRIFT_MS = 20
_STEPS_ENDED = frozenset({"node_completed", "node_failed", "node_timeout", "node_cancelled", "node_skipped"})


def check(play: Any) -> Iterator[str]:
    """What was done twice, or by whom it was not to be done."""
    record = play.runs
    yield from record.problems
    for run_id, log in record.logs.items():
        yield from _claims(run_id, log)
    by_claim: Counter[tuple[str, str, int]] = Counter()
    for effect in record.effects:
        yield from _effect(record, effect, by_claim)
    if play.plan.calm:
        yield from _as_often_as_begun(record)


def _claims(run_id: str, log: list[Any]) -> Iterator[str]:
    state = RunState()
    leases: dict[str, tuple[int, int]] = {}  # until when, and how wrong the clock of its owner was
    tokens: set[tuple[str, int]] = set()
    ended: set[tuple[str, int]] = set()
    for stored in log:
        for event in stored.events:
            before = state.nodes.get(event.node)
            apply(state, event)
            if event.type == "node_claimed":
                token = (event.node, event.data["token"])
                if token in tokens:
                    yield f"{run_id}: token {token[1]} of {event.node} was given twice"
                tokens.add(token)
                if before is not None and before.worker:
                    yield f"{run_id}: {event.node} was claimed while {before.worker} had it"
                if before is None or before.status != "running":
                    yield f"{run_id}: {event.node} was claimed though it does not run"
                leases[event.node] = (event.data["lease_ms"], stored.wrong_ms)
            if event.type == "node_lost":
                until_ms, wrong_ms = leases[event.node]
                if stored.at_ms < until_ms - DRIFT_MS - wrong_ms - stored.wrong_ms:
                    yield f"{run_id}: {event.node} was taken from its worker {until_ms - stored.at_ms} ms early"
            again = event.type in _STEPS_ENDED and before is not None and before.status in ENDED
            if again and before is not None and state.status != "compensating":
                yield f"{run_id}: {event.node} ended as {before.status}, and then by {event.type}"
            if event.type == "node_started" and before is not None:
                one = (event.node, before.generation)
                if before.status in ENDED:
                    yield f"{run_id}: {event.node} began after it had ended"
                if one in ended:
                    yield f"{run_id}: {event.node} began twice in one generation"


def _effect(record: Any, effect: Effect, by_claim: Counter[tuple[str, str, int]]) -> Iterator[str]:
    claim = effect.claim
    if claim is None or claim.node != effect.node:
        yield f"{effect.key}: called without a claim of {effect.node}"
        return
    if effect.key != claim.key:
        yield f"{claim.run_id}: {effect.node} went out as {effect.key}, and is {claim.key}"
    if effect.attempt != claim.attempt:
        yield f"{effect.key}: attempt {effect.attempt} went out under the claim of attempt {claim.attempt}"
    name = (claim.run_id, claim.node, claim.token)
    by_claim[name] += 1
    if by_claim[name] > 1:
        yield f"{effect.key}: called twice under token {claim.token}"
    held_ms = _held_until(record.logs[claim.run_id], claim)
    if held_ms is not None and effect.at_ms > held_ms:
        yield f"{effect.key}: called {effect.at_ms - held_ms} ms after its own worker had said how it ended"


def _held_until(log: list[Any], claim: Any) -> int | None:
    """When the worker of a claim itself ended its step; None where it never did."""
    held = False
    for stored in log:
        for event in stored.events:
            if event.node != claim.node:
                continue
            if event.type == "node_claimed":
                held = event.data["token"] == claim.token
            elif held and event.type == "node_lost":
                return None
            elif held and event.type in ("node_completed", "node_failed", "node_timeout", "node_retrying"):
                return int(stored.at_ms)
    return None


def _as_often_as_begun(record: Any) -> Iterator[str]:
    """Where nothing dies, every attempt calls once."""
    begun: Counter[tuple[str, str]] = Counter()
    for run_id, log in record.logs.items():
        for stored in log:
            begun.update((run_id, event.node) for event in stored.events if event.type == "node_claimed")
    called = Counter((e.claim.run_id, e.claim.node) for e in record.effects if e.claim is not None)
    for name, count in called.items():
        if count > begun[name]:
            yield f"{name[0]}: {name[1]} was called {count} times in {begun[name]} attempts"
