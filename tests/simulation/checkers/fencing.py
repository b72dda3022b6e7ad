"""Invariant 3: fencing tokens strictly increase per schedule in order of claim; each attempt has its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from chalicelib.core.schedules.schedule import Key
from tests.simulation import claims
from tests.simulation.world import StateWrite


def check(play: Any) -> Iterable[str]:
    """Tokens as given out by the schedules' states and as used by the claims."""
    record = play.world.record
    given: dict[Key, dict[int, tuple[int, Any]]] = {}
    for key, writes in record.schedules.items():
        given[key] = {}
        yield from _given(key, writes, given[key])
    used: dict[tuple[str, int], str] = {}
    for name, stored in record.executions.items():
        span_claim = claims.of_execution(record, name)
        last = 0 if span_claim is None else span_claim.span.token_of(name.firing_ms) or 0
        attempt = 0 if span_claim is None else 1
        if last:
            used.setdefault((name.schedule_id, last), f"{name.id} attempt 1")
        for write in stored:
            claim = write.record
            is_claim = claim.attempt > attempt
            attempt = claim.attempt  # a claim that waits for its turn is handed back, and its number with it
            if not is_claim:
                continue
            token = claim.fencing_token
            if token <= last:
                yield f"{name.id}: attempt {attempt} has token {token} after {last}"
            last = token
            other = used.setdefault((name.schedule_id, token), f"{name.id} attempt {attempt}")
            if other != f"{name.id} attempt {attempt}":
                yield f"token {token} of {name.schedule_id} serves {other} and {name.id} attempt {attempt}"
            source = given.get(claim.key_of_schedule, {}).get(token)
            if not name.schedule_id.startswith("01POISON") and (source is None or source[1] is not write.instance):
                yield f"{name.id}: attempt {attempt} uses token {token}, which {write.instance.name} was not given"


def _given(key: Key, writes: Sequence[StateWrite], given: dict[int, tuple[int, Any]]) -> Iterable[str]:
    fence = 0
    for write in writes:
        now = write.state.fence
        if now < fence:
            yield f"{key.id}: the fence went back from {fence} to {now}"
        for token in range(fence + 1, now + 1):
            given[token] = (write.at_ms, write.instance)
        fence = max(fence, now)
